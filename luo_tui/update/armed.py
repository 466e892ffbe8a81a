# SPDX-License-Identifier: MIT
"""What an operator is told of guests of QEMU before an act that arms or saves them. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from luo_tui.update.facts import Facts
from luo_tui.update.wording import count_text, size_text

_ARMS = (
    "Arms the guests of QEMU that can be carried (`luo-tui guests` names them, and the others with "
    "their reasons): their memory is preserved while they run."
)


def arming(facts: Facts) -> Iterator[str]:
    """Say what prepare does to guests."""
    if facts.arms_guests:
        yield _ARMS
    elif not facts.snapshot.outgoing:
        yield "Nothing is preserved: an update now would carry nothing across."


def armed_by_loading(facts: Facts) -> Iterator[str]:
    """Say what load does to guests, where the kernel has no prepare that would."""
    if facts.arms_guests and not facts.abilities.moves:
        yield f"{_ARMS} That takes memory for what they have not touched yet, too."


def disarmed_by_unloading(facts: Facts) -> Iterator[str]:
    """Say what unload does to guests that were armed by load."""
    if facts.armed and not facts.abilities.moves:
        number = count_text(len(facts.armed), "guest")
        yield f"Gives up what is preserved for {number} of QEMU; they run on."


def saving(facts: Facts) -> Iterator[str]:
    """Say what the jump does to those that are armed."""
    if going := [one for one in facts.armed if not one.ended]:
        yield f"Before that it pauses and saves {count_text(len(going), 'guest')} of QEMU."


def going_along(facts: Facts) -> tuple[str, ...]:
    """Name those that are armed, as what survives."""
    return tuple(
        f"guest {one.name} [{one.pid}], {size_text(one.bytes)}: goes on in the new kernel"
        for one in facts.armed
        if not one.ended
    )
