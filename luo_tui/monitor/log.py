# SPDX-License-Identifier: MIT
"""The event log: the latest events in memory, and on disk if that is wanted.

Bounded, so that a console that is open for weeks does not grow; what was
dropped is known by the gap in the numbers.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import IO

from luo_tui.model import Event
from luo_tui.monitor.event_text import EventDraft

MOST = 20_000
"""Events that are kept in memory: some four megabytes."""


class Log:
    """Numbered events. Added to and read by any thread."""

    def __init__(self, most: int = MOST) -> None:
        """``most`` events are kept."""
        self._events: deque[Event] = deque(maxlen=most)
        self._lock = threading.Lock()
        self._file: IO[str] | None = None
        self.last = 0
        """Number of the latest event; 0 before the first one."""
        self.fault = ""
        """Why nothing is written to disk any more; empty while all is well."""

    def write_to(self, path: Path) -> None:
        """Append every event from now on to ``path``, one JSON object a line. OSError if it can't.

        A failure later on (a full disk) ends the writing and is told in
        :attr:`fault`; the log in memory goes on.
        """
        self._file = path.open("a", encoding="utf-8", buffering=1)

    def add(self, told: Iterable[EventDraft]) -> None:
        """Keep these events, numbered."""
        now = time.time()
        for one in told:
            with self._lock:
                self.last += 1
                event = Event(self.last, one.at or now, one.kind, one.text, one.subject, one.grave)
                self._events.append(event)
                self._write(event)

    def since(self, number: int) -> tuple[Event, ...]:
        """Return the kept events with a higher number, the oldest first."""
        with self._lock:
            # From the newer end, so that it costs what is new and not what is kept.
            newest = list(islice(reversed(self._events), max(0, self.last - number)))
        newest.reverse()
        return tuple(newest)

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, event: Event) -> None:
        if self._file is None:
            return
        try:
            self._file.write(json.dumps(event._asdict(), separators=(",", ":")) + "\n")
        except OSError as error:
            self.fault = f"events are no longer written to {self._file.name}: {error.strerror}"
            file, self._file = self._file, None
            try:
                file.close()
            except OSError:
                return
