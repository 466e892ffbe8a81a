# SPDX-License-Identifier: MIT
"""An application that does one thing at a time, in a worker, and tells how that ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from textual.timer import Timer
from textual.worker import Worker, WorkerState

from luo_tui.console.crash_report import keep_report
from luo_tui.console.key_app import KeyApp
from luo_tui.console.screens.base import Drawn
from luo_tui.console.screens.notice import Notice
from luo_tui.console.session import Session
from luo_tui.console.shutdown import Shutdown
from luo_tui.console.viewer import Viewer
from luo_tui.errors import ActFailed, NotDone
from luo_tui.monitor.hub import Hub
from luo_tui.update.wording import of_about

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Done:
    """How an act ended well: what to say. The machine has been read back for the viewer."""

    lines: tuple[str, ...] = ()


class ActApp(KeyApp[Result]):
    """An application whose acts block, and so run in one worker."""

    session: Session
    hub: Hub
    viewer: Viewer

    def __init__(self, shutdown: Shutdown | None, *, bell: bool, **more: Any) -> None:
        """Ring the ``bell`` when an act has ended; nothing begins once ``shutdown`` was asked."""
        super().__init__(**more)
        self.under_way = ""
        """What runs in the worker; empty while nothing does."""
        self._should_take = 0.0
        """Seconds that it should take; 0: that is not known."""
        self._began = 0.0
        """When it was begun, by CLOCK_MONOTONIC."""
        self._refused = False
        """Whether something else was asked for meanwhile."""
        self._leaving = shutdown
        self._bell = bell
        self._elapsed: Timer | None = None

    def push(self, screen: Drawn[Any], callback: Callable[[Any], None] | None = None) -> None:
        """Show a screen, drawn from the picture of now."""
        raise NotImplementedError

    def look_again(self) -> None:
        """Draw the newest picture."""
        raise NotImplementedError

    def on_result(self, result: object) -> None:
        """Go on after a worker that ended well, with what it returned."""

    def _may_begin(self) -> bool:
        if self.under_way:
            self._say(f"Under way: {self.under_way}. One thing at a time.")
            self._refused = True
        return not self.under_way

    def _work_if(self, yes: object, name: str, work: Callable[[], object]) -> None:
        if yes is True:
            self._work(name, work)

    def _work(self, name: str, work: Callable[[], object], should_take: float = 0.0) -> None:
        """Run ``work`` in the one worker for acts. Its errors come back as a message.

        ``should_take`` is in seconds, as it was earlier; 0: that is not known.
        """
        if not self._may_begin():
            return
        self.under_way, self._should_take = name, should_take
        self._began = time.monotonic()
        self._elapsed = self.set_interval(1.0, self._tell_elapsed)
        self._say(f"Under way: {name} ...")

        def alone() -> object:
            with self.session.busy:
                if self._leaving is not None and self._leaving.asked:
                    raise NotDone("The console is leaving: nothing was begun.")
                try:
                    return work()
                except Exception:
                    self._read_back()
                    raise

        self.run_worker(alone, name=name, group="act", exit_on_error=False, thread=True)

    def _tell_elapsed(self) -> None:
        """Say how long it has been under way; a second is nothing to speak of."""
        if self.under_way and (seconds := int(time.monotonic() - self._began)) > 1:
            self._say(f"Under way: {self.under_way} ... {of_about(seconds, self._should_take)}")

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Show how an act ended, whatever way it did."""
        if event.state not in (WorkerState.SUCCESS, WorkerState.ERROR):
            return
        name, self.under_way = self.under_way, ""
        if self._elapsed is not None:
            self._elapsed.stop()
        refused, self._refused = self._refused, False
        self.look_again()
        if event.state is WorkerState.ERROR:
            self._ring()
            self._failed(name, event.worker.error)
            return
        result = event.worker.result
        lines = list(result.lines) if isinstance(result, Done) else []
        if lines:
            self._ring()
        if refused:
            lines = lines or [f"Done: {name}."]
            lines.append("What was pressed meanwhile did nothing.")
        self._say(" ".join(lines))
        self.on_result(result)

    def _failed(self, name: str, error: BaseException | None) -> None:
        match error:
            case ActFailed():
                lines = error.lines()
            case NotDone():
                lines = (error.reason,)
            case _:
                path = keep_report(error or name)
                lines = (
                    f"luo-tui made an error of its own in {name!r}: {error!r}.",
                    f"Report: {path}" if path else "No report could be written.",
                )
        self.push(Notice(f"Not done: {name}", lines))

    def _done(self, *lines: str) -> Done:
        """In the worker: say how an act ended, once the machine has been read back."""
        self._read_back()
        return Done(lines)

    def _read_back(self) -> None:
        """In the worker: all that is drawn comes from one picture, which only goes forward."""
        self.hub.wait_refreshed()
        self.viewer.wait_built()

    def _ring(self) -> None:
        """Call an operator who looks elsewhere."""
        if self._bell:
            self.bell()
