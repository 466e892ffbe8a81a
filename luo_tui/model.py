# SPDX-License-Identifier: MIT
"""The words of the field, as values: what a live update consists of.

Everything here is frozen and does no I/O. A :class:`Snapshot` is the whole
picture at one instant; sources tell of differences as :data:`Change` values,
and :func:`fold` is the only way in which a picture changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum


class State(StrEnum):
    """The orchestrator's state, by the kernel's own name for it."""

    NORMAL = "normal"
    PREPARED = "prepared"
    FROZEN = "frozen"
    UPDATED = "updated"
    UNAVAILABLE = "unavailable"
    """There is no orchestrator to ask; :attr:`LuoState.detail` says why."""
    UNKNOWN = "unknown"
    """The kernel named a state that this program does not know; the word is in the detail."""

    @property
    def usable(self) -> bool:
        """Whether the kernel has told a state that the program understands."""
        return self not in (State.UNAVAILABLE, State.UNKNOWN)


@dataclass(frozen=True, slots=True)
class LuoState:
    """A state with what has to be said about it."""

    state: State
    detail: str = ""

    @classmethod
    def parse(cls, text: str) -> LuoState:
        """Read the text of ``/sys/kernel/liveupdate/state``."""
        word = text.strip()
        try:
            state = State(word)
        except ValueError:
            return cls(State.UNKNOWN, word)
        return cls(state) if state.usable else cls(State.UNKNOWN, word)


class ResourceState(StrEnum):
    """Where a preserved descriptor is in its life."""

    PRESERVED = "preserved"
    """Will be handed over by the next prepare and kexec."""
    INCOMING = "incoming"
    """Came from the previous kernel; nobody has restored it yet."""
    RESTORED = "restored"
    """Came from the previous kernel and is back in the hands of a process."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One preserved descriptor, known to the kernel by its token."""

    token: int
    kind: str
    state: ResourceState
    name: str = ""
    bytes: int = 0
    """Size of the file in bytes; holes count, as in ``st_size``."""
    pid: int = 0
    """Process that preserved it (it may be gone); 0 when the kernel does not say."""
    comm: str = ""
    pages: int = 0
    """Pages of memory that go along; holes do not count."""
    handler: str = ""
    """What it needs to be restored, where the module that handles it is not loaded."""
    result: int = 0
    """Errno with which it refused the latest prepare or freeze; 0 if it did not."""

    @property
    def label(self) -> str:
        """What an operator calls it: the name if it has one, else the kind; always the token."""
        return f"{self.name or self.kind} (token {self.token})"


@dataclass(frozen=True, slots=True)
class Participant:
    """A subsystem or a device of the kernel that takes part in updates.

    Source: the attributes of the class ``liveupdate`` (kernel/luo_subsystems.c,
    kernel/luo_pci_node.c).
    """

    id: str
    """Its name in the class."""
    kind: str
    """``subsystem`` or ``pci``."""
    name: str
    state: str
    """The kernel's word for it."""
    result: int = 0
    """Errno with which it refused the latest prepare or freeze; 0 if it did not."""
    driver: str = ""
    reason: str = ""
    """Why it cannot take part, where it cannot."""
    prepare_ns: int = 0
    freeze_ns: int = 0
    """How long its latest calls took, in nanoseconds; 0: has not been called."""

    @property
    def label(self) -> str:
        """What an operator calls it."""
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Stamps:
    """The kernel's own times of the latest update, raw TSC values; 0 has not happened.

    Source: ``/sys/kernel/liveupdate/times``. The TSC runs on through the jump;
    CLOCK_REALTIME does not (it was seen to be off by up to 0.8 s).
    """

    tsc_khz: int = 0
    prepare_begin: int = 0
    prepare_end: int = 0
    freeze_begin: int = 0
    freeze_end: int = 0
    jump: int = 0
    arrived: int = 0

    def milliseconds(self, begin: int, end: int) -> float | None:
        """Time between two stamps; None where one is missing or the rate is unknown."""
        if not (self.tsc_khz and begin and end) or end < begin:
            return None
        return (end - begin) / self.tsc_khz


@dataclass(frozen=True, slots=True)
class Host:
    """The machine and the kernel that runs on it now."""

    name: str
    release: str
    boot_id: str
    has_real_name: bool = True
    """False for ``(none)`` and ``localhost``: typing such a name proves nothing."""


@dataclass(frozen=True, slots=True)
class KexecState:
    """What the kernel holds ready for a kexec: ``/sys/kernel/kexec_loaded`` and its sister."""

    loaded: bool = False
    crash_loaded: bool = False
    load_disabled: bool = False
    """The sysctl ``kernel.kexec_load_disabled`` is set: no image can be loaded until a reboot."""


