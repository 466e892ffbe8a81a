# SPDX-License-Identifier: MIT
"""QEMU's machine protocol (QMP) over a unix socket: commands, answers, and events apart.

Specification: ``docs/interop/qmp-spec`` of QEMU. The library ``qemu.qmp`` is not
used: it rests on asyncio, and importing it took 0.5 s where ``json`` and ``socket``
took 0.1 s. The program that continues guests after a kexec pays that while they
stand still.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from luo_tui.guests.json_stream import JsonStream as JsonStream
from luo_tui.guests.json_stream import QmpError as QmpError
from luo_tui.guests.json_stream import QmpGone as QmpGone
from luo_tui.guests.json_stream import QmpNonsense as QmpNonsense
from luo_tui.guests.json_stream import QmpRefused as QmpRefused
from luo_tui.guests.json_stream import QmpSilent as QmpSilent
from luo_tui.guests.json_stream import refusal
from luo_tui.sources.clean import clean

LIMIT = 5.0
"""Seconds that QEMU has for the greeting and for each answer, unless told otherwise."""
_EVENTS = 1000
"""Events that are kept until somebody takes them; of more the oldest go."""


class Event(NamedTuple):
    """Something that QEMU told by itself."""

    name: str
    data: Mapping[str, Any]


class Qmp:
    """A connection on which commands can be given. Every method raises :class:`QmpError`."""

    def __init__(self, stream: JsonStream, limit: float = LIMIT) -> None:
        """Take ``stream`` over, wait for the greeting and answer it; closed again where it fails.

        ``limit`` is in seconds, for the whole of each answer.
        """
        self._stream = stream
        self._limit = limit
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
        """Connect to a socket, as :meth:`JsonStream.connect` does."""
        return cls(JsonStream.connect(path, pid=pid, limit=limit), limit)

    @property
    def peer(self) -> int:
        """The process that listened when the connection was made; 0: not known."""
        return self._stream.peer

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
            self._stream.send(request, end, fds)
            while True:
                found = self._stream.receive(end)
                if "event" in found:
                    self._note(found)
                    continue
                if "error" in found:
                    raise refusal(name, found["error"])
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
            version = self._stream.receive(time.monotonic() + self._limit)["QMP"]["version"]["qemu"]
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
