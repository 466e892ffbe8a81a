# SPDX-License-Identifier: MIT
"""What goes to the kernel, byte for byte, and what is read from it."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import gzip
import os
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from luo_tui.model import State
from luo_tui.uapi import caps, kexec, kho, luo_v2
from tests.opened import load_files

HEADER = Path(__file__).parents[2] / "kernel" / "liveupdate.h"


def test_the_numbers_are_those_of_the_rfc() -> None:
    assert (
        luo_v2.FD_PRESERVE,
        luo_v2.FD_UNPRESERVE,
        luo_v2.FD_RESTORE,
        luo_v2.GET_STATE,
        luo_v2.EVENT_PREPARE,
        luo_v2.EVENT_FREEZE,
        luo_v2.EVENT_CANCEL,
        luo_v2.EVENT_FINISH,
    ) == (
        0xC010BA00,
        0x4008BA01,
        0xC010BA02,
        0x8004BA03,
        0xBA04,
        0xBA05,
        0xBA06,
        0xBA07,
    )


def test_the_kernels_header_has_the_same_numbers() -> None:
    shape = re.compile(
        r"#define\s+LIVEUPDATE_IOCTL_(\w+)\s*\\?\s*_IO(W|R|WR|)\(LIVEUPDATE_IOCTL_TYPE,\s*(0x\d\d)"
    )
    found = shape.findall(HEADER.read_text())
    assert len(found) == 8
    directions = {"": 0, "W": 1, "R": 2, "WR": 3}
    for name, direction, number in found:
        ours = getattr(luo_v2, name)
        assert (ours >> 30, ours & 0xFF) == (directions[direction], int(number, 16)), name


class Device:
    """Stands in for fcntl.ioctl; remembers what came and answers what it was told."""

    def __init__(self, answer: bytes = b"", error: int = 0) -> None:
        self.answer = answer
        self.error = error
        self.seen: list[tuple[int, int, bytes]] = []

    def __call__(self, fd: int, number: int, argument: Any = b"") -> int:
        self.seen.append((fd, number, bytes(argument)))
        if self.error:
            raise OSError(self.error, os.strerror(self.error))
        if self.answer:
            argument[:] = self.answer
        return 0


def install(patch: pytest.MonkeyPatch, **answers: Any) -> Device:
    device = Device(**answers)
    patch.setattr(fcntl, "ioctl", device)
    return device


def test_structures_are_packed_as_the_kernel_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    device = install(monkeypatch, answer=struct.pack("=iIQ", 5, 0, 1 << 40))
    assert luo_v2.preserve(3, 5) == 1 << 40
    assert device.seen == [(3, luo_v2.FD_PRESERVE, b"\5\0\0\0" + bytes(12))]

    device = install(monkeypatch, answer=struct.pack("=iIQ", 9, 0, 7))
    assert luo_v2.restore(3, 7) == 9
    assert device.seen == [(3, luo_v2.FD_RESTORE, b"\xff\xff\xff\xff\0\0\0\0\7" + bytes(7))]

    device = install(monkeypatch)
    luo_v2.unpreserve(3, 0x0102)
    assert device.seen == [(3, luo_v2.FD_UNPRESERVE, b"\2\1" + bytes(6))]


@pytest.mark.parametrize(
    ("number", "state"),
    [
        (0, State.NORMAL),
        (1, State.PREPARED),
        (2, State.FROZEN),
        (3, State.UPDATED),
        (4, State.UNKNOWN),
        (-1, State.UNKNOWN),
    ],
)
def test_states_are_read_by_number(
    monkeypatch: pytest.MonkeyPatch, number: int, state: State
) -> None:
    install(monkeypatch, answer=struct.pack("=i", number))
    assert luo_v2.get_state(3) is state


@pytest.mark.parametrize(
    ("call", "number"),
    [
        (luo_v2.prepare, 0xBA04),
        (luo_v2.freeze, 0xBA05),
        (luo_v2.cancel, 0xBA06),
        (luo_v2.finish, 0xBA07),
    ],
)
@pytest.mark.parametrize("code", [errno.EINVAL, errno.EEXIST, errno.ENOENT, 133])
def test_moves_keep_whatever_errno_comes(
    monkeypatch: pytest.MonkeyPatch, call: Callable[[int], None], number: int, code: int
) -> None:
    device = install(monkeypatch, error=code)
    with pytest.raises(OSError) as refused:
        call(3)
    assert refused.value.errno == code
    assert refused.value.filename is None
    assert device.seen == [(3, number, b"")]


@pytest.mark.parametrize(
    ("code", "name"),
    [(errno.EINVAL, luo_v2.DEVICE), (errno.ENOTTY, luo_v2.DEVICE), (errno.EIO, None)],
)
def test_another_interface_is_told_from_a_wrong_state(
    monkeypatch: pytest.MonkeyPatch, code: int, name: str | None
) -> None:
    install(monkeypatch, error=code)
    with pytest.raises(OSError) as refused:
        luo_v2.check(3)
    assert (refused.value.errno, refused.value.filename) == (code, name)


def test_a_missing_device_names_itself(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as refused:
        luo_v2.open_device(str(tmp_path / "none"))
    assert refused.value.filename == str(tmp_path / "none")


class Libc:
    """Stands in for libc.syscall."""

    def __init__(self, error: int = 0) -> None:
        self.error = error
        self.seen: list[tuple[Any, ...]] = []
        self.files: list[str] = []

    def syscall(self, *arguments: Any) -> int:
        values = [getattr(a, "value", a) for a in arguments]
        self.seen.append(tuple(values))
        for fd in values[1:3]:
            if isinstance(fd, int) and 0 < fd < 1 << 16:
                self.files.append(str(Path(f"/proc/self/fd/{fd}").readlink()))
        ctypes.set_errno(self.error)
        return -1 if self.error else 0


@pytest.fixture
def libc(monkeypatch: pytest.MonkeyPatch) -> Libc:
    fake = Libc()
    monkeypatch.setattr(kexec, "_libc", fake)
    monkeypatch.setattr(kexec, "_machine", lambda: "x86_64")
    return fake


def test_an_image_is_loaded_by_file(libc: Libc, tmp_path: Path) -> None:
    image, initrd = tmp_path / "image", tmp_path / "initrd"
    image.touch()
    initrd.touch()
    load_files(kexec.load, image, initrd, "kho=on")
    number, kernel, ram, size, line, flags = libc.seen[0]
    assert (number, size, line, flags) == (320, 7, b"kho=on", 0)
    assert libc.files == [str(image), str(initrd)]
    for fd in (kernel, ram):
        with pytest.raises(OSError):
            os.fstat(fd)

    load_files(kexec.load, image, "", "")
    assert libc.seen[1][2:] == (-1, 1, b"", kexec.KEXEC_FILE_NO_INITRAMFS)
    kexec.unload()
    assert libc.seen[2] == (320, -1, -1, 0, None, kexec.KEXEC_FILE_UNLOAD)


def test_kexec_keeps_whatever_errno_comes(libc: Libc, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.touch()
    libc.error = errno.EADDRNOTAVAIL
    before = os.listdir("/proc/self/fd")  # noqa: PTH208 - the numbers are what is compared
    with pytest.raises(OSError) as refused:
        load_files(kexec.load, image, "", "kho=on")
    assert refused.value.errno == errno.EADDRNOTAVAIL
    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208
    with pytest.raises(FileNotFoundError):
        load_files(kexec.load, tmp_path / "none", "", "")
    with pytest.raises(FileNotFoundError):
        load_files(kexec.load, image, tmp_path / "none", "")
    assert len(libc.seen) == 1
    libc.error = errno.EBUSY
    with pytest.raises(OSError) as refused:
        kexec.reboot()
    assert refused.value.errno == errno.EBUSY
    assert libc.seen[1] == (169, 0xFEE1DEAD, 672274793, 0x45584543, None)


def test_a_reboot_that_returns_is_an_error_even_without_one(libc: Libc) -> None:
    with pytest.raises(OSError) as refused:
        kexec.reboot()
    assert refused.value.errno == errno.EIO


def test_a_strange_machine_cannot_load(libc: Libc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kexec, "_machine", lambda: "s390x")
    with pytest.raises(OSError) as refused:
        kexec.unload()
    assert refused.value.errno == errno.ENOSYS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Name:\tx\nCapEff:\t000001ffffffffff\n", True),
        ("CapEff:\t0000000000600000\n", True),
        ("CapEff:\t0000000000200000\n", False),
        ("CapEff:\t0000000000400000\n", False),
        ("CapEff:\t0000000000000000\nCapPrm:\t000001ffffffffff\n", False),
        ("CapEff:\tnonsense\n", False),
        ("", False),
    ],
)
def test_acting_needs_both_capabilities_effective(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, expected: bool
) -> None:
    status = tmp_path / "status"
    status.write_text(text)
    monkeypatch.setattr(caps, "Path", lambda _path: status)
    assert caps.may_act() is expected


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kernel with everything: KHO built in and on, its debugfs readable, luo.ko loaded."""
    debugfs = tmp_path / "debug" / "kho"
    (debugfs / "in/sub_fdts").mkdir(parents=True)
    (debugfs / "in/sub_fdts/kexec-metadata").write_bytes(
        struct.pack("=I65sI", 1, b"7.3.4-luo-old", 2)
    )
    (tmp_path / "module").mkdir()
    monkeypatch.setattr(kho, "_DEBUGFS", debugfs)
    monkeypatch.setattr(kho, "MODULE", tmp_path / "module")
    monkeypatch.setattr(kho, "_COMMAND_LINE", tmp_path / "cmdline")
    monkeypatch.setattr(kho, "_CONFIG", tmp_path / "config.gz")
    monkeypatch.setattr(kho, "_BOOT", tmp_path / "boot")
    monkeypatch.setattr(kho, "_MODULES", tmp_path / "modules")
    (tmp_path / "cmdline").write_text("console=ttyS0 kho=on liveupdate=off\n")
    built(tmp_path)
    return tmp_path


