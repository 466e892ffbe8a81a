# SPDX-License-Identifier: MIT
"""JSON objects over a unix socket, as QEMU and the agent in a guest speak them: one a line.

Whoever answers is not trusted: it may be no QEMU, may answer nonsense or a
little at a time, or never. Every wait has a limit, and so has the length of an
answer. After a failure that leaves it open what belongs to which command, the
connection is of no more use.
"""

from __future__ import annotations

import array
import json
import os
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from luo_tui.sources.clean import clean

LONGEST = 16 << 20
"""Bytes of one line; more is no answer of QEMU's."""
_UCRED = struct.Struct("=iII")
_LONGEST_PATH = 107
"""Bytes of a unix socket's address, less the zero at its end (unix(7))."""


class QmpError(Exception):
    """A command was not done, or it is not known whether it was. A sentence's part, for people."""


class QmpRefused(QmpError):
    """QEMU refused a command; nothing was done, and the connection goes on."""

    def __init__(self, command: str, kind: str, why: str) -> None:
        """``kind`` is QEMU's class of the error."""
        super().__init__(f"{command}: {why or kind}")
        self.kind = kind


class QmpGone(QmpError):
    """Nobody listens, or the other side has closed."""


class QmpSilent(QmpError):
    """The time limit was reached: another program has the socket, or QEMU hangs."""


class QmpNonsense(QmpError):
    """What came is not QMP."""


class JsonStream:
    """A connected socket. Every method but :meth:`close` raises :class:`QmpError`."""

    def __init__(self, stream: socket.socket) -> None:
        """Take ``stream`` over."""
        self._stream = stream
        self._unread = bytearray()

    @classmethod
    def connect(cls, path: str | Path, *, pid: int = 0, limit: float) -> Self:
        """Connect to a socket; where ``pid`` is not 0, only if that process listens on it.

        A process that is not ours says where its socket is: without the look at who
        listens it could have any other service of this host spoken to. ``limit`` is
        in seconds.
        """
        stream = socket.socket(socket.AF_UNIX)
        try:
            stream.settimeout(limit)
            _connect(stream, os.fspath(path))
            who = _peer(stream)
            if pid and who != pid:
                raise QmpNonsense(f"process {who} listens there, not {pid}")
        except OSError as error:
            stream.close()
            if isinstance(error, BlockingIOError | TimeoutError):
                raise QmpSilent("too many others wait for an answer there") from error
            raise QmpGone(error.strerror or str(error)) from error
        except BaseException:
            stream.close()
            raise
        return cls(stream)

    @property
    def peer(self) -> int:
        """The process that listened when the connection was made; 0: not known."""
        try:
            return _peer(self._stream)
        except OSError:
            return 0

    def close(self) -> None:
        """End the connection; harmless twice."""
        self._stream.close()

    def send(self, request: Mapping[str, Any], end: float, fds: Sequence[int] = ()) -> None:
        """Send an object, and ``fds`` along with it (SCM_RIGHTS), before ``end`` (monotonic)."""
        self.send_bytes(json.dumps(request).encode() + b"\n", end, fds)

    def send_bytes(self, data: bytes, end: float, fds: Sequence[int] = ()) -> None:
        """Send bytes as they are."""
        view = memoryview(data)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            while view:
                self._wait(end)
                view = view[self._stream.sendmsg([view], rights, socket.MSG_NOSIGNAL) :]
                rights = []
        except OSError as error:
            raise _failure(error) from error

    def skip(self, mark: bytes, end: float) -> None:
        """Drop all that comes up to a byte, and the byte."""
        while (at := self._unread.find(mark)) < 0:
            self._unread.clear()
            self._unread += self._receive(end)
        del self._unread[: at + 1]

    def receive(self, end: float) -> dict[str, Any]:
        """Return the next object that comes."""
        line = self._line(end)
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise QmpNonsense("it is not JSON") from error
        if not isinstance(found, dict):
            raise QmpNonsense("it is no JSON object")
        return found

    def _line(self, end: float) -> bytes:
        searched = 0
        while (at := self._unread.find(b"\n", searched)) < 0:
            searched = len(self._unread)
            if searched > LONGEST:
                raise QmpNonsense(f"a line of more than {LONGEST:,} bytes")
            self._unread += self._receive(end)
        line = bytes(self._unread[:at])
        del self._unread[: at + 1]
        # QEMU ends its lines by CR LF.
        return line if line.strip() else self._line(end)

    def _receive(self, end: float) -> bytes:
        try:
            self._wait(end)
            more = self._stream.recv(1 << 16)
        except OSError as error:
            raise _failure(error) from error
        if not more:
            cut = " in the middle of an answer" if self._unread else ""
            raise QmpGone(f"the other side has closed{cut}")
        return more

    def _wait(self, end: float) -> None:
        """Set how long the next call may take; the limit is the whole answer's, not each part's."""
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._stream.settimeout(left)


def _failure(error: OSError) -> QmpError:
    if isinstance(error, TimeoutError):
        return QmpSilent("no answer in time")
    return QmpGone(error.strerror or str(error))


def refusal(command: str, error: object) -> QmpError:
    """Return what an answer's ``error`` means for ``command``."""
    if not isinstance(error, dict):
        return QmpNonsense("an error that is no JSON object")
    kind, why = error.get("class", ""), error.get("desc", "")
    if not isinstance(kind, str) or not isinstance(why, str):
        return QmpNonsense("an error without words")
    return QmpRefused(command, clean(kind), clean(why))


def _connect(stream: socket.socket, path: str) -> None:
    if len(os.fsencode(path)) <= _LONGEST_PATH:
        stream.connect(path)
        return
    # Such as one below /proc/PID/cwd: its folder is named by a descriptor.
    folder, name = os.path.split(path)
    fd = os.open(folder or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        stream.connect(f"/proc/self/fd/{fd}/{name}")
    finally:
        os.close(fd)


def _peer(stream: socket.socket) -> int:
    data = stream.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    return int(_UCRED.unpack(data)[0])