@dataclass(frozen=True, slots=True)
class KernelImage:
    """A kernel image file, as far as the file itself tells."""

    path: str
    release: str = ""
    bytes: int = 0
    initrd: str = ""
    """The initial RAM disk beside it, or empty when there is none."""
    fault: str = ""
    """Why it cannot be loaded, in words; empty when nothing speaks against it."""
    kexec_handover: bool | None = None
    """CONFIG_KEXEC_HANDOVER of that kernel; None where no config was found."""
    orchestrator: str = ""
    """Compatible string of the luo.ko installed for that release; empty when there is none."""


@dataclass(frozen=True, slots=True)
class SourceHealth:
    """Whether one source of the picture is alive; a dead one leaves its last data standing."""

    name: str
    fault: str = ""
    since: float = 0.0
    """CLOCK_BOOTTIME in seconds of the moment the fault began."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole picture at one instant."""

    host: Host
    luo: LuoState
    resources: Mapping[int, Resource] = field(default_factory=dict)
    participants: Mapping[str, Participant] = field(default_factory=dict)
    kexec: KexecState = KexecState()
    stamps: Stamps = Stamps()
    compatible: str = ""
    """What the running orchestrator writes and reads; the target must say the same."""
    from_release: str = ""
    """Release of the kernel that handed over to this one; empty after an ordinary boot."""
    health: Mapping[str, SourceHealth] = field(default_factory=dict)
    seq: int = 0

    @property
    def outgoing(self) -> tuple[Resource, ...]:
        """What the next update would carry, by token."""
        return self._in(ResourceState.PRESERVED)

    @property
    def incoming(self) -> tuple[Resource, ...]:
        """What came over and nobody has restored: finish throws it away."""
        return self._in(ResourceState.INCOMING)

    @property
    def restored(self) -> tuple[Resource, ...]:
        """What came over and is back in the hands of a process."""
        return self._in(ResourceState.RESTORED)

    def refused_with(self, code: int) -> tuple[str, ...]:
        """Name whoever refused the latest prepare or freeze with this errno."""
        found: list[Resource | Participant] = [*self.outgoing]
        found += [p for _, p in sorted(self.participants.items())]
        return tuple(f.label for f in found if code and f.result == code)

    def _in(self, state: ResourceState) -> tuple[Resource, ...]:
        return tuple(r for _, r in sorted(self.resources.items()) if r.state is state)


@dataclass(frozen=True, slots=True)
class LuoChanged:
    """The orchestrator's state, with the stamps that belong to it."""

    luo: LuoState
    stamps: Stamps = Stamps()
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


Change = (
    LuoChanged
    | ResourcePut
    | ResourceGone
    | ResourcesRead
    | ParticipantPut
    | ParticipantGone
    | ParticipantsRead
    | KexecChanged
    | SourceFailed
    | SourceAlive
)


def fold(snapshot: Snapshot, changes: Iterable[Change]) -> Snapshot:
    """Return the picture after ``changes``; the very same object if nothing differs."""
    resources = dict(snapshot.resources)
    participants = dict(snapshot.participants)
    health = dict(snapshot.health)
    luo = LuoChanged(snapshot.luo, snapshot.stamps, snapshot.compatible, snapshot.from_release)
    kexec = snapshot.kexec
    for change in changes:
        match change:
            case LuoChanged():
                luo = change
            case ResourcePut(resource):
                resources[resource.token] = resource
            case ResourceGone(token):
                resources.pop(token, None)
            case ResourcesRead(found):
                resources = {r.token: r for r in found}
            case ParticipantPut(participant):
                participants[participant.id] = participant
            case ParticipantGone(id_):
                participants.pop(id_, None)
            case ParticipantsRead(all_):
                participants = {p.id: p for p in all_}
            case KexecChanged(state):
                kexec = state
            case SourceFailed(name, fault, since):
                known = health.get(name)
                began = known.since if known and known.fault else since
                health[name] = SourceHealth(name, fault, began)
            case SourceAlive(name):
                health[name] = SourceHealth(name)
    new = replace(
        snapshot,
        luo=luo.luo,
        stamps=luo.stamps,
        compatible=luo.compatible,
        from_release=luo.from_release,
        resources=resources,
        participants=participants,
        kexec=kexec,
        health=health,
    )
    return snapshot if new == snapshot else replace(new, seq=snapshot.seq + 1)
