# SPDX-License-Identifier: MIT
"""The walk: from facts and journal to what can be done now. Pure.

One function, :func:`walk`, answers the same for a console that has just
started in a new kernel, for one that took over after a crash, and for one that
never did anything: which step the update is at, which acts are possible, what
each would do, what survives it, what is lost, and the way back. The kernel's
state outranks the journal: the journal only adds who, when and why.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from luo_tui.model import KernelImage, ResourceState, Snapshot, State
from luo_tui.update.device_outcome import DeviceOutcome, Outcome, device_outcomes
from luo_tui.update.person import Person
from luo_tui.update.window_state import Done, WindowState
from luo_tui.update.wording import Names, size_text


class Act(StrEnum):
    """What an operator can do; the value is what the journal says."""

    LOAD = "load"
    UNLOAD = "unload"
    PREPARE = "prepare"
    CANCEL = "cancel"
    KEXEC = "kexec"
    FINISH = "finish"
    TAKE_OVER = "take over"


class Ask(StrEnum):
    """How an operator is asked before an act."""

    NOTHING = "nothing"
    """It can be undone at once and takes nothing from anybody."""
    CONFIRM = "confirm"
    TYPE = "type"
    """It cannot be undone: :attr:`Action.typed` has to be typed."""


class Step(StrEnum):
    """The steps of an update, in their order."""

    CHECK = "check"
    LOAD = "load"
    PREPARE = "prepare"
    KEXEC = "freeze and kexec"
    RESTORE = "restore"
    FINISH = "finish"


class Level(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    BLOCKER = "blocker"


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check, with its remedy."""

    check: str
    level: Level
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything the walk is decided on."""

    snapshot: Snapshot
    may_act: bool
    image: KernelImage | None = None
    findings: tuple[Finding, ...] = ()
    window_state: WindowState | None = None
    lock_holder: Person | None = None
    """Who has the window open in another console; None when it is free or ours."""
    lock_fault: str = ""
    """Why it could not be read who has it; then :attr:`lock_holder` says nothing."""
    journal_fault: str = ""
    """Why the newest window could not be read; then :attr:`window_state` may be an older one."""
    me: Person | None = None
    """Person looks; None for a program that only looks."""
    mine: bool = False
    """Whether this console has the window open."""


@dataclass(frozen=True, slots=True)
class Action:
    """One act as it is offered to the operator."""

    act: Act
    label: str
    """The outcome, as a button says it."""
    keep: str
    """The outcome of not doing it; this button has the focus."""
    does: tuple[str, ...]
    survives: Sequence[str]
    lost: Sequence[str]
    way_back: str
    ask: Ask
    typed: str = ""
    blocked: str = ""
    """Why it cannot be done now; empty when it can."""

    @property
    def possible(self) -> bool:
        """Whether it can be done now."""
        return not self.blocked


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
    step, done = _step(facts)
    return Walk(
        step=step,
        done=frozenset(done),
        headline=_headline(snapshot),
        notes=tuple(_notes(facts)),
        actions=tuple(_actions(facts)),
    )


def ours_is_loaded(snapshot: Snapshot, window_state: WindowState | None) -> bool:
    """Whether the image that the kernel holds was loaded by this window, in this boot."""
    return bool(
        snapshot.kexec.loaded
        and window_state
        and not window_state.closed
        and window_state.loaded_in == snapshot.host.boot_id
    )


def handover_lost(snapshot: Snapshot, window_state: WindowState | None) -> bool:
    """Whether the journal tells of a jump whose handover did not reach this kernel."""
    if window_state is None or snapshot.luo.state is not State.NORMAL:
        return False
    if window_state.lost_in:
        return window_state.lost_in == snapshot.host.boot_id
    elsewhere = window_state.jumped_from not in ("", snapshot.host.boot_id)
    return elsewhere and not window_state.closed and not window_state.arrived


def gone_holder(window_state: WindowState | None, boot_id: str, me: Person) -> Person | None:
    """Return from whom ``me`` would have to take the window over; None where he may just go on.

    For a window whose lock is free. Its last holder is gone. Another person has
    to take over; the same one only at another terminal, and only in the boot in
    which the window was held: after a jump its console is gone of necessity.
    """
    if window_state is None or window_state.closed or window_state.holder is None:
        return None
    last = window_state.holder
    if last.user == me.user and (last.is_at_the_same_place(me) or window_state.held_in != boot_id):
        return None
    return last


def local_time(at: str) -> str:
    """Write a record's time as the operator's clock shows it, to the second."""
    try:
        return datetime.fromisoformat(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return at


def _gone(facts: Facts) -> Person | None:
    if facts.me is None or facts.mine or facts.lock_holder is not None:
        return None
    return gone_holder(facts.window_state, facts.snapshot.host.boot_id, facts.me)


def typed_word(snapshot: Snapshot, target: str) -> str:
    """Return what must be typed before the kexec: the host's name, or the target if it has none."""
    return snapshot.host.name if snapshot.host.has_real_name else target


