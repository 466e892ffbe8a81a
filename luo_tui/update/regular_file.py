# SPDX-License-Identifier: MIT
"""Opening what must be a regular file, and never waiting on what is none.

A named pipe blocks in open(2) until somebody writes; opening a device can do
something (a watchdog starts to count, a tape rewinds). So the kind is asked
first, and once more of what was opened.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


class NotRegular(OSError):
    """There is something under the name, and it is no regular file; strerror says what it is."""

    def __init__(self, mode: int, path: Path) -> None:
        """``mode`` is st_mode."""
        kind = _KINDS.get(stat.S_IFMT(mode), "something else")
        super().__init__(errno.EINVAL, f"is {kind}, not a regular file", str(path))


@contextlib.contextmanager
def open_regular(path: Path) -> Iterator[int]:
    """Lend a descriptor open for reading; links are followed. Never blocks on what is no file.

    NotRegular; else OSError: ENOENT, EACCES, and what else open(2) answers.
    """
    _must_be_regular(path.stat().st_mode, path)
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        _must_be_regular(os.fstat(fd).st_mode, path)
        yield fd
    finally:
        os.close(fd)


def why_unreadable(error: OSError) -> str:
    """Say what is wrong with a file, to stand behind its name."""
    if isinstance(error, NotRegular):
        return str(error.strerror)
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return "is not there"
    return f"cannot be read: {error.strerror}"


def _must_be_regular(mode: int, path: Path) -> None:
    if not stat.S_ISREG(mode):
        raise NotRegular(mode, path)
