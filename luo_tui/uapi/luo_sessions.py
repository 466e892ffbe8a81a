# SPDX-License-Identifier: MIT
"""The ioctls of mainline's Live Update Orchestrator, byte for byte: sessions, Linux 6.19 and later.

Source: ``include/uapi/linux/liveupdate.h`` and ``kernel/liveupdate/luo_session.c``
of Linux 7.3. Every structure begins with its size: one that is smaller than the
kernel knows it is EINVAL, a longer one whose tail is not zero is E2BIG.

``/dev/liveupdate`` lets one process in at a time (EBUSY); session descriptors do
not keep it busy. An outgoing session lives as long as a descriptor of it: its
holder must live until the kexec. Every function raises OSError with the kernel's
errno.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct

DEVICE = "/dev/liveupdate"
LONGEST = 63
"""Bytes of the longest name of a session."""
LINK = "anon_inode:[luo_session] "
"""What ``/proc/PID/fd/N`` reads for a session's descriptor, before its name."""
_TYPE = 0xBA
_SESSION = struct.Struct("=Ii64s")
"""size, fd, name."""
_FD = struct.Struct("=IiQ")
"""size, fd, token."""
_FINISH = struct.Struct("=II")
"""size, reserved."""
_NAME = struct.Struct("=II64s")
"""size, reserved, name."""


def _io(number: int) -> int:
    return _TYPE << 8 | number


CREATE_SESSION, RETRIEVE_SESSION = _io(0x00), _io(0x01)
PRESERVE_FD, RETRIEVE_FD, FINISH, GET_NAME = _io(0x40), _io(0x41), _io(0x42), _io(0x43)


def open_device(path: str = DEVICE) -> int:
    """Open the device. EBUSY another process has it open, EACCES, ENOENT; EIO what came is lost."""
    return os.open(path, os.O_RDWR | os.O_CLOEXEC)


def create_session(device: int, name: bytes) -> int:
    """Create an outgoing session; return its descriptor, close-on-exec.

    Closing the last descriptor drops what it preserves. EEXIST there is one of
    this name, EINVAL an empty or too long name.
    """
    return _session(device, CREATE_SESSION, name)


def retrieve_session(device: int, name: bytes) -> int:
    """Return the descriptor of a session that came over, close-on-exec.

    Closing the last descriptor finishes it. ENOENT none of this name came (an own
    outgoing one, too), EINVAL it was retrieved already.
    """
    return _session(device, RETRIEVE_SESSION, name)


def preserve_fd(session: int, fd: int, token: int) -> None:
    """Preserve the file behind ``fd`` under a token of the caller's choice.

    EEXIST the token is in use, EBUSY the file is preserved already, ENOENT no
    handler for such a file (all but memfds), EBADF.
    """
    fcntl.ioctl(session, PRESERVE_FD, _FD.pack(_FD.size, fd, token))


def retrieve_fd(session: int, token: int) -> int:
    """Return a new descriptor for what came under ``token``, close-on-exec.

    A failure is final where the pages were touched already. ENOENT no such token.
    """
    answer = bytearray(_FD.pack(_FD.size, -1, token))
    fcntl.ioctl(session, RETRIEVE_FD, answer)
    fd = int(_FD.unpack(answer)[1])
    os.set_inheritable(fd, False)
    return fd


def finish(session: int) -> None:
    """End a retrieved session: what nobody retrieved of it is destroyed."""
    fcntl.ioctl(session, FINISH, _FINISH.pack(_FINISH.size, 0))


def get_name(session: int) -> bytes:
    """Return a session's name."""
    answer = bytearray(_NAME.pack(_NAME.size, 0, b""))
    fcntl.ioctl(session, GET_NAME, answer)
    return bytes(_NAME.unpack(answer)[2]).partition(b"\0")[0]


def _session(device: int, call: int, name: bytes) -> int:
    if not 0 < len(name) <= LONGEST or b"\0" in name:
        # The kernel would read another name than is meant, or none.
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    answer = bytearray(_SESSION.pack(_SESSION.size, -1, name))
    fcntl.ioctl(device, call, answer)
    fd = int(_SESSION.unpack(answer)[1])
    os.set_inheritable(fd, False)
    return fd