def built(machine: Path, *without: str) -> None:
    options = {"CONFIG_KEXEC_HANDOVER", "CONFIG_KEXEC_HANDOVER_DEBUGFS"} - set(without)
    text = "".join(f"{o}=y\n" for o in sorted(options)) + "# CONFIG_OTHER is not set\n"
    (machine / "config.gz").write_bytes(gzip.compress(text.encode()))


def gone(path: Path) -> None:
    path.rename(path.with_name(path.name + "-gone"))


def test_what_kho_tells_of_itself(machine: Path) -> None:
    assert kho.active() is True
    assert kho.exec_from() == ("7.3.4-luo-old", 2)
    metadata = machine / "debug/kho/in/sub_fdts/kexec-metadata"
    metadata.write_bytes(struct.pack("=I65sI", 2, b"7.9", 2))
    assert kho.exec_from() is None
    metadata.write_bytes(b"\1\0\0\0short")
    assert kho.exec_from() is None
    metadata.unlink()
    assert kho.exec_from() is None


def test_the_last_switch_that_can_be_read_counts(machine: Path) -> None:
    (machine / "cmdline").write_text("kho=off quiet kho=on kho_scratch=16M,1M,0 xkho=off kho=huh")
    assert kho.asked_for() is True
    (machine / "cmdline").write_text('quiet "kho=OFF" -- kho=on')
    assert kho.asked_for() is False
    gone(machine / "debug/kho")
    assert "(kho=OFF on the command line)" in kho.why_unavailable()


