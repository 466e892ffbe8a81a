# SPDX-License-Identifier: MIT
"""Tells when the kernel has printed on a terminal that is one of its own consoles.

Whoever works on such a terminal has kernel lines written across the screen.
This watcher blocks on /dev/kmsg and calls back when a burst of lines that the
consoles show is over, so that the screen can be drawn anew. The kernel's log
level is read and never changed.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections.abc import Callable
from pathlib import Path

_QUIET = 0.2
"""Seconds without a line after which a burst is over."""
_LONGEST = 2.0
"""Seconds after which a burst that does not end is drawn over all the same."""


def is_kernel_console(tty: str, consoles: str) -> bool:
    """Whether ``tty`` (``ttyS0``) is one of ``consoles`` (the text of /proc/consoles).

    ``tty0`` stands for whichever virtual terminal is in front.
    """
    names = {line.split()[0] for line in consoles.splitlines() if line.strip()}
    virtual = tty.startswith("tty") and tty[3:].isdigit()
    return tty in names or tty == "console" or (virtual and "tty0" in names)


def shown(record: bytes, level: int) -> bool:
    """Whether a record of /dev/kmsg is printed by consoles that show what is below ``level``."""
    head = record.partition(b",")[0]
    return head.isdigit() and (int(head) & 7) < level


def console_level() -> int:
    """Return the level below which the kernel prints lines on its consoles."""
    with contextlib.suppress(OSError, ValueError):
        ignore = Path("/sys/module/printk/parameters/ignore_loglevel")
        if ignore.exists() and ignore.read_text().strip() == "Y":
            return 8
        return int(Path("/proc/sys/kernel/printk").read_text().split()[0])
    return 8


class KernelLines:
    """A thread that calls ``told`` after each burst of kernel lines; none is read elsewhere."""

    def __init__(self, told: Callable[[], None], path: str = "/dev/kmsg") -> None:
        """``told`` is called from the thread of this watcher."""
        self._told = told
        self._path = path
        self._fd = self._bell = -1
        self._thread: threading.Thread | None = None

    def start(self) -> bool:
        """Begin with the next line; False where the kernel's lines may not be read."""
        try:
            self._fd = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return False
        with contextlib.suppress(OSError):
            os.lseek(self._fd, 0, os.SEEK_END)
        self._bell = os.eventfd(0, os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="kernel lines", daemon=True)
        self._thread.start()
        return True

    def stop(self) -> None:
        """End the thread; harmless twice."""
        if self._thread is not None:
            os.eventfd_write(self._bell, 1)
            self._thread.join()
            self._thread = None
        self._close()

    def _close(self) -> None:
        for fd in (self._fd, self._bell):
            if fd >= 0:
                os.close(fd)
        self._fd = self._bell = -1

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        poll.register(self._bell, select.POLLIN)
        since = 0.0
        while True:
            ready = [fd for fd, _ in poll.poll(_QUIET * 1000 if since else None)]
            if self._bell in ready:
                return
            now = time.monotonic()
            if self._fd in ready and self._drain() and not since:
                since = now
            if since and (not ready or now - since >= _LONGEST):
                since = 0.0
                self._told()

    def _drain(self) -> bool:
        """Read all lines there are; tell whether one of them was printed on the consoles."""
        level, printed = console_level(), False
        while True:
            try:
                record = os.read(self._fd, 8192)
            except BlockingIOError:
                return printed
            except BrokenPipeError:
                printed = True  # Lines were overwritten before they could be read.
                continue
            except OSError:
                return printed
            if not record:
                return printed
            printed = printed or shown(record, level)
