# SPDX-License-Identifier: MIT
"""The hub: one thread polls all sources and folds them into Snapshots, latest wins.

What cannot notify is read again whenever something else stirs (the image loaded
for kexec, the host's name), and on :meth:`Hub.refresh`; a source of that sort
may ask to be sampled besides. A source that dies, or whose reading fails, is shown
as such, with its last data, and is opened again every few seconds, when another
one has news, or on :meth:`Hub.refresh`; it takes no other source along. An overrun
is answered by reading everything of that sort anew.

Each turn of the thread is guarded: after an error of its own the picture is known
to be old, which is shown, until everything has been read anew.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from luo_tui.model import Snapshot, SourceHealth
from luo_tui.monitor.event_text import EventDraft, events_of, state_event
from luo_tui.monitor.fold import fold
from luo_tui.monitor.log import Log
from luo_tui.monitor.poller import Poller
from luo_tui.monitor.reading import Watchable, blank, read, unannounced
from luo_tui.monitor.repeats import Repeats
from luo_tui.monitor.sizes import count_text
from luo_tui.sources import Source
from luo_tui.sources.changes import (
    Change,
    ReadingDone,
    SourceAlive,
    SourceFailed,
)
from luo_tui.sources.clean import clean

_BREATH, _LONGEST_BREATH = 0.025, 1.0
"""Seconds between two pictures, at least and at most: as long as the last one took to make.

In a burst whoever draws and answers keys has a turn, on a slow machine too.
"""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 30.0
"""Seconds until everything is read anew after an error of our own; twice as long each time."""
_CALM = 60.0
"""Seconds without such an error after which the next one counts as the first."""
_LOG = "event log"
"""Name under which a log that is no longer written to disk is shown."""
_MONITOR = "monitor"
"""Name under which an error of the hub's own thread is shown."""
_FOR_THE_MAIN_THREAD = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGTSTP,
)


