# SPDX-License-Identifier: MIT
"""QEMU's machine protocol (QMP) over a unix socket: commands, answers, and events apart.

Specification: ``docs/interop/qmp-spec`` of QEMU. The library ``qemu.qmp`` is not
used: it rests on asyncio, and importing it took 0.5 s where ``json`` and ``socket``
took 0.1 s. The program that continues guests after a kexec pays that while they
stand still.

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
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from luo_tui.sources.clean import clean

LIMIT = 5.0
"""Seconds that QEMU has for the greeting and for each answer, unless told otherwise."""
LONGEST = 16 << 20
"""Bytes of one line; more is no answer of QEMU's."""
_EVENTS = 1000
"""Events that are kept until somebody takes them; of more the oldest go."""
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


class Event(NamedTuple):
    """Something that QEMU told by itself."""

    name: str
    data: Mapping[str, Any]


class Qmp:
    """A connection on which commands can be given. Every method raises :class:`QmpError`."""

    def __init__(self, stream: socket.socket, limit: float = LIMIT) -> None:
        """Take ``stream`` over, wait for the greeting and answer it; closed again where it fails.

        ``limit`` is in seconds, for the whole of each answer.
        """
        self._stream = stream
        self._limit = limit
        self._unread = bytearray()
        self._number = 0
        self._broken = ""
        self._events: deque[Event] = deque(maxlen=_EVENTS)
        try:
            self.version = self._greeting()
            self.command("qmp_capabilities")
        except BaseException:
            self.close()
            raise

    @classmethod
    def connect(cls, path: str | Path, *, pid: int = 0, limit: float = LIMIT) -> Self:
        """Connect to a socket; where ``pid`` is not 0, only if that process listens on it.

        A process that is not ours says where its socket is: without the look at who
        listens it could have any other service of this host spoken to.
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
        return cls(stream, limit)

    @property
    def peer(self) -> int:
        """The process that listened when the connection was made; 0: not known."""
        try:
            return _peer(self._stream)
        except OSError:
            return 0

    def command(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        fds: Sequence[int] = (),
        limit: float | None = None,
    ) -> Any:
        """Have a command done and return its answer; ``fds`` go along with it (SCM_RIGHTS).

        QmpRefused: QEMU did nothing. Any other failure ends the use of this
        connection, and the command may have been done.
        """
        if self._broken:
            raise QmpGone(f"{name}: the connection is of no more use ({self._broken})")
        self._number += 1
        request: dict[str, Any] = {"execute": name, "id": self._number}
        if arguments:
            request["arguments"] = arguments
        end = time.monotonic() + (self._limit if limit is None else limit)
        try:
            self._send(json.dumps(request).encode() + b"\n", fds, end)
            while True:
                found = self._object(end)
                if "event" in found:
                    self._note(found)
                    continue
                if "error" in found:
                    raise _refusal(name, found["error"])
                if found.get("id") != self._number:
                    raise QmpNonsense("an answer to another command")
                if "return" not in found:
                    raise QmpNonsense("an answer without return, error or event")
                return found["return"]
        except QmpRefused:
            raise
        except QmpError as error:
            self._broken = str(error)
            raise type(error)(f"{name}: {error}") from error
        except BaseException:
            self._broken = "a command was interrupted"
            raise

    def events(self) -> tuple[Event, ...]:
        """Take what came with the answers so far, in its order."""
        taken = tuple(self._events)
        self._events.clear()
        return taken

    def close(self) -> None:
        """End the connection; harmless twice."""
        self._broken = self._broken or "it is closed"
        self._stream.close()

    def __enter__(self) -> Self:
        """Return the connection."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the connection."""
        self.close()

    def _greeting(self) -> tuple[int, int, int]:
        try:
            version = self._object(time.monotonic() + self._limit)["QMP"]["version"]["qemu"]
            major, minor, micro = (version[part] for part in ("major", "minor", "micro"))
        except (KeyError, TypeError) as error:
            raise QmpNonsense("its greeting is not QEMU's") from error
        if not all(type(part) is int for part in (major, minor, micro)):
            raise QmpNonsense("its greeting has no version")
        return major, minor, micro

    def _note(self, found: Mapping[str, Any]) -> None:
        name, data = found["event"], found.get("data", {})
        if not isinstance(name, str) or not isinstance(data, dict):
            raise QmpNonsense("an event without a name")
        self._events.append(Event(clean(name), data))

    def _object(self, end: float) -> dict[str, Any]:
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

    def _send(self, data: bytes, fds: Sequence[int], end: float) -> None:
        view = memoryview(data)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            while view:
                self._wait(end)
                view = view[self._stream.sendmsg([view], rights, socket.MSG_NOSIGNAL) :]
                rights = []
        except OSError as error:
            raise _failure(error) from error

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


def _refusal(command: str, error: object) -> QmpError:
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
