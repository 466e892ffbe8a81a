# SPDX-License-Identifier: MIT
"""The folder of the host's locks, opened so that nobody can lead the locks elsewhere.

No symbolic link is followed, neither at the folder nor at a file in it, and
nothing is used that belongs to anybody but root or this user. Everything below
the folder is reached through its descriptor.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

_EVERYBODY_LOOKS = 0o755
_NO_FILE = (errno.EISDIR, errno.ENXIO, errno.ENODEV)
"""What open(2) says of a directory, a socket, or a device without a driver."""


class UnsafeLock(OSError):
    """What lies where a lock should be cannot be used; ``strerror`` is a sentence for a person.

    ELOOP: a symbolic link. EPERM: no folder, no regular file, or somebody else's.
    """


def _unsafe(path: str, why: str, code: int = errno.EPERM) -> UnsafeLock:
    remedy = "Look at it, then remove it."
    return UnsafeLock(code, f"The lock cannot be used: {path} {why}. {remedy}", path)


@contextlib.contextmanager
def open_folder(folder: Path, *, make: bool) -> Iterator[int]:
    """Open the folder; with ``make`` it is made if need be, and given mode 0755.

    OSError: ENOENT (there is none), EACCES, :class:`UnsafeLock`.
    """
    if make:
        # Whatever else is in its place is told of below.
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=_EVERYBODY_LOOKS, parents=True, exist_ok=True)
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(folder, flags)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            if folder.is_symlink():
                raise _unsafe(str(folder), "is a symbolic link", errno.ELOOP) from error
            raise _unsafe(str(folder), "is not a folder") from error
        raise
    try:
        about = os.fstat(fd)
        _check_owner(str(folder), about)
        # Whatever the umask was, and whoever widened it since.
        if make and stat.S_IMODE(about.st_mode) != _EVERYBODY_LOOKS:
            os.fchmod(fd, _EVERYBODY_LOOKS)
        yield fd
    finally:
        os.close(fd)


def open_file(folder: int, name: str, flags: int, mode: int = 0) -> int:
    """Open a file of the folder; one that is opened for writing is given ``mode``.

    OSError: ENOENT (there is none, and O_CREAT was not asked for), EACCES,
    ENOSPC, :class:`UnsafeLock`.
    """
    try:
        # Non-blocking, so that a pipe in its place does not hold anybody up.
        more = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        fd = os.open(name, flags | more, mode, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _unsafe(name, "is a symbolic link", errno.ELOOP) from error
        if error.errno in _NO_FILE:
            raise _unsafe(name, "is not a regular file") from error
        raise
    try:
        about = os.fstat(fd)
        check_file(name, about)
        if flags & os.O_ACCMODE != os.O_RDONLY and stat.S_IMODE(about.st_mode) != mode:
            os.fchmod(fd, mode)
    except BaseException:
        os.close(fd)
        raise
    return fd


def check_file(name: str, about: os.stat_result) -> None:
    """Refuse what is not a plain file of root's or of this user's, by its one name."""
    if not stat.S_ISREG(about.st_mode):
        raise _unsafe(name, "is not a regular file")
    _check_owner(name, about)
    if about.st_nlink > 1:
        raise _unsafe(name, "has a second name elsewhere")


def _check_owner(path: str, about: os.stat_result) -> None:
    if about.st_uid not in (0, os.geteuid()):
        raise _unsafe(path, f"belongs to user {about.st_uid}")
