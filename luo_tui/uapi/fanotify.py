# SPDX-License-Identifier: MIT
"""Who opens and closes a file: fanotify(7) on one inode, as far as it is needed here.

Events are asked for with file identifiers (``FAN_REPORT_FID``): else the kernel opens
the file for each of them, and to open ``/dev/liveupdate`` shuts everybody else out.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from typing import NamedTuple

FAN_CLOSE_WRITE, FAN_CLOSE_NOWRITE, FAN_OPEN = 0x8, 0x10, 0x20
FAN_DELETE_SELF = 0x400
FAN_Q_OVERFLOW = 0x4000
_INIT = 0x1 | 0x2 | 0x200
"""FAN_CLOEXEC, FAN_NONBLOCK, FAN_REPORT_FID (linux/fanotify.h)."""
_MARK_ADD = 0x1
_AT_FDCWD = -100
_WANTED = FAN_OPEN | FAN_CLOSE_WRITE | FAN_CLOSE_NOWRITE | FAN_DELETE_SELF
_EVENT = struct.Struct("=IBBHQii")
"""struct fanotify_event_metadata: length, version, reserved, own length, mask, fd, pid."""
_VERSION = 3
_MOST = 65536

_libc = ctypes.CDLL(None, use_errno=True)


class Opened(NamedTuple):
    """What happened to the file since it was asked last."""

    pids: frozenset[int] = frozenset()
    """Of the processes that opened or closed it."""
    known: bool = True
    """Whether those are all: not where the queue ran over, or one of another PID namespace."""
    deleted: bool = False
    """Whether the file is gone: nothing more is told of it."""


NOTHING = Opened()


def watch(path: str) -> int:
    """Return a descriptor that is readable once somebody opened, closed or deleted the file.

    OSError: EPERM without CAP_SYS_ADMIN, ENOSYS a kernel without fanotify, ENOENT,
    EOPNOTSUPP and ENODEV a file system whose files have no identifiers.
    """
    fd = _checked(_libc.fanotify_init(ctypes.c_uint(_INIT), ctypes.c_uint(os.O_RDONLY)))
    try:
        _checked(
            _libc.fanotify_mark(
                ctypes.c_int(fd),
                ctypes.c_uint(_MARK_ADD),
                ctypes.c_uint64(_WANTED),
                ctypes.c_int(_AT_FDCWD),
                ctypes.c_char_p(os.fsencode(path)),
            )
        )
    except BaseException:
        os.close(fd)
        raise
    return fd


def read(fd: int) -> Opened:
    """Return what happened since the last time; nothing, where nothing did. OSError."""
    found = NOTHING
    with contextlib.suppress(BlockingIOError):
        while True:
            found = parse(os.read(fd, _MOST), found)
    return found


def parse(events: bytes, before: Opened = NOTHING) -> Opened:
    """Add what a read returned to what was known ``before``."""
    pids, known, deleted = set(before.pids), before.known, before.deleted
    at = 0
    while at < len(events):
        length, version, _, _, mask, _, pid = _EVENT.unpack_from(events, at)
        if version != _VERSION or length < _EVENT.size:
            return Opened(frozenset(pids), False, deleted)
        if mask & FAN_Q_OVERFLOW or pid <= 0:
            known = False
        else:
            pids.add(pid)
        deleted = deleted or bool(mask & FAN_DELETE_SELF)
        at += length
    return Opened(frozenset(pids), known, deleted)


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
