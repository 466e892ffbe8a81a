# SPDX-License-Identifier: MIT
"""The verdict on an update, from evidence: one line, and what it rests on. Pure.

What is not known is told as such and never passes as good; an ordinary boot in
place of a handover is named before all else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from luo_tui.model import Condition, DescriptorStores, State
from luo_tui.update.before import Before, alike, handover
from luo_tui.update.facts import Facts, Stands
from luo_tui.update.promises import Became
from luo_tui.update.resource_list import few_of
from luo_tui.update.window_state import WindowState
from luo_tui.update.wording import count_text, few

SETTLED = 120.0
"""Seconds after a kernel's start from which on a device or link that is not there is amiss."""


class Grade(StrEnum):
    """What is to be thought of an update, or of one thing about it; the worst first."""

    BAD = "bad"
    UNKNOWN = "unknown"
    NOT_YET = "not yet"
    GOOD = "good"


_ORDER = {grade: number for number, grade in enumerate(Grade)}
_OF_PROMISE = {
    Became.LOST: Grade.BAD,
    Became.FAILED: Grade.BAD,
    Became.NOT_KNOWN: Grade.UNKNOWN,
    Became.NOT_YET: Grade.NOT_YET,
}


class Reason(NamedTuple):
    """One thing that a verdict rests on."""

    grade: Grade
    about: str
    """What it is about: ``boot``, ``release``, ``handover``, ``state``, ``promise``,
    ``participant``, ``guests``, ``stores``, ``devices``, ``links``, ``units``, ``kernel log``,
    ``journal``."""
    text: str
    """A sentence without its full stop."""

    def __str__(self) -> str:
        """Write it in one line, the grade first."""
        return f"{self.grade.upper()}: {self.about}: {self.text}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be thought of an update."""

    grade: Grade
    line: str
    reasons: tuple[Reason, ...]
    """All of them, the worst first."""

    def record(self) -> dict[str, Any]:
        """Return what a record says of it."""
        said = few_of(str(r) for r in self.reasons)
        return {"level": str(self.grade), "line": self.line[:_LONGEST], "reasons": said}


_LONGEST = 256


def verdict(facts: Facts, condition: Condition) -> Verdict | None:
    """Judge the jump that was to lead into this boot; None where there was none.

    ``facts`` are those of now; the promises, and the picture of before, belong
    to them. ``condition`` is how the host is now.
    """
    window = facts.window_state
    if facts.journal_fault:
        text = f"it cannot be read whether a jump was made: {facts.journal_fault}"
        return _sum((Reason(Grade.UNKNOWN, "journal", text),), window)
    if window is None or not _to_be_judged(facts, window):
        return None
    return _sum(tuple(_reasons(facts, window, condition)), window)


def _to_be_judged(facts: Facts, window: WindowState) -> bool:
    if window.closed:
        return bool(window.lost_in) and window.lost_in == facts.snapshot.host.boot_id
    return bool(window.jumped_from) or window.newer_format


def _sum(reasons: tuple[Reason, ...], window: WindowState | None) -> Verdict:
    ordered = tuple(sorted(reasons, key=lambda r: _ORDER[r.grade]))
    worst = ordered[0]
    if worst.grade is Grade.GOOD:
        source, target = (window.jumped_release, window.target) if window else ("", "")
        whole = "all else" if window is not None and window.ended_guests else "all"
        took = f"{target} took over from {source or 'the other kernel'}"
        return Verdict(Grade.GOOD, f"GOOD: {took}, and {whole} is as it was.", ordered)
    more = sum(r.grade is worst.grade for r in ordered) - 1
    others = f" (and {more:,} more)" if more else ""
    return Verdict(worst.grade, f"{worst.grade.upper()}: {worst.text}{others}.", ordered)


def _reasons(facts: Facts, window: WindowState, condition: Condition) -> Iterator[Reason]:
    if window.newer_format:
        text = "a newer luo-tui has written into this window: what it knows is not known here"
        yield Reason(Grade.UNKNOWN, "journal", text)
    host = facts.snapshot.host
    if window.jumped_from and host.boot_id == window.jumped_from:
        text = "the jump was not made: this is still the boot from which it was to be made"
        yield Reason(Grade.BAD, "boot", text)
        return
    arrived = _arrived(facts)
    yield _handover(facts, window, condition, arrived=arrived)
    yield _boot(host.boot_id, window)
    yield _release(host.release, window, arrived=arrived)
    yield from _kexecs(facts, condition)
    yield _state(facts, arrived=arrived)
    if facts.snapshot.luo.state is State.UPDATED:
        yield from _promises(facts, window, condition.stores)
    known = facts.promised.before if facts.promised else None
    yield from _guests(facts, window)
    yield from _stores(window, known, condition.stores)
    yield from _devices(facts, known, condition)
    yield from _links(known, condition)
    yield from _units(known, condition)
    yield from _log(known, condition)


