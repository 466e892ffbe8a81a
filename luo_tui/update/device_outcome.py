# SPDX-License-Identifier: MIT
"""What an update does to each device, and to each preserved descriptor. Pure.

A device lives on only where its driver takes part and the kernel lets it
(kernel/luo_pci.c); all others are shut down and set up anew by the next
kernel, whoever uses them. The dangerous ones come first.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple

from luo_tui.errors import Op, explain
from luo_tui.model import Device, Participant, Resource, ResourceState, Snapshot, State
from luo_tui.update.wording import clock_text, size_text


class Outcome(StrEnum):
    """What becomes of a device, in the words of the kernel's documentation."""

    VFIO = "bound to vfio"
    """A guest has it, and no driver of the host's takes part for it."""
    REFUSED = "cannot take part"
    """Its driver would, and the kernel refuses; or it was to live on and was lost."""
    RESET = "will be reset"
    UNKNOWN = "unknown"
    """No driver is bound."""
    CARRIED = "takes part"


class DeviceOutcome(NamedTuple):
    """A device and what becomes of it."""

    device: Device
    outcome: Outcome
    reason: str
    """A sentence for the operator."""

    @classmethod
    def of_nothing(cls, device: Device) -> DeviceOutcome:
        """Return that of a device of which no source of this kernel tells."""
        return cls(device, Outcome.UNKNOWN, "It is not there: nothing can be said of it.")

    @property
    def dangerous(self) -> bool:
        """Whether somebody loses something that he uses now."""
        if self.outcome in (Outcome.VFIO, Outcome.REFUSED):
            return True
        return self.outcome is Outcome.RESET and bool(self.device.users)


_ORDER = {outcome: number for number, outcome in enumerate(Outcome)}
_LOST = ("refused", "lost")
"""States of a participant that the update resets all the same (kernel/luo_pci_node.c)."""


def device_outcomes(snapshot: Snapshot) -> tuple[DeviceOutcome, ...]:
    """Return every device that is known, the dangerous ones first."""
    taking_part = {p.name: p for p in snapshot.participants.values() if p.kind == "pci"}
    late = snapshot.luo.state in (State.PREPARED, State.FROZEN)
    found = [_fate(d, taking_part.pop(d.id, None), late) for d in snapshot.devices.values()]
    # The kernel may know one that no other source has told of.
    found += [_fate(_only_named(p), p, late) for p in taking_part.values()]
    return tuple(sorted(found, key=_danger))


def outlook(resource: Resource, snapshot: Snapshot) -> str:
    """Say what will happen to a preserved descriptor, from how things stand."""
    words = _outlook(resource, snapshot)
    if resource.lost:
        return f"{size_text(resource.lost)} written after the freeze did NOT come along; {words}"
    return words


def _outlook(resource: Resource, snapshot: Snapshot) -> str:
    if resource.handler and resource.state is ResourceState.INCOMING:
        return f"cannot be restored before {resource.handler} is there; finish discards it"
    match resource.state:
        case ResourceState.INCOMING if resource.result:
            return "CANNOT be restored: what came of it cannot be read (the kernel's log says why)"
        case ResourceState.INCOMING if failure := snapshot.failed_restores.get(resource.token):
            said = explain(Op.RESTORE, failure.errno)
            return (
                f"RESTORE FAILED at {clock_text(failure.at)}: {said.meaning} ({said.errno_name}); "
                "finish discards it unless somebody restores it before"
            )
        case ResourceState.INCOMING:
            return "finish discards it unless somebody restores it before"
        case ResourceState.RESTORED if resource.abandoned:
            return "its process is gone: finish discards it unless it is restored again before"
        case ResourceState.RESTORED:
            return "is back with a process; the next update does not carry it"
        case ResourceState.UNKNOWN:
            return "nothing can be said of it: its state is not known"
    if resource.result:
        code = errno.errorcode.get(resource.result, str(resource.result))
        lacks = f", {size_text(resource.shortage)} too little" if resource.shortage else ""
        return f"REFUSED the latest prepare or freeze ({code}{lacks})"
    if snapshot.luo.state in (State.PREPARED, State.FROZEN):
        return "survives a kexec now"
    if snapshot.luo.state is State.PRESERVING:
        return "goes along with a kexec now, if its holder lives until then"
    return "is carried by the next update, from prepare on"


def counts(found: Iterable[DeviceOutcome]) -> Mapping[Outcome, int]:
    """Count the devices of each outcome; a outcome that nothing has is left out."""
    numbers: dict[Outcome, int] = {}
    for one in found:
        numbers[one.outcome] = numbers.get(one.outcome, 0) + 1
    return {outcome: numbers[outcome] for outcome in Outcome if outcome in numbers}


