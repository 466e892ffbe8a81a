# SPDX-License-Identifier: MIT
"""What runs here, is not preserved, and ends with this kernel. Pure.

A guest is carried where its largest memfd is preserved, by its own process or by
somebody else for it; by its own, a resource whose name is not known will do.
Names are not unique ("pc.ram"): as soon as more guests than resources bear one,
it proves nothing for any of them. A guest of QEMU that was armed is known by its record.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from luo_tui.model import Guest, State
from luo_tui.update.facts import Facts
from luo_tui.update.wording import few, size_text

_NAMED = 8
"""Guests or services that are named in one sentence."""


def uncarried(facts: Facts) -> tuple[Guest, ...]:
    """Return the guests that a kexec ends, the largest first; none where nobody looked."""
    if facts.work is None:
        return ()
    armed = {one.pid for one in facts.armed if not one.ended}
    guests = [g for g in facts.work.guests if g.pid not in armed]
    theirs = {token for one in facts.armed for token in one.tokens}
    kept = [r for r in facts.snapshot.outgoing if r.token not in theirs]
    pids = {g.pid for g in guests}
    own: dict[int, set[str]] = {}
    for resource in kept:
        own.setdefault(resource.pid, set()).add(resource.name)
    for_others = Counter(r.name for r in kept if r.pid not in pids)
    open_ = [g for g in guests if not _by_itself(g, own.get(g.pid, set()))]
    claims = Counter(name for g in open_ for name in g.memory)
    found = [g for g in open_ if not any(claims[n] <= for_others[n] for n in g.memory)]
    return tuple(sorted(found, key=lambda g: (-g.bytes, g.pid)))


def _by_itself(guest: Guest, preserved: set[str]) -> bool:
    """Whether what its own process preserved, by name, is the guest's memory."""
    return bool(preserved) and (not guest.memory or not preserved.isdisjoint((guest.memory[0], "")))


def since_prepare(guest: Guest, facts: Facts) -> bool:
    """Whether it is known to have started after this window prepared the host."""
    window_state, snapshot = facts.window_state, facts.snapshot
    if window_state is None or snapshot.luo.state not in (State.PREPARED, State.FROZEN):
        return False
    if window_state.closed or window_state.prepared_in != snapshot.host.boot_id:
        return False
    return bool(window_state.prepared_up) and guest.started >= window_state.prepared_up


def lost_guests(facts: Facts) -> Iterator[str]:
    """Name the guests that a kexec ends, and say what is not known of them."""
    found = uncarried(facts)
    late = [g for g in found if since_prepare(g, facts)]
    rest = [g for g in found if g not in late]
    if late:
        yield f"{len(late):,} started since prepare will be lost: {_all(late)}."
    if rest:
        what = "1 guest is" if len(rest) == 1 else f"{len(rest):,} guests are"
        yield f"{what} not preserved and will be lost: {_all(rest)}."
    for sentence in facts.work.missing if facts.work is not None else ():
        yield f"What else would be lost is not known: {sentence}."


def cut_services(facts: Facts) -> str:
    """Say what a kexec does to services, and which there are."""
    services = facts.work.services if facts.work is not None else ()
    named = f" ({len(services):,}: {few(services, _NAMED)})" if services else ""
    return f"Services are not stopped first: what they did not write out is lost{named}."


def _all(guests: Sequence[Guest]) -> str:
    sized = [f"{g.label}, {size_text(g.bytes)}" if g.bytes else g.label for g in guests]
    return few(sized, _NAMED, "; ")