def _arrived(facts: Facts) -> bool:
    """Whether this kernel's orchestrator took anything over."""
    snapshot = facts.snapshot
    came = snapshot.from_release or snapshot.stamps.arrived
    return snapshot.luo.state is State.UPDATED or bool(came)


def _handover(facts: Facts, window: WindowState, condition: Condition, *, arrived: bool) -> Reason:
    snapshot, line = facts.snapshot, handover(condition)
    source = snapshot.from_release or (line[0] if line else "")
    if arrived:
        if window.jumped_release and source not in ("", window.jumped_release):
            text = f"this kernel took over from {source}, and the jump was from another"
            return Reason(Grade.UNKNOWN, "handover", f"{text}, {window.jumped_release}")
        if line is None and condition.log_is_whole:
            text = "the kernel's log has no line of it, though the orchestrator says it took over"
            return Reason(Grade.UNKNOWN, "handover", text)
        count = f", handover number {line[1]:,}" if line else ""
        return Reason(Grade.GOOD, "handover", f"this kernel took over from {source or '?'}{count}")
    if line is not None:
        how = f"this kernel was started by a kexec from {line[0]} (count {line[1]:,})"
        if not snapshot.luo.state.usable:
            text = f"{how}, and there is no orchestrator that could take over: load it"
            return Reason(Grade.UNKNOWN, "handover", text)
        text = f"NO HANDOVER: {how}, and its orchestrator took NOTHING over"
        return Reason(Grade.BAD, "handover", text)
    if condition.log_is_whole and window.arrived_in:
        text = "COLD BOOT BEFORE THE FINISH: the update had arrived in a kernel that is gone"
        return Reason(Grade.BAD, "handover", f"{text}; what it carried is LOST")
    if condition.log_is_whole:
        text = "COLD BOOT, NO HANDOVER: this kernel was not started by a kexec that hands over"
        return Reason(Grade.BAD, "handover", f"{text}; what was preserved is LOST")
    if not snapshot.luo.state.usable or snapshot.doubts("state"):
        text = "whether there was a handover cannot be known: the orchestrator does not answer"
        return Reason(Grade.UNKNOWN, "handover", f"{text}, and the kernel's log is not whole")
    text = "NO HANDOVER: this kernel took NOTHING over; whether it was a cold boot is not known"
    return Reason(Grade.BAD, "handover", text)


def _boot(boot_id: str, window: WindowState) -> Reason:
    if not (boot_id and (window.jumped_from or window.lost_in)):
        return Reason(Grade.UNKNOWN, "boot", "whether this is a new boot is not known")
    return Reason(Grade.GOOD, "boot", "this is a new boot")


def _release(running: str, window: WindowState, *, arrived: bool) -> Reason:
    if not window.target:
        return Reason(Grade.UNKNOWN, "release", "which kernel was the target is not recorded")
    if running == window.target:
        return Reason(Grade.GOOD, "release", f"this is the target, {running}")
    what = "" if arrived else ": an ordinary boot takes what the boot loader has"
    text = f"this is {running}, and not the target {window.target}{what}"
    return Reason(Grade.BAD, "release", text)


def _kexecs(facts: Facts, condition: Condition) -> Iterator[Reason]:
    """Tell of handovers that nobody wrote down: the kernel counts them."""
    known = facts.promised.before if facts.promised else None
    line = handover(condition)
    if line is None or known is None or known.kexecs is None:
        return
    if line[1] != known.kexecs + 1:
        text = f"the kernel counts {line[1]:,} handovers, and {known.kexecs:,} before the jump"
        yield Reason(Grade.UNKNOWN, "handover", text)


