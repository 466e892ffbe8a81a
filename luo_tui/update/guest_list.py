# SPDX-License-Identifier: MIT
"""The guests of a host, and what an update does to each; those that are lost first. Pure.

It rests on /proc, on what is preserved, and on what is written down of armed guests.
QEMU is not asked: that takes time, and one program at a time has a guest's QMP socket.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

from luo_tui.model import Guest, State, Work
from luo_tui.update.facts import CameOver, Facts, GoesAlong, Stands
from luo_tui.update.uncarried import since_prepare, uncarried


class Becomes(StrEnum):
    """What became of a guest in this update, or becomes of it in the next; the worst first."""

    WAITS = "stands still"
    ENDED = "has ended"
    LOST = "lost"
    NOT_ASKED = "not asked"
    NOT_YET = "not yet"
    ARMED = "armed"
    CARRIED = "carried"
    WENT_ON = "went on"

    @property
    def grave(self) -> bool:
        """Whether a guest is lost, or will be as things stand."""
        return self in (Becomes.WAITS, Becomes.ENDED, Becomes.LOST)


RUNS = "process runs"
"""What is known of the state of a guest that nobody was asked about."""


class ListedGuest(NamedTuple):
    """A guest as it is shown."""

    name: str
    pid: int
    """Of its process; of one that waits to be loaded, in the kernel before this one."""
    becomes: Becomes
    reason: str
    """Why, and what to do about it: whole sentences."""
    state: str = RUNS
    program: str = ""
    """Its process's command name; empty: there is no process."""
    bytes: int = 0
    """Of its memory in memfds; 0: none, or not known."""
    memory: tuple[str, ...] = ()
    """Names of its memfds, the largest first."""
    paused: float = 0.0
    """CLOCK_REALTIME in seconds since which it is paused; 0: it is not, or that is not known."""
    started: float = 0.0
    """CLOCK_BOOTTIME in seconds at which its process began; 0: not known."""
    is_qemu: bool = False

    @property
    def key(self) -> tuple[int, str]:
        """By which it is the same guest in the next list."""
        return self.pid, self.name


class GuestList(NamedTuple):
    """The guests of a host at one moment."""

    guests: tuple[ListedGuest, ...] = ()
    missing: tuple[str, ...] = ()
    """Why there may be more: sentences without their ends."""


def guest_list(facts: Facts, work: Work) -> GuestList:
    """List the guests among ``work``, and those that only their records tell of."""
    seen = facts._replace(work=work)
    found = (*_running(seen, work), *_gone(seen, work))
    order = list(Becomes)
    rows = sorted(found, key=lambda g: (order.index(g.becomes), -g.bytes, g.name, g.pid))
    return GuestList(tuple(rows), work.missing)


def summary(guests: Sequence[ListedGuest]) -> str:
    """Count them by what becomes of them, the worst first."""
    numbers = {one: sum(g.becomes is one for g in guests) for one in Becomes}
    return ", ".join(f"{number:,} {one}" for one, number in numbers.items() if number)


def _running(facts: Facts, work: Work) -> Iterator[ListedGuest]:
    lost = {g.pid for g in uncarried(facts)}
    armed = {one.pid: one for one in facts.armed if not one.ended}
    on = {o.pid: o for o in facts.came_over if o.stands in (Stands.GOES_ON, Stands.PAUSED)}
    for guest in work.guests:
        along = armed.get(guest.pid)
        if along is not None:
            becomes, reason = Becomes.ARMED, _ARMED
        elif guest.pid in on:
            came = on[guest.pid]
            paused = came.stands is Stands.PAUSED
            becomes = Becomes.WAITS if paused else Becomes.WENT_ON
            reason = _PAUSED if paused else _went_on(came)
        elif guest.pid not in lost:
            becomes, reason = Becomes.CARRIED, "Its memory is preserved for the next update."
        else:
            becomes, reason = _uncarried(guest, facts)
        name = along.name if along is not None else _name(guest)
        yield ListedGuest(
            name,
            guest.pid,
            becomes,
            reason,
            state="paused" if along is not None and along.paused else RUNS,
            program=guest.comm or "?",
            bytes=guest.bytes,
            memory=tuple(m for m in guest.memory if m),
            paused=along.paused if along is not None else 0.0,
            started=guest.started,
            is_qemu=guest.is_qemu,
        )


def _name(guest: Guest) -> str:
    """Return a guest's name; QEMU's the one that `luo-tui guests` has for it, too."""
    if guest.is_qemu:
        return guest.name or f"qemu-{guest.pid}"
    return guest.name or next((m for m in guest.memory if m), "") or guest.comm or "?"


