# SPDX-License-Identifier: MIT
"""The hooks of a window under way: which are due, by the journal, and that they are run.

What a hook before an act did (guests are paused) lasts until another one undoes
it: ``on-failure`` or ``on-cancel`` where the act was not done, ``after-restore``
where it was. The journal knows it before the hook begins, so that whoever comes
after a console that died can still undo it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from luo_tui.errors import ActFailed, NotDone
from luo_tui.sources.clean import clean
from luo_tui.update.facts import Facts
from luo_tui.update.hook import HookPoint
from luo_tui.update.hooks import HookEnd, run_hook
from luo_tui.update.plan import Plan
from luo_tui.update.plan_files import keep_copy, kept_plan
from luo_tui.update.promises import Became
from luo_tui.update.window_state import WindowState


class Write(Protocol):
    """Writes a record of the window's journal."""

    def __call__(self, event: str, **data: object) -> None:
        """ActFailed where it could not be written."""
        ...


def failure_is_due(window_state: WindowState | None, boot_id: str) -> bool:
    """Whether what a hook did before the jump is not undone, and nobody is at it.

    For a window whose lock is free, or was taken by who asks. Pure.
    """
    if window_state is None or window_state.closed or not window_state.hook_open:
        return False
    return window_state.jumped_from == "" or window_state.jumped_from == boot_id


def restore_is_due(now: Facts) -> bool:
    """Whether everything that was promised has been restored, and the hook for it has not run.

    Pure. What is lost stays lost: the hook runs for what has come.
    """
    window_state = now.window_state
    if window_state is None or window_state.closed or not window_state.arrived:
        return False
    planned = now.plan is not None and HookPoint.AFTER_RESTORE in now.plan.hooks
    if not planned or HookPoint.AFTER_RESTORE in window_state.hooks_run:
        return False
    waits = (Became.NOT_YET, Became.FAILED, Became.NOT_KNOWN)
    return not any(now.promises.that(became) for became in waits)


class PlannedHooks:
    """The hooks of the window that this console has open, by the plan that it goes by."""

    def __init__(
        self, folder: Path, window_state: Callable[[], WindowState | None], write: Write
    ) -> None:
        """``folder`` is the journal's; ``window_state`` reads the newest window's state."""
        self._folder, self._window_state, self._write = folder, window_state, write
        self._plan: Plan | None = None
        self._text = ""
        self._kept: Plan | None = None
        """The copy that a window has, as it was last read."""

    def go_by(self, plan: Plan, text: str) -> None:
        """Take the plan for the windows that are opened here; ``text`` is its file's."""
        self._plan, self._text = plan, text

    def plan(self) -> Plan | None:
        """Return the plan that the open window goes by, or the next one will. Never fails.

        None as well where it cannot be read: then its hooks do not run, which an act says.
        """
        window_state = self._window_state()
        if window_state is None or window_state.closed or not window_state.plan_digest:
            return self._plan
        with contextlib.suppress(NotDone):
            return self._plan_of(window_state)
        return None

    def _plan_of(self, window_state: WindowState) -> Plan:
        """Return the plan of a window that has one. NotDone: its copy cannot be read."""
        wanted = window_state.plan_digest
        for known in (self._plan, self._kept):
            if known is not None and known.digest == wanted:
                return known
        self._kept = kept_plan(self._folder, window_state.window, wanted)
        return self._kept

    def note(self) -> None:
        """Write down by which plan the window goes.

        NotDone: it was begun by another one, or without. OSError, ActFailed: ENOSPC.
        """
        plan, window_state = self._plan, self._window_state()
        if plan is None or window_state is None or window_state.plan_digest == plan.digest:
            return
        if window_state.plan_digest or window_state.prepared:
            raise NotDone(
                "The open window was begun without this plan. Go on in it without, or end it "
                "first: nothing was done."
            )
        keep_copy(self._folder, window_state.window, self._text)
        about = {"change": plan.change, "reason": plan.reason, "approved_by": plan.approved_by}
        self._write("plan", sha256=plan.digest, **about)

    def before(self, point: HookPoint, act: str = "") -> bool:
        """Run what has to end well before an act; return whether there was anything to run.

        NotDone: it did not, or the plan cannot be read. With ``act`` that is
        written down as this act's failure.
        """
        try:
            end = self._run(point)
            if end is not None and end.fault:
                raise NotDone(_told(point, end))
        except NotDone as refused:
            if act:
                self._write("failed", act=act, why=refused.reason)
            raise
        return end is not None

    def after(self, point: HookPoint) -> tuple[str, ...]:
        """Run what belongs to an act that was done; return what there is to say of it."""
        try:
            end = self._run(point)
        except NotDone as unreadable:
            return (f"The hook {point} did not run. {unreadable.reason}",)
        return (_told(point, end),) if end is not None and end.fault else ()

    def undo(self) -> tuple[str, ...]:
        """Run ``on-failure`` where a hook's act was not done; return what there is to say."""
        window_state = self._window_state()
        if window_state is None or not window_state.hook_open:
            return ()
        did = window_state.hook_open
        try:
            end = self._run(HookPoint.ON_FAILURE)
        except (NotDone, ActFailed) as failed:
            why = failed.reason if isinstance(failed, NotDone) else failed.lines()[0]
            return (f"What the hook {did} did could not be undone: {why}",)
        if end is None:
            return (f"The plan has no on-failure hook: what {did} did stays as it is.",)
        if end.fault:
            return (_told(HookPoint.ON_FAILURE, end), f"What {did} did may stand as it is.")
        return (f"The on-failure hook has run: it undoes what {did} did.",)

    @contextlib.contextmanager
    def undoing(self) -> Iterator[None]:
        """Undo what a hook did where the act is not done; its error says what came of that."""
        try:
            yield
        except NotDone as refused:
            said = self.undo()
            raise NotDone(" ".join((refused.reason, *said)), refused.code) from refused
        except ActFailed as failed:
            more = (*failed.more, *self.undo())
            raise ActFailed(failed.explanation, failed.state, *more) from failed
        except (Exception, KeyboardInterrupt, SystemExit):
            self.undo()
            raise

    def _run(self, point: HookPoint) -> HookEnd | None:
        """Run a hook, if there is one. NotDone: the plan cannot be read. ActFailed: ENOSPC."""
        window_state = self._window_state()
        if window_state is None or not window_state.plan_digest:
            return None
        plan = self._plan_of(window_state)
        if (hook := plan.hooks.get(point)) is None:
            return None
        self._write("hook", point=point, phase="begin", program=clean(hook.run[0]))
        about = {
            "HOOK": str(point),
            "WINDOW": window_state.window,
            "RELEASE": window_state.release,
            "TARGET": window_state.target,
            "CHANGE": plan.change,
        }
        end = run_hook(hook, about)
        phase = "failed" if end.fault else "done"
        why = {"why": end.fault} if end.fault else {}
        ended = {"seconds": end.seconds, "said": list(end.said)}
        self._write("hook", point=point, phase=phase, **why, **ended)
        return end


def _told(point: HookPoint, end: HookEnd) -> str:
    said = f" Its last line: {end.said[-1]}" if end.said else ""
    return f"The hook {point} failed: {end.fault}.{said}"