def _step(facts: Facts) -> tuple[Step | None, Sequence[Step]]:
    steps = list(Step)
    snapshot = facts.snapshot
    match snapshot.luo.state:
        case State.NORMAL:
            if ours_is_loaded(snapshot, facts.window_state):
                at = Step.PREPARE
            elif facts.image and not _blockers(facts):
                at = Step.LOAD
            else:
                at = Step.CHECK
        case State.PREPARED | State.FROZEN:
            at = Step.KEXEC
        case State.UPDATED:
            at = Step.RESTORE if snapshot.incoming else Step.FINISH
        case _:
            return None, ()
    return at, steps[: steps.index(at)]


def _headline(snapshot: Snapshot) -> str:
    kept = _count(len(snapshot.outgoing), "resource")
    match snapshot.luo.state:
        case State.NORMAL:
            return f"Nothing is prepared. {kept} preserved for an update."
        case State.PREPARED:
            return f"Prepared: {kept} would survive a kexec. Processes and guests run on."
        case State.FROZEN:
            return "Frozen: nothing preserved may change. Go on or cancel; do not stay here."
        case State.UPDATED:
            left = len(snapshot.incoming)
            tail = f"{_count(left, 'resource')} not restored yet." if left else "All is restored."
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
    if snapshot.kexec.loaded and not ours_is_loaded(snapshot, window_state):
        notes.append(
            "A kernel image is loaded that this window did not load: "
            "an ordinary reboot may kexec into it."
        )
    if state is State.UPDATED and snapshot.incoming:
        notes.append(
            "Their owners restore them; files that were held: luo-tui restore NAME -o FILE. "
            "Finish discards what nobody restored."
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
    if gone := _gone(facts):
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
        f"({running}) {how}. {_count(lost, 'resource')} did not survive."
    )


def _actions(facts: Facts) -> list[Action]:
    state = facts.snapshot.luo.state
    offers: list[Action] = []
    if state is State.NORMAL:
        offers = [_load(facts), _prepare(facts)]
    elif state in (State.PREPARED, State.FROZEN):
        offers = [_kexec(facts), _cancel(facts)]
        if not ours_is_loaded(facts.snapshot, facts.window_state):
            offers.insert(0, _load(facts))
    elif state is State.UPDATED:
        offers = [_finish(facts)]
    if facts.snapshot.kexec.loaded and state in (State.NORMAL, State.UPDATED):
        offers.append(_unload())
    if why := _nobody_may(facts):
        return [replace(a, blocked=why) for a in offers]
    if offers and (gone := _gone(facts)):
        why = f"{_LEFT} {gone}: take it over first."
        return [_take_over(facts, gone), *(replace(a, blocked=why) for a in offers)]
    return offers


def _nobody_may(facts: Facts) -> str:
    if not facts.may_act:
        return "Acting needs root: sudo luo-tui"
    if facts.lock_holder is not None:
        return f"The window is open in another console: {facts.lock_holder}"
    return facts.window_state.unwritable if facts.window_state else ""


