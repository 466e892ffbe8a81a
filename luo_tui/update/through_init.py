# SPDX-License-Identifier: MIT
"""A kexec through the init system: what speaks against it, and what it keeps and costs. Pure.

systemd stops the services first, preserves what they left with it, and jumps last,
from a process of its own. So nothing is asked again before the jump and nothing can
be undone: where the kernel refuses it then, systemd reboots, and all is lost.
"""

from __future__ import annotations

from collections.abc import Iterator

from luo_tui.model import DescriptorStore, InitSystem, Participant
from luo_tui.update.facts import Facts
from luo_tui.update.promises import taking_part
from luo_tui.update.wording import count_text, few

OLDEST = 261
"""The first systemd that preserves what units left with it."""

_SESSION = "session"


def objection_to_init(facts: Facts) -> str:
    """Say why the kexec cannot go through the init system; empty where it can, or need not."""
    through = facts.through
    if through is None:
        return ""
    if facts.abilities.moves:
        return (
            "This kernel's participants may refuse the freeze, which nobody could cancel within a "
            "shutdown: kexec without --through-init."
        )
    if not through.name:
        return "Process 1 is no systemd, which alone can do it: kexec without --through-init."
    if not through.version or through.missing:
        why = few(through.missing) or "it did not tell its version"
        return f"Whether systemd could do it is not known: {why}."
    if through.version < OLDEST:
        return (
            f"systemd {through.version} hands nothing over: {OLDEST} is the first that does. Kexec "
            "without --through-init."
        )
    if through.stores.missing:
        return f"What units left with systemd is not known: {few(through.stores.missing)}."
    if facts.armed or (facts.arms_guests and facts.work is not None and facts.work.guests):
        return (
            "Guests of QEMU are to be carried, and in a shutdown they end before they could be "
            "saved: kexec without --through-init."
        )
    if held := [r.label for r in facts.snapshot.outgoing]:
        return (
            f"luo-tui-holder ends with the shutdown, and what it holds with it: {few(held)}. Give "
            "it up (luo-tui unpreserve NAME), or kexec without --through-init."
        )
    return ""


def handed_over(through: InitSystem) -> tuple[DescriptorStore, ...]:
    """Return the stores of which systemd hands something over to the next kernel."""
    return tuple(s for s in through.stores.stores if s.promised)


def left(store: DescriptorStore) -> str:
    """Name what one unit has left with systemd and a kernel can carry."""
    return f"{count_text(store.promised, 'descriptor')} of {store.unit}"


def kept_sessions(facts: Facts) -> tuple[Participant, ...]:
    """Return the sessions that systemd hands over; a shutdown ends the holders of all others."""
    if facts.through is None:
        return ()
    held = {name for store in facts.through.stores.stores if store.outlives for name in store.held}
    return tuple(p for p in taking_part(facts.snapshot) if p.kind == _SESSION and p.name in held)


def does(facts: Facts, target: str) -> Iterator[str]:
    """Say what such a kexec does."""
    yield (
        "Syncs the file systems, loads the image afresh, and orders systemd to stop all services "
        f"and then to jump from {facts.snapshot.host.release} into {target}."
    )
    yield (
        "Where the kernel refuses the jump by then, it becomes a COLD REBOOT, and all that was "
        "preserved is lost: there is no veto and no undo."
    )


def survives(facts: Facts) -> Iterator[str]:
    """Name what systemd hands over."""
    if facts.through is None:
        return
    for store in handed_over(facts.through):
        yield f"{left(store)}: systemd gives the unit of this name what it has left"
    source = facts.snapshot.from_release
    came = f" if it was made here: one that came over from {source} ends" if source else ""
    for session in kept_sessions(facts):
        yield f"{session.label}: systemd has it, and hands it over{came}"


def dropped(facts: Facts) -> Iterator[str]:
    """Name what systemd has and no kernel carries: most are connections of what ends anyway."""
    for store in facts.through.stores.stores if facts.through is not None else ():
        if store.outlives and (number := store.number - store.promised):
            those = f"{count_text(number, 'descriptor')} of {store.unit}"
            yield f"{those}: neither a memfd nor a session, and so not handed over"


def ends(facts: Facts) -> Iterator[str]:
    """Name the sessions whose holders a shutdown ends before the jump."""
    kept = kept_sessions(facts)
    for one in taking_part(facts.snapshot):
        if one.kind == _SESSION and one not in kept:
            yield f"{one.label}, {one.state}: it ends with the shutdown"
