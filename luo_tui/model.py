# SPDX-License-Identifier: MIT
"""The words of the field, as values: what a live update consists of.

Everything here is frozen and does no I/O. A :class:`Snapshot` is the whole
picture at one instant; see :mod:`luo_tui.sources.changes` for how it changes.
"""

# Annotations are no strings here: NamedTuple would compile each, and all begin with this.
from collections.abc import ItemsView, Iterable, Iterator, Mapping, ValuesView
from enum import StrEnum
from functools import cached_property
from itertools import pairwise
from types import MappingProxyType
from typing import Any, NamedTuple

from luo_tui.state import State as State

_NOTHING: Mapping[Any, Any] = {}
"""Nothing by name; nobody writes to it."""


class LuoState(NamedTuple):
    """A state with what has to be said about it."""

    state: State
    detail: str = ""
    evidence: tuple[str, ...] = ()
    """What it was derived from, where the kernel tells none; empty: the kernel told it."""

    @classmethod
    def parse(cls, text: str) -> "LuoState":
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
    """Came from the previous kernel and was given to a process, which may be gone again."""
    UNKNOWN = "unknown"
    """It is there, and its state could not be read or is none that this program knows."""


class Resource(NamedTuple):
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
    """Errno with which it refused the latest prepare or freeze; 0 if it did not.

    Of one that came over EIO: it cannot be read, so nobody can restore it.
    """
    shortage: int = 0
    """Bytes that were missing when it was refused for want of memory; 0: none, or not known."""
    lost: int = 0
    """Bytes that were written after the freeze and did not come along."""
    abandoned: bool = False
    """Whether it was restored and only the kernel holds it now: it can be restored again.

    As it was when it was last read: no event tells that the last process let go of it.
    """

    @property
    def label(self) -> str:
        """What an operator calls it: the name if it has one, else the kind; always the token."""
        return f"{self.name or self.kind} (token {self.token})"

    @property
    def endangered(self) -> bool:
        """Whether the next step loses it, as things stand."""
        gone = (ResourceState.INCOMING, ResourceState.UNKNOWN)
        return bool(self.result or self.lost) or self.state in gone


class Resources(Mapping[int, Resource]):
    """All resources by token, in the order of their tokens; never changes.

    What is counted over them is counted once: there may be a hundred thousand.
    """

    def __init__(self, resources: Iterable[Resource] = ()) -> None:
        """Of two with one token the later one counts."""
        found = {r.token: r for r in resources}
        tokens = list(found)
        if any(a > b for a, b in pairwise(tokens)):
            found = {t: found[t] for t in sorted(tokens)}
        self._by_token = found

    def __getitem__(self, token: int) -> Resource:
        """Return the resource with this token; KeyError if there is none."""
        return self._by_token[token]

    def __iter__(self) -> Iterator[int]:
        """Go through the tokens."""
        return iter(self._by_token)

    def __len__(self) -> int:
        """Count them."""
        return len(self._by_token)

    def items(self) -> ItemsView[int, Resource]:
        """Go through tokens and resources; the inherited way is slow."""
        return self._by_token.items()

    def values(self) -> ValuesView[Resource]:
        """Go through the resources."""
        return self._by_token.values()

    def get(self, token: int, default: Any = None) -> Any:
        """Return the resource with this token, or ``default``."""
        return self._by_token.get(token, default)

    def __eq__(self, other: object) -> bool:
        """Compare with any mapping; those that share their resources compare fast."""
        if isinstance(other, Resources):
            return self is other or self._by_token == other._by_token
        return self._by_token == other

    def __hash__(self) -> int:
        """Never called for: equality is by value, and the values are many."""
        raise TypeError("Resources cannot be hashed")

    def changed(self, news: Mapping[int, Resource | None]) -> "Resources":
        """Return them with ``news`` by token; None is for one that has gone."""
        found = {**self._by_token}
        last = next(reversed(found), -1)
        in_order = True
        for token, resource in news.items():
            if resource is None:
                found.pop(token, None)
                continue
            if token not in found:
                in_order = in_order and token > last
                last = max(last, token)
            found[token] = resource
        if not in_order:
            return Resources(found.values())
        new = Resources()
        new._by_token = found
        return new

    @property
    def by_token(self) -> Mapping[int, Resource]:
        """The same as a mapping that is as fast as a dictionary."""
        return MappingProxyType(self._by_token)

    @cached_property
    def lost_first(self) -> Mapping[int, Resource]:
        """The same, with those first that an update loses as things stand."""
        lost = [r for r in self._by_token.values() if r.endangered]
        if not lost:
            return self.by_token
        return MappingProxyType({**{r.token: r for r in lost}, **self._by_token})

    @cached_property
    def by_state(self) -> Mapping[ResourceState, tuple[Resource, ...]]:
        """Each state's resources, by token."""
        found: dict[ResourceState, list[Resource]] = {state: [] for state in ResourceState}
        for resource in self._by_token.values():
            found[resource.state].append(resource)
        return {state: tuple(those) for state, those in found.items()}

    @cached_property
    def only_in_kernel(self) -> tuple[Resource, ...]:
        """What came over and no process has, by token."""
        back = self.by_state[ResourceState.RESTORED]
        abandoned = [r for r in back if r.abandoned]
        found = (*self.by_state[ResourceState.INCOMING], *abandoned)
        return tuple(sorted(found, key=lambda r: r.token)) if abandoned else found

    @cached_property
    def bytes_by_state(self) -> Mapping[ResourceState, int]:
        """Each state's bytes in all."""
        return {state: sum(r.bytes for r in those) for state, those in self.by_state.items()}


