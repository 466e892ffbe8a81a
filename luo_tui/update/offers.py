# SPDX-License-Identifier: MIT
"""The acts as they are offered to the operator: what each does, keeps and costs. Pure.

Which acts make sense follows from the kernel's state; whether one may be done
now, and why not, is said by :func:`luo_tui.update.rules.refusal` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from luo_tui.model import ResourceState, State
from luo_tui.update.device_outcome import DeviceOutcome, Outcome, device_outcomes
from luo_tui.update.facts import Act, Facts, step_of, typed_word
from luo_tui.update.person import Person
from luo_tui.update.rules import STATES, refusal
from luo_tui.update.window_state import WindowState
from luo_tui.update.wording import Names, count_text, local_time, size_text, timeline_line


class Ask(StrEnum):
    """How an operator is asked before an act."""

    NOTHING = "nothing"
    """It can be undone at once and takes nothing from anybody."""
    CONFIRM = "confirm"
    TYPE = "type"
    """It cannot be undone: :attr:`Action.typed` has to be typed."""


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


def offers(facts: Facts) -> tuple[Action, ...]:
    """Return the acts that make sense now, the next one first; each with what blocks it."""
    return tuple(_checked(_BUILD[act](facts), facts) for act in _sensible(facts))


def _sensible(facts: Facts) -> Iterator[Act]:
    state = facts.snapshot.luo.state
    if not state.usable:
        return
    if facts.may_act and facts.gone_holder is not None:
        yield Act.TAKE_OVER
    for act in (Act.LOAD, Act.PREPARE, Act.KEXEC, Act.CANCEL, Act.FINISH, Act.UNLOAD):
        if state not in STATES[act]:
            continue
        if act is Act.LOAD and state is not State.NORMAL and facts.ours_is_loaded:
            continue
        if act is Act.UNLOAD and not facts.snapshot.kexec.loaded:
            continue
        yield act


def _checked(action: Action, facts: Facts) -> Action:
    found = refusal(action.act, facts)
    return replace(action, blocked=found.reason) if found is not None else action


def _take_over(facts: Facts) -> Action:
    gone = facts.gone_holder or Person()
    window_state = facts.window_state or WindowState("")
    step = step_of(facts)[0]
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


def _load(facts: Facts) -> Action:
    image, state = facts.image, facts.snapshot.luo.state
    target = image.release if image else "the target kernel"
    replaced = facts.foreign_is_loaded
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
        # Nothing that a bare key does takes anything from anybody.
        ask=Ask.CONFIRM if replaced else Ask.NOTHING,
    )


def _unload(facts: Facts) -> Action:
    foreign = facts.foreign_is_loaded
    return Action(
        act=Act.UNLOAD,
        label="Unload the image",
        keep="Keep the image loaded",
        does=("Drops the kernel image that is loaded for kexec.",),
        survives=("Everything: nothing on this host changes.",),
        lost=("An image that somebody else loaded: it is not this window's.",) if foreign else (),
        way_back="Whoever loaded it has to load it again." if foreign else "Load it again.",
        ask=Ask.CONFIRM if foreign else Ask.NOTHING,
    )


def _prepare(facts: Facts) -> Action:
    snapshot = facts.snapshot
    kept = snapshot.outgoing
    return Action(
        act=Act.PREPARE,
        label="Prepare: normal -> prepared",
        keep="Stay normal",
        does=(
            f"Makes {count_text(len(kept), 'preserved resource')} ready for the handover "
            f"({size_text(snapshot.bytes_in(ResourceState.PRESERVED))}).",
            "From now until cancel or finish nothing can be preserved or unpreserved, "
            "and preserved files can neither grow nor shrink.",
        ),
        survives=("Processes, guests and devices run on; writing into preserved memory goes on.",),
        lost=() if kept else ("Nothing is preserved: an update now would carry nothing across.",),
        way_back="Cancel the update: prepared -> normal. Tokens survive it.",
        ask=Ask.CONFIRM,
    )


def _cancel(facts: Facts) -> Action:
    state = facts.snapshot.luo.state
    ours = facts.ours_is_loaded
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
        typed=typed_word(snapshot, facts.image.release if facts.image else target),
    )


def _finish(facts: Facts) -> Action:
    snapshot = facts.snapshot
    lost = snapshot.discarded
    gone = sum(r.abandoned for r in lost)
    kept = tuple(r for r in snapshot.restored if not r.abandoned) if gone else snapshot.restored
    return Action(
        act=Act.FINISH,
        label=f"Finish and discard {len(lost)} {'that nobody has' if gone else 'unrestored'}: "
        "updated -> normal"
        if lost
        else "Finish: updated -> normal",
        keep="Stay updated",
        does=(
            "Ends the update: nothing more can be restored from the previous kernel.",
            *(("Discards for good what nobody restored.",) if len(lost) > gone else ()),
            *(("Discards for good what was restored by processes that are gone.",) if gone else ()),
        ),
        survives=Names(((kept, "{} (restored)"), (snapshot.outgoing, "{} (preserved anew)"))),
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
    """Name each device that is taken from somebody who uses it now, and who that is."""
    for one in found:
        if one.dangerous:
            yield f"{one.device.bus} {one.device.id}: {one.reason}"


_BUILD: Mapping[Act, Callable[[Facts], Action]] = {
    Act.TAKE_OVER: _take_over,
    Act.LOAD: _load,
    Act.UNLOAD: _unload,
    Act.PREPARE: _prepare,
    Act.CANCEL: _cancel,
    Act.KEXEC: _kexec,
    Act.FINISH: _finish,
}
