# SPDX-License-Identifier: MIT
"""Whether an act may be done on given facts, and why not. Pure: the one rule of offer and act.

The walk offers by :func:`refusal`; the act refuses by it, on facts read after
the lock was taken and once more directly before the move. What the operator
agreed to is held against the facts in :mod:`luo_tui.update.consent`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from luo_tui.errors import Exit
from luo_tui.model import LuoState, State
from luo_tui.orchestrator import ALL_MOVES, Abilities
from luo_tui.update.facts import ONLY_LOOKS, Act, Facts
from luo_tui.update.hook import HookPoint
from luo_tui.update.through_init import objection_to_init
from luo_tui.update.wording import few

STATES: Mapping[Act, frozenset[State]] = {
    Act.LOAD: frozenset({State.NORMAL, State.PREPARED, State.FROZEN}),
    Act.UNLOAD: frozenset({State.NORMAL, State.UPDATED}),
    Act.PREPARE: frozenset({State.NORMAL}),
    Act.CANCEL: frozenset({State.PREPARED, State.FROZEN}),
    Act.KEXEC: frozenset({State.PREPARED, State.FROZEN}),
    Act.FINISH: frozenset({State.UPDATED}),
    Act.TAKE_OVER: frozenset(State),
}
"""In which states of a kernel that has moves an act makes sense."""
_DIRECT: Mapping[Act, frozenset[State]] = {
    Act.LOAD: frozenset({State.NORMAL, State.PRESERVING}),
    Act.UNLOAD: frozenset({State.NORMAL, State.PRESERVING, State.UPDATED}),
    Act.PREPARE: frozenset(),
    Act.CANCEL: frozenset(),
    Act.KEXEC: frozenset({State.NORMAL, State.PRESERVING}),
    Act.FINISH: frozenset({State.UPDATED}),
    Act.TAKE_OVER: frozenset(State),
}
"""The same of one whose kexec takes along what is preserved at that moment."""

RESTS_ON: Mapping[Act, tuple[str, ...]] = {
    Act.PREPARE: ("state", "resources", "monitor", "host"),
    Act.KEXEC: ("state", "resources", "devices", "monitor", "host"),
    Act.FINISH: ("state", "resources", "monitor", "host"),
}
"""Sources without whose whole reading an act is not done. Cancel rests on the kernel alone."""


_OF_THE_FILES = frozenset({"LUO-C-003", "LUO-C-004"})
"""Checks of image and initrd as such: what they block cannot be booted on any host."""


class Refusal(NamedTuple):
    """Why an act may not be done."""

    reason: str
    """A whole sentence for a person, with what to do next."""
    code: Exit


def states_of(act: Act, abilities: Abilities) -> frozenset[State]:
    """Return the states in which ``act`` makes sense on such a kernel."""
    return (STATES if abilities.moves else _DIRECT)[act]


def refusal(act: Act, facts: Facts) -> Refusal | None:
    """Say why ``act`` may not be done on ``facts``; None where nothing speaks against it."""
    for rule in _RULES:
        found = rule(act, facts)
        if found is not None:
            return found
    return None


def refused_anyway(act: Act, facts: Facts) -> Refusal | None:
    """Say why ``act`` may not be done, whatever the target: before one is read."""
    return next(filter(None, (rule(act, facts) for rule in _RULES if rule is not _target)), None)


def _kind(act: Act, facts: Facts) -> Refusal | None:
    del act
    return Refusal(facts.cannot, Exit.UNAVAILABLE) if facts.cannot else None


def _privilege(act: Act, facts: Facts) -> Refusal | None:
    del act
    if facts.may_act:
        return None
    if facts.only_looks:
        return Refusal(ONLY_LOOKS, Exit.NOT_PERMITTED)
    return Refusal("Acting needs root: sudo luo-tui", Exit.NOT_PERMITTED)


def _lock(act: Act, facts: Facts) -> Refusal | None:
    del act
    if facts.lock_fault:
        why = f"Whether a console has the window open cannot be read: {facts.lock_fault}"
        return Refusal(why, Exit.BUSY)
    if facts.lock_holder is not None:
        why = f"The window is open in another console: {facts.lock_holder}."
        return Refusal(f"{why} It has to let go first.", Exit.BUSY)
    if facts.window_state is not None and facts.window_state.unwritable:
        return Refusal(facts.window_state.unwritable, Exit.REFUSED)
    return None


def _holder(act: Act, facts: Facts) -> Refusal | None:
    gone = facts.gone_holder
    if act is Act.TAKE_OVER:
        if gone is None:
            return Refusal(
                "There is nothing to take over: no window was left open by somebody else.",
                Exit.WRONG_STATE,
            )
        return None
    if gone is None:
        return None
    return Refusal(f"The window was left open by {gone}: take it over first.", Exit.BUSY)


def _state(act: Act, facts: Facts) -> Refusal | None:
    luo = facts.snapshot.luo
    if luo.state in states_of(act, facts.abilities):
        return None
    why = not_now(act, luo, abilities=facts.abilities)
    return Refusal(why, Exit.WRONG_STATE if luo.state.usable else Exit.UNAVAILABLE)


def not_now(act: Act, luo: LuoState, cannot: str = "", abilities: Abilities = ALL_MOVES) -> str:
    """Say why ``act`` makes no sense as LUO stands, and what comes first, with its key.

    ``cannot`` says why none does with this kind of kernel, if that is so;
    ``abilities`` are those of the kernel.
    """
    if cannot:
        return f"Not now: {cannot}"
    if not luo.state.usable:
        why = f": {luo.detail}" if luo.detail else ""
        return f"Not now: LUO is {luo.state.upper()}{why}."
    if not abilities.moves and act in _NO_SUCH_MOVE:
        return f"Not now: {_NO_SUCH_MOVE[act]}"
    return f"Not now: this host is {luo.state.upper()}. {_FIRST[act, luo.state]}"


def why_not(act: Act, facts: Facts) -> str:
    """Say the same of facts."""
    return not_now(act, facts.snapshot.luo, facts.cannot, facts.abilities)


_NO_SUCH_MOVE: Mapping[Act, str] = {
    Act.PREPARE: "this kernel has no prepare: the kexec takes along what is held by then.",
    Act.CANCEL: "this kernel has no cancel, for nothing is prepared: unload the image.",
}


_UNDO, _END = "Cancel the update first.", "Finish the update first."
_FIRST: Mapping[tuple[Act, State], str] = {
    (Act.LOAD, State.PREPARED): "The target is loaded already: go on, or cancel.",
    (Act.LOAD, State.FROZEN): "The target is loaded already: go on, or cancel.",
    (Act.LOAD, State.UPDATED): _END,
    (Act.UNLOAD, State.NORMAL): "No kernel image is loaded.",
    (Act.UNLOAD, State.PREPARED): _UNDO,
    (Act.UNLOAD, State.FROZEN): _UNDO,
    (Act.UNLOAD, State.UPDATED): "No kernel image is loaded.",
    (Act.PREPARE, State.PREPARED): "It is done: go on with the kexec, or cancel.",
    (Act.PREPARE, State.FROZEN): _UNDO,
    (Act.PREPARE, State.UPDATED): _END,
    (Act.KEXEC, State.NORMAL): "Prepare first.",
    (Act.KEXEC, State.UPDATED): _END,
    (Act.CANCEL, State.NORMAL): "There is nothing to cancel.",
    (Act.CANCEL, State.UPDATED): "After the kexec there is no way back: finish.",
    (Act.FINISH, State.NORMAL): "There is nothing to finish.",
    (Act.FINISH, State.PREPARED): "Finish comes after the kexec.",
    (Act.FINISH, State.FROZEN): "Finish comes after the kexec.",
    **dict.fromkeys(((a, State.PRESERVING) for a in Act), "Whoever holds a session acts for it."),
    (Act.FINISH, State.PRESERVING): "There is nothing to finish.",
    **dict.fromkeys(((Act.TAKE_OVER, s) for s in State), "There is nothing to take over."),
}
"""What comes before an act that makes no sense in a state."""


def _picture(act: Act, facts: Facts) -> Refusal | None:
    names = RESTS_ON.get(act, ())
    doubts = facts.snapshot.doubts(*names) if names else ()
    if not doubts:
        return None
    more = f" (and {len(doubts) - 1:,} more)" if len(doubts) > 1 else ""
    return Refusal(
        f"Not everything could be read that this rests on: {doubts[0]}{more}. "
        "Put that right, then look again.",
        Exit.REFUSED,
    )


def _dropped(act: Act, facts: Facts) -> Refusal | None:
    if act is not Act.KEXEC:
        return None
    if facts.unarmed:
        return Refusal(
            "The memory of these guests is preserved no more, for its holder has ended: "
            f"{few(facts.unarmed)}. They run on. Unload the image and load it again, which arms "
            "them anew.",
            Exit.REFUSED,
        )
    if not facts.dropped:
        return None
    return Refusal(
        f"What was held here is held no more, for its holder has ended: {few(facts.dropped)}. "
        "Hold it again, or give it up (luo-tui unpreserve NAME), then look again.",
        Exit.REFUSED,
    )


def _through_init(act: Act, facts: Facts) -> Refusal | None:
    found = objection_to_init(facts) if act is Act.KEXEC else ""
    return Refusal(found, Exit.REFUSED) if found else None


def _loaded(act: Act, facts: Facts) -> Refusal | None:
    if act in (Act.PREPARE, Act.KEXEC) and not facts.ours_is_loaded:
        if (
            facts.window_state is not None
            and facts.window_state.loaded_in
            and not (facts.snapshot.kexec.loaded or facts.window_state.closed)
        ):
            return Refusal("The target kernel is not loaded any more: load it again.", Exit.REFUSED)
        if act is Act.PREPARE:
            return Refusal("Load the target kernel first.", Exit.REFUSED)
        return Refusal(
            "No image of this window is loaded: load the target kernel first.", Exit.REFUSED
        )
    if act is Act.UNLOAD and not facts.snapshot.kexec.loaded:
        return Refusal("No kernel image is loaded.", Exit.WRONG_STATE)
    return None


def _target(act: Act, facts: Facts) -> Refusal | None:
    if act not in (Act.LOAD, Act.PREPARE, Act.KEXEC):
        return None
    image = facts.image
    if image is None:
        return Refusal("Choose a target kernel first.", Exit.REFUSED)
    if (state := facts.window_state) and not state.closed and state.plan_digest and not facts.plan:
        return Refusal(
            "The plan that this window was begun with cannot be read any more, or is another one: "
            "cancel or unload, and begin anew.",
            Exit.REFUSED,
        )
    if not facts.abilities.moves and facts.plan and HookPoint.BEFORE_PREPARE in facts.plan.hooks:
        return Refusal(
            "The plan has a hook before-prepare, and this kernel has no prepare: make it a hook "
            "before-freeze, which runs directly before the jump.",
            Exit.REFUSED,
        )
    if facts.plan is not None and (other := facts.plan.departure(image, facts.command_line)):
        return Refusal(
            f"The window goes by a plan, and this is not its target: {other}. Choose the plan's "
            "target, or begin a window without the plan.",
            Exit.REFUSED,
        )
    if facts.blockers:
        first = facts.blockers[0]
        code = Exit.BAD_IMAGE if first.code in _OF_THE_FILES else Exit.BLOCKED
        return Refusal(f"{first.text} {first.remedy}".strip(), code)
    if act is Act.LOAD:
        return _load(facts)
    return _as_loaded(facts)


def _load(facts: Facts) -> Refusal | None:
    image, window_state = facts.image, facts.window_state
    if facts.ours_is_loaded and image is not None and window_state is not None:
        if not facts.snapshot.luo.state.at_rest:
            return Refusal(
                f"The update into {window_state.target} is under way: cancel it before you load "
                "another kernel.",
                Exit.WRONG_STATE,
            )
        same = window_state.image == image.path and window_state.initrd == image.initrd
        if same and _digests(facts) in (("", ""), _recorded(facts)):
            return Refusal("It is loaded already; unload it to load it anew.", Exit.WRONG_STATE)
    return None


def _as_loaded(facts: Facts) -> Refusal | None:
    """Refuse when the files are no longer those that the window has loaded."""
    image, window_state = facts.image, facts.window_state
    if image is None or window_state is None:
        return None
    if not window_state.image_digest:
        return None
    now, then = _digests(facts), _recorded(facts)
    changed = []
    if window_state.image != image.path or now[0] != then[0]:
        changed.append(window_state.image)
    if window_state.initrd != image.initrd or now[1] != then[1]:
        changed.append(window_state.initrd or image.initrd)
    if window_state.command_line != facts.command_line:
        changed.append("the command line")
    if not changed:
        return None
    return Refusal(
        f"What was loaded is no longer what lies there: {' and '.join(changed)} changed. "
        "Cancel or unload, then choose and load the target anew.",
        Exit.REFUSED,
    )


def _digests(facts: Facts) -> tuple[str, str]:
    image = facts.image
    if image is None:
        return "", ""
    return (
        image.identity.sha256 if image.identity else "",
        image.initrd_identity.sha256 if image.initrd_identity else "",
    )


def _recorded(facts: Facts) -> tuple[str, str]:
    window_state = facts.window_state
    return (window_state.image_digest, window_state.initrd_digest) if window_state else ("", "")


_RULES: tuple[Callable[[Act, Facts], Refusal | None], ...] = (
    _kind,
    _privilege,
    _lock,
    _holder,
    _state,
    _picture,
    _dropped,
    _through_init,
    _loaded,
    _target,
)