class Participant(NamedTuple):
    """What takes part in updates: a subsystem or a device of the kernel, or a session.

    Source: the attributes of the class ``liveupdate`` (kernel/luo_subsystems.c,
    kernel/luo_pci_node.c); of a session, the descriptors of its holders.
    """

    id: str
    """Its name in the class."""
    kind: str
    """``subsystem``, ``pci``, or ``session`` (of mainline's orchestrator)."""
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

    @property
    def endangered(self) -> bool:
        """Whether it refused, cannot take part, or was lost on the way."""
        return bool(self.result) or self.state in ("refused", "lost")


class Stamps(NamedTuple):
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


class Host(NamedTuple):
    """The machine and the kernel that runs on it now."""

    name: str
    release: str
    boot_id: str
    has_real_name: bool = True
    """False for ``(none)`` and ``localhost``: typing such a name proves nothing."""


class Device(NamedTuple):
    """A device of this host that an update may reset, or carry across."""

    id: str
    """Its name on its bus, such as ``0000:3b:00.0`` or ``virtio3``."""
    bus: str
    """``pci``, ``virtio`` or ``mdev``."""
    kind: str = ""
    """What sort of device it is (``network``, ``storage``); empty where it does not say."""
    driver: str = ""
    """Empty while no driver is bound."""
    label: str = ""
    """Vendor and model, as far as they are known."""
    users: tuple[str, ...] = ()
    """Who would miss it: interfaces, mounted disks, processes; in words."""
    iommu_group: str = ""


class Vitals(NamedTuple):
    """How the machine is, coarse enough that an idle one stays the same."""

    memory_total: int = 0
    """Bytes; 0 when it could not be read."""
    memory_available: int = 0
    """Bytes that could be had without swapping, rounded to a hundredth of the total."""
    load: float = 0.0
    """Runnable tasks, mean over a minute, rounded to a half."""
    cpus: int = 0
    users: tuple[str, ...] = ()
    """Who is logged in, as ``name on tty from where``."""
    booted_at: float = 0.0
    """CLOCK_REALTIME in seconds of this kernel's start; 0 when unknown."""
    holders: tuple[str, ...] = ()
    """Processes that have /dev/liveupdate open, as ``command [pid]``; only root sees all."""
    watchdogs: tuple[str, ...] = ()
    """Armed watchdog timers, each with its timeout in words."""


class Guest(NamedTuple):
    """A process with virtual CPUs, or with so much memory that it may be a guest's."""

    pid: int
    comm: str
    memory: tuple[str, ...] = ()
    """Names of its memfds, the largest first."""
    bytes: int = 0
    """Their bytes in all."""
    started: float = 0.0
    """CLOCK_BOOTTIME in seconds; 0: not known."""
    name: str = ""
    """What its QEMU was told to call it; empty: nothing, or it is none of QEMU."""
    is_qemu: bool = False

    @property
    def label(self) -> str:
        """What an operator calls it.

        QEMU calls the memory of all its guests by one name, which is no guest's.
        """
        name = self.name or ("" if self.is_qemu else next((m for m in self.memory if m), ""))
        return f"{name} ({self.comm or '?'} [{self.pid}])" if name else f"{self.comm} [{self.pid}]"


