# SPDX-License-Identifier: MIT
"""What watches beside the hub: the kernel's lines, and the journal's folder."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from luo_tui.sources.folder import FolderWatch
from luo_tui.sources.kmsg import KernelLines, console_level, is_kernel_console, shown

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


class Counted:
    """Counts calls, and waits for them."""

    def __init__(self) -> None:
        self.count, self._bell = 0, threading.Event()

    def __call__(self) -> None:
        self.count += 1
        self._bell.set()

    def wait(self, seconds: float = 3) -> bool:
        came = self._bell.wait(seconds)
        self._bell.clear()
        return came


def test_a_burst_of_kernel_lines_is_told_once(tmp_path: Path) -> None:
    path = tmp_path / "kmsg"
    os.mkfifo(path)
    keep = os.open(path, os.O_RDWR)
    told = Counted()
    lines = KernelLines(told, str(path))
    try:
        assert lines.start()
        for _ in range(20):
            os.write(keep, b"0,1,2,-;luo: something that is printed\n")
            time.sleep(0.005)
        assert told.wait()
        assert not told.wait(0.5)
        assert told.count == 1
        os.write(keep, b"7,1,2,-;something that is not\n")
        assert not told.wait(0.5)
        began = time.process_time()
        time.sleep(0.5)
        assert time.process_time() - began < 0.1, "it spins"
    finally:
        lines.stop()
        os.close(keep)
    lines.stop()


def test_kernel_lines_that_may_not_be_read_are_no_error(tmp_path: Path) -> None:
    assert not KernelLines(Counted(), str(tmp_path / "none")).start()


def test_the_folder_tells_of_a_journal_and_of_a_lock_that_dies(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "luo-tui"
    told = Counted()
    watch = FolderWatch(folder, told)
    try:
        assert watch.start()
        (tmp_path / "unrelated").write_text("x")
        assert not told.wait(1)
        (folder / "windows").mkdir(parents=True)
        time.sleep(1.2)  # watchdog hands events on after half a second
        told.wait(0)
        (folder / "windows" / "a.jsonl").write_text("{}\n")
        assert told.wait()
        lock = str(folder / "lock")
        code = f"import os, time; fd = os.open({lock!r}, os.O_RDWR | os.O_CREAT); "
        code += "os.write(fd, b'somebody'); time.sleep(60)"
        holder = subprocess.Popen([sys.executable, "-c", code])
        assert told.wait()
        while told.wait(0.8):
            pass
        holder.kill()
        holder.wait()
        assert told.wait(), "the lock's death was not noticed"
    finally:
        watch.stop()
    watch.stop()
