# SPDX-License-Identifier: MIT
"""The sources that are alive: polled, drained, sampled; those that are not, opened again."""

from __future__ import annotations

import select
import time
from collections.abc import Iterable, Sequence

from luo_tui.monitor.reading import enumerated, failed
from luo_tui.sources import Sampled, Source
from luo_tui.sources.changes import Change, SourceAlive, SourceFailed

_RETRY = 5.0
"""Seconds after which a dead source is opened again."""


class Poller:
    """All sources of one hub. Every method but the constructor is the hub's thread's."""

    def __init__(self, bell: int, own: Sequence[Source], surroundings: Sequence[Source]) -> None:
        """``bell`` is an eventfd that ends a wait; ``own`` are the orchestrator's sources."""
        self._bell, self._own, self._surroundings = bell, own, surroundings
        self._alive: dict[int, Source] = {}
        self._due: dict[Sampled, float] = {}
        """When each sampled source is to be asked again, by CLOCK_MONOTONIC."""
        self._retry = 0.0

    def wait(self) -> list[int]:
        """Block until something is ready, or has to be asked; return the ready descriptors."""
        return [fd for fd, _ in self._poll().poll(self._patience())]

    def news(self, ready: Iterable[int]) -> list[Change]:
        """Take the news of the ready ones, and ask those that do not notify."""
        return [*self._drain(ready), *self._sample()]

    def resync(self) -> list[Change]:
        """Open and read every source anew."""
        self._alive.clear()
        return self._open(self._sources())

    def close(self) -> None:
        """Close every source."""
        for source in self._sources():
            source.close()
        self._alive.clear()

    def _sources(self) -> Sequence[Source]:
        return [*self._own, *self._surroundings]

    def _poll(self) -> select.poll:
        poll = select.poll()
        poll.register(self._bell, select.POLLIN)
        for fd, source in self._alive.items():
            poll.register(fd, source.events)
        return poll

    def _dead(self) -> list[Source]:
        return [s for s in self._sources() if s not in self._alive.values()]

    def _patience(self) -> float | None:
        """Return milliseconds until something has to be asked that does not notify."""
        due = [at for s, at in self._due.items() if s in self._alive.values()]
        if self._dead():
            due.append(self._retry)
        return max(0.0, (min(due) - time.monotonic()) * 1000 + 1) if due else None

    def _sample(self) -> list[Change]:
        """Ask the sources whose time has come; open again those that are dead."""
        now = time.monotonic()
        late = [s for s, at in self._due.items() if at <= now and s in self._alive.values()]
        changes: list[Change] = []
        for source in late:
            self._due[source] = now + source.every
            drained = self._drained(source)
            changes.extend(self._resync_with(source) if drained is None else drained)
        if now >= self._retry and (dead := self._dead()):
            changes.extend(self._open(dead))
        return changes

    def _drain(self, ready: Iterable[int]) -> list[Change]:
        changes: list[Change] = []
        dead, news = self._dead(), False
        for fd in ready:
            source = self._alive.get(fd)
            if source is None:
                continue  # Another one's overrun has just had it opened anew.
            drained = self._drained(source)
            if drained is None:
                changes.extend(self._resync_with(source))
                continue
            changes.extend(drained)
            news = news or source in self._alive.values()
        return changes + self._open(dead) if news else changes

    def _drained(self, source: Source) -> Sequence[Change] | None:
        try:
            return source.drain()
        except Exception as error:
            # Whatever a source throws, the others must live on. It is not opened
            # again at once: one that dies each time would keep this thread spinning.
            self._alive = {fd: s for fd, s in self._alive.items() if s is not source}
            self._retry = time.monotonic() + _RETRY
            source.close()
            return (failed(source.name, error),)

    def _resync_with(self, source: Source) -> list[Change]:
        """Open a source anew; the orchestrator's own belong together."""
        again = self._own if source in self._own else (source,)
        self._alive = {fd: s for fd, s in self._alive.items() if s not in again}
        return self._open(again)

    def _open(self, sources: Iterable[Source]) -> list[Change]:
        """Open sources anew, before they are enumerated, so that nothing falls in between."""
        changes: list[Change] = []
        self._retry = time.monotonic() + _RETRY
        for source in sources:
            try:
                source.reopen()
            except Exception as error:
                source.close()
                changes.append(failed(source.name, error))
                # It cannot notify; what it reads is still true at this moment.
                changes.extend(c for c in enumerated(source) if not isinstance(c, SourceFailed))
                continue
            read = enumerated(source)
            if any(isinstance(change, SourceFailed) for change in read):
                # Its news would be news to nothing: it is tried again as a whole.
                source.close()
            else:
                self._alive[source.fileno()] = source
                if isinstance(source, Sampled):
                    self._due[source] = time.monotonic() + source.every
                changes.append(SourceAlive(source.name))
            changes.extend(read)
        return changes