def test_the_running_line_is_passed_on_byte_for_byte(machine: Path) -> None:
    raw = b' a="b  c"\r\xff\xc3\xa0 \n'
    (machine / "cmdline").write_bytes(raw + b"\n")
    assert os.fsencode(kho.command_line()) == raw


def test_why_there_is_no_orchestrator(machine: Path) -> None:
    # One thing after the other is taken away; each is named by what it leaves behind.
    assert "devtmpfs" in kho.why_unavailable()
    (machine / "module/initstate").write_text("live\n")
    assert "devtmpfs" in kho.why_unavailable()
    # Its device goes first, and nothing tells of the module's end.
    (machine / "module/initstate").write_text("going\n")
    assert "luo.ko is not loaded" in kho.why_unavailable()
    gone(machine / "module")
    assert "luo.ko is not loaded" in kho.why_unavailable()
    assert "unknown" not in kho.why_unavailable()
    gone(machine / "debug/kho")
    assert "scratch memory was probably not reserved" in kho.why_unavailable()
    (machine / "cmdline").write_text("kho=off")
    assert "kho=off on the command line" in kho.why_unavailable()
    (machine / "cmdline").write_text("quiet")
    assert "boot with kho=on" in kho.why_unavailable()
    built(machine, "CONFIG_KEXEC_HANDOVER")
    assert "built without Kexec HandOver" in kho.why_unavailable()