class Hub:
    """The picture of one host, kept up to date in a thread of its own."""

    def __init__(
        self,
        orchestrator: Watchable,
        wake: Callable[[], None],
        surroundings: Sequence[Source] = (),
        log: Log | None = None,
    ) -> None:
        """``wake`` is called from the hub's thread when there is news.

        It is not called again before :attr:`snapshot` was read: however many
        events a burst has, the reader gets one message and the latest picture.
        ``surroundings`` are sources besides the orchestrator's own. What happens is
        written into ``log``, or a new one.
        """
        self._orchestrator = orchestrator
        self._wake = wake
        self._surroundings = surroundings
        self._latest = blank(orchestrator.host())
        self._told = False
        self._poller = Poller(-1, (), ())
        self._pause, self._recovered = _FIRST_PAUSE, -_CALM
        """The latest pause after an error of our own, and when that was overcome."""
        self._repeats = Repeats()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._bell = -1
        self._answers = threading.Condition()
        self._asked = self._answered = 0
        """How often :meth:`refresh` was called, and how many of those calls are served."""
        self.log = log if log is not None else Log()
        """What happened since :meth:`start`, behind what was in the log that was given."""

    @property
    def snapshot(self) -> Snapshot:
        """The latest picture. From any thread."""
        self._told = False
        return self._latest

    def read_now(self) -> Snapshot:
        """Read the orchestrator anew in the caller's thread, without the sources' events.

        What surrounds the orchestrator is as it was last known, and so is whether
        its own sources notify. Never fails: what could not be read, and what was
        read in part, stands in the snapshot's health.
        """
        latest = self._latest
        base = self._blank()._replace(
            devices=latest.devices,
            vitals=latest.vitals,
            images=latest.images,
            failed_restores=latest.failed_restores,
            health=latest.health,
            windows=latest.windows,
            printed=latest.printed,
            events=latest.events,
        )
        return read(self._orchestrator, self._orchestrator.sources(), base)

    def read_all(self) -> Snapshot:
        """Read everything once in the caller's thread: the facts for an act, or for one look.

        Never fails, as :meth:`read_now`. That the picture on the screen is known to
        be old is told here, too: whoever consented saw that one.
        """
        own = self._latest.health.get(_MONITOR)
        base = self._blank()._replace(health={_MONITOR: own} if own else {})
        sources = [*self._orchestrator.sources(), *self._surroundings]
        return read(self._orchestrator, sources, base)

    def _blank(self) -> Snapshot:
        return blank(self._latest.host)._replace(kexec=self._latest.kexec)

    def start(self) -> None:
        """Read everything once, then watch. The first picture is there on return."""
        if self._thread is not None:
            return
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._stopping = False
        self._poller = Poller(self._bell, self._orchestrator.sources(), self._surroundings)
        self._publish(self._poller.resync(), first=True)
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
        with self._answers:
            self._thread = None
            os.close(self._bell)
            self._bell = -1
            self._answers.notify_all()
        self._poller.close()
        self.log.close()

    def refresh(self) -> None:
        """Ask for everything to be read anew. From any thread; returns at once."""
        with self._answers:
            self._asked += 1
            if self._thread is not None:
                os.eventfd_write(self._bell, 1)

    def wait_refreshed(self) -> None:
        """Have everything read anew, and wait until that is in the picture, or failed.

        From any thread but the hub's. Returns at once where the hub is stopped.
        """
        self.refresh()
        with self._answers:
            wanted = self._asked
            self._answers.wait_for(lambda: self._answered >= wanted or self._thread is None)

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._turn()
            except Exception as error:
                self._recover(error)

    def _turn(self) -> None:
        """Wait for news, and put them into the picture."""
        ready = self._poller.wait()
        began = time.monotonic()
        if self._stopping:
            return
        if self._bell in ready:
            asked = self._silence()
            self._publish(self._poller.resync())
            self._answer(asked)
        else:
            self._publish(self._poller.news(ready))
        time.sleep(min(max(_BREATH, time.monotonic() - began), _LONGEST_BREATH))

    def _silence(self) -> int:
        """Stop the bell; return how many calls what is read from now on will serve."""
        with self._answers:
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._bell)
            return self._asked

    def _answer(self, asked: int) -> None:
        with self._answers:
            self._answered = asked
            self._answers.notify_all()

    def _recover(self, error: Exception) -> None:
        """Show an error of our own, and read everything anew until that succeeds.

        What was in hand when it happened is lost: until then the picture is old.
        """
        if time.monotonic() - self._recovered >= _CALM:
            self._pause = _FIRST_PAUSE
        while not self._stopping:
            self._show_fault(error)
            # Whoever waits is not kept waiting: the picture says that it is old.
            self._answer(self._silence())
            poll = select.poll()
            poll.register(self._bell, select.POLLIN)
            poll.poll(self._pause * 1000)
            asked = self._silence()
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
            if self._stopping:
                return
            try:
                self._publish([*self._poller.resync(), SourceAlive(_MONITOR)])
            except Exception as again:
                error = again
            else:
                self._recovered = time.monotonic()
                self._answer(asked)
                return

    def _show_fault(self, error: Exception) -> None:
        """Put an error of our own into the picture, past all that may have been its cause."""
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        fault = (
            "an error of luo-tui's own; the kernel is untouched, and everything is being read "
            f"anew: {_in_words(error)}"
        )
        latest = self._latest
        known = latest.health.get(_MONITOR, SourceHealth(_MONITOR))
        if known.fault == fault:
            return
        with contextlib.suppress(Exception):
            text = f"{_MONITOR} is not live: {fault}"
            self._log([EventDraft("source", text, _MONITOR, grave=True)])
        since = known.since if known.fault else now
        health = {**latest.health, _MONITOR: SourceHealth(_MONITOR, fault, since)}
        self._put(latest._replace(health=health, events=self.log.last, seq=latest.seq + 1))

    def _publish(self, changes: Sequence[Change], *, first: bool = False) -> None:
        before = self._latest
        host, asked = unannounced(self._orchestrator, before)
        changes = [*changes, *asked]
        new = fold(before, changes)
        self._log(_began(before, changes, new) if first else _events(before, changes, new))
        if self.log.fault and _LOG not in new.health:
            full = SourceFailed(_LOG, self.log.fault, time.clock_gettime(time.CLOCK_BOOTTIME))
            self._log(events_of(new, (full,)))
            new = fold(new, (full,))
        if host != new.host or new.events != self.log.last:
            new = new._replace(host=host, events=self.log.last, seq=before.seq + 1)
        if new is not before:
            self._put(new)

    def _log(self, drafts: Iterable[EventDraft]) -> None:
        self.log.add(self._repeats.filtered(drafts, time.monotonic()))

    def _put(self, new: Snapshot) -> None:
        """Make ``new`` the latest picture, and say so to who has not been told yet."""
        self._latest = new
        if self._told:
            return
        self._told = True
        try:
            self._wake()
        except Exception:
            # Whoever wanted to be told is going; the next news try again.
            self._told = False


def _began(before: Snapshot, changes: Sequence[Change], snapshot: Snapshot) -> Iterable[EventDraft]:
    """Yield one line for all that was there already, and one for each thing that is not known."""
    yield EventDraft(
        "state",
        f"watching begins: state {snapshot.luo.state}, "
        f"{count_text(len(snapshot.resources), 'resource')}, "
        f"{count_text(len(snapshot.participants), 'participant')}, "
        f"{count_text(len(snapshot.devices), 'device')}",
        str(snapshot.luo.state),
    )
    yield from events_of(before, [c for c in changes if isinstance(c, SourceFailed | ReadingDone)])


def _events(before: Snapshot, changes: Sequence[Change], after: Snapshot) -> Sequence[EventDraft]:
    """Return what happened; what cannot be put into words is no reason to keep the picture."""
    try:
        return list(events_of(before, changes))
    except Exception as error:
        moved = before.luo != after.luo
        fault = f"what happened could not be told in full: {_in_words(error)}"
        return [
            *([state_event(before.luo, after.luo)] if moved else ()),
            EventDraft("source", fault, _LOG, grave=True),
        ]


def _in_words(error: Exception) -> str:
    """Return an error with the place where it happened."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return clean(f"{type(error).__name__}: {error}{place}")
