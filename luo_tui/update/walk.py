# SPDX-License-Identifier: MIT
"""The walk: from facts and journal to what can be done now. Pure.

One function, :func:`walk`, answers the same for a console that has just
started in a new kernel, for one that took over after a crash, and for one that
never did anything: which step the update is at, which acts are possible, what
each would do, what survives it, what is lost, and the way back. The kernel's
state outranks the journal: the journal only adds who, when and why.
"""

from __future__ import annotations

from dataclasses import dataclass

from luo_tui.model import Snapshot, State
from luo_tui.update.facts import Act, Facts, Step, handover_lost, step_of
from luo_tui.update.offers import Action, offers
from luo_tui.update.window_state import WindowState
from luo_tui.update.wording import count_text, local_time


@dataclass(frozen=True, slots=True)
class Walk:
    """Where the update stands, and what can be done."""

    step: Step | None
    """The step that is next; None while there is no orchestrator."""
    done: frozenset[Step]
    headline: str
    notes: tuple[str, ...]
    """What the operator has to know besides; the most important first."""
    actions: tuple[Action, ...]

    def action(self, act: Act) -> Action | None:
        """Return the offer of ``act``; None where it makes no sense in this state."""
        return next((a for a in self.actions if a.act is act), None)


def walk(facts: Facts) -> Walk:
    """Decide what the update has come to. Never fails; asks nobody."""
    snapshot = facts.snapshot
    step, done = step_of(facts)
    return Walk(
        step=step,
        done=frozenset(done),
        headline=_headline(snapshot),
        notes=tuple(_notes(facts)),
        actions=offers(facts),
    )


def _headline(snapshot: Snapshot) -> str:
    kept = count_text(len(snapshot.outgoing), "resource")
    match snapshot.luo.state:
        case State.NORMAL:
            return f"Nothing is prepared. {kept} preserved for an update."
        case State.PREPARED:
            return f"Prepared: {kept} would survive a kexec. Processes and guests run on."
        case State.FROZEN:
            return "Frozen: nothing preserved may change. Go on or cancel; do not stay here."
        case State.UPDATED:
            left = len(snapshot.incoming)
            gone = len(snapshot.discarded) - left
            tail = f"{count_text(left, 'resource')} not restored yet."
            if gone:
                left += gone
                tail = f"{count_text(left, 'resource')} with no process, {gone:,} of them restored."
            if not left:
                doubtful = snapshot.doubts("resources")
                tail = "Whether all is restored is not known." if doubtful else "All is restored."
            return f"This kernel took over from {snapshot.from_release or 'another'}. {tail}"
        case State.UNAVAILABLE:
            return (
                f"No live update on this kernel: {snapshot.luo.detail or 'the reason is unknown'}"
            )
        case _:
            return (
                f"The kernel names a state that this program does not know: {snapshot.luo.detail}"
            )


def _notes(facts: Facts) -> list[str]:
    snapshot, window_state = facts.snapshot, facts.window_state
    state = snapshot.luo.state
    notes = []
    if handover_lost(snapshot, window_state):
        notes.append(_lost_note(snapshot, window_state))
    if (
        window_state
        and not window_state.closed
        and window_state.jumped_from == snapshot.host.boot_id
    ):
        notes.append(
            f"The journal says that the jump to {window_state.target} began at "
            f"{local_time(window_state.jumped_at)}; "
            "it did not happen: this is still the same boot."
        )
    notes += _window_notes(facts)
    prepared_here = window_state and not window_state.closed and window_state.prepared
    if state is State.PREPARED and not prepared_here:
        notes.append("No window says who prepared this host: another tool did.")
    if state is State.FROZEN:
        notes.append("This host was found frozen: a tool froze it and did not go on.")
    if facts.foreign_is_loaded:
        notes.append(
            "A kernel image is loaded that this window did not load: "
            "an ordinary reboot may kexec into it."
        )
    if state is State.UPDATED and snapshot.discarded:
        notes.append(
            "Their owners restore them; files that were held: luo-tui restore NAME -o FILE. "
            "Finish discards what nobody restored."
        )
    if state is State.UPDATED and len(snapshot.discarded) > len(snapshot.incoming):
        notes.append(
            "What was restored by a process that is gone can be restored again until finish, "
            "which discards it."
        )
    if not facts.may_act:
        notes.append("You are watching. To act: sudo luo-tui")
    return notes


def _window_notes(facts: Facts) -> list[str]:
    """Say who has the window, or had it."""
    window_state, holder = facts.window_state, facts.lock_holder
    notes = []
    if facts.lock_fault:
        notes.append(f"Whether a console has the window open cannot be read: {facts.lock_fault}")
    if facts.journal_fault:
        notes.append(f"The journal cannot be read: {facts.journal_fault}")
    if holder is not None:
        notes.append(f"The window is open in another console: {holder}. You are watching.")
        since = f"since {local_time(holder.since)}, " if holder.since else ""
        notes.append(f"Its owner, {since}now: {holder.doing or 'nothing is under way or asked'}.")
    if window_state is None or window_state.closed:
        return notes
    if (
        window_state.holder
        and window_state.taken_from
        and window_state.taken_from == facts.me
        and window_state.holder.pid != facts.me.pid
    ):
        notes.append(f"You had this window; {window_state.holder} has taken it over.")
    if holder is not None or facts.mine:
        return notes
    if gone := facts.gone_holder:
        remedy = " To act, take it over: key o." if facts.may_act else ""
        notes.append(f"{_LEFT} {gone}, whose console is gone.{remedy}")
    if window_state.under_way:
        notes.append(
            f"The journal says that {window_state.under_way} began and not how it ended "
            f"(its console is gone). What counts is the kernel's state: {facts.snapshot.luo.state}."
        )
    if window_state.opened_by:
        notes.append(
            f"Window opened by {window_state.opened_by} at {local_time(window_state.opened_at)}."
        )
    return notes


_LEFT = "The window was left open by"


def _lost_note(snapshot: Snapshot, window_state: WindowState | None) -> str:
    target, at = (
        (window_state.target, local_time(window_state.jumped_at)) if window_state else ("", "")
    )
    lost = window_state.promised_count if window_state else 0
    running = snapshot.host.release
    how = "took nothing over" if running == target else "is not the target: an ordinary boot"
    return (
        f"THE HANDOVER IS LOST: the jump to {target} was made at {at}, and this kernel "
        f"({running}) {how}. {count_text(lost, 'resource')} did not survive."
    )