def _state(facts: Facts, *, arrived: bool) -> Reason:
    luo = facts.snapshot.luo
    if doubt := next(iter(facts.snapshot.doubts("state")), ""):
        return Reason(Grade.UNKNOWN, "state", f"it could not be read ({doubt})")
    if luo.state is State.UPDATED:
        return Reason(Grade.GOOD, "state", "updated: the update waits for its finish")
    if not luo.state.usable:
        return Reason(Grade.UNKNOWN, "state", f"{luo.state}: {luo.detail or 'nobody says why'}")
    if arrived:
        text = f"{luo.state}: something other than luo-tui finished the update"
        return Reason(Grade.UNKNOWN, "state", f"{text}; what became of the promises is not known")
    return Reason(Grade.BAD, "state", f"{luo.state}, and not updated")


def _promises(facts: Facts, window: WindowState, stores: DescriptorStores) -> Iterator[Reason]:
    found = facts.promises
    if not found.recorded:
        why = f": {found.fault}" if found.fault else ""
        yield Reason(Grade.UNKNOWN, "promise", f"what was promised is not known{why}")
    for one in found.open:
        about = "promise" if one.token >= 0 else "participant"
        yield Reason(_OF_PROMISE[one.became], about, f"{one.became}: {one}")
    if doubt := next(iter(facts.snapshot.doubts("resources")), ""):
        yield Reason(Grade.UNKNOWN, "promise", f"not everything could be read ({doubt})")
    broken = {o.label for o in found.open if o.token < 0}
    anew = {name for store in stores.stores for name in store.held} if stores.kexecs == 0 else ()
    for part in facts.promised.participants if facts.promised else ():
        if part.kind == "session" and part.name in anew:
            # It makes those of LUOSession= under the same names in each kernel.
            text = f"LOST: {part.label}: nothing was handed over to systemd, which made a new one"
            yield Reason(Grade.BAD if window.through else Grade.UNKNOWN, "participant", text)
        elif part.label not in broken:
            yield Reason(Grade.GOOD, "participant", f"kept: {part.label}")
    if found.recorded and not found.open:
        yield Reason(Grade.GOOD, "promise", _all_kept(found.kept))
    elif found.kept:
        kept = f"{count_text(found.kept, 'promise')} kept"
        yield Reason(Grade.GOOD, "promise", kept)


def _all_kept(number: int) -> str:
    return "the one promise is kept" if number == 1 else f"all {number:,} promises are kept"


_OF_GUEST = {
    Stands.GOES_ON: Grade.GOOD,
    Stands.WAITS: Grade.NOT_YET,
    Stands.PAUSED: Grade.UNKNOWN,
    # It may have been switched off.
    Stands.ENDED: Grade.UNKNOWN,
    Stands.LOST: Grade.BAD,
}


def _guests(facts: Facts, window: WindowState) -> Iterator[Reason]:
    if window.ended_guests:
        text = f"ended by the jump, as it was agreed to: {few(window.ended_guests, 8)}"
        yield Reason(Grade.GOOD, "guests", text)
    for one in facts.came_over:
        kept = "kept: " if one.stands is Stands.GOES_ON else ""
        yield Reason(_OF_GUEST[one.stands], "guests", f"{kept}{one.name} {one.stands}{one.pause}")


def _stores(window: WindowState, known: Before | None, now: DescriptorStores) -> Iterator[Reason]:
    """Say what became of the descriptors that units had left with systemd."""
    before = known.stores if known is not None else ()
    if before is None:
        yield Reason(Grade.UNKNOWN, "stores", "what units had left with systemd is not known")
        return
    there = {s.unit: s.number for s in now.stores}
    for unit, number in before:
        those = f"{count_text(number, 'descriptor')} of {unit}"
        if not window.through:
            text = f"LOST, for the jump went past systemd: {those}; see that it does without"
            yield Reason(Grade.UNKNOWN, "stores", text)
        elif now.missing:
            text = f"whether systemd gave back {those} is not known: {now.missing[0]}"
            yield Reason(Grade.UNKNOWN, "stores", text)
        elif now.kexecs == 0:
            text = f"LOST: {those}: nothing was handed over to this systemd"
            yield Reason(Grade.BAD, "stores", text)
        elif (back := there.get(unit, 0)) < number:
            yield Reason(Grade.BAD, "stores", f"LOST: of {those} systemd has {back:,}")
        elif now.kexecs is None:
            text = f"systemd has {those}, and does not tell whether they were handed over"
            yield Reason(Grade.UNKNOWN, "stores", text)
        else:
            yield Reason(Grade.GOOD, "stores", f"kept: {those}")


