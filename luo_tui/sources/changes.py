# SPDX-License-Identifier: MIT
"""What a source reports: differences, as :data:`Change` values.

What comes of them is :func:`luo_tui.monitor.fold.fold`.
"""

# Annotations are no strings here: NamedTuple would compile each, and all begin with this.
from typing import NamedTuple

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


class _Signal:
    """A change that says no more than its kind. A tuple of nothing would be no change to ``if``."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(type(self))

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class LuoChanged(NamedTuple):
    """The orchestrator's state, with the stamps that belong to it."""

    luo: LuoState
    stamps: Stamps = Stamps()
    compatible: str = ""
    from_release: str = ""
    veto: str = ""
    abi: str = ""


class ResourcePut(NamedTuple):
    """A resource came, or is no longer what it was."""

    resource: Resource


class ResourceGone(NamedTuple):
    """A resource went."""

    token: int


class ResourcesRead(NamedTuple):
    """All resources, enumerated anew: replaces what was known."""

    resources: tuple[Resource, ...]


class ParticipantPut(NamedTuple):
    """A participant came, or is no longer what it was."""

    participant: Participant


class ParticipantGone(NamedTuple):
    """A participant went."""

    id: str


class ParticipantsRead(NamedTuple):
    """All participants, enumerated anew: replaces what was known."""

    participants: tuple[Participant, ...]


class KexecChanged(NamedTuple):
    """An image was loaded for kexec, or unloaded."""

    kexec: KexecState


class SourceFailed(NamedTuple):
    """A source died; its last data stay."""

    name: str
    fault: str
    since: float


class SourceAlive(NamedTuple):
    """A source lives (again)."""

    name: str


class ReadingDone(NamedTuple):
    """A source has been read to the end, completely or in part."""

    name: str
    missing: tuple[str, ...] = ()
    """Sentences on what could not be learned; empty: the reading is complete."""


class DevicePut(NamedTuple):
    """A device came, or is no longer what it was."""

    device: Device


class DeviceGone(NamedTuple):
    """A device went."""

    id: str


class DevicesRead(NamedTuple):
    """All devices, enumerated anew: replaces what was known."""

    devices: tuple[Device, ...]


class VitalsRead(NamedTuple):
    """How the machine is now."""

    vitals: Vitals


class ImagesRead(NamedTuple):
    """The kernel image files that lie in /boot now."""

    images: tuple[str, ...]


class WindowsWritten(_Signal):
    """Journal or lock of the maintenance windows were written by somebody."""


class KernelSaid(NamedTuple):
    """The kernel logged a line that has to do with updates; no part of the picture."""

    text: str
    grave: bool = False
    at: float = 0.0
    """CLOCK_REALTIME in seconds; 0: now."""


class RestoreFailed(NamedTuple):
    """The kernel could not restore a resource."""

    token: int
    failure: RestoreFailure


class KernelPrinted(_Signal):
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
