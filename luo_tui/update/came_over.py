# SPDX-License-Identifier: MIT
"""What became of each device and descriptor in the update that led into this kernel. Pure.

Only in state updated: what the next update would do is told by
:mod:`luo_tui.update.device_outcome`. What was promised decides, where it is known;
a device that was not promised was shut down and set up anew, as by any boot.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from luo_tui.model import Device, Participant, Resource, ResourceState, State
from luo_tui.update.device_outcome import DeviceOutcome, device_outcomes
from luo_tui.update.facts import Facts
from luo_tui.update.promises import Became, PromiseOutcome, Promises
from luo_tui.update.wording import few


class Came(StrEnum):
    """What became of a device; the worst first."""

    LOST = "LOST"
    UNKNOWN = "not known"
    WAITS = "not claimed yet"
    CARRIED = "kept running"
    ANEW = "set up anew"


@dataclass(frozen=True, slots=True)
class DeviceCame:
    """A device: what became of it in this update, and what the next one would do."""

    next: DeviceOutcome
    came: Came | None = None
    """None where no update has led here, or it is finished."""
    reason: str = ""
    """A sentence for the operator."""

    @property
    def device(self) -> Device:
        """The device."""
        return self.next.device

    @property
    def grave(self) -> bool:
        """Whether somebody has lost it; where no update is told of, whether he would."""
        return self.next.dangerous if self.came is None else self.came is Came.LOST


_CAME = {
    Became.LOST: Came.LOST,
    Became.FAILED: Came.LOST,
    Became.NOT_KNOWN: Came.UNKNOWN,
    Became.NOT_YET: Came.WAITS,
}
_RANK = {came: number for number, came in enumerate(Came)}


def devices_after(facts: Facts) -> tuple[DeviceCame, ...]:
    """Return every device; in state updated those that were lost come first."""
    found = device_outcomes(facts.snapshot)
    if facts.snapshot.luo.state is not State.UPDATED:
        return tuple(DeviceCame(one) for one in found)
    promised = {p.name: p for p in _promised(facts)}
    broken = {
        o.about.name: o
        for o in facts.promises.open
        if isinstance(o.about, Participant) and o.about.kind == "pci"
    }
    told = [_device(one, promised, broken) for one in found]
    known = {one.device.id for one in found}
    told += [_gone(p, broken) for p in promised.values() if p.name not in known]
    return tuple(sorted(told, key=lambda one: _RANK[one.came or Came.ANEW]))


def _promised(facts: Facts) -> Iterator[Participant]:
    """Yield the devices that the update was to carry; by the kernel's word where no record says."""
    if facts.promised is not None:
        yield from (p for p in facts.promised.participants if p.kind == "pci")
        return
    for one in facts.snapshot.participants.values():
        if one.kind == "pci" and one.state in ("incoming", "claimed", "lost"):
            yield one


def _device(
    one: DeviceOutcome, promised: dict[str, Participant], broken: dict[str, PromiseOutcome]
) -> DeviceCame:
    name = one.device.id
    if name not in promised:
        bound = "" if one.device.driver else "; no driver is bound to it now"
        return DeviceCame(one, Came.ANEW, f"It took no part: this kernel set it up anew{bound}.")
    if name in broken:
        return _broken(one, broken[name])
    driver = promised[name].driver or one.device.driver or "its driver"
    return DeviceCame(one, Came.CARRIED, f"It ran on through the update; {driver} has it again.")


def _gone(one: Participant, broken: dict[str, PromiseOutcome]) -> DeviceCame:
    """Tell of a device that no source of this kernel knows."""
    unknown = DeviceOutcome.of_nothing(Device(one.name, "pci", driver=one.driver))
    if one.name in broken:
        return _broken(unknown, broken[one.name])
    return DeviceCame(unknown, Came.UNKNOWN, "It came over, and no source of devices knows it.")


def _broken(one: DeviceOutcome, outcome: PromiseOutcome) -> DeviceCame:
    reason = f"{outcome.reason[:1].upper()}{outcome.reason[1:]}."
    return DeviceCame(one, _CAME[outcome.became], reason)


def devices_summary(found: Iterable[DeviceCame]) -> Iterator[str]:
    """Yield how many there are of what became of them, the worst first; none but after a jump."""
    every = [one.came for one in found]
    for came in Came:
        if number := every.count(came):
            yield f"{number:,} {came}"


def resource_came(resource: Resource, facts: Facts) -> str:
    """Say what became of a descriptor in this update; empty where none has led here."""
    if facts.snapshot.luo.state is not State.UPDATED:
        return ""
    outcome = next((o for o in facts.promises.open if o.token == resource.token), None)
    if outcome is not None:
        before = {
            Became.LOST: "LOST: ",
            Became.FAILED: "RESTORE FAILED: ",
            Became.NOT_KNOWN: "not known: ",
        }
        return f"{before.get(outcome.became, 'came over; ')}{outcome.reason}"
    match resource.state:
        case ResourceState.PRESERVED:
            return "no part of it: it was preserved since"
        case ResourceState.RESTORED:
            return "came over and was restored"
        case ResourceState.INCOMING:
            return "came over; nobody has restored it yet"
    return "not known: its state could not be read"


def promises_text(promises: Promises) -> str:
    """Count what became of all that was promised, what is lost by name."""
    total = promises.kept + len(promises.open)
    what = "promised" if promises.recorded else "that arrived"
    parts = [f"{promises.kept:,} of {total:,} {what} {'is' if total == 1 else 'are'} back"]
    for became in (Became.FAILED, Became.NOT_KNOWN, Became.NOT_YET):
        if number := len(promises.that(became)):
            parts.append(f"{number:,} {_WORD[became]}")
    if lost := promises.lost:
        parts.insert(0, f"{len(lost):,} LOST: {few([o.label for o in lost])}")
    return "; ".join(parts)


_WORD = {
    Became.FAILED: "could not be restored",
    Became.NOT_KNOWN: "not known",
    Became.NOT_YET: "not yet",
}