_ARMED = (
    "Its memory is preserved. It is paused and saved directly before the jump, and goes on in the "
    "new kernel."
)


_WAITS = (
    "It was saved for the jump into this kernel, and was not loaded: sudo luo-tui arrive tries "
    "again, and says why. Finish (key f) discards its memory."
)
_PAUSED = "It was loaded in this kernel, and is not known to run: ask its monitor, or `cont` there."
_UNSAVED = "It was not saved before the jump into this kernel: start it anew."
_DISCARDED = (
    "It was saved for the jump into this kernel, and never loaded; its memory is not there any "
    "more. Start it anew."
)


def _went_on(one: CameOver) -> str:
    return f"It was saved for the jump into this kernel, and goes on in it{one.pause}."


def _uncarried(guest: Guest, facts: Facts) -> tuple[Becomes, str]:
    """Say what becomes of a guest of which nothing is preserved."""
    state, moves = facts.snapshot.luo.state, facts.abilities.moves
    if not state.usable:
        return Becomes.LOST, "There is no live update on this kernel: any kexec or reboot ends it."
    if state in (State.PREPARED, State.FROZEN):
        since = "It began after prepare" if since_prepare(guest, facts) else "It is not preserved"
        return Becomes.LOST, (
            f"{since}, and now nothing more can be: cancel (key c), have its memory preserved, and "
            "prepare again."
        )
    if state is State.UPDATED:
        return Becomes.NOT_YET, (
            "An update waits for its finish (key f); before that nothing is preserved for the next."
        )
    arms = "Prepare" if moves else "Load"
    asking = f"luo-tui guests check {_name(guest)}"
    if guest.is_qemu and facts.arms_guests and not moves and facts.ours_is_loaded:
        return Becomes.LOST, (
            "It was not armed when the target was loaded: it began later, or cannot be carried. "
            "Unload the image (key u) and load it again, which arms it if it can be carried: "
            f"{asking}"
        )
    if guest.is_qemu and facts.arms_guests:
        return Becomes.NOT_ASKED, (
            f"{arms} arms it if it can be carried. Whether it can was not asked: {asking}"
        )
    if guest.is_qemu:
        return Becomes.LOST, (
            f"{arms} arms no guest on this host: it does with guests = true in /etc/luo-tui.toml."
        )
    before = "before prepare" if moves else "before the kexec"
    return Becomes.LOST, f"Nothing of its memory is preserved: its agent has to do that {before}."


def _gone(facts: Facts, work: Work) -> Iterator[ListedGuest]:
    """Yield those that have no process here: their records tell of them."""
    there = {g.pid for g in work.guests}
    for along in facts.armed:
        if along.ended or along.pid not in there:
            undo = "Cancel (key c)." if facts.abilities.moves else "Unload the image (key u)."
            yield _armed_and_gone(along, undo, unseen=bool(work.missing))
    for one in facts.came_over:
        if one.stands is Stands.WAITS:
            yield ListedGuest(
                one.name,
                one.pid,
                Becomes.WAITS,
                _WAITS if facts.snapshot.luo.state is State.UPDATED else _DISCARDED,
                state="saved",
                bytes=one.bytes,
                paused=one.paused,
                is_qemu=True,
            )
        elif one.stands is Stands.LOST:
            yield ListedGuest(
                one.name, one.pid, Becomes.LOST, _UNSAVED, "ended", bytes=one.bytes, is_qemu=True
            )
        elif one.stands is Stands.PAUSED and one.pid not in there:
            yield ListedGuest(
                one.name, one.pid, Becomes.WAITS, _PAUSED, bytes=one.bytes, is_qemu=True
            )
        elif one.stands is Stands.ENDED or one.pid not in there:
            yield ListedGuest(
                one.name,
                one.pid,
                Becomes.ENDED if one.stands is Stands.ENDED else Becomes.WENT_ON,
                "It was loaded in this kernel, and has ended since: start it anew."
                if one.stands is Stands.ENDED
                else _went_on(one),
                state="ended" if one.stands is Stands.ENDED else RUNS,
                bytes=one.bytes,
                is_qemu=True,
            )


def _armed_and_gone(along: GoesAlong, undo: str, *, unseen: bool) -> ListedGuest:
    if unseen and not along.ended:
        return ListedGuest(along.name, along.pid, Becomes.ARMED, _ARMED, "not known",
                           bytes=along.bytes, paused=along.paused, is_qemu=True)  # fmt: skip
    reason = f"It was armed, and its process has ended since: the kexec is refused. {undo}"
    return ListedGuest(along.name, along.pid, Becomes.ENDED, reason, "ended", bytes=along.bytes,
                       is_qemu=True)  # fmt: skip