def summary(found: Iterable[DeviceOutcome]) -> Iterator[str]:
    """Yield how many there are of what, the worst first: ``2 bound to vfio``."""
    every = tuple(found)
    used = sum(f.dangerous and f.outcome is Outcome.RESET for f in every)
    for outcome, number in counts(every).items():
        yield f"{number:,} {outcome}" + (
            f" ({used:,} IN USE)" if used and outcome is Outcome.RESET else ""
        )


def losses(found: Iterable[DeviceOutcome]) -> Iterator[str]:
    """Yield what is taken from whom: a line for whoever uses devices now, with all of them."""
    of: dict[tuple[object, ...], list[DeviceOutcome]] = {}
    for one in found:
        if one.dangerous:
            # What is said of one device alone stands alone.
            alone = one.device.id if one.outcome is Outcome.REFUSED or not one.device.users else ""
            of.setdefault((one.outcome, one.device.users, one.reason, alone), []).append(one)
    for together in of.values():
        first = together[0]
        ids = ", ".join(f"{o.device.bus} {o.device.id}" for o in together)
        if len(together) == 1:
            yield f"{ids}: {first.reason}"
        elif first.outcome is Outcome.VFIO:
            who, driver = _and(first.device.users), first.device.driver
            yield f"{who} loses {len(together):,} devices, {driver} takes no part: {ids}."
        else:
            yield f"{len(together):,} devices, {ids}: {first.reason}"


def alarms(found: Iterable[DeviceOutcome]) -> Iterator[str]:
    """Yield what somebody would miss: of all else there is nothing to say."""
    for outcome, number in counts(f for f in found if f.dangerous).items():
        match outcome:
            case Outcome.VFIO:
                yield f"guests LOSE {number:,}"
            case Outcome.RESET:
                yield f"{number:,} in use {'is' if number == 1 else 'are'} reset"
            case _:
                yield f"{number:,} {outcome}"


def _danger(one: DeviceOutcome) -> tuple[bool, int, bool, str]:
    return (not one.dangerous, _ORDER[one.outcome], not one.device.users, one.device.id)


def _only_named(participant: Participant) -> Device:
    return Device(participant.name, "pci", driver=participant.driver)


def _fate(device: Device, participant: Participant | None, late: bool) -> DeviceOutcome:
    if participant is not None:
        if late and participant.state == "registered":
            return _too_late(device, participant)
        return _of_participant(device, participant)
    if "vfio" in device.driver:
        who = _and(device.users) if device.users else "A guest that is given it"
        return DeviceOutcome(
            device, Outcome.VFIO, f"{who} loses it: {device.driver} takes no part."
        )
    if device.kind == "bridge":
        return DeviceOutcome(
            device, Outcome.RESET, "A bridge: it is set up anew and loses nothing."
        )
    if not device.driver:
        return DeviceOutcome(
            device, Outcome.UNKNOWN, "No driver is bound: nothing is known of its use."
        )
    reason = f"{device.driver} takes no part: the next kernel sets it up anew"
    users = f", and interrupts {_and(device.users)}" if device.users else ""
    return DeviceOutcome(device, Outcome.RESET, f"{reason}{users}.")


def _too_late(device: Device, participant: Participant) -> DeviceOutcome:
    """Say so of a driver that registered after prepare (kernel/luo_pci.c)."""
    users = f", and interrupts {_and(device.users)}" if device.users else ""
    driver = participant.driver or device.driver or "its driver"
    reason = f"It came after prepare: this update resets it, though {driver} takes part{users}."
    return DeviceOutcome(device, Outcome.RESET, reason)


def _of_participant(device: Device, participant: Participant) -> DeviceOutcome:
    if participant.state in _LOST:
        was = "Was to live on and is lost" if participant.state == "lost" else "It is reset"
        why = participant.reason or "the kernel does not say why"
        return DeviceOutcome(device, Outcome.REFUSED, f"{was}: {why}.")
    driver = participant.driver or device.driver or "its driver"
    told = {
        "incoming": f"Came with the update and runs on; {driver} has not claimed it yet.",
        "claimed": f"Lived on through the update; {driver} has claimed it.",
    }
    reason = told.get(participant.state, f"Kept running for {driver}.")
    if participant.result:
        code = errno.errorcode.get(participant.result, str(participant.result))
        reason = f"{reason} It refused the latest prepare or freeze ({code})."
    return DeviceOutcome(device, Outcome.CARRIED, reason)


def _and(words: tuple[str, ...]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