class Work(NamedTuple):
    """What runs on this host and ends with its kernel, at one moment."""

    names: frozenset[str] | None = None
    """The command names of all processes; None: not all are known."""
    guests: tuple[Guest, ...] = ()
    services: tuple[str, ...] = ()
    """Units of systemd's system.slice that have processes, without ``.service``."""
    missing: tuple[str, ...] = ()
    """Sentences on what could not be learned."""


class DescriptorStore(NamedTuple):
    """What one unit has left with systemd."""

    unit: str
    number: int = 0
    """Of descriptors, those of sessions among them."""
    preserve: str = ""
    """``FileDescriptorStorePreserve=``: ``no``, ``restart``, ``yes`` or ``on-success``; empty: not
    known to this systemd."""
    sessions: tuple[str, ...] = ()
    """``LUOSession=``: the sessions that systemd makes for it."""
    carried: int | None = None
    """How many of the descriptors a kernel can carry: memfds, and sessions; None: not known."""
    held: tuple[str, ...] = ()
    """Sessions among the descriptors, by the names that the kernel has for them."""

    @property
    def outlives(self) -> bool:
        """Whether something is in it that stays when its unit ends, and so over a kexec."""
        return self.number > 0 and self.preserve in ("yes", "on-success")

    @property
    def promised(self) -> int:
        """How many descriptors come over where systemd makes the kexec, as far as it tells."""
        if not self.outlives:
            return 0
        return self.number if self.carried is None else self.carried


class DescriptorStores(NamedTuple):
    """The units that have left something, and what could not be learned."""

    stores: tuple[DescriptorStore, ...] = ()
    missing: tuple[str, ...] = ()
    kexecs: int | None = None
    """How many kexecs in a row handed stores over to this systemd, by its own count; None: it does
    not tell, as before 262."""


class InitTimes(NamedTuple):
    """When systemd ended the kernel before, and began in this one; in seconds of CLOCK_REALTIME."""

    began: float
    """A shutdown was ordered: units are stopped from here on."""
    stopped: float
    """The units had been stopped."""
    late_began: float
    """systemd-shutdown began: it ends what still runs, and unmounts."""
    late_ended: float
    """All was ready for the kexec."""
    started: float
    """systemd began in this kernel."""


class Condition(NamedTuple):
    """What of a host is to be after an update as it was before, at one moment."""

    links: Mapping[str, str] | None = None
    """State of each network link that a device is behind, by its name (``up``, ``down``); None:
    not known."""
    failed_units: tuple[str, ...] | None = None
    """Units of systemd that have failed; empty without systemd, None: not known."""
    errors: tuple[str, ...] | None = None
    """What the kernel printed as an error since its start, each text once; None: not known."""
    lines: tuple[str, ...] = ()
    """The kernel's lines on updates, as far as they could be read."""
    log_is_whole: bool = False
    """Whether the kernel's log could be read from its first line on."""
    up: float = 0.0
    """Seconds since this kernel's start."""
    init_up: float | None = None
    """When the first program was started, by the kernel's own clock in seconds; None: not told."""
    arrived_up: float | None = None
    """When a live update had arrived, by the same clock."""
    missing: tuple[str, ...] = ()
    """Sentences on what could not be learned."""
    stores: DescriptorStores = DescriptorStores()
    """What units have left with systemd."""
    init_times: InitTimes | None = None
    """None: systemd did not make the kexec into this kernel, or does not tell (before 262)."""


class RestoreFailure(NamedTuple):
    """A restore that the kernel refused, as its own line told."""

    errno: int
    at: float
    """CLOCK_REALTIME in seconds."""


class KexecState(NamedTuple):
    """What the kernel holds ready for a kexec: ``/sys/kernel/kexec_loaded`` and its sister."""

    loaded: bool = False
    crash_loaded: bool = False
    load_disabled: bool = False
    """The sysctl ``kernel.kexec_load_disabled`` is set: no image can be loaded until a reboot."""


class BoundDriver(NamedTuple):
    """A device's driver, and what its module goes by."""

    device: str
    driver: str
    module: str
    """The name of the module that was loaded for it; empty for a driver that is built in."""
    alias: str
    """What a kernel finds a driver for the device by; empty: not told."""
    in_use: bool = False


class BoundDrivers(NamedTuple):
    """The drivers of devices, and what could not be learned of them."""

    drivers: tuple[BoundDriver, ...] = ()
    missing: tuple[str, ...] = ()


