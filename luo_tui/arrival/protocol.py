# SPDX-License-Identifier: MIT
"""How a program speaks with ``luo-tui-holder``: JSON lines over a Unix socket of root's.

Each line is one object with ``v``, the version of this protocol. A request names
a ``call``; its answer has ``ok``, and where that is false ``op`` and ``errno``, as
the kernel's call failed, or ``said``, a sentence. A descriptor goes beside the line
that it belongs to (SCM_RIGHTS), at most one a line. Who speaks is proven by the
kernel (SO_PEERCRED): both ends are root's, or nothing is said.

===========  ======================  ==============================================
call         with                    answers
===========  ======================  ==============================================
list         -                       ``pid``, ``boot``, ``sessions``: all it has
watch        -                       as list; and again at each change
hold         name, a descriptor      ``token``
restore      token                   a descriptor
release      token                   -
finish       -                       ``finished``: the names of the sessions
===========  ======================  ==============================================

Whatever is not understood ends the connection: the ends differ, or one is not
what it says.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from luo_tui.uapi import rights

VERSION = 1
FOLDER = Path("/run/luo-tui")
SOCKET = FOLDER / "holder.sock"
LONGEST = 1 << 20
"""Bytes of the longest line."""
_CHUNK = 1 << 16
_CREDENTIALS = struct.Struct("3i")
"""pid, uid, gid: ``struct ucred`` of unix(7)."""

Object = dict[str, Any]


class BadMessage(Exception):
    """What came is no message of this protocol; the text says why, for a person."""


class Inbox:
    """Bytes and descriptors as they come, until a line of them is whole."""

    def __init__(self) -> None:
        """Nothing has come yet."""
        self._bytes = b""
        self._fds: list[int] = []

    def take(self, data: bytes, fds: Sequence[int] = (), *, cut: bool = False) -> None:
        """Add what came. BadMessage: too much of anything; ``cut``: descriptors were left out."""
        self._fds.extend(fds)
        self._bytes += data
        if cut or len(self._fds) > 1:
            raise BadMessage("more descriptors came than the one that a line may have")
        if len(self._bytes) > LONGEST and b"\n" not in self._bytes[: LONGEST + 1]:
            raise BadMessage(f"a line came that is longer than {LONGEST:,} bytes")

    def next(self) -> tuple[Object, int] | None:
        """Return a whole line's object and its descriptor, which is the caller's; -1: none came.

        None while no line is whole. BadMessage as :func:`decoded`.
        """
        line, end, rest = self._bytes.partition(b"\n")
        if not end:
            return None
        found = decoded(line)
        self._bytes = rest
        return found, self._fds.pop() if self._fds else -1

    @property
    def cut_short(self) -> bool:
        """Whether a line was begun that is not whole."""
        return bool(self._bytes)

    def close(self) -> None:
        """Close the descriptors that nobody took."""
        while self._fds:
            os.close(self._fds.pop())


def encoded(message: Mapping[str, object]) -> bytes:
    """Return the line of a message."""
    return json.dumps({"v": VERSION, **message}, separators=(",", ":")).encode() + b"\n"


def decoded(line: bytes) -> Object:
    """Return the object of a line. BadMessage: it is none, or of another version."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadMessage("a line came that is not JSON") from error
    if not isinstance(found, dict):
        raise BadMessage("a line came that is no object")
    if type(version := found.get("v")) is not int or version != VERSION:
        raise BadMessage(f"it speaks version {version!r} of the protocol; this is {VERSION}")
    return found


def receive(end: socket.socket, inbox: Inbox) -> bool:
    """Take what is there into ``inbox``; False at the end. OSError, BadMessage.

    One descriptor more than is allowed has room, so that too many are noticed.
    """
    data, fds, cut = rights.receive(end, _CHUNK, 2)
    inbox.take(data, fds, cut=cut)
    return bool(data)


def send(end: socket.socket, message: Mapping[str, object], fd: int = -1) -> None:
    """Send a message whole, with a descriptor where ``fd`` is one. OSError."""
    data = encoded(message)
    if fd >= 0:
        data = data[socket.send_fds(end, [data], [fd]) :]
    end.sendall(data)


def peer(end: socket.socket) -> tuple[int, int]:
    """Return the process id and the user id of the other end, by the kernel's word."""
    raw = end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(raw)
    return pid, uid


def connect(path: Path = SOCKET, seconds: float = 2.0, owner: int = 0) -> socket.socket:
    """Return a connection to the holder.

    OSError: ENOENT or ECONNREFUSED it does not run, EACCES only root may ask,
    EPERM the other end is not ``owner``'s.
    """
    end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        end.settimeout(seconds)
        end.connect(str(path))
        if peer(end)[1] != owner:
            raise OSError(errno.EPERM, "another user's process listens there", str(path))
    except BaseException:
        end.close()
        raise
    return end


def given_out(fd: int) -> int:
    """Return the file behind a descriptor that the holder gave, opened anew, and close that.

    The holder's place in the file is its own. OSError.
    """
    try:
        return os.open(f"/proc/self/fd/{fd}", os.O_RDWR | os.O_CLOEXEC)
    finally:
        os.close(fd)


def ask(
    end: socket.socket, request: Mapping[str, object], fd: int = -1, seconds: float = 2.0
) -> tuple[Object, int]:
    """Send one request and return its answer, with the descriptor that came along; -1: none.

    OSError: ECONNRESET the holder ended meanwhile, ETIMEDOUT it does not answer,
    EPROTO it speaks another protocol.
    """
    inbox = Inbox()
    end.settimeout(seconds)
    try:
        with contextlib.closing(inbox):
            send(end, request, fd)
            while (found := inbox.next()) is None:
                if not receive(end, inbox):
                    raise ConnectionResetError(
                        errno.ECONNRESET, "luo-tui-holder ended, or hung up, before it answered"
                    )
    except TimeoutError as error:
        raise OSError(errno.ETIMEDOUT, "luo-tui-holder does not answer") from error
    except BadMessage as error:
        raise OSError(errno.EPROTO, f"luo-tui-holder is not understood: {error}") from error
    return found
