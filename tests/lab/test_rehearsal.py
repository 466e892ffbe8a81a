# SPDX-License-Identifier: MIT
"""A rehearsal in a machine on this host: one that goes well, and those that do not."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kernels
import pytest
import stock

import luo_tui
from luo_tui.errors import Exit
from luo_tui.machine import cpio, python
from luo_tui.update.rehearsal.kernels import Folders, read_kernel
from luo_tui.update.rehearsal.record import NAME, RehearsalReader, fitting
from luo_tui.update.rehearsal.run import Order, rehearse
from tests.lab.test_refused_handover import changed

pytestmark = pytest.mark.extra

MIB = 1 << 20
NOBODY = 65534
PYTHON = "/usr/bin/python3"


class Rehearsals:
    """The command, with the lab's kernels."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.modules = folder / "journal", folder / "modules"
        self.before: tuple[str, ...] = ()
        """What the command is run by."""
        self.python = sys.executable
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.environment = {**os.environ, "TMPDIR": str(self.temporary)}
        self.kernels = kernels.kernels()
        self.images = {name: kernel.image for name, kernel in self.kernels.items()}
        for name, built in kernels.modules(self.kernels).items():
            self.module(name, (built / "luo.ko").read_bytes())

    def module(self, name: str, content: bytes) -> None:
        path = self.modules / self.kernels[name].release / "extra/luo.ko"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def command(self, *more: str, target: str = "") -> list[str]:
        return [
            *self.before, self.python, "-m", "luo_tui", "--folder", str(self.folder),
            "rehearse", "--machine", "--accel", "tcg",
            "--kernel", str(self.images["old"]), target or str(self.images["new"]),
            "--modules", str(self.modules), "--json", *more,
        ]  # fmt: skip

    def __call__(self, *more: str) -> tuple[int, dict[str, Any]]:
        done = subprocess.run(
            self.command(*more), env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.stdout, done.stderr
        assert self.left_behind() == []
        return done.returncode, json.loads(done.stdout)

    def fails(self, *more: str) -> dict[str, Any]:
        code, told = self(*more)
        assert (code, told["passed"]) == (Exit.BLOCKED, False)
        (newest, *_) = RehearsalReader(self.folder).read()
        assert (newest.passed, newest.why) == (False, told["why"])
        return told

    def machines(self) -> list[int]:
        """The QEMUs of these rehearsals."""
        mark = os.fsencode(self.temporary)
        found = []
        for line in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = line.read_bytes()
            except OSError:
                continue
            if words.startswith(b"qemu") and mark in words:
                found.append(int(line.parent.name))
        return found

    def left_behind(self) -> list[object]:
        return [*self.temporary.iterdir(), *self.machines()]


@pytest.fixture
def rehearsals(tmp_path: Path) -> Rehearsals:
    return Rehearsals(tmp_path)


@pytest.fixture
def nobodys() -> Iterator[Rehearsals]:
    """Return what nobody special runs: with Debian's Python, and with folders of his own.

    The other one, and what it needs, may lie in root's home.
    """
    with tempfile.TemporaryDirectory(prefix="luo-tui-test-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        made = Rehearsals(folder)
        made.python = PYTHON
        made.before = (
            "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
            "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs",
        )  # fmt: skip
        shutil.copytree(
            Path(luo_tui.__file__).parent, folder / "python/luo_tui",
            ignore=shutil.ignore_patterns("__pycache__"),
        )  # fmt: skip
        made.environment |= {"PYTHONPATH": str(folder / "python"), "HOME": "/nonexistent"}
        made.environment.pop("PYTHONPYCACHEPREFIX", None)
        for name, image in made.images.items():
            made.images[name] = Path(shutil.copy(image, folder / f"vmlinuz-{name}"))
        made.folder.mkdir()
        for own in (made.folder, made.temporary):
            own.chmod(0o700)
            os.chown(own, NOBODY, NOBODY)
        yield made


def initrd(folder: Path, size: int) -> str:
    """Make a target's own initrd, packed, in which another program would come first."""
    own = [
        cpio.file(python.INIT[1:], b"#!/nowhere\n", executable=True),
        cpio.file("own", os.urandom(size)),
    ]
    path = folder / "initrd.img"
    packed = b"".join(cpio.archive(cpio.with_folders(own)))
    path.write_bytes(gzip.compress(packed, compresslevel=1))
    path.chmod(0o644)
    return str(path)


@pytest.mark.root
def test_one_that_goes_well_is_anybodys_and_measures_the_blackout(nobodys: Rehearsals) -> None:
    rehearsals = nobodys
    code, told = rehearsals("--initrd", initrd(rehearsals.folder.parent, 99_999))
    assert (code, told["passed"], told["why"]) == (Exit.OK, True, "")
    assert told["release"].endswith("-luo-old")
    assert told["target"].endswith("-luo-new")
    assert (told["files"], told["bytes"]) == (4, 64 * MIB)
    assert set(told["seconds"]) == {
        "boot", "preserve", "load", "prepare", "kexec", "restore", "finish",
    }  # fmt: skip
    names = [name for name, _ in told["blackout"]["phases"]]
    assert names == [
        "freeze",
        "device shutdown, until the jump",
        "jump and decompression, until the kernel's clock runs",
        "kernel boot, until the first program",
        "userspace up to luo.ko",
    ]
    assert any("devices" in line for line in told["not_rehearsed"])
    assert any(line.startswith("luo: took over 4 files") for line in told["lines"])
    assert told["written"] == str(rehearsals.folder / NAME)
    recorded = RehearsalReader(rehearsals.folder).read()
    assert [r.blackout.total for r in recorded if r.blackout] == [told["blackout"]["total_ms"]]
    assert fitting(recorded, told["host"], told["release"], told["target"]) is None, "by TCG"
    print(f"\n{told['took']} s, {told['memory_mib']} MiB, initrd {told['initrd_bytes']:,} bytes")


def test_by_sessions_where_the_kernel_has_no_module(rehearsals: Rehearsals) -> None:
    shutil.rmtree(rehearsals.modules)
    # And with no privilege at all.
    rehearsals.before = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs")
    code, told = rehearsals()
    assert (code, told["interface"], told["why"]) == (Exit.OK, "sessions", "")
    assert told["blackout"]["total_ms"] > 0
    assert "prepare" not in told["seconds"]


def test_one_with_what_stands_for_guests_goes_well(
    rehearsals: Rehearsals,
) -> None:
    folders = Folders(Path("/nowhere"), rehearsals.modules)
    running, target = (
        read_kernel(folders, str(rehearsals.images[name]), "") for name in ("old", "new")
    )
    order = Order(running, target, (MIB, 4096), sessions=False, guests=3, accel="tcg")
    said: list[str] = []
    found = rehearse(order, said.append).verdict
    assert (found.passed, found.why) == (True, ""), found.lines
    assert found.seconds["save"] > 0
    assert any(line.startswith("luo: took over 5 files") for line in found.lines)
    assert said


def test_a_target_without_the_handover(rehearsals: Rehearsals) -> None:
    told = rehearsals.fails("--append", "kho=off")
    assert told["why"].startswith("In the target: ")
    assert any("luo" in line for line in told["lines"])


def test_a_target_of_another_abi(rehearsals: Rehearsals, tmp_path: Path) -> None:
    build = rehearsals.kernels["new"].build
    line = ('"luo-ko-v3"', '"luo-ko-v0"')
    rehearsals.module("new", changed(build, tmp_path / "luo", "luo_abi.h", line))
    told = rehearsals.fails()
    assert told["why"] == "In the target: the new kernel's state is normal, and not updated."
    refusal = "handover refused: it is 'luo-ko-v3', this module reads only 'luo-ko-v0'"
    assert any(refusal in line for line in told["lines"])


def test_too_little_scratch_memory(rehearsals: Rehearsals, tmp_path: Path) -> None:
    own = initrd(tmp_path, 40 * MIB)
    told = rehearsals.fails("--scratch", "16M,48M,0M", "--initrd", own)
    assert told["why"].startswith("In the running kernel: could not load the kernel image: ")
    assert told["why"].endswith(" (EADDRNOTAVAIL).")


def test_a_panic_is_quoted_and_not_waited_out(rehearsals: Rehearsals) -> None:
    began = time.monotonic()
    told = rehearsals.fails("--append", "rdinit=/nowhere", "--timeout", "300")
    assert time.monotonic() - began < 300
    assert told["why"].startswith("In the machine the target gave up: Kernel panic - not syncing")
    assert told["lines"][-1].startswith("Kernel panic - not syncing")
    assert told["seconds"]["load"] > 0


def test_debians_own_kernel_has_no_handover(rehearsals: Rehearsals) -> None:
    debian = stock.stock("bookworm")
    beside = debian.image.with_name(f"config-{debian.release}")
    shutil.copy(debian.image, rehearsals.temporary)
    image = rehearsals.temporary / debian.image.name
    shutil.copy(debian.config, image.with_name(beside.name))
    command = rehearsals.command(target=str(image))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == Exit.BLOCKED, done.stderr
    assert "was built without Kexec HandOver (CONFIG_KEXEC_HANDOVER)" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_whatever_ends_it_ends_its_machine(rehearsals: Rehearsals, number: signal.Signals) -> None:
    process = subprocess.Popen(
        rehearsals.command(),
        env=rehearsals.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    told = []
    for line in process.stderr:
        told.append(line)
        if "steps: " in line:
            break
    assert len(rehearsals.machines()) == 1, told
    process.send_signal(number)
    rest = process.stderr.read()
    code = process.wait()
    if number is signal.SIGKILL:
        end = time.monotonic() + 60
        while rehearsals.machines():
            assert time.monotonic() < end
        return
    assert code == {signal.SIGINT: Exit.INTERRUPTED, signal.SIGTERM: Exit.TERMINATED}[number]
    assert "its machine is ended" in rest
    assert rehearsals.left_behind() == []
