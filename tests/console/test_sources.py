# SPDX-License-Identifier: MIT
"""Files that others write, and the kernel's lines."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from luo_tui.sources.changes import Change, ImagesRead, KernelPrinted, KernelSaid, WindowsWritten
from luo_tui.sources.files import FilesSource, read_images
from luo_tui.sources.kmsg import KmsgSource, console_level, is_kernel_console, shown
from luo_tui.update.lock import Lock

CONSOLES = """\
tty0                 -WU (EC p  )    4:1
ttyS0                -W- (E  p a)    4:64
"""


@pytest.mark.parametrize(
    ("tty", "is_one"),
    [
        ("ttyS0", True),
        ("ttyS1", False),
        ("tty1", True),
        ("tty12", True),
        ("console", True),
        ("pts/0", False),
        ("ttyprintk", False),
        ("hvc0", False),
    ],
)
def test_which_terminal_is_the_kernels_own(tty: str, is_one: bool) -> None:
    assert is_kernel_console(tty, CONSOLES) is is_one
    assert not is_kernel_console("tty1", "ttyS0 -W-")
    assert not is_kernel_console("ttyS0", "")


def test_which_lines_the_consoles_show() -> None:
    assert shown(b"3,1,2,-;bad", 4)
    assert not shown(b"6,1,2,-;chatter", 4)
    assert shown(b"30,1,2,-;facility 3, level 6", 7)
    assert not shown(b" continued", 7)
    assert 0 <= console_level() <= 15


def wait(source: FilesSource | KmsgSource, seconds: float = 3) -> list[Change]:
    """Drain the source once it has something to say; an empty list when it has not."""
    poll = select.poll()
    poll.register(source.fileno(), source.events)
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if poll.poll(left * 1000) and (changes := source.drain()):
            return list(changes)
    return []


def test_kernel_lines_about_updates_are_told_with_their_times(tmp_path: Path) -> None:
    path = tmp_path / "kmsg"
    os.mkfifo(path)
    keep = os.open(path, os.O_RDWR)
    source = KmsgSource(str(path))
    try:
        source.reopen()
        assert list(source.enumerate()) == []
        os.write(keep, b"3,7,2000000,-;luo: evil \x1b[2J\xff line\n")
        told = wait(source)
        said = told[0]
        assert isinstance(said, KernelSaid)
        assert said.text == "luo: evil \\x1b[2J\\xff line"
        assert said.grave
        assert abs(said.at - (time.time() - time.monotonic() + 2)) < 0.1
        assert told[1:] == [KernelPrinted()]
        os.write(keep, b"7,8,3,-;nothing of ours\n")
        assert wait(source, 0.3) == []
        # Opened again it tells nothing twice.
        source.reopen()
        os.write(keep, b"6,7,2000000,-;luo: again\n")
        assert not any(isinstance(c, KernelSaid) for c in wait(source, 0.3))
    finally:
        source.close()
        os.close(keep)
    source.close()


def test_kernel_lines_that_may_not_be_read_are_told_once(tmp_path: Path) -> None:
    source = KmsgSource(str(tmp_path / "none"))
    source.reopen()
    (said,) = source.enumerate()
    assert isinstance(said, KernelSaid)
    assert "not shown" in said.text
    assert wait(source, 0.2) == []
    source.close()


def test_images_come_and_go_once_they_are_whole(tmp_path: Path) -> None:
    boot = tmp_path / "boot"
    boot.mkdir()
    (boot / "vmlinuz-1").write_bytes(b"1")
    source = FilesSource(boot, tmp_path / "state", tmp_path / "run")
    try:
        source.reopen()
        assert [c.images[0].split("\t")[0] for c in source.enumerate()] == ["vmlinuz-1"]
        with (boot / "vmlinuz-2").open("wb") as file:
            file.write(b"half")
            file.flush()
            assert wait(source, 1) == []
        names = [i.split("\t")[0] for c in wait(source) for i in c.images]
        assert names == ["vmlinuz-1", "vmlinuz-2"]
        (boot / "vmlinuz-1").unlink()
        assert [i.split("\t")[0] for c in wait(source) for i in c.images] == ["vmlinuz-2"]
    finally:
        source.close()


def test_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    boot = tmp_path / "late" / "boot"
    source = FilesSource(boot, tmp_path / "state", tmp_path / "run")
    try:
        source.reopen()
        boot.mkdir(parents=True)
        time.sleep(1.2)
        wait(source, 0.1)
        (boot / "vmlinuz-3").write_bytes(b"3")
        assert ImagesRead(read_images(boot)) in wait(source)
    finally:
        source.close()


def test_the_folders_tell_of_a_journal_and_of_a_lock_that_dies(tmp_path: Path) -> None:
    folder, locks = tmp_path / "state" / "luo-tui", tmp_path / "run" / "luo-tui"
    locks.parent.mkdir()
    source = FilesSource(tmp_path / "boot", folder, locks)
    try:
        source.reopen()
        (tmp_path / "unrelated").write_text("x")
        assert wait(source, 1) == []
        (folder / "windows").mkdir(parents=True)
        time.sleep(1.2)  # watchdog hands events on after half a second
        wait(source, 0.1)
        (folder / "windows" / "a.jsonl").write_text("{}\n")
        assert WindowsWritten() in wait(source)
        code = (
            "import pathlib, time\n"
            "from luo_tui.update.lock import Lock\n"
            "from luo_tui.update.person import Person\n"
            f"Lock(pathlib.Path({str(locks)!r})).take(Person('eve')); time.sleep(60)"
        )
        holder = subprocess.Popen([sys.executable, "-c", code])
        assert WindowsWritten() in wait(source, 10)
        while wait(source, 0.8):
            pass
        # Whoever looks stirs nothing, or two consoles would wake each other for ever.
        assert Lock(locks).holder() is not None
        assert wait(source, 0.8) == []
        holder.kill()
        holder.wait()
        assert WindowsWritten() in wait(source), "the lock's death was not noticed"
    finally:
        source.close()
    source.close()
