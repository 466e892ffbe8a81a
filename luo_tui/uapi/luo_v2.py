# SPDX-License-Identifier: MIT
"""The ioctls of LUO v2 on ``/dev/liveupdate``, byte for byte.

Source: the RFC of May 2025, ``include/uapi/linux/liveupdate.h``; the same
numbers stand in ``kernel/liveupdate.h``. Every function takes a descriptor of
the device and raises OSError with the kernel's errno.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct

from luo_tui.state import State

DEVICE = "/dev/liveupdate"
_TYPE = 0xBA
_FD = struct.Struct("=iIQ")
"""struct liveupdate_fd: fd, flags (must be 0), token."""
_TOKEN = struct.Struct("=Q")
_INT = struct.Struct("=i")


def _ioc(direction: int, number: int, size: int) -> int:
    return direction << 30 | size << 16 | _TYPE << 8 | number


_WRITE, _READ = 1, 2
FD_PRESERVE = _ioc(_READ | _WRITE, 0x00, _FD.size)
FD_UNPRESERVE = _ioc(_WRITE, 0x01, _TOKEN.size)
FD_RESTORE = _ioc(_READ | _WRITE, 0x02, _FD.size)
GET_STATE = _ioc(_READ, 0x03, _INT.size)
EVENT_PREPARE = _ioc(0, 0x04, 0)
EVENT_FREEZE = _ioc(0, 0x05, 0)
EVENT_CANCEL = _ioc(0, 0x06, 0)
EVENT_FINISH = _ioc(0, 0x07, 0)

STATES = (State.NORMAL, State.PREPARED, State.FROZEN, State.UPDATED)
"""By the number that GET_STATE answers."""


def open_device(path: str = DEVICE) -> int:
    """Open the device. EACCES without CAP_SYS_ADMIN, ENOENT where there is none.

    The OSError names the file, by which it is told from a refused ioctl.
    """
    return os.open(path, os.O_RDWR | os.O_CLOEXEC)


def get_state(device: int) -> State:
    """Return the state. EINVAL or ENOTTY: the device speaks another interface."""
    answer = bytearray(_INT.size)
    fcntl.ioctl(device, GET_STATE, answer)
    number = _INT.unpack(answer)[0]
    return STATES[number] if 0 <= number < len(STATES) else State.UNKNOWN


def check(device: int) -> State:
    """Return the state of a device that speaks LUO v2.

    Linux 6.19's own orchestrator has the same device, and answers every event
    of LUO v2 with EINVAL, as if in the wrong state: ask this before anything
    else. The OSError (EINVAL, ENOTTY) then names the device, as that of a
    failed open does.
    """
    try:
        return get_state(device)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOTTY):
            raise OSError(error.errno, error.strerror, DEVICE) from error
        raise


def preserve(device: int, fd: int) -> int:
    """Preserve the file behind ``fd``; return its token.

    EBADF, ENOENT no handler, EBUSY not in normal or updated, EEXIST preserved
    already, EPERM.
    """
    answer = bytearray(_FD.pack(fd, 0, 0))
    fcntl.ioctl(device, FD_PRESERVE, answer)
    return int(_FD.unpack(answer)[2])


def unpreserve(device: int, token: int) -> None:
    """Give a preserved file up. ENOENT unknown token, EBUSY prepared or frozen, EPERM."""
    fcntl.ioctl(device, FD_UNPRESERVE, _TOKEN.pack(token))


def restore(device: int, token: int) -> int:
    """Return a new close-on-exec descriptor for what came over under ``token``.

    Until finish luo.ko gives the same open file out as often as it is asked.
    EBUSY not updated, ENOENT unknown token, ENOMEM, EMFILE, EPERM; by the RFC
    EINVAL where it was restored already.
    """
    answer = bytearray(_FD.pack(-1, 0, token))
    fcntl.ioctl(device, FD_RESTORE, answer)
    return int(_FD.unpack(answer)[0])


def prepare(device: int) -> None:
    """From normal to prepared. EINVAL (the RFC also: EEXIST) from elsewhere, EPERM.

    Any other errno is that of what refused (ENOMEM, EBUSY, EHWPOISON, ...);
    the state is normal then.
    """
    fcntl.ioctl(device, EVENT_PREPARE)


def freeze(device: int) -> None:
    """From prepared to frozen. EINVAL from elsewhere, EPERM.

    Any other errno is that of what refused; the state is normal then.
    """
    fcntl.ioctl(device, EVENT_FREEZE)


def cancel(device: int) -> None:
    """From prepared or frozen to normal. EINVAL (the RFC also: ENOENT) from elsewhere, EPERM."""
    fcntl.ioctl(device, EVENT_CANCEL)


def finish(device: int) -> None:
    """From updated to normal; what no process has is thrown away. EINVAL from elsewhere, EPERM."""
    fcntl.ioctl(device, EVENT_FINISH)
