# SPDX-License-Identifier: MIT
"""An initial RAM disk is an archive that a kernel can unpack, with what its programs need."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from luo_tui.machine import cpio, elf, python
from luo_tui.update.rehearsal import init, steps

ENTRIES = (
    cpio.file("luo/init", b"#!/luo/python\n", executable=True),
    cpio.file("luo/deep/er/odd", b"\0\1\2"),
    cpio.file("luo/empty", b""),
    cpio.folder("proc"),
    cpio.Entry("link", b"luo/init", stat.S_IFLNK | 0o777),
)


def unpacked(data: bytes) -> dict[str, tuple[int, bytes]]:
    """Read it as init/initramfs.c does: fields of eight digits, all aligned to four bytes."""
    found, at = {}, 0
    while True:
        assert data[at : at + 6] == b"070701"
        assert at % 4 == 0
        fields = [int(data[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        mode, size, name_size = fields[1], fields[6], fields[11]
        name = data[at + 110 : at + 110 + name_size - 1].decode()
        assert data[at + 110 + name_size - 1] == 0
        at = (at + 110 + name_size + 3) & ~3
        content = data[at : at + size]
        at = (at + size + 3) & ~3
        if name == "TRAILER!!!":
            assert at == len(data)
            return found
        assert name not in found, "it would be unpacked twice"
        found[name] = mode, content


def test_an_archive_has_each_file_after_its_folders() -> None:
    found = unpacked(b"".join(cpio.archive(cpio.with_folders(ENTRIES))))
    for entry in ENTRIES:
        assert found[entry.name] == (entry.mode, entry.content)
    names = list(found)
    for name in names:
        above = Path(name).parent
        assert str(above) == "." or names.index(str(above)) < names.index(name)
    assert stat.S_ISDIR(found["luo/deep"][0])
    assert len(b"".join(cpio.archive(ENTRIES))) % 4 == 0


def test_what_the_format_cannot_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpio, "LARGEST", 2)
    with pytest.raises(ValueError, match="luo/deep/er/odd has 3 bytes"):
        list(cpio.archive([ENTRIES[1]]))


def test_programs_tell_who_loads_them_and_libraries_their_names() -> None:
    program = elf.parse(Path(sys.executable).resolve().read_bytes())
    assert Path(program.interpreter).is_absolute()
    said = subprocess.run(
        [program.interpreter, "--list", sys.executable], capture_output=True, text=True, check=True
    )
    libraries = [w.split()[0::2] for w in said.stdout.splitlines() if "=>" in w and "/" in w]
    assert libraries
    for name, path in (pair[:2] for pair in libraries):
        content = Path(path).read_bytes()
        assert elf.parse(content).soname == Path(name).name
        assert elf.parse(elf.loadable(content)) == elf.parse(content)


OTHER_BITS, TORN = b"\x7fELF\x01\x01" + bytes(90), b"\x7fELF\x02\x01" + b"\xff" * 20


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh\n", OTHER_BITS, TORN])
def test_what_is_no_such_file_is_refused(content: bytes) -> None:
    for read in (elf.parse, elf.loadable):
        with pytest.raises(elf.NotElf):
            read(content)


_WHAT_IS_USED = """
import sys
for module in list(sys.modules.values()):
    print(getattr(module, "__file__", None) or "")
for line in open("/proc/self/maps"):
    print(*line.split()[5:])
"""


def test_the_packed_python_runs_a_program_with_nothing_of_this_host(tmp_path: Path) -> None:
    packed = cpio.archive(cpio.with_folders(python.program(init.__name__, steps.__name__)))
    found = unpacked(b"".join(packed))
    for name, (mode, content) in found.items():
        path = tmp_path / name
        if stat.S_ISDIR(mode):
            path.mkdir()
        else:
            path.write_bytes(content)
            path.chmod(stat.S_IMODE(mode))
    program = tmp_path / python._PYTHON[1:]
    loader = tmp_path / elf.parse(program.read_bytes()).interpreter[1:]
    first, second = (tmp_path / python.INIT[1:]).read_text().splitlines()[:2]
    assert (first, second) == (f"#!{python._PYTHON} -S", f"from {init.__name__} import main")
    environment = {name: str(tmp_path / value[1:]) for name, value in python.ENVIRONMENT.items()}
    done = subprocess.run(
        [loader, program, "-SPc", f"import {init.__name__}, {steps.__name__}{_WHAT_IS_USED}"],
        # In the machine there are no locales.
        env={**environment, "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    used = set(filter(lambda line: line[:1] == "/", done.stdout.splitlines()))
    assert f"{environment['PYTHONPATH']}/luo_tui/uapi/luo_v2.pyc" in used
    assert [path for path in used if not path.startswith(str(tmp_path))] == []


def test_a_program_that_does_not_load_here_is_not_packed() -> None:
    with pytest.raises(python.NotPackable, match=r"No module named 'luo_tui\.nothing'"):
        list(python.program("luo_tui.nothing"))
