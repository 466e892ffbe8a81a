# SPDX-License-Identifier: MIT
"""Descriptors that come along with a message over a Unix socket (unix(7), SCM_RIGHTS)."""

from __future__ import annotations

import array
import socket


def receive(end: socket.socket, size: int, most: int) -> tuple[bytes, list[int], bool]:
    """Return what came, at most ``size`` bytes and ``most`` descriptors, and whether more were cut.

    No program inherits the descriptors that another thread starts meanwhile:
    socket.recv_fds() takes no notice of the flag for that. OSError.
    """
    fds = array.array("i")
    room = socket.CMSG_SPACE(most * fds.itemsize)
    data, ancillary, flags, _ = end.recvmsg(size, room, socket.MSG_CMSG_CLOEXEC)
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(content[: len(content) // fds.itemsize * fds.itemsize])
    return data, fds.tolist(), bool(flags & socket.MSG_CTRUNC)