def test_nothing_is_guessed_where_nothing_can_be_read(machine: Path) -> None:
    gone(machine / "module")
    # KHO's debugfs was not built in: that it is missing says nothing about KHO.
    built(machine, "CONFIG_KEXEC_HANDOVER_DEBUGFS")
    gone(machine / "debug/kho")
    assert kho.active() is None
    why = kho.why_unavailable()
    assert "luo.ko is not loaded" in why
    assert "unknown" in why
    # No debugfs at all, as for everybody but root.
    built(machine)
    gone(machine / "debug")
    assert kho.active() is None
    assert "unknown" in kho.why_unavailable()
    # No config either.
    gone(machine / "config.gz")
    assert kho.config("CONFIG_KEXEC_HANDOVER") is None
    assert kho.asked_for() is True
    gone(machine / "cmdline")
    assert kho.asked_for() is None
    assert "luo.ko is not loaded" in kho.why_unavailable()


def test_the_config_in_boot_does_as_well(machine: Path) -> None:
    gone(machine / "config.gz")
    (machine / "boot").mkdir()
    (machine / f"boot/config-{os.uname().release}").write_text("CONFIG_KEXEC_HANDOVER=y")
    assert kho.config("CONFIG_KEXEC_HANDOVER") is True
    assert kho.config("CONFIG_KEXEC_HANDOVER_DEBUGFS") is False


def test_so_does_the_config_beside_the_modules(machine: Path) -> None:
    gone(machine / "config.gz")
    folder = machine / "modules" / os.uname().release
    folder.mkdir(parents=True)
    (folder / "config").write_text("CONFIG_KEXEC_HANDOVER=y\n")
    assert kho.config("CONFIG_KEXEC_HANDOVER") is True
    assert kho.config("CONFIG_KEXEC_HANDOVER_DEBUGFS") is False


@pytest.mark.parametrize(
    ("laid", "found"),
    [
        ((), None),  # debugfs is not mounted, or KHO's is left out
        (("out/sub_fdts/LUO",), frozenset()),  # an ordinary boot
        (("out/x", "in/sub_fdts/LUO", "in/sub_fdts/memfd"), frozenset({"LUO", "memfd"})),
        (("out/x", "in/fdt"), None),  # a layout of another version
    ],
)
def test_what_was_handed_over(
    laid: tuple[str, ...],
    found: frozenset[str] | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in laid:
        (tmp_path / "kho" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "kho" / name).touch()
    monkeypatch.setattr(kho, "_DEBUGFS", tmp_path / "kho")
    assert kho.handed_over() == found


def test_sessions_that_are_built_in_and_off_are_told(machine: Path) -> None:
    gone(machine / "module")
    config = b"CONFIG_KEXEC_HANDOVER=y\nCONFIG_LIVEUPDATE=y\n"
    (machine / "config.gz").write_bytes(gzip.compress(config))
    # Switched off by a word of the operator's: nothing to tell.
    assert "liveupdate=on" not in kho.why_unavailable()
    (machine / "cmdline").write_text("console=ttyS0 kho=on\n")
    assert "sessions are off: they take liveupdate=on" in kho.why_unavailable()
    (machine / "config.gz").write_bytes(gzip.compress(b"CONFIG_KEXEC_HANDOVER=y\n"))
    assert "liveupdate=on" not in kho.why_unavailable()