def _devices(facts: Facts, known: Before | None, condition: Condition) -> Iterator[Reason]:
    if doubt := next(iter(facts.snapshot.doubts("devices")), ""):
        yield Reason(Grade.UNKNOWN, "devices", f"they could not all be read ({doubt})")
        return
    now = {d.id: d.driver for d in facts.snapshot.devices.values()}
    yield from _compared("devices", known.devices if known else None, now, condition, _device)


def _device(name: str, before: str, now: str | None) -> str:
    if now is None:
        return f"{name} is GONE (driver {before or 'none'})"
    if now == before or not before:
        # One that nobody drove may have got a driver: that takes nothing away.
        return ""
    return f"{name} has {f'driver {now}' if now else 'NO DRIVER'}, and had {before}"


def _links(known: Before | None, condition: Condition) -> Iterator[Reason]:
    if condition.links is None:
        yield Reason(Grade.UNKNOWN, "links", "their state could not be read")
        return
    yield from _compared("links", known.links if known else None, condition.links, condition, _link)


def _link(name: str, before: str, now: str | None) -> str:
    if now is None:
        return f"{name} is GONE (it was {before})"
    return f"{name} is {now}, and was up" if before == "up" and now != "up" else ""


def _compared(
    about: str,
    before: Mapping[str, str] | None,
    now: Mapping[str, str],
    condition: Condition,
    differs: Callable[[str, str, str | None], str],
) -> Iterator[Reason]:
    if before is None:
        yield Reason(Grade.UNKNOWN, about, "how they were before the jump is not known")
        return
    changed = [text for name, was in before.items() if (text := differs(name, was, now.get(name)))]
    if not changed:
        yield Reason(Grade.GOOD, about, f"as before ({len(before):,})")
    # Right after the start drivers and links are still coming up.
    grade = Grade.NOT_YET if 0 < condition.up < SETTLED else Grade.BAD
    for text in changed:
        yield Reason(grade, about, text)


def _units(known: Before | None, condition: Condition) -> Iterator[Reason]:
    now = condition.failed_units
    if now is None:
        yield Reason(Grade.UNKNOWN, "units", "which have failed could not be asked")
    elif not now:
        yield Reason(Grade.GOOD, "units", "none has failed")
    elif known is None or known.failed_units is None:
        text = f"whether they had failed before is not known: {few(now)}"
        yield Reason(Grade.UNKNOWN, "units", text)
    else:
        new = [u for u in now if u not in known.failed_units]
        for unit in new:
            yield Reason(Grade.BAD, "units", f"{unit} has FAILED, and had not before")
        if not new:
            yield Reason(Grade.GOOD, "units", f"none failed but those that had: {few(now)}")


def _log(known: Before | None, condition: Condition) -> Iterator[Reason]:
    if condition.errors is None:
        why = next((m for m in condition.missing if "log" in m), "")
        text = "whether it has new errors could not be read"
        yield Reason(Grade.UNKNOWN, "kernel log", f"{text} ({why})" if why else text)
        return
    ours = [e for e in condition.errors if e.startswith(_OURS)]
    for text in ours:
        yield Reason(Grade.BAD, "kernel log", text)
    others = [e for e in condition.errors if e not in ours]
    if known is not None and known.errors is not None:
        others = [e for e in others if alike(e) not in known.errors]
        for text in others:
            yield Reason(Grade.UNKNOWN, "kernel log", f"a NEW error, to be looked at: {text}")
    elif others:
        text = f"whether its errors are new is not known: {few(others)}"
        yield Reason(Grade.UNKNOWN, "kernel log", text)
    if not condition.log_is_whole:
        text = "its beginning is no longer there: errors may have been in it"
        yield Reason(Grade.UNKNOWN, "kernel log", text)
    elif not (ours or others):
        yield Reason(Grade.GOOD, "kernel log", "no new errors")


_OURS = ("luo:", "KHO:", "kexec_core:")
"""What the orchestrator and the handover print: an error of theirs is one of the update."""


def told(reasons: Iterable[Reason], most: int = 200) -> Iterator[str]:
    """Yield reasons as lines, and how many more there are."""
    left = 0
    for number, reason in enumerate(reasons):
        if number < most:
            yield str(reason)
        else:
            left += 1
    if left:
        yield f"and {left:,} more"
