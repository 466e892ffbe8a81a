# SPDX-License-Identifier: MIT
"""What is looked at on the host before a window is opened, whatever the target. Pure.

None of these stops the walk by itself, except where nothing could be written
down. They say what an operator has to know by day.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from luo_tui.model import Guest, State
from luo_tui.update.checks.check import Check, complete
from luo_tui.update.device_outcome import device_outcomes
from luo_tui.update.facts import Facts, Finding, Level
from luo_tui.update.uncarried import uncarried
from luo_tui.update.wording import count_text, few, size_text

JOURNAL_NEEDS = 4 << 20
"""Bytes that one window writes at most: its journal, and the names of 100,000 resources twice."""


_AGAIN = "Put that right, then ask again."


def _unread(facts: Facts, source: str, about: str = "") -> str:
    """Say why a source does not know; empty where it does.

    A source that is dead knows nothing. Of one that lives only that counts
    which is ``about`` the question; where nothing is named, all of it.
    """
    health = facts.snapshot.health.get(source)
    if health is None:
        return ""
    return next(filter(None, (health.fault, *(m for m in health.missing if about in m))), "")


class HostCheck(Check, Protocol):
    """One question about the host."""

    def run(self, facts: Facts) -> Finding:
        """Answer it."""
        ...


class MayAct:
    """Whoever asks may also act."""

    code = "LUO-C-009"
    name = "privilege"
    why = "Only root can act, and only root sees all that is looked at here."
    evidence = "the capabilities of this process"

    def run(self, facts: Facts) -> Finding:
        """Warn where acts would be refused."""
        if facts.may_act:
            return Finding(self.name, Level.OK, "You may act.")
        return Finding(self.name, Level.WARNING, "You may only look.", "Ask again as root.")


class CanBeDriven:
    """The kind of kernel is one that can be acted on."""

    code = "LUO-C-019"
    name = "kind of kernel"
    why = "What cannot be driven can only be watched."
    evidence = "/dev/liveupdate, and /sys/kernel/liveupdate beside it"

    def run(self, facts: Facts) -> Finding:
        """Block where it only watches."""
        if not facts.cannot:
            return Finding(self.name, Level.OK, "This kind of kernel can be driven.")
        return Finding(
            self.name, Level.BLOCKER, facts.cannot, "Update this host by its sessions' holders."
        )


class AllIsRead:
    """Everything that an act rests on could be read."""

    code = "LUO-C-010"
    name = "picture"
    why = "An act that rests on what could not be read is refused."
    evidence = "every source that the console watches"

    def run(self, facts: Facts) -> Finding:
        """Tell of whatever could not be read."""
        doubts = facts.snapshot.doubts()
        if not doubts:
            return Finding(self.name, Level.OK, "All could be read.")
        text = f"Not everything could be read: {few(doubts, between='; ')}."
        return Finding(self.name, Level.UNKNOWN, text, _AGAIN)


class WindowIsFree:
    """Nobody else has a window open on this host."""

    code = "LUO-C-011"
    name = "window"
    why = "One person at a time walks a host; the others watch."
    evidence = "the lock in the host's lock folder, and the newest journal"

    def run(self, facts: Facts) -> Finding:
        """Warn where somebody has it, or left it open; unknown where that cannot be read."""
        if fault := facts.lock_fault or facts.journal_fault:
            text = f"Whether somebody has a window open cannot be read: {fault}."
            return Finding(self.name, Level.UNKNOWN, text, _AGAIN)
        if facts.lock_holder is not None:
            text = f"It is open in another console: {facts.lock_holder}."
            return Finding(self.name, Level.WARNING, text, "Speak to them first.")
        window = facts.window_state
        if window is not None and not window.closed and not facts.mine:
            text = f"One was left open by {window.opened_by}."
            return Finding(self.name, Level.WARNING, text, "Go on in it, or take it over.")
        return Finding(self.name, Level.OK, "None is open.")


class NodeIsFree:
    """No other program has LUO's device open."""

    code = "LUO-C-012"
    name = "device node"
    why = "A program that has the device open may move the state machine beside the window."
    evidence = "/proc/*/fd"

    def run(self, facts: Facts) -> Finding:
        """Name who has it open."""
        holders = facts.snapshot.vitals.holders
        if holders:
            text = f"/dev/liveupdate is open in {few(holders)}."
            return Finding(self.name, Level.WARNING, text, "Find out what for.")
        if not facts.snapshot.luo.state.usable:
            text = "There is no LUO whose device could be open."
            return Finding(self.name, Level.UNKNOWN, text, "See LUO-C-001.")
        if why := _unread(facts, "host activity", "/dev/liveupdate"):
            return Finding(self.name, Level.UNKNOWN, f"Not known: {why}.", _AGAIN)
        if not facts.may_act:
            text = "Only root sees who has /dev/liveupdate open."
            return Finding(self.name, Level.UNKNOWN, text, "Ask again as root.")
        return Finding(self.name, Level.OK, "Nobody has /dev/liveupdate open.")


