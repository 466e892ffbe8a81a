# SPDX-License-Identifier: MIT
"""The hub: one thread polls all sources and folds them into Snapshots, latest wins.

It never sleeps on a clock: what cannot notify (the image loaded for kexec, the
host's name) is read again whenever something else stirs, and on
:meth:`Hub.refresh`. A source that dies is shown as such, with its last data,
and is opened again when another one has news or on :meth:`Hub.refresh`; it
takes no other source along.
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

from luo_tui.model import (
    Change,
    KexecChanged,
    LuoState,
    Snapshot,
    SourceAlive,
    SourceFailed,
    State,
    fold,
)
from luo_tui.orchestrator import Orchestrator, Source

_HOST = "host"
"""Name under which a failure to read host or kexec is shown."""
_FOR_THE_MAIN_THREAD = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGTSTP,
)


class Hub:
    """The picture of one host, kept up to date in a thread of its own."""

    def __init__(self, orchestrator: Orchestrator, wake: Callable[[], None]) -> None:
        """``wake`` is called from the hub's thread when there is news.

        It is not called again before :attr:`snapshot` was read: however many
        events a burst has, the reader gets one message and the latest picture.
        """
        self._orchestrator = orchestrator
        self._wake = wake
        self._latest = Snapshot(orchestrator.host(), LuoState(State.UNAVAILABLE, "not read yet"))
        self._host = self._latest.host
        self._told = False
        self._sources: Sequence[Source] = ()
        self._alive: dict[int, Source] = {}
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._bell = -1

    @property
    def snapshot(self) -> Snapshot:
        """The latest picture. From any thread."""
        self._told = False
        return self._latest

    def read_now(self) -> Snapshot:
        """Read everything anew in the caller's thread, without the sources' events.

        For the moment between consent and act, and for commands that look once.
        """
        base = Snapshot(self._orchestrator.host(), LuoState(State.UNAVAILABLE, "not read yet"))
        changes: list[Change] = [KexecChanged(self._orchestrator.kexec.state())]
        for source in self._orchestrator.sources():
            changes.extend(_enumerated(source))
        return fold(base, changes)

    def start(self) -> None:
        """Read everything once, then watch. The first picture is there on return."""
        if self._thread is not None:
            return
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._stopping = False
        self._sources = self._orchestrator.sources()
        self._publish(self._resync())
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
        for source in self._sources:
            source.close()
        self._alive.clear()
        os.close(self._bell)
        self._bell = -1

    def refresh(self) -> None:
        """Ask for everything to be read anew. From any thread; returns at once."""
        if self._thread is not None:
            os.eventfd_write(self._bell, 1)

    def _run(self) -> None:
        while not self._stopping:
            ready = [fd for fd, _ in self._poll().poll()]
            if self._stopping:
                return
            if self._bell in ready:
                with contextlib.suppress(BlockingIOError):
                    os.eventfd_read(self._bell)
                self._publish(self._resync())
            else:
                self._publish(self._drain(ready))

    def _poll(self) -> select.poll:
        poll = select.poll()
        poll.register(self._bell, select.POLLIN)
        for fd, source in self._alive.items():
            poll.register(fd, source.events)
        return poll

    def _drain(self, ready: Iterable[int]) -> list[Change]:
        changes: list[Change] = []
        dead = [s for s in self._sources if s not in self._alive.values()]
        news = False
        for fd in ready:
            source = self._alive[fd]
            try:
                drained = source.drain()
            except Exception as error:
                # Whatever a source throws, the others must live on. It is not opened
                # again at once: one that dies each time would keep this thread spinning.
                del self._alive[fd]
                source.close()
                changes.append(_failed(source.name, error))
                continue
            if drained is None:
                return self._resync()
            changes.extend(drained)
            news = True
        return changes + self._open(dead) if news else changes

    def _resync(self) -> list[Change]:
        self._alive.clear()
        return self._open(self._sources)

    def _open(self, sources: Iterable[Source]) -> list[Change]:
        """Open sources anew, before they are enumerated, so that nothing falls in between."""
        changes: list[Change] = []
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
            changes.append(SourceAlive(source.name))
            changes.extend(_enumerated(source))
        return changes

    def _publish(self, changes: Iterable[Change]) -> None:
        before = self._latest
        new = fold(before, [*changes, *self._unannounced()])
        host = self._host
        if host != new.host:
            new = replace(new, host=host, seq=before.seq + 1)
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
