# SPDX-License-Identifier: MIT
"""The acts as they are offered to the operator: what each does, keeps and costs. Pure.

Which acts make sense follows from the kernel's state; whether one may be done
now, and why not, is said by :func:`luo_tui.update.rules.refusal` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from luo_tui.model import Resource, ResourceState
from luo_tui.sources.clean import clean
from luo_tui.update.armed import (
    armed_by_loading,
    arming,
    disarmed_by_unloading,
    going_along,
    saving,
)
from luo_tui.update.device_outcome import DeviceOutcome, Outcome, device_outcomes, losses
from luo_tui.update.facts import Act, Facts, step_of, typed_word
from luo_tui.update.hook import HookPoint
from luo_tui.update.person import Person
from luo_tui.update.promises import Became, taking_part
from luo_tui.update.rules import refusal, states_of
from luo_tui.update.through_init import does, dropped, ends, survives
from luo_tui.update.uncarried import cut_services, lost_guests
from luo_tui.update.window_state import WindowState
from luo_tui.update.wording import Names, count_text, local_time, size_text, timeline_line

DISCARD = "discard"
"""What has to be typed before an act that loses something, but for the kexec."""


class Ask(StrEnum):
    """How an operator is asked before an act."""

    NOTHING = "nothing"
    """It can be undone at once and takes nothing from anybody."""
    CONFIRM = "confirm"
    TYPE = "type"
    """Something is lost by it: :attr:`Action.typed` has to be typed."""


class Action(NamedTuple):
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
    always: tuple[str, ...] = ()
    """What of :attr:`lost` goes with the act on every host."""
    lost_shown: Sequence[str] = ()
    """:attr:`lost` for the eye: a line for each guest, with all that it loses; empty: the same."""

    @property
    def beyond(self) -> tuple[str, ...]:
        """What is lost here besides what always goes with the act."""
        return tuple(one for one in self.lost if one not in self.always)

    @property
    def possible(self) -> bool:
        """Whether it can be done now."""
        return not self.blocked


def offers(facts: Facts) -> tuple[Action, ...]:
    """Return the acts that make sense now, the next one first; each with what blocks it."""
    return tuple(_checked(_offer(act, facts), facts) for act in _sensible(facts))


def offered(act: Act, facts: Facts) -> Action | None:
    """Return the offer of ``act``; None where it makes no sense now."""
    return next((a for a in offers(facts) if a.act is act), None)


def planned(act: Act, facts: Facts) -> Action:
    """Return the offer of ``act`` as it would be on these facts, whether or not it makes sense now.

    For a look ahead, before anything is done: what a kexec would lose is known before a prepare.
    """
    return _offer(act, facts)


def word_to_type(act: Act, facts: Facts) -> str:
    """Return what has to be typed before ``act`` on ``facts``; empty where nothing is lost."""
    return _offer(act, facts).typed


def _offer(act: Act, facts: Facts) -> Action:
    """Return the offer of ``act``. Whatever loses something is asked for by a word."""
    action = _BUILD[act](facts)
    if not action.lost or action.ask is Ask.TYPE:
        return action
    return action._replace(ask=Ask.TYPE, typed=DISCARD)


def _sensible(facts: Facts) -> Iterator[Act]:
    state = facts.snapshot.luo.state
    if not state.usable or facts.cannot:
        return
    if facts.may_act and facts.gone_holder is not None:
        yield Act.TAKE_OVER
    for act in (Act.LOAD, Act.PREPARE, Act.KEXEC, Act.CANCEL, Act.FINISH, Act.UNLOAD):
        if state not in states_of(act, facts.abilities):
            continue
        if act is Act.LOAD and not state.at_rest and facts.ours_is_loaded:
            continue
        if act is Act.UNLOAD and not facts.snapshot.kexec.loaded:
            continue
        yield act


def _checked(action: Action, facts: Facts) -> Action:
    found = refusal(action.act, facts)
    return action._replace(blocked=found.reason) if found is not None else action


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
            *armed_by_loading(facts),
        ),
        survives=("Everything: nothing else on this host changes.",)
        if replaced
        else ("Everything: nothing on this host changes.",),
        lost=("The image that somebody else loaded: this one replaces it.",) if replaced else (),
        way_back=f"Unload it; the state stays {state}. "
        "While it is loaded, an ordinary reboot may kexec into it.",
        # Nothing that a bare key does takes anything from anybody.
        ask=Ask.NOTHING,
    )


def _unload(facts: Facts) -> Action:
    foreign = facts.foreign_is_loaded
    return Action(
        act=Act.UNLOAD,
        label="Unload the image",
        keep="Keep the image loaded",
        does=(
            "Drops the kernel image that is loaded for kexec.",
            *disarmed_by_unloading(facts),
        ),
        survives=("Everything: nothing on this host changes.",),
        lost=("An image that somebody else loaded: it is not this window's.",) if foreign else (),
        way_back="Whoever loaded it has to load it again." if foreign else "Load it again.",
        ask=Ask.NOTHING,
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
            *((f"It takes {t.text()}.",) if (t := facts.prepare_time) else ()),
            *arming(facts),
            *_hooks(facts, HookPoint.BEFORE_PREPARE),
        ),
        survives=("Processes, guests and devices run on; writing into preserved memory goes on.",),
        lost=(),
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
            *_hooks(facts, HookPoint.ON_CANCEL),
        ),
        survives=("Everything: resources stay preserved and keep their tokens.",),
        lost=(),
        way_back="Prepare again.",
        ask=Ask.CONFIRM,
    )


def _kexec(facts: Facts) -> Action:
    snapshot, window_state = facts.snapshot, facts.window_state
    target = window_state.target if window_state and not window_state.closed else ""
    if facts.through is not None:
        return _kexec_through_init(facts, target or "the target")
    kept = snapshot.outgoing
    found = device_outcomes(snapshot)
    freezes = ", freezes" if facts.abilities.moves else ""
    before = "cancel the update" if facts.abilities.moves else "unload the image"
    guests = tuple(lost_guests(facts))
    always = (
        f"Every process on {snapshot.host.name} ends, this console and every login with it.",
        cut_services(facts),
        "All memory, connections and devices that are not listed as surviving are lost.",
        *_unretrieved(facts),
    )
    return Action(
        act=Act.KEXEC,
        label=f"End this kernel: kexec into {target or 'the target'}",
        keep=f"Stay {snapshot.luo.state}",
        does=(
            f"Syncs the file systems, loads the image afresh{freezes}, and jumps at once "
            f"from {snapshot.host.release} into {target or 'the target'}.",
            *saving(facts),
            *((f"The blackout will take {p.text()}.",) if (p := facts.predicted) else ()),
            *_hooks(facts, HookPoint.BEFORE_FREEZE),
        ),
        survives=Names(
            ((kept, "{}"),), (*_carried(found), *_handed_over(facts)), first=going_along(facts)
        )
        or ("Nothing: no resource is preserved.",),
        lost=(*guests, *always, *(line for o in found for line in losses((o,)))),
        always=always,
        lost_shown=(*guests, *always, *losses(found)),
        way_back=f"None after the jump. Until then: {before}.",
        ask=Ask.TYPE,
        typed=typed_word(snapshot, facts.image.release if facts.image else target),
    )


def _kexec_through_init(facts: Facts, target: str) -> Action:
    snapshot = facts.snapshot
    found, guests = device_outcomes(snapshot), tuple(lost_guests(facts))
    always = (
        f"Every process on {snapshot.host.name} ends, this console and every login with it; "
        "services are stopped first.",
        "All memory, connections and devices that are not listed as surviving are lost.",
        *dropped(facts),
        *_unretrieved(facts),
    )
    ended = tuple(ends(facts))
    return Action(
        act=Act.KEXEC,
        label=f"Shut down by systemd, and kexec into {target}",
        keep=f"Stay {snapshot.luo.state}",
        does=(*does(facts, target), *_hooks(facts, HookPoint.BEFORE_FREEZE)),
        survives=tuple(survives(facts)) or ("Nothing: no unit has left anything with systemd.",),
        lost=(*guests, *ended, *always, *(line for o in found for line in losses((o,)))),
        always=always,
        lost_shown=(*guests, *ended, *always, *losses(found)),
        way_back="None once systemd has the order. Until then: unload the image.",
        ask=Ask.TYPE,
        typed=typed_word(snapshot, facts.image.release if facts.image else target),
    )


def _finish(facts: Facts) -> Action:
    snapshot, promises = facts.snapshot, facts.promises
    left = facts.discarded
    abandoned = {r.token for r in left if r.abandoned}
    kept = tuple(r for r in snapshot.restored if r.token not in abandoned)
    gone = tuple(f"{o}: it is lost already" for o in promises.lost)
    lost = Names(_discarded(facts), first=gone)
    what = "that no process has" if abandoned else "unrestored"
    discards = f" and discard {len(left):,} {what}" if left else ""
    missing = f", with {len(gone):,} lost on the way" if gone else ""
    unrestored = len(left) > len(abandoned)
    window_state = facts.window_state
    ran = window_state is not None and HookPoint.AFTER_RESTORE in window_state.hooks_run
    before = () if ran else (HookPoint.AFTER_RESTORE,)
    return Action(
        act=Act.FINISH,
        label=f"Finish{discards}{missing}: updated -> normal",
        keep="Stay updated",
        does=(
            "Ends the update: nothing more can be restored from the previous kernel."
            if not facts.abilities.holders_must_live
            else "Ends the update, and the sessions that luo-tui-holder has of it; those of others "
            "are theirs to finish.",
            *(("Discards for good what nobody restored.",) if unrestored else ()),
            *(("Discards for good what processes restored that are gone.",) if abandoned else ()),
            *_hooks(facts, *before, HookPoint.AFTER_FINISH),
        ),
        survives=Names(((kept, "{} (restored)"), (snapshot.outgoing, "{} (preserved anew)"))),
        lost=lost,
        way_back=f"None: what is {'discarded' if left else 'lost'} is gone."
        if lost
        else "None needed: nothing is lost.",
        ask=Ask.CONFIRM,
    )


def _discarded(facts: Facts) -> tuple[tuple[tuple[Resource, ...], str], ...]:
    """Name what finish discards; first, and with the reason, what could not be restored."""
    left = {r.token: r for r in facts.discarded}
    failed = [o for o in facts.promises.that(Became.FAILED) if o.token in left]
    named = []
    for one in failed:
        reason = one.reason.replace("{", "{{").replace("}", "}}")
        named.append(((left.pop(one.token),), f"{{}}, of {{}}: {reason}"))
    abandoned = tuple(r for r in left.values() if r.abandoned)
    unrestored = tuple(r for r in left.values() if not r.abandoned)
    return (
        *named,
        (unrestored, "{}, of {}"),
        (abandoned, "{}, of {}: restored by a process that is gone"),
    )


def _handed_over(facts: Facts) -> Iterator[str]:
    """Name the subsystems whose state goes along."""
    named = {r.name for r in facts.snapshot.outgoing}
    for one in taking_part(facts.snapshot):
        if one.kind == "session":
            # What luo-tui holds is named as what it is.
            if one.name not in named:
                yield f"{one.label}, {one.state}: goes along if that process lives until the jump"
        elif one.kind != "pci":
            yield f"{one.label}: its state is handed over"


def _unretrieved(facts: Facts) -> Iterator[str]:
    """Say what goes that no list has: sessions of the last update that nobody has retrieved."""
    if facts.abilities.holders_must_live and facts.snapshot.from_release:
        yield (
            f"What came over from {facts.snapshot.from_release} and nobody has retrieved; "
            "the kernel does not list it."
        )


def _carried(found: Iterable[DeviceOutcome]) -> Iterator[str]:
    """Name the devices that are kept running."""
    for one in found:
        if one.outcome is Outcome.CARRIED:
            yield f"{one.device.bus} {one.device.id} ({one.device.driver or 'no driver'}), runs on"


def _hooks(facts: Facts, *points: HookPoint) -> Iterator[str]:
    """Say which of the plan's hooks run with an act."""
    for point in points:
        if facts.plan is not None and (hook := facts.plan.hooks.get(point)) is not None:
            yield (
                f"Runs the plan's hook {point}: {clean(' '.join(hook.run))} "
                f"(at most {hook.seconds} s)."
            )


_BUILD: Mapping[Act, Callable[[Facts], Action]] = {
    Act.TAKE_OVER: _take_over,
    Act.LOAD: _load,
    Act.UNLOAD: _unload,
    Act.PREPARE: _prepare,
    Act.CANCEL: _cancel,
    Act.KEXEC: _kexec,
    Act.FINISH: _finish,
}
