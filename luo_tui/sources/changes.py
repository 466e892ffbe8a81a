# SPDX-License-Identifier: MIT
"""What a source reports: differences, as :data:`Change` values.

What comes of them is :func:`luo_tui.monitor.fold.fold`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from luo_tui.model import (
    Device,
    KexecState,
    LuoState,
    Participant,
    Resource,
    RestoreFailure,
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
    veto: str = ""
    abi: str = ""


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
class ReadingDone:
    """A source has been read to the end, completely or in part."""

    name: str
    missing: tuple[str, ...] = ()
    """Sentences on what could not be learned; empty: the reading is complete."""


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
class RestoreFailed:
    """The kernel could not restore a resource."""

    token: int
    failure: RestoreFailure


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
    | RestoreFailed
    | KernelPrinted
    | SourceFailed
    | SourceAlive
    | ReadingDone
)