class LoaderVariables(NamedTuple):
    """What EFI variables say of a boot loader (systemd's Boot Loader Interface).

    Those of entries are patterns of their ids; empty where there is none.
    """

    name: str = ""
    """The boot loader that has started this machine, with its version; empty: it does not say."""
    preferred: str = ""
    default: str = ""
    once: str = ""
    """The entry that it starts the next time alone."""
    saved: str = ""
    """The entry that it has started last."""
    fault: str = ""
    """Why they could not be read; empty when they could."""


class FirmwareBoot(NamedTuple):
    """What firmware starts after a reset, by its own variables."""

    efi: bool
    """Whether it is EFI; else it starts what lies on its first disk, and says nothing of it."""
    first: str = ""
    """The entry that it starts, with its number."""
    once: str = ""
    """The entry that it starts the next time alone; empty: the same."""
    fault: str = ""
    """Why it could not be read; empty when it could."""
    loader: LoaderVariables = LoaderVariables()


class RunningKernel(NamedTuple):
    """What the running kernel tells of itself that an update into another one rests on."""

    formats: tuple[str, ...] = ()
    """The formats of the handover that it speaks, as ``kho-v4``; empty: it does not tell."""
    scratch: tuple[int, ...] | None = None
    """Bytes of each area of KHO's scratch memory; None: not known."""
    lockdown: str | None = None
    """``none``, ``integrity`` or ``confidentiality`` (kernel_lockdown(7)); None: not known."""
    signatures_only: bool | None = None
    """CONFIG_KEXEC_SIG_FORCE: whether it loads signed images alone; None: not known."""


class MemoryLimit(NamedTuple):
    """The memory limit of a process's cgroup."""

    pid: int
    group: str
    """Its path below the cgroup root."""
    bytes: int | None
    """The smallest ``memory.max`` on the way up; None: there is none."""


class MemoryLimits(NamedTuple):
    """The limits of some processes, and what could not be learned of them."""

    limits: tuple[MemoryLimit, ...] = ()
    missing: tuple[str, ...] = ()


class InitSystem(NamedTuple):
    """Process 1, as far as a kexec can go through it."""

    name: str = ""
    """``systemd``; empty where it is another one, or none that could be asked."""
    version: int = 0
    """0: not known."""
    stores: DescriptorStores = DescriptorStores()
    missing: tuple[str, ...] = ()
    """Sentences on what could not be learned of it."""


class FileIdentity(NamedTuple):
    """Which file, with which content: a file under the same name may be another one."""

    path: str
    device: int = 0
    inode: int = 0
    bytes: int = 0
    mtime_ns: int = 0
    ctime_ns: int = 0
    sha256: str = ""
    """Of the whole content, in hexadecimal."""

    def same_stat(self, other: "FileIdentity") -> bool:
        """Whether nothing but the digest could differ. The kernel alone sets the ctime."""
        return self._replace(sha256="") == other._replace(sha256="")


class KernelImage(NamedTuple):
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
    """Compatible string of the luo.ko installed for that release; empty when there is none, or
    one of the two below says what is the matter with it."""
    orchestrator_abi: str = ""
    """Each part of that with its versions, as in :attr:`Snapshot.abi`."""
    orchestrator_fault: str = ""
    """Why the luo.ko that is installed cannot be what the target needs; a sentence."""
    orchestrator_unread: str = ""
    """Why it could not be found out what that luo.ko is; a sentence."""
    initrd_fault: str = ""
    """Why :attr:`initrd` cannot be loaded, to stand behind its name."""
    config_source: str = ""
    """What told of the config; empty where nothing did."""
    config_fault: str = ""
    """Why nothing told of it; a sentence without its full stop."""
    handover_default: bool | None = None
    """Whether that kernel turns Kexec HandOver on without being told so by its command line."""
    command_line_max: int = 0
    """Bytes of the longest command line that is loaded with it; 0: unknown."""
    abi: tuple[str, ...] = ()
    """The formats of the handover that its code speaks, as ``kho-v4``; empty where it has none, or
    the next one says why they are not known."""
    abi_fault: str = ""
    """Why they are not known; a sentence without its full stop."""
    memory: int = 0
    """Bytes that its kernel takes where it is unpacked (``init_size``); 0: not known."""
    initrd_bytes: int = 0
    signed: bool = False
    """Whether it carries a signature; whose, shows when it is loaded."""
    entry: str = ""
    """The boot entry's file that starts it; empty where none does or none was looked for."""
    title: str = ""
    """The entry's title."""
    entry_options: str = ""
    """The entry's command line, which is told and not loaded."""
    identity: FileIdentity | None = None
    """Which file it was read from; None where only a list of images was read."""
    initrd_identity: FileIdentity | None = None


