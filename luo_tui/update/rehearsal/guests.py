# SPDX-License-Identifier: MIT
"""What stands for this host's guests in a rehearsal, and what of them is not rehearsed. Pure.

No QEMU is started in the machine: that has no KVM of its own, and a QEMU that is emulated
where it already is emulated takes minutes to start. What the kernel has to do for a guest
is rehearsed: memfds stand for its memory, and for its devices' state one that is preserved
empty, and written to between prepare and freeze, as ``luo_tui/guests/carry.py`` does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from luo_tui.guests.facts import STATE_NAME
from luo_tui.model import Guest, Work
from luo_tui.update.wording import count_text, few

MOST = 64
"""Guests that have stand-ins for their state."""
_NAMED = 8


class GuestsHere(NamedTuple):
    """The guests of this host, as an update would meet them."""

    armed_by_prepare: tuple[Guest, ...] = ()
    """Of QEMU, where prepare arms guests: carried, if they can be."""
    others: tuple[Guest, ...] = ()
    missing: tuple[str, ...] = ()
    """Why there may be more: sentences without their ends."""

    @property
    def memory(self) -> tuple[int, ...]:
        """Bytes of the memory of each that is not preserved yet, and will be."""
        return tuple(g.bytes for g in self.armed_by_prepare if g.bytes and not _is_armed(g))

    @property
    def states(self) -> int:
        """How many memfds stand for the state of a guest."""
        return min(len(self.armed_by_prepare), MOST)


def guests_here(work: Work, *, arms: bool) -> GuestsHere:
    """Sort the guests; ``arms`` says whether prepare arms those of QEMU on this host."""
    mine = tuple(g for g in work.guests if arms and g.is_qemu)
    return GuestsHere(mine, tuple(g for g in work.guests if g not in mine), work.missing)


def not_rehearsed(here: GuestsHere) -> Iterator[str]:
    """Yield what of the guests is not tried, each a line without its end."""
    if here.armed_by_prepare:
        memory = "their memory and " if all(g.bytes for g in here.armed_by_prepare) else ""
        yield (
            f"{_counted(here.armed_by_prepare)}: no QEMU is started in the machine, which has no "
            f"KVM. Memfds stand for {memory}their devices' state; whether and how long QEMU saves "
            "and loads them is not tried, and the blackout is without it"
        )
        if not memory:
            yield "the memory of guests: its size is not known here (only root sees it)"
    if here.others:
        yield f"{_counted(here.others)}: not armed by prepare on this host"
    yield from here.missing


def _counted(guests: tuple[Guest, ...]) -> str:
    return f"{count_text(len(guests), 'guest')} ({few([g.label for g in guests], _NAMED)})"


def _is_armed(guest: Guest) -> bool:
    """Whether its QEMU has been given a file for its state: its memory is preserved, then."""
    return any(name.startswith(f"{STATE_NAME}-") for name in guest.memory)
