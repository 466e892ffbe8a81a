# SPDX-License-Identifier: MIT
"""One line a change, until somebody has had enough: ``luo-tui watch``.

It sleeps in poll(2) on three descriptors: the hub's news, the wish to leave,
and the output, by which it knows that nobody reads any more. The output is
written only where it takes what is written, so a reader that is slow, or
stopped, holds up neither the hub nor the way out; what the event log had to
drop meanwhile is told by its number.
"""

from __future__ import annotations

import errno
import json
import os
import select
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luo_tui.cli.status import status_json
from luo_tui.errors import Exit, NotDone
from luo_tui.model import Event, Snapshot, State
from luo_tui.monitor.hub import Hub
from luo_tui.monitor.sizes import count_text
from luo_tui.orchestrator import Orchestrator
from luo_tui.sources.files import FilesSource

SCHEMA = 1
"""Version of the JSON objects, apart from the status in the first."""
KINDS = (
    "state", "resource", "participant", "device", "kernel", "image", "host", "window", "source",
)  # fmt: skip
"""Kinds of :class:`luo_tui.model.Event`. ``status`` and ``gap`` come besides, unasked."""
_AT_ONCE = select.PIPE_BUF
"""Bytes that a pipe takes without blocking whenever poll says that it takes any."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be shown, and for how long."""

    as_json: bool = False
    kinds: frozenset[str] = frozenset(KINDS)
    until: State | None = None
    """The state at which to end."""
    timeout: float | None = None
    """Seconds to wait for it at most; None: without a limit, as long as there is a LUO."""


