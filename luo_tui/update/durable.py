# SPDX-License-Identifier: MIT
"""Files that are on the disk when a call returns, and that everybody may read."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)


def write_file(path: Path, data: bytes) -> None:
    """Put ``data`` in the place of ``path``, whole or not at all, for all to read. OSError."""
    new = path.with_name(f".{path.name}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(new, flags, 0o644)
    try:
        # Whatever the umask is.
        os.fchmod(fd, 0o644)
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.fsync(fd)
        new.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            new.unlink()
        raise
    finally:
        os.close(fd)
    fsync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, for all to read whatever the umask is. OSError."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o755)
        folder.chmod(0o755)


def fsync_folder(folder: Path) -> None:
    """Wait until the names in ``folder`` are on the disk, not only what they lead to."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def reserve(fd: int, end: int) -> None:
    """Take blocks up to ``end`` without moving the file's end: fallocate(2), KEEP_SIZE.

    ENOSPC if there are none. A file system that cannot reserve is written to
    without; Python has no call for this flag.
    """
    keep_size = 1
    if _libc.fallocate(
        ctypes.c_int(fd), ctypes.c_int(keep_size), ctypes.c_longlong(0), ctypes.c_longlong(end)
    ):
        code = ctypes.get_errno()
        if code not in (errno.EOPNOTSUPP, errno.ENOSYS):
            raise OSError(code, os.strerror(code))