def _take_over(facts: Facts, gone: Person) -> Action:
    window_state = facts.window_state or WindowState("")
    step = _step(facts)[0]
    last = timeline_line(window_state.acts[-1]) if window_state.acts else "none"
    return Action(
        act=Act.TAKE_OVER,
        label=f"Take over the window of {gone.user or 'somebody'} on "
        f"{gone.tty or 'no terminal'} (gone)",
        keep="Take nothing over",
        does=(
            f"Makes this console the owner of the window that was last held by {gone}.",
            f"Opened by {window_state.opened_by or 'somebody'} "
            f"at {local_time(window_state.opened_at)}.",
            f"It stands before: {step}. Last record: {last}.",
            *(
                (f"{window_state.under_way} began, and its end is not known.",)
                if window_state.under_way
                else ()
            ),
            f"The kernel's state is now: {facts.snapshot.luo.state}.",
        ),
        survives=("Everything: nothing on this host changes.",),
        lost=(),
        way_back="Leave the console: the window stays open for the next one.",
        ask=Ask.CONFIRM,
    )


def timeline_line(done: Done) -> str:
    """Write one line of a window's timeline, its time first."""
    result = done.result or ("" if done.ended else "under way")
    took = f" at {local_time(done.ended)[11:]}" if done.ended not in ("", done.at) else ""
    parts = [
        f"{local_time(done.at)} {done.what}",
        f"{result}{took}" if result else "",
        f"confirmed: {done.confirmed}" if done.confirmed else "",
        f"by {done.by}" if done.by else "",
    ]
    return "; ".join(p for p in parts if p)


def _load(facts: Facts) -> Action:
    image = facts.image
    state = facts.snapshot.luo.state
    blockers = _blockers(facts)
    if image is None:
        blocked = "Choose a target kernel first."
    elif blockers:
        blocked = f"{blockers[0].text} {blockers[0].remedy}".strip()
    elif ours_is_loaded(facts.snapshot, facts.window_state) and _loaded_path(facts) == image.path:
        blocked = "It is loaded already; unload it to load it anew."
    else:
        blocked = ""
    target = image.release if image else "the target kernel"
    replaced = facts.snapshot.kexec.loaded and not ours_is_loaded(
        facts.snapshot, facts.window_state
    )
    return Action(
        act=Act.LOAD,
        label=f"Load {target}",
        keep="Load nothing",
        does=(
            f"Loads {image.path if image else 'the chosen image'} into memory for kexec.",
            *(("It replaces an image that somebody else loaded.",) if replaced else ()),
        ),
        survives=("Everything: nothing on this host changes.",),
        lost=(),
        way_back=f"Unload it; the state stays {state}. "
        "While it is loaded, an ordinary reboot may kexec into it.",
        ask=Ask.NOTHING,
        blocked=blocked,
    )


def _loaded_path(facts: Facts) -> str:
    return facts.window_state.image if facts.window_state else ""


def _unload() -> Action:
    return Action(
        act=Act.UNLOAD,
        label="Unload the image",
        keep="Keep the image loaded",
        does=("Drops the kernel image that is loaded for kexec.",),
        survives=("Everything: nothing on this host changes.",),
        lost=(),
        way_back="Load it again.",
        ask=Ask.NOTHING,
    )


def _prepare(facts: Facts) -> Action:
    snapshot = facts.snapshot
    ready = ours_is_loaded(snapshot, facts.window_state)
    kept = snapshot.outgoing
    return Action(
        act=Act.PREPARE,
        label="Prepare: normal -> prepared",
        keep="Stay normal",
        does=(
            f"Makes {_count(len(kept), 'preserved resource')} ready for the handover "
            f"({size_text(snapshot.bytes_in(ResourceState.PRESERVED))}).",
            "From now until cancel or finish nothing can be preserved or unpreserved, "
            "and preserved files can neither grow nor shrink.",
        ),
        survives=("Processes, guests and devices run on; writing into preserved memory goes on.",),
        lost=() if kept else ("Nothing is preserved: an update now would carry nothing across.",),
        way_back="Cancel the update: prepared -> normal. Tokens survive it.",
        ask=Ask.CONFIRM,
        blocked="" if ready else "Load the target kernel first.",
    )


