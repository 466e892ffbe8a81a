# SPDX-License-Identifier: MIT
"""The kernel's own lines, from /dev/kmsg: those about updates, and that any were printed.

Whoever works on a terminal that is one of the kernel's consoles has its lines
written across the screen: the picture counts the bursts, so that the screen can
be drawn anew. The kernel's log level is read and never changed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import select
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from luo_tui.model import RestoreFailure
from luo_tui.sources.changes import (
    Change,
    KernelPrinted,
    KernelSaid,
    ReadingDone,
    RestoreFailed,
)
from luo_tui.sources.clean import clean

OURS = re.compile(r"\b(luo\w*|kho|liveupdate|kexec\w*)\b", re.IGNORECASE)
_FAILED = re.compile(r"luo: restore of token (\d+) failed \(-(\d+)\)")
"""What kernel/luo_incoming.c prints."""
GRAVE = 3
"""KERN_ERR: what has this level or a lower one is a failure."""


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


def restore_failed(said: KernelSaid) -> Iterator[RestoreFailed]:
    """Yield the failure of a restore that a line of the kernel's own tells of."""
    if found := _FAILED.fullmatch(said.text):
        yield RestoreFailed(int(found[1]), RestoreFailure(int(found[2]), said.at))


class KmsgSource:
    """Blocks on /dev/kmsg. Where it may not be read, that is missing, and nothing else is said."""

    name = "kernel lines"
    events = select.POLLIN

    def __init__(self, path: str = "/dev/kmsg") -> None:
        """``path`` is the kernel's, or a test's."""
        self._path = path
        self._fd = -1
        self._last = -1
        """Sequence number of the last line read: opened again, it goes on from there."""
        self._refused = ""
        self._overwritten = False

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._fd

    def reopen(self) -> None:
        """Open it at its beginning: what this boot has said already belongs to the log."""
        self.close()
        try:
            self._fd = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            self._refused = ""
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EACCES, errno.ENOENT):
                raise
            self._refused = f"{self._path}: {error.strerror}"
            self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def enumerate(self) -> Sequence[Change]:
        """Read what has been said already: of one that is not open, all of this boot."""
        if self._fd >= 0:
            return self._said_already()
        self.reopen()
        self._last = -1
        try:
            return self._said_already()
        finally:
            self.close()

    def _said_already(self) -> Sequence[Change]:
        missing = (f"the kernel's lines are not shown here: {self._refused}",)
        said = [c for c in self._read() if not isinstance(c, KernelPrinted)]
        return [*said, ReadingDone(self.name, missing if self._refused else ())]

    def drain(self) -> Sequence[Change] | None:
        """Read what is new."""
        return list(self._read())

    def close(self) -> None:
        """Release the descriptor."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _read(self) -> Iterator[Change]:
        if self._fd < 0 or self._refused:
            return
        level, printed = console_level(), False
        began = time.time() - time.monotonic()
        self._overwritten = False
        while record := self._record():
            printed = printed or shown(record, level)
            said = _said(record, began)
            if said is not None and said[0] > self._last:
                self._last = said[0]
                yield said[1]
                # Anybody who is root can write lines: those bear another facility.
                if not _facility(record):
                    yield from restore_failed(said[1])
        if self._overwritten:
            yield KernelSaid("lines of the kernel were overwritten before they could be read")
        if printed:
            yield KernelPrinted()

    def _record(self) -> bytes:
        while True:
            try:
                return os.read(self._fd, 8192)
            except BlockingIOError:
                return b""
            except BrokenPipeError:
                self._overwritten = True


def _facility(record: bytes) -> int:
    """Return who wrote a record: 0 is the kernel (Documentation/ABI/testing/dev-kmsg)."""
    return int(record.partition(b",")[0]) >> 3


def _may_be_ours(record: bytes) -> bool:
    """Whether it is worth a closer look: of all the lines of a boot few are, and few look so."""
    return b"luo" in record or b"kho" in record or b"kexec" in record or b"liveupdate" in record


def _said(record: bytes, began: float) -> tuple[int, KernelSaid] | None:
    """Return number and line of a record that is about updates (Documentation/ABI/dev-kmsg)."""
    if not _may_be_ours(record.lower()):
        return None
    head, _, rest = record.partition(b";")
    fields = head.split(b",")
    line = rest.partition(b"\n")[0].decode(errors="surrogateescape")
    if len(fields) < 3 or not OURS.search(line):
        return None
    try:
        level, number, micros = int(fields[0]) & 7, int(fields[1]), int(fields[2])
    except ValueError:
        return None
    return number, KernelSaid(clean(line), level <= GRAVE, began + micros / 1e6)