class SourceHealth(NamedTuple):
    """Whether one source of the picture is alive, and how its latest reading ended."""

    name: str
    fault: str = ""
    """Why it is dead, or why its latest reading failed; its last data stand. Empty: it lives."""
    since: float = 0.0
    """CLOCK_BOOTTIME in seconds of the moment the fault began."""
    missing: tuple[str, ...] = ()
    """Sentences on what its latest reading could not learn, although the source lives."""

    @property
    def complete(self) -> bool:
        """Whether nothing is left open: no fault, and nothing missing."""
        return not (self.fault or self.missing)


class Event(NamedTuple):
    """Something that happened, for the log."""

    number: int
    """Counts from 1; no number is left out or used twice by one program."""
    at: float
    """CLOCK_REALTIME in seconds."""
    kind: str
    """What it belongs to: state, resource, participant, device, kernel, image, host, window,
    source, promise."""
    text: str
    subject: str = ""
    """Token, name or address of what it happened to."""
    grave: bool = False
    """Whether it is a failure, or something was lost."""


class Snapshot(NamedTuple):
    """The whole picture at one instant."""

    host: Host
    luo: LuoState
    resources: Resources = Resources()
    participants: Mapping[str, Participant] = _NOTHING
    devices: Mapping[str, Device] = _NOTHING
    """By id; empty also where nothing can be said about devices."""
    vitals: Vitals = Vitals()
    images: tuple[str, ...] = ()
    """Kernel image files that lie in /boot, each with what tells it from an older one."""
    kexec: KexecState = KexecState()
    stamps: Stamps = Stamps()
    compatible: str = ""
    """What the running orchestrator writes and reads; the target must say the same."""
    abi: str = ""
    """Each part of that with its versions, ``memfd:2/1/1``; empty where it does not say.

    The version that is written, the oldest reader of it, and the oldest that is
    read (``kernel/luo_abi.h``).
    """
    from_release: str = ""
    """Release of the kernel that handed over to this one; empty after an ordinary boot."""
    veto: str = ""
    """What stops a kexec whose freeze is refused: ``kprobe``, ``kprobe-ftrace`` or ``none``.

    Empty where the orchestrator does not say (``kernel/luo_reboot.c``).
    """
    failed_restores: Mapping[int, RestoreFailure] = _NOTHING
    """By token: the latest failure of each, in state updated. It may have succeeded since."""
    health: Mapping[str, SourceHealth] = _NOTHING
    windows: int = 0
    """Counts how often journal or lock of the maintenance windows were written by anybody."""
    printed: int = 0
    """Counts bursts of lines that the kernel printed over its consoles."""
    events: int = 0
    """Number of the latest :class:`Event` in the hub's log."""
    seq: int = 0

    @property
    def outgoing(self) -> tuple[Resource, ...]:
        """What the next update would carry, by token."""
        return self._in(ResourceState.PRESERVED)

    @property
    def incoming(self) -> tuple[Resource, ...]:
        """What came over and nobody has restored."""
        return self._in(ResourceState.INCOMING)

    @property
    def discarded(self) -> tuple[Resource, ...]:
        """What came over and no process has, restored or not: finish throws it away."""
        return self.resources.only_in_kernel

    @property
    def restored(self) -> tuple[Resource, ...]:
        """What came over and was given to a process."""
        return self._in(ResourceState.RESTORED)

    def refused_with(self, code: int) -> tuple[str, ...]:
        """Name whoever refused the latest prepare or freeze with this errno."""
        found: list[Resource | Participant] = [*self.outgoing]
        found += [p for _, p in sorted(self.participants.items())]
        return tuple(f.label for f in found if code and f.result == code)

    def doubts(self, *names: str) -> tuple[str, ...]:
        """Say why the picture is not complete, as sentences that begin with a source's name.

        Of the sources of these ``names``, or of all where none is given; empty
        when all that they tell is known. A source that was not asked for this
        snapshot is in no doubt: whoever asks sees to it that it was.
        """
        return tuple(
            f"{health.name}: {sentence}"
            for health in self.health.values()
            if not names or health.name in names
            for sentence in (*((health.fault,) if health.fault else ()), *health.missing)
        )

    def bytes_in(self, state: ResourceState) -> int:
        """Sum up the bytes of the resources in this state."""
        return self.resources.bytes_by_state[state]

    def _in(self, state: ResourceState) -> tuple[Resource, ...]:
        return self.resources.by_state[state]
