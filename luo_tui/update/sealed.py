# SPDX-License-Identifier: MIT
"""Sealed copies of files: what was read for a question is what is loaded.

A file may be written anew between a question and its act, also under the same
inode and with the same times. So its content is copied once into a memfd that
nobody can change any more (memfd_create(2), F_SEAL_WRITE); the digest is the
copy's, and kexec_file_load(2) takes the copy.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from luo_tui.model import FileIdentity
from luo_tui.update.regular_file import open_regular

_CHUNK = 1 << 20
_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
_TRIES = 3


class SealedCopy:
    """One file's content, which stays as it is until the copy is closed."""

    def __init__(self, fd: int, identity: FileIdentity) -> None:
        """``fd`` is the copy's own; see :func:`seal`."""
        self.fd = fd
        self.identity = identity

    def close(self) -> None:
        """Give the memory back; harmless twice."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        """Give the memory back when nobody refers to the copy any more."""
        self.close()


def seal(path: Path) -> SealedCopy:
    """Copy a file into a sealed memfd.

    OSError: ENOENT no such file, EINVAL no regular file, EAGAIN it was written
    while it was read, ENOMEM and ENOSPC too little memory.
    """
    copy = os.memfd_create(path.name[:200], os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        identity = _read(path, lambda chunk: _write(copy, chunk), lambda: os.ftruncate(copy, 0))
        fcntl.fcntl(copy, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(copy)
        raise
    return SealedCopy(copy, identity)


def identify(path: Path, known: FileIdentity | None = None) -> FileIdentity:
    """Return which file lies at ``path`` now, with its digest. OSError as :func:`seal`.

    The content is read only if the file is not the ``known`` one: whoever
    writes a file cannot keep its ctime.
    """
    if known is not None:
        now = _stat(str(path), path.stat())
        if now.same_stat(known):
            return known
    return _read(path, len, lambda: None)


def _read(path: Path, take: Callable[[bytes], object], again: Callable[[], object]) -> FileIdentity:
    """Read a whole file that nobody writes meanwhile."""
    with open_regular(path) as fd:
        for _ in range(_TRIES):
            before = _stat(str(path), os.fstat(fd))
            digest = hashlib.sha256()
            os.lseek(fd, 0, os.SEEK_SET)
            again()
            size = 0
            while chunk := os.read(fd, _CHUNK):
                digest.update(chunk)
                take(chunk)
                size += len(chunk)
            after = _stat(str(path), os.fstat(fd))
            if after == before and size == after.bytes:
                return FileIdentity(
                    after.path,
                    after.device,
                    after.inode,
                    after.bytes,
                    after.mtime_ns,
                    after.ctime_ns,
                    digest.hexdigest(),
                )
        raise OSError(errno.EAGAIN, "was written while it was read", str(path))


def _stat(path: str, about: os.stat_result) -> FileIdentity:
    return FileIdentity(
        path, about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns
    )


def _write(fd: int, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[os.write(fd, view) :]
