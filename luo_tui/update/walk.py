# SPDX-License-Identifier: MIT
"""The walk: from facts and journal to what can be done now. Pure.

One function, :func:`walk`, answers the same for a console that has just
started in a new kernel, for one that took over after a crash, and for one that
never did anything: which step the update is at, which acts are possible, what
each would do, what survives it, what is lost, and the way back. The kernel's
state outranks the journal: the journal only adds who, when and why.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from luo_tui.model import State
from luo_tui.update.facts import (
    ONLY_LOOKS,
    Act,
    Arrival,
    Facts,
    Step,
    arrival,
    handover_lost,
    step_of,
    steps_of,
)
from luo_tui.update.offers import Action, offers
from luo_tui.update.promises import Became
from luo_tui.update.window_state import WindowState
from luo_tui.update.wording import count_text, few, local_time


class Walk(NamedTuple):
    """Where the update stands, and what can be done."""

    step: Step | None
    """The step that is next; None while there is no orchestrator."""
    done: frozenset[Step]
    steps: Mapping[Step, str]
    """All that there are on this kernel, in their order, each with its word."""
    headline: str
    notes: tuple[str, ...]
    """What the operator has to know besides; the most important first."""
    actions: tuple[Action, ...]

    def action(self, act: Act) -> Action | None:
        """Return the offer of ``act``; None where it makes no sense in this state."""
        return next((a for a in self.actions if a.act is act), None)


def walk(facts: Facts) -> Walk:
    """Decide what the update has come to. Never fails; asks nobody."""
    step, done = step_of(facts)
    return Walk(
        step=step,
        done=frozenset(done),
        steps=steps_of(facts.abilities),
        headline=_headline(facts),
        notes=tuple(_notes(facts)),
        actions=offers(facts),
    )


def _headline(facts: Facts) -> str:
    snapshot = facts.snapshot
    kept = count_text(len(snapshot.outgoing), "resource")
    if snapshot.luo.evidence and (facts.cannot or snapshot.luo.state.at_rest):
        carried = "" if facts.cannot else f" {kept} of luo-tui's would go along with a kexec."
        why = "; ".join(snapshot.luo.evidence)
        return f"{snapshot.luo.state.capitalize()} (derived): {why}.{carried}"
    match snapshot.luo.state:
        case State.NORMAL:
            return f"Nothing is prepared. {kept} preserved for an update."
        case State.PREPARED:
            return f"Prepared: {kept} would survive a kexec. Processes and guests run on."
        case State.FROZEN:
            return "Frozen: nothing preserved may change. Go on or cancel; do not stay here."
        case State.UPDATED:
            return " ".join(_became(facts))
        case State.UNAVAILABLE:
            return (
                f"No live update on this kernel: {snapshot.luo.detail or 'the reason is unknown'}"
            )
        case _:
            return (
                f"The kernel names a state that this program does not know: {snapshot.luo.detail}"
            )


def _became(facts: Facts) -> Iterator[str]:
    """Say what has become of what was promised, the worst first."""
    snapshot, promises = facts.snapshot, facts.promises
    if lost := promises.lost:
        yield f"LOST: {few([str(o) for o in lost])}."
    if failed := promises.that(Became.FAILED):
        yield f"RESTORE FAILED: {few([str(o) for o in failed])}."
    yield f"This kernel took over from {snapshot.from_release or 'another'}."
    left = len(snapshot.incoming) - sum(o.token in snapshot.resources for o in failed)
    waiting = sum(o.token < 0 for o in promises.that(Became.NOT_YET))
    if left:
        yield f"{count_text(left, 'resource')} not restored yet."
    abandoned = sum(r.abandoned for r in facts.discarded)
    if abandoned:
        yield f"{count_text(abandoned, 'resource')} restored by processes that are gone."
    if waiting:
        yield f"{count_text(waiting, 'participant')} not claimed yet."
    unknown = promises.that(Became.NOT_KNOWN)
    if snapshot.doubts("resources") or unknown:
        yield "Whether all is restored is not known."
    elif promises.all_kept:
        yield "All is restored."
    elif not promises.open:
        yield "All that arrived is restored; what was promised is not known."
    elif not left and not waiting and not abandoned:
        yield "All else is restored."


def _notes(facts: Facts) -> list[str]:
    snapshot, window_state = facts.snapshot, facts.window_state
    state = snapshot.luo.state
    notes = [facts.cannot] if facts.cannot else []
    if facts.dropped:
        notes.append(
            f"HELD NO MORE: {few(facts.dropped)}. Its holder has ended, and the kernel dropped it."
        )
    if facts.unarmed:
        notes.append(
            f"ARMED NO MORE: {few(facts.unarmed)}. What held the memory of these guests has ended. "
            "They run on. Unload the image and load it again, which arms them anew."
        )
    if not facts.abilities.moves and facts.ours_is_loaded:
        notes.append(
            "This kernel has no prepare and no freeze: the kexec takes along what is held at that "
            "moment, by processes that live until then."
        )
    if handover_lost(snapshot, window_state):
        notes.append(_lost_note(facts))
    if arrival(snapshot, window_state) is Arrival.INTERRUPTED:
        notes.append(
            "This host was started anew while a window was open, without a jump: what the window "
            "had loaded and prepared is gone, and so is what was preserved. The next act ends it."
        )
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
    failed = window_state.failed if window_state else None
    if failed is not None and failed.boot == snapshot.host.boot_id and failed.why:
        notes.append(f"{failed.act.capitalize()} failed at {local_time(failed.at)}: {failed.why}")
    notes += _plan_notes(facts)
    notes += _window_notes(facts)
    if state is State.PREPARED and not _prepared_here(window_state, snapshot.host.boot_id):
        notes.append("No window says who prepared this host: another tool did.")
    if state is State.FROZEN:
        notes.append("This host was found frozen: a tool froze it and did not go on.")
    if facts.foreign_is_loaded:
        notes.append(
            "A kernel image is loaded that this window did not load: "
            "an ordinary reboot may kexec into it."
        )
    notes += [f"{o.label}: {o.remedy}" for o in facts.promises.that(Became.FAILED)[:_TOLD]]
    if facts.promised_fault:
        notes.append(f"What was promised cannot be read: {facts.promised_fault}")
    if state is State.UPDATED and facts.discarded:
        notes.append(
            "Their owners restore them; files that were held: luo-tui restore NAME -o FILE. "
            "Finish discards what nobody restored."
        )
    if state is State.UPDATED and any(r.abandoned for r in facts.discarded):
        notes.append(
            "What was restored by a process that is gone can be restored again until finish, "
            "which discards it."
        )
    if facts.only_looks:
        notes.append(ONLY_LOOKS)
    elif not facts.may_act:
        notes.append("You are watching. To act: sudo luo-tui")
    return notes


def _prepared_here(window_state: WindowState | None, boot_id: str) -> bool:
    """Whether the open window prepared this boot, or began to and could not write down its end."""
    if window_state is None or window_state.closed:
        return False
    if window_state.under_way == Act.PREPARE:
        return window_state.held_in in ("", boot_id)
    return window_state.prepared and window_state.prepared_in in ("", boot_id)


def _plan_notes(facts: Facts) -> Iterator[str]:
    """Say by which plan the window goes, and what a hook of it has left behind."""
    window_state, plan = facts.window_state, facts.plan
    opened = window_state is not None and not window_state.closed
    if plan is not None:
        what = " ".join(filter(None, (plan.change, plan.reason))) or "without a change number"
        approved = f", approved by {plan.approved_by}" if plan.approved_by else ""
        yield f"{'It goes' if opened else 'The next window goes'} by a plan: {what}{approved}."
    elif opened and window_state is not None and not window_state.plan_digest:
        if what := ": ".join(filter(None, (window_state.change, window_state.reason))):
            yield f"The window is for {what}."
    elif opened and window_state is not None:
        yield "The plan of this window cannot be read: no hook of it runs."
    if opened and window_state is not None and window_state.hook_open:
        yield (
            f"The hook {window_state.hook_open} was begun, and its act is not done: what it did "
            "stands until on-failure has run, or the update is over."
        )


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


_TOLD = 3
"""Failed restores of which it is told at length what to do."""
_LEFT = "The window was left open by"


def _lost_note(facts: Facts) -> str:
    snapshot, window_state = facts.snapshot, facts.window_state
    target, at = (
        (window_state.target, local_time(window_state.jumped_at)) if window_state else ("", "")
    )
    lost = window_state.promised_count if window_state else 0
    running = snapshot.host.release
    how = "took nothing over" if running == target else "is not the target: an ordinary boot"
    if window_state and window_state.arrived_in:
        how += ". The update had arrived before, in a kernel that is gone, and was not finished"
    names = ""
    if facts.promised is not None:
        gone = [r.label for r in facts.promised.resources]
        gone += [p.label for p in facts.promised.participants]
        names = f": {few(gone)}" if gone else ""
    return (
        f"THE HANDOVER IS LOST: the jump to {target} began at {at}, and this kernel "
        f"({running}) {how}. {count_text(lost, 'resource')} did not survive{names}."
    )
