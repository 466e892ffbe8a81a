# SPDX-License-Identifier: MIT
"""How a picture changes: what sources tell, and what comes of it.

Sources tell of differences as :data:`Change` values, and :func:`fold` is the
only way in which a :class:`~luo_tui.model.Snapshot` changes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from luo_tui.model import (
    Device,
    KexecState,
    LuoState,
    Participant,
    Resource,
    Resources,
    Snapshot,
    SourceHealth,
    Stamps,
    Vitals,
)


@dataclass(frozen=True, slots=True)
class LuoChanged:
    """The orchestrator's state, with the stamps that belong to it."""

    luo: LuoState
    stamps: Stamps = field(default_factory=Stamps)
    compatible: str = ""
    from_release: str = ""


@dataclass(frozen=True, slots=True)
class ResourcePut:
    """A resource came, or is no longer what it was."""

    resource: Resource


@dataclass(frozen=True, slots=True)
class ResourceGone:
    """A resource went."""

    token: int


@dataclass(frozen=True, slots=True)
class ResourcesRead:
    """All resources, enumerated anew: replaces what was known."""

    resources: tuple[Resource, ...]


@dataclass(frozen=True, slots=True)
class ParticipantPut:
    """A participant came, or is no longer what it was."""

    participant: Participant


@dataclass(frozen=True, slots=True)
class ParticipantGone:
    """A participant went."""

    id: str


@dataclass(frozen=True, slots=True)
class ParticipantsRead:
    """All participants, enumerated anew: replaces what was known."""

    participants: tuple[Participant, ...]


@dataclass(frozen=True, slots=True)
class KexecChanged:
    """An image was loaded for kexec, or unloaded."""

    kexec: KexecState


@dataclass(frozen=True, slots=True)
class SourceFailed:
    """A source died; its last data stay."""

    name: str
    fault: str
    since: float


@dataclass(frozen=True, slots=True)
class SourceAlive:
    """A source lives (again)."""

    name: str


@dataclass(frozen=True, slots=True)
class DevicePut:
    """A device came, or is no longer what it was."""

    device: Device


@dataclass(frozen=True, slots=True)
class DeviceGone:
    """A device went."""

    id: str


@dataclass(frozen=True, slots=True)
class DevicesRead:
    """All devices, enumerated anew: replaces what was known."""

    devices: tuple[Device, ...]


@dataclass(frozen=True, slots=True)
class VitalsRead:
    """How the machine is now."""

    vitals: Vitals


@dataclass(frozen=True, slots=True)
class ImagesRead:
    """The kernel image files that lie in /boot now."""

    images: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WindowsWritten:
    """Journal or lock of the maintenance windows were written by somebody."""


@dataclass(frozen=True, slots=True)
class KernelSaid:
    """The kernel logged a line that has to do with updates; no part of the picture."""

    text: str
    grave: bool = False
    at: float = 0.0
    """CLOCK_REALTIME in seconds; 0: now."""


@dataclass(frozen=True, slots=True)
class KernelPrinted:
    """The kernel has written lines over its consoles."""


Change = (
    LuoChanged
    | ResourcePut
    | ResourceGone
    | ResourcesRead
    | ParticipantPut
    | ParticipantGone
    | ParticipantsRead
    | KexecChanged
    | DevicePut
    | DeviceGone
    | DevicesRead
    | VitalsRead
    | ImagesRead
    | WindowsWritten
    | KernelSaid
    | KernelPrinted
    | SourceFailed
    | SourceAlive
)


def fold(snapshot: Snapshot, changes: Iterable[Change]) -> Snapshot:
    """Return the picture after ``changes``; the very same object if nothing differs."""
    picture = _Picture(snapshot)
    for change in changes:
        picture.take(change)
    new = picture.snapshot()
    return snapshot if new == snapshot else replace(new, seq=snapshot.seq + 1)


class _Picture:
    """A snapshot in the making: what does not change is not copied."""

    def __init__(self, before: Snapshot) -> None:
        self._before = before
        self._resources: dict[int, Resource | None] = {}
        """What changed since :attr:`_base`; None is for one that has gone."""
        self._base = before.resources
        self._participants = dict(before.participants)
        self._devices = dict(before.devices)
        self._health = dict(before.health)
        self._other: dict[str, object] = {}
        self._printed, self._windows = before.printed, before.windows

    def take(self, change: Change) -> None:
        match change:
            case LuoChanged(luo, stamps, compatible, from_release):
                self._other |= {
                    "luo": luo,
                    "stamps": stamps,
                    "compatible": compatible,
                    "from_release": from_release,
                }
            case ResourcePut(resource):
                self._resources[resource.token] = resource
            case ResourceGone(token):
                self._resources[token] = None
            case ResourcesRead(resources):
                self._base, self._resources = Resources(resources), {}
            case ParticipantPut(participant):
                self._participants[participant.id] = participant
            case ParticipantGone(id_):
                self._participants.pop(id_, None)
            case ParticipantsRead(participants):
                self._participants = {p.id: p for p in participants}
            case DevicePut(device):
                self._devices[device.id] = device
            case DeviceGone(id_):
                self._devices.pop(id_, None)
            case DevicesRead(devices):
                self._devices = {d.id: d for d in devices}
            case KexecChanged(kexec):
                self._other["kexec"] = kexec
            case VitalsRead(vitals):
                self._other["vitals"] = vitals
            case ImagesRead(images):
                self._other["images"] = images
            case WindowsWritten():
                self._windows += 1
            case KernelPrinted():
                self._printed += 1
            case KernelSaid():
                pass
            case SourceFailed(name, fault, since):
                known = self._health.get(name)
                began = known.since if known and known.fault else since
                self._health[name] = SourceHealth(name, fault, began)
            case SourceAlive(name):
                self._health[name] = SourceHealth(name)

    def snapshot(self) -> Snapshot:
        base = self._base
        return replace(
            self._before,
            resources=base.changed(self._resources) if self._resources else base,
            participants=self._participants,
            devices=self._devices,
            health=self._health,
            printed=self._printed,
            windows=self._windows,
            **self._other,  # type: ignore[arg-type]
        )