class Watch:
    """One run of the command."""

    def __init__(
        self,
        orchestrator: Orchestrator,
        folder: Path,
        out: int,
        wanted: Wanted,
        complain: Callable[[str], None],
    ) -> None:
        """``out`` is the descriptor to write to, ``folder`` that of the windows' journals."""
        self._orchestrator = orchestrator
        self._folder = folder
        self._out = out
        self._wanted = wanted
        self._complain = complain
        boot = orchestrator.kexec.boot_folder
        files = FilesSource(boot, folder, orchestrator.lock_folder)
        self._hub = Hub(orchestrator, self._wake, (*orchestrator.surroundings(), files))
        self._news = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._leave = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._state = State.UNAVAILABLE
        """As the events have told it up to the one that is shown."""
        self._shown = 0
        self._end = float("inf")
        self._complained = False

    def log_to(self, path: Path) -> None:
        """Append every event to a file as well; before :meth:`run`. OSError if it can't be."""
        self._hub.log.write_to(path)

    def leave(self) -> None:
        """End :meth:`run`. From any thread, and from a signal handler."""
        os.eventfd_write(self._leave, 1)

    def run(self) -> Exit:
        """Write lines until told to leave, or until the state that is waited for is there.

        NotDone when that did not come, or nothing more can be written.
        """
        if self._wanted.timeout is not None:
            self._end = time.monotonic() + self._wanted.timeout
        try:
            self._hub.start()
            return self._write_lines()
        except _Left:
            return Exit.INTERRUPTED
        finally:
            self._hub.stop()
            self._tell_of_log()
            os.close(self._news)
            os.close(self._leave)

    def _wake(self) -> None:
        os.eventfd_write(self._news, 1)

    def _write_lines(self) -> Exit:
        try:
            return self._follow()
        except OSError as error:
            raise _unwritable(error) from None

    def _follow(self) -> Exit:
        self._begin(self._hub.snapshot)
        while not self._reached():
            self._sleep(self._news)
            os.eventfd_read(self._news)
            latest = self._hub.snapshot
            self._show_all(self._hub.log.since(self._shown))
            self._tell_of_log()
            # What a gap swallowed may have been a state.
            if self._state is not self._wanted.until and self._shown <= latest.events:
                self._state = latest.luo.state
        return Exit.OK

    def _reached(self) -> bool:
        until = self._wanted.until
        if until is None or self._state is until:
            return until is not None
        if self._state is State.UNAVAILABLE and self._wanted.timeout is None:
            raise NotDone(
                "There is no orchestrator to wait for: see `luo-tui status`. "
                "With --timeout it is waited for, too.",
                Exit.UNAVAILABLE,
            )
        return False

    def _begin(self, snapshot: Snapshot) -> None:
        """Tell how things stand."""
        self._state = snapshot.luo.state
        if self._wanted.as_json:
            self._shown = snapshot.events
            status = status_json(self._orchestrator, snapshot, self._folder)
            first = Event(snapshot.events, time.time(), "status", str(status["headline"]))
            self._write(json.dumps({**self._object(first), "status": status}))
            return
        first = self._hub.log.since(0)[0]
        self._shown = first.number
        text = first.text
        if not snapshot.luo.state.usable:
            text = f"{text}: {snapshot.luo.detail}. It is told when that changes."
        self._write(_line(first, text))
        self._show_all(self._hub.log.since(self._shown))

    def _show_all(self, events: Iterable[Event]) -> None:
        for event in events:
            # The log may be added to while it is read.
            if event.number <= self._shown:
                continue
            if (missed := event.number - self._shown - 1) > 0:
                were = "was" if missed == 1 else "were"
                text = f"{count_text(missed, 'event')} {were} not shown"
                self._show(Event(event.number - 1, event.at, "gap", text, grave=True))
            self._shown = event.number
            if event.kind == "state":
                self._state = State(event.subject)
            if event.kind in self._wanted.kinds:
                self._show(event)
            if self._wanted.until is not None and self._state is self._wanted.until:
                return

    def _show(self, event: Event) -> None:
        as_json = self._wanted.as_json
        self._write(json.dumps(self._object(event)) if as_json else _line(event, event.text))

    def _object(self, event: Event) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "number": event.number,
            "at": _iso(event.at),
            "kind": event.kind,
            "subject": event.subject,
            "grave": event.grave,
            "text": event.text,
            "state": str(self._state),
        }

    def _tell_of_log(self) -> None:
        fault = self._hub.log.fault
        if fault and not self._complained:
            self._complained = True
            self._complain(fault)

    def _write(self, line: str) -> None:
        left = memoryview(f"{line}\n".encode(errors="backslashreplace"))
        while left:
            self._sleep(self._out)
            try:
                left = left[os.write(self._out, left[:_AT_ONCE]) :]
            except BlockingIOError:
                continue

    def _sleep(self, wanted: int) -> None:
        """Wait for news, or for room in the output; leave when that is asked, or time is over."""
        poll = select.poll()
        poll.register(self._leave, select.POLLIN)
        # Of an output that is only looked after the kernel tells when its reader has gone.
        poll.register(self._out, select.POLLOUT if wanted == self._out else 0)
        if wanted != self._out:
            poll.register(wanted, select.POLLIN)
        left = self._end - time.monotonic()
        patience = None if left == float("inf") else max(0, int(left * 1000) + 1)
        ready = dict(poll.poll(patience))
        if self._leave in ready:
            raise _Left
        if not ready:
            raise self._too_late()
        if ready.get(self._out, 0) & ~select.POLLOUT:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    def _too_late(self) -> NotDone:
        if self._state is State.UNAVAILABLE:
            text = f"There is still no orchestrator after {self._wanted.timeout:g} s."
            return NotDone(text, Exit.UNAVAILABLE)
        return NotDone(
            f"The orchestrator is not {self._wanted.until} after {self._wanted.timeout:g} s: "
            f"it is {self._state}.",
            Exit.TIMED_OUT,
        )


class _Left(Exception):
    """Somebody has had enough."""


def _unwritable(error: OSError) -> NotDone:
    if error.errno == errno.EPIPE:
        return NotDone("Nobody reads the output any more.", Exit.FAILED)
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    text = f"The output cannot be written: {error.strerror}."
    return NotDone(text, Exit.NO_SPACE if full else Exit.FAILED)


def _line(event: Event, text: str) -> str:
    mark = "!" if event.grave else " "
    return f"{_local(event.at)}  {event.kind:11}{mark} {text}"


def _local(at: float) -> str:
    return f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(at))}.{_milliseconds(at)}"


def _iso(at: float) -> str:
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(at))}.{_milliseconds(at)}Z"


def _milliseconds(at: float) -> str:
    return f"{int(at % 1 * 1000):03}"
