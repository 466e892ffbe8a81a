# SPDX-License-Identifier: MIT
"""The hub: one thread polls all sources and folds them into Snapshots, latest wins.

What cannot notify is read again whenever something else stirs (the image loaded
for kexec, the host's name), and on :meth:`Hub.refresh`; a source of that sort
may ask to be sampled besides. A source that dies is shown as such, with its
last data, and is opened again every few seconds, when another one has news, or
on :meth:`Hub.refresh`; it takes no other source along. An overrun is answered
by reading everything of that sort anew.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from luo_tui.model import Host, KexecState, LuoState, Snapshot, State
from luo_tui.monitor.event_text import EventDraft, events_of
from luo_tui.monitor.fold import fold
from luo_tui.monitor.log import Log
from luo_tui.sources import Sampled, Source
from luo_tui.sources.changes import Change, KexecChanged, SourceAlive, SourceFailed

_RETRY = 5.0
"""Seconds after which a dead source is opened again."""
_BREATH = 0.025
"""Seconds between two pictures at least: in a burst whoever draws and answers keys has a turn."""
_HOST = "host"
"""Name under which a failure to read host or kexec is shown."""
_LOG = "event log"
"""Name under which a log that is no longer written to disk is shown."""
_FOR_THE_MAIN_THREAD = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGTSTP,
)


class Watchable(Protocol):
    """What the hub asks of an orchestrator, which stands above this room."""

    @property
    def kexec(self) -> KexecWatchable:
        """What is loaded for kexec."""
        ...

    def host(self) -> Host:
        """Return the machine as it is now."""
        ...

    def sources(self) -> Sequence[Source]:
        """Return fresh, unopened sources."""
        ...


class KexecWatchable(Protocol):
    """The part of kexec that is shown."""

    def state(self) -> KexecState:
        """Return what is loaded now."""
        ...


class Hub:
    """The picture of one host, kept up to date in a thread of its own."""

    def __init__(
        self,
        orchestrator: Watchable,
        wake: Callable[[], None],
        surroundings: Sequence[Source] = (),
    ) -> None:
        """``wake`` is called from the hub's thread when there is news.

        It is not called again before :attr:`snapshot` was read: however many
        events a burst has, the reader gets one message and the latest picture.
        ``surroundings`` are sources besides the orchestrator's own: what they
        tell is shown, and no act is decided on it.
        """
        self._orchestrator = orchestrator
        self._wake = wake
        self._surroundings = surroundings
        self._latest = Snapshot(orchestrator.host(), LuoState(State.UNAVAILABLE, "not read yet"))
        self._host = self._latest.host
        self._told = False
        self._own: Sequence[Source] = ()
        self._alive: dict[int, Source] = {}
        self._due: dict[Sampled, float] = {}
        """When each sampled source is to be asked again, by CLOCK_MONOTONIC."""
        self._retry = 0.0
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._bell = -1
        self.log = Log()
        """What happened since :meth:`start`."""

    @property
    def snapshot(self) -> Snapshot:
        """The latest picture. From any thread."""
        self._told = False
        return self._latest

    def read_now(self) -> Snapshot:
        """Read the orchestrator anew in the caller's thread, without the sources' events.

        For the moment between consent and act. What surrounds the orchestrator
        is as it was last known.
        """
        latest = self._latest
        blank = Snapshot(self._orchestrator.host(), LuoState(State.UNAVAILABLE, "not read yet"))
        base = replace(
            blank,
            devices=latest.devices,
            vitals=latest.vitals,
            images=latest.images,
            health=latest.health,
            windows=latest.windows,
            printed=latest.printed,
            events=latest.events,
        )
        return self._read(base, self._orchestrator.sources())

    def read_all(self) -> Snapshot:
        """Read everything once in the caller's thread: for commands that look and go."""
        base = Snapshot(self._orchestrator.host(), LuoState(State.UNAVAILABLE, "not read yet"))
        return self._read(base, [*self._orchestrator.sources(), *self._surroundings])

    def _read(self, base: Snapshot, sources: Iterable[Source]) -> Snapshot:
        changes: list[Change] = [KexecChanged(self._orchestrator.kexec.state())]
        for source in sources:
            changes.extend(_enumerated(source))
        return fold(base, changes)

    def start(self) -> None:
        """Read everything once, then watch. The first picture is there on return."""
        if self._thread is not None:
            return
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._stopping = False
        self._own = self._orchestrator.sources()
        self._publish(self._resync(), first=True)
        self._thread = threading.Thread(target=self._run, name="hub", daemon=True)
        # A thread inherits the mask: there is no instant in which it could be interrupted.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _FOR_THE_MAIN_THREAD)
        try:
            self._thread.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def stop(self) -> None:
        """End the thread and close the sources; harmless twice."""
        thread = self._thread
        if thread is None:
            return
        self._stopping = True
        os.eventfd_write(self._bell, 1)
        thread.join()
        self._thread = None
        for source in self._sources():
            source.close()
        self._alive.clear()
        self.log.close()
        os.close(self._bell)
        self._bell = -1

    def refresh(self) -> None:
        """Ask for everything to be read anew. From any thread; returns at once."""
        if self._thread is not None:
            os.eventfd_write(self._bell, 1)

    def _run(self) -> None:
        while not self._stopping:
            ready = [fd for fd, _ in self._poll().poll(self._patience())]
            if self._stopping:
                return
            if self._bell in ready:
                with contextlib.suppress(BlockingIOError):
                    os.eventfd_read(self._bell)
                self._publish(self._resync())
            else:
                self._publish([*self._drain(ready), *self._sample()])
            time.sleep(_BREATH)

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
            return (_failed(source.name, error),)

    def _resync_with(self, source: Source) -> list[Change]:
        """Open a source anew; the orchestrator's own belong together."""
        again = self._own if source in self._own else (source,)
        self._alive = {fd: s for fd, s in self._alive.items() if s not in again}
        return self._open(again)

    def _resync(self) -> list[Change]:
        self._alive.clear()
        return self._open(self._sources())

    def _open(self, sources: Iterable[Source]) -> list[Change]:
        """Open sources anew, before they are enumerated, so that nothing falls in between."""
        changes: list[Change] = []
        self._retry = time.monotonic() + _RETRY
        for source in sources:
            try:
                source.reopen()
            except Exception as error:
                source.close()
                changes.append(_failed(source.name, error))
                # It cannot notify; what it reads is still true at this moment.
                changes.extend(c for c in _enumerated(source) if not isinstance(c, SourceFailed))
                continue
            self._alive[source.fileno()] = source
            if isinstance(source, Sampled):
                self._due[source] = time.monotonic() + source.every
            changes.append(SourceAlive(source.name))
            changes.extend(_enumerated(source))
        return changes

    def _publish(self, changes: Sequence[Change], *, first: bool = False) -> None:
        before = self._latest
        changes = [*changes, *self._unannounced()]
        new = fold(before, changes)
        if first:
            self.log.add(_began(new))
        else:
            self.log.add(events_of(before, changes))
        if self.log.fault and _LOG not in new.health:
            failed = SourceFailed(_LOG, self.log.fault, time.clock_gettime(time.CLOCK_BOOTTIME))
            self.log.add(events_of(new, (failed,)))
            new = fold(new, (failed,))
        host = self._host
        if host != new.host or new.events != self.log.last:
            new = replace(new, host=host, events=self.log.last, seq=before.seq + 1)
        if new is self._latest:
            return
        self._latest = new
        if self._told:
            return
        self._told = True
        try:
            self._wake()
        except Exception:
            # Whoever wanted to be told is going; the next news try again.
            self._told = False

    def _unannounced(self) -> Sequence[Change]:
        """Read what nobody announces: host and kexec. A failure is the host's fault then."""
        alive = self._latest.health.get(_HOST)
        try:
            self._host = self._orchestrator.host()
            kexec = KexecChanged(self._orchestrator.kexec.state())
        except Exception as error:
            return (_failed(_HOST, error),)
        return (kexec,) if alive is None else (kexec, SourceAlive(_HOST))


def _began(snapshot: Snapshot) -> Iterable[EventDraft]:
    """Yield one line for all that was there already."""
    yield EventDraft(
        "state",
        f"watching begins: state {snapshot.luo.state}, {len(snapshot.resources):,} resources, "
        f"{len(snapshot.participants):,} participants, {len(snapshot.devices):,} devices",
        str(snapshot.luo.state),
    )


def _enumerated(source: Source) -> Sequence[Change]:
    try:
        return source.enumerate()
    except Exception as error:
        return (_failed(source.name, error),)


def _failed(name: str, error: Exception) -> SourceFailed:
    if isinstance(error, OSError):
        fault = error.strerror or str(error)
    else:
        fault = f"{type(error).__name__}: {error}"
    return SourceFailed(name, fault, time.clock_gettime(time.CLOCK_BOOTTIME))