class AllTakePart:
    """No participant refused, and none is lost."""

    code = "LUO-C-013"
    name = "participants"
    why = "A participant that refuses stops prepare; what takes no part is reset by the kexec."
    evidence = "/sys/class/liveupdate"

    def run(self, facts: Facts) -> Finding:
        """Name those that cannot."""
        bad = [p for _, p in sorted(facts.snapshot.participants.items()) if p.endangered]
        if bad:
            told = few([f"{p.label} ({p.reason or p.state})" for p in bad], between="; ")
            return Finding(self.name, Level.WARNING, f"Cannot take part: {told}.")
        if not facts.snapshot.luo.state.usable:
            text = "There is no LUO that could say who takes part."
            return Finding(self.name, Level.UNKNOWN, text, "See LUO-C-001.")
        if why := _unread(facts, "resources"):
            return Finding(self.name, Level.UNKNOWN, f"Not known: {why}.", _AGAIN)
        number = len(facts.snapshot.participants)
        return Finding(self.name, Level.OK, f"{count_text(number, 'participant')}, none refuses.")


class NothingInUseIsReset:
    """No device that somebody uses is reset or taken away."""

    code = "LUO-C-014"
    name = "devices"
    why = "A device that is reset loses its connections, and what was in flight."
    evidence = "/sys/bus/pci, /sys/bus/virtio, /proc/*/fd, the mounts"

    def run(self, facts: Facts) -> Finding:
        """Name each with who uses it."""
        doubts = facts.snapshot.doubts("devices")
        if doubts:
            text = f"Not all could be read: {doubts[0]}."
            return Finding(self.name, Level.UNKNOWN, text, _AGAIN)
        found = [o for o in device_outcomes(facts.snapshot) if o.dangerous]
        if not found:
            return Finding(self.name, Level.OK, "None that is in use is reset.")
        told = [f"{o.device.id} ({few(o.device.users, 2) or o.outcome})" for o in found]
        text = f"{count_text(len(found), 'device')} in use will be reset: {few(told)}."
        return Finding(self.name, Level.WARNING, text, "Tell who uses them.")


class GuestsArePreserved:
    """Every guest that runs here is preserved."""

    code = "LUO-C-015"
    name = "guests"
    why = "A guest that is not preserved ends with this kernel."
    evidence = "/proc/*/fd, against what is preserved"

    def run(self, facts: Facts) -> Finding:
        """Name those that a kexec ends."""
        work = facts.work
        if work is None or work.missing:
            why = work.missing[0] if work is not None else "nobody looked"
            text = f"Which guests run here is not known: {why}."
            return Finding(self.name, Level.UNKNOWN, text, _AGAIN)
        left = uncarried(facts)
        if left:
            told = few([f"{g.label}, {size_text(g.bytes)}" for g in left], between="; ")
            # Before prepare they are not lost yet, and prepare itself may arm some.
            yet = " yet" if facts.snapshot.luo.state.at_rest else ""
            text = f"{count_text(len(left), 'guest')} not preserved{yet}: {told}."
            return Finding(self.name, Level.WARNING, text, _have_preserved(facts, left))
        number = len(work.guests)
        text = f"{count_text(number, 'guest')}, all preserved." if number else "No guest runs here."
        return Finding(self.name, Level.OK, text)


