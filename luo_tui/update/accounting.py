# SPDX-License-Identifier: MIT
"""What the next kernel writes down: what arrived, the verdict, and the hooks still owed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Any

from luo_tui.errors import ActFailed, Exit, NotDone
from luo_tui.update.before import condition_of
from luo_tui.update.blackout import blackout, by_systemd
from luo_tui.update.facts import Arrival, Facts, arrival, arrival_is_due
from luo_tui.update.hook import HookPoint
from luo_tui.update.open_window import OpenWindow
from luo_tui.update.verdict import verdict
from luo_tui.update.window_hooks import failure_is_due, restore_is_due

_STILL, _PATIENCE = 0.1, 100
"""Seconds in which nothing more may arrive before anything is called lost, and how many times."""


_NAMED = 20
"""Restores that are written down by name: a record is short."""


class Accounting:
    """Accounts, once, for the update of a window whose kernel has changed."""

    def __init__(self, window: OpenWindow) -> None:
        """``window`` is taken and given back here, where this process has not got it."""
        self._window = window

    def is_owed(self, now: Facts) -> bool:
        """Whether :meth:`arrive` has anything to do."""
        undo = failure_is_due(now.window_state, now.snapshot.host.boot_id)
        return _due(now) or undo or restore_is_due(now)

    def arrive(self) -> None:
        """Write down, once, what became of the jump of the open window.

        For a console that starts after the kexec; does nothing where there is
        no such window, another console has it, or this one may not act.
        """
        if not self._window.orchestrator.may_act():
            return
        # What comes of it is in the facts: that what came over is not known, where it failed.
        with contextlib.suppress(OSError):
            self._window.orchestrator.make_ready()
        now = self._window.facts()
        self._settle_hooks(now)
        if not _due(now):
            return
        with contextlib.suppress(NotDone, ActFailed):
            held = self._window.mine
            self._window.take()
            now = self._window.facts()
            if not _due(now) or (not held and now.gone_holder is not None):
                if not held:
                    self._window.release()
                return
            if arrival(now.snapshot, now.window_state) is Arrival.INTERRUPTED:
                # There is nothing left in it that could be taken over.
                self._window.reopen(now.snapshot.host.boot_id)
            else:
                self._window.open(now)
            self._account(self.settled(now) if now.promises.lost else now)
            self._settle_hooks(self._window.facts())

    def arrive_unattended(self) -> bool:
        """Write down what became of the jump, for a program that runs without an operator.

        The window stays its holder's, and open for him; that it was written by
        this program stands in the record. Returns whether anything was
        written. NotDone: another console has the window, or this process may
        not act; ActFailed: it could not be written.
        """
        if not self._window.orchestrator.may_act():
            raise NotDone("Acting needs root: sudo luo-tui arrive", Exit.NOT_PERMITTED)
        now = self._window.facts()
        self._settle_hooks(now)
        if not _due(now):
            return False
        self._window.take()
        try:
            now = self._window.facts()
            if not _due(now):
                return False
            self._window.reopen(now.snapshot.host.boot_id)
            found = self.settled(now) if now.promises.lost else now
            self._account(found, by=str(self._window.me))
            self._settle_hooks(self._window.facts())
        finally:
            self._window.release()
        return True

    def restored(self, each: Sequence[tuple[str, float]]) -> None:
        """Write down what was restored since the arrival: names, and CLOCK_BOOTTIME in seconds.

        Nothing where there is none, the kernel's log does not tell when the update
        arrived, or another console has the window. ActFailed: it could not be written.
        """
        if not each:
            return
        arrived = condition_of(self._window.orchestrator).arrived_up
        if arrived is None:
            return
        took = [(label, max(0, round((up - arrived) * 1e3))) for label, up in each]
        took.sort(key=lambda one: one[1])
        try:
            self._window.take()
        except NotDone:
            return
        try:
            now = self._window.facts()
            if now.window_state is None or now.window_state.closed:
                return
            self._window.reopen(now.snapshot.host.boot_id)
            left = len(now.snapshot.incoming)
            self._window.write(
                "restored",
                count=len(took),
                left=left,
                last_ms=took[-1][1],
                # The last ones are those that were waited for.
                each=[list(one) for one in took[-_NAMED:]],
                by=str(self._window.me),
            )
        finally:
            self._window.release()

    def settled(self, now: Facts) -> Facts:
        """Read anew until nothing more arrives. OSError as :meth:`facts`.

        luo.ko says "updated" before it has listed all that came: until then the
        rest looks lost (kernel/luo_core.c).
        """
        for _ in range(_PATIENCE):
            time.sleep(_STILL)
            before, now = now, self._window.facts()
            if _there(before) == _there(now):
                break
        return now

    def judged(self, now: Facts) -> dict[str, Any]:
        """Return what a record says of the update: the verdict on it, and its blackout."""
        condition = condition_of(self._window.orchestrator)
        judged, dark = verdict(now, condition), blackout(now.snapshot.stamps, condition)
        by_init = by_systemd(condition)
        return {
            **({"verdict": judged.record()} if judged else {}),
            **({"blackout": dark.record()} if dark else {}),
            **({"by_systemd": by_init.record()} if by_init else {}),
        }

    def _account(self, now: Facts, **by: str) -> None:
        snapshot = now.snapshot
        host, source = snapshot.host.release, snapshot.from_release
        match arrival(snapshot, now.window_state):
            case Arrival.ARRIVED:
                promises = now.promises.record()
                told = {"promises": promises, **self.judged(now), **by}
                self._window.write("arrived", release=host, source=source, **told)
            case Arrival.FINISHED:
                self._window.write("arrived", release=host, source=source, **self.judged(now), **by)
                self._window.close("finished by something else")
            case Arrival.LOST:
                lost = now.window_state.promised_count if now.window_state else 0
                self._window.planned.undo()
                self._window.write("lost", release=host, promised=lost, **self.judged(now), **by)
                self._window.close("lost")
            case Arrival.INTERRUPTED:
                self._window.close("interrupted: this host was started anew")
            case Arrival.UNKNOWN:
                self._window.close(f"not known: this kernel took over from {source}")

    def _settle_hooks(self, now: Facts) -> None:
        """Do, once, what the hooks of a console that has died still owe. Never fails.

        Also where the window has to be taken over first: no guest waits for that.
        """
        boot_id = now.snapshot.host.boot_id
        if not failure_is_due(now.window_state, boot_id) and not restore_is_due(now):
            return
        with contextlib.suppress(NotDone, ActFailed, OSError):
            held = self._window.mine
            self._window.take()
            try:
                # Another one may have done it before the lock was ours.
                now = self._window.facts()
                undo = failure_is_due(now.window_state, boot_id)
                if not undo and not restore_is_due(now):
                    return
                if not held:
                    self._window.reopen(boot_id)
                if undo:
                    self._window.planned.undo()
                else:
                    self._window.planned.after(HookPoint.AFTER_RESTORE)
            finally:
                if not held:
                    self._window.release()


def _there(facts: Facts) -> tuple[frozenset[int], frozenset[tuple[str, str]]]:
    """Return what has arrived so far."""
    parts = facts.snapshot.participants.values()
    return frozenset(facts.snapshot.resources), frozenset((p.id, p.state) for p in parts)


def _due(now: Facts) -> bool:
    return arrival_is_due(now.snapshot, now.window_state)