def _cancel(facts: Facts) -> Action:
    state = facts.snapshot.luo.state
    ours = ours_is_loaded(facts.snapshot, facts.window_state)
    return Action(
        act=Act.CANCEL,
        label=f"Cancel the update: {state} -> normal",
        keep=f"Stay {state}",
        does=(
            f"Takes the host back from {state} to normal.",
            *(("Unloads the kernel image that this window loaded.",) if ours else ()),
        ),
        survives=("Everything: resources stay preserved and keep their tokens.",),
        lost=(),
        way_back="Prepare again.",
        ask=Ask.CONFIRM,
    )


def _kexec(facts: Facts) -> Action:
    snapshot, window_state = facts.snapshot, facts.window_state
    target = window_state.target if window_state and not window_state.closed else ""
    kept = snapshot.outgoing
    loaded = ours_is_loaded(snapshot, window_state)
    blocked = "" if loaded else "No image of this window is loaded: load the target kernel first."
    found = device_outcomes(snapshot)
    return Action(
        act=Act.KEXEC,
        label=f"End this kernel: kexec into {target or 'the target'}",
        keep=f"Stay {snapshot.luo.state}",
        does=(
            "Syncs the file systems, loads the image afresh, freezes, and jumps at once "
            f"from {snapshot.host.release} into {target or 'the target'}.",
        ),
        survives=Names(((kept, "{}"),), tuple(_carried(found)))
        or ("Nothing: no resource is preserved.",),
        lost=(
            f"Every process on {snapshot.host.name} ends, this console and every login with it.",
            "Services are not stopped first: what they did not write out is lost.",
            "All memory, connections and devices that are not listed as surviving are lost.",
            *_interrupted(found),
        ),
        way_back="None after the jump. Until then: cancel the update.",
        ask=Ask.TYPE,
        typed=typed_word(snapshot, target),
        blocked=blocked,
    )


def _finish(facts: Facts) -> Action:
    snapshot = facts.snapshot
    lost = snapshot.incoming
    return Action(
        act=Act.FINISH,
        label=f"Finish and discard {len(lost)} unrestored: updated -> normal"
        if lost
        else "Finish: updated -> normal",
        keep="Stay updated",
        does=(
            "Ends the update: nothing more can be restored from the previous kernel.",
            *(("Discards for good what nobody restored.",) if lost else ()),
        ),
        survives=Names(
            ((snapshot.restored, "{} (restored)"), (snapshot.outgoing, "{} (preserved anew)"))
        ),
        lost=Names(((lost, "{}, of {}"),)),
        way_back="None: what is discarded is gone." if lost else "None needed: nothing is lost.",
        ask=Ask.CONFIRM,
    )


def _carried(found: Iterable[DeviceOutcome]) -> Iterator[str]:
    """Name the devices that are kept running."""
    for one in found:
        if one.outcome is Outcome.CARRIED:
            yield f"{one.device.bus} {one.device.id} ({one.device.driver or 'no driver'}), runs on"


def _interrupted(found: Iterable[DeviceOutcome]) -> Iterator[str]:
    """Say which devices are taken from somebody who uses them now."""
    taken = [f.device.id for f in found if f.dangerous]
    if taken:
        some = ", ".join(taken[:3]) + (" and others (key 3)" if len(taken) > 3 else "")
        yield f"{_count(len(taken), 'device')} in use or in a guest's hands: {some}."


def _blockers(facts: Facts) -> list[Finding]:
    return [f for f in facts.findings if f.level is Level.BLOCKER]


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