def _have_preserved(facts: Facts, left: Sequence[Guest]) -> str:
    """Say what can be done for guests that are not preserved."""
    if facts.snapshot.luo.state is State.PREPARED:
        return "Cancel, have them preserved, and prepare again."
    moves = facts.abilities.moves
    if facts.arms_guests and any(g.is_qemu for g in left):
        arms = "Prepare" if moves else "Load"
        return (
            f"{arms} arms those of QEMU that can be carried (`luo-tui guests` says which); "
            "have the others preserved before it."
        )
    return f"Have them preserved before {'prepare' if moves else 'the kexec'}."


class NobodyElseIsLoggedIn:
    """Nobody but one is logged in."""

    code = "LUO-C-016"
    name = "logins"
    why = "Every login ends with this kernel, and whatever was begun in it."
    evidence = "utmp, or systemd-logind"

    def run(self, facts: Facts) -> Finding:
        """Name who is logged in."""
        if why := _unread(facts, "host activity", "logged in"):
            text = f"Not known: {why}."
            return Finding(self.name, Level.UNKNOWN, text, "Ask who is on this host.")
        users = facts.snapshot.vitals.users
        if len(users) > 1:
            text = f"{len(users):,} are logged in: {few(users)}."
            return Finding(self.name, Level.WARNING, text, "Tell them.")
        return Finding(self.name, Level.OK, f"Logged in: {few(users) or 'nobody'}.")


class NoWatchdogIsArmed:
    """No watchdog can reset the machine while nobody serves it."""

    code = "LUO-C-017"
    name = "watchdogs"
    why = "A watchdog that is not served in time resets the machine: all that was handed over goes."
    evidence = "/sys/class/watchdog"

    def run(self, facts: Facts) -> Finding:
        """Name each that is armed, with its timeout."""
        armed = facts.snapshot.vitals.watchdogs
        if armed:
            told = f" The blackout will take {facts.predicted.text()}." if facts.predicted else ""
            return Finding(
                self.name,
                Level.WARNING,
                f"Armed: {few(armed)}.{told}",
                "Its timeout has to be longer than the blackout, or disarm it.",
            )
        if why := _unread(facts, "host activity", "watchdog"):
            text = f"Not known: {why}."
            return Finding(self.name, Level.UNKNOWN, text, "Look in /sys/class/watchdog.")
        return Finding(self.name, Level.OK, "None is armed.")


class JournalHasRoom:
    """The journal can be written to its end."""

    code = "LUO-C-018"
    name = "journal"
    why = "Nothing is begun that cannot be written down."
    evidence = "statvfs(2) on the journal's folder"

    def __init__(self, free: int | None, fault: str) -> None:
        """``free`` is in bytes; None with a ``fault`` where that cannot be read."""
        self._free, self._fault = free, fault

    def run(self, facts: Facts) -> Finding:
        """Block where a window's journal would not fit."""
        del facts
        if self._free is None:
            text = f"How much room there is cannot be read: {self._fault}."
            return Finding(self.name, Level.UNKNOWN, text, "See that its folder can be read.")
        room = size_text(self._free)
        if self._free < JOURNAL_NEEDS:
            text = f"{room} are free, and it may need {size_text(JOURNAL_NEEDS)}."
            return Finding(self.name, Level.BLOCKER, text, "Make room on that disk.")
        return Finding(self.name, Level.OK, f"{room} are free.")


def host_checks(free: int | None, fault: str = "") -> Sequence[HostCheck]:
    """Return the checks of the host, in the order of their codes; ``free`` is the journal's."""
    return (
        MayAct(),
        AllIsRead(),
        WindowIsFree(),
        NodeIsFree(),
        AllTakePart(),
        NothingInUseIsReset(),
        GuestsArePreserved(),
        NobodyElseIsLoggedIn(),
        NoWatchdogIsArmed(),
        JournalHasRoom(free, fault),
        CanBeDriven(),
    )


def run_host_checks(facts: Facts, free: int | None, fault: str = "") -> Iterator[Finding]:
    """Yield what each of them finds."""
    for check in host_checks(free, fault):
        yield complete(check, check.run(facts))
