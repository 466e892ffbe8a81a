# SPDX-License-Identifier: MIT
"""The orchestrator: commands to one kind of kernel, and the sources that tell of it.

Everything above this room speaks to a live update through :class:`Orchestrator`
alone; which kernel interface stands behind it is decided once, in
:func:`luo_tui.orchestrator.choose.open_orchestrator`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, NoReturn, Protocol, runtime_checkable

from luo_tui.model import (
    BoundDrivers,
    Condition,
    Device,
    FirmwareBoot,
    Host,
    InitSystem,
    KexecState,
    MemoryLimits,
    RunningKernel,
    State,
    Work,
)
from luo_tui.sources import Source


class Move(StrEnum):
    """The four moves that a user may ask for, by the kernel's name."""

    PREPARE = "prepare"
    FREEZE = "freeze"
    CANCEL = "cancel"
    FINISH = "finish"


class Abilities(NamedTuple):
    """What a kind of kernel can, as far as an act depends on it."""

    moves: bool = True
    """Whether it has prepare, freeze and cancel; else a kexec takes what is preserved as it is."""
    holders_must_live: bool = False
    """Whether what is preserved, or came over, ends with the process that has it; else the kernel
    keeps it."""
    takes_holes: bool = False
    """Whether preserving a file takes memory for all of it at once, charged to whoever holds it."""


ALL_MOVES = Abilities()
"""Those of LUO v2."""


class Kexec(Protocol):
    """Loading a kernel image and jumping into it."""

    @property
    def boot_folder(self) -> Path:
        """Where kernel images lie: ``/boot``, or the simulated host's own."""
        ...

    @property
    def modules_folder(self) -> Path:
        """Where modules lie by release: ``/lib/modules``, or the simulated host's own."""
        ...

    def command_line(self) -> str:
        """Return the line that the next kernel gets: that of the running one; empty if unknown."""
        ...

    def load(self, image: int, initrd: int, command_line: str) -> None:
        """Load a kernel image for kexec, in place of whatever is loaded.

        ``image`` and ``initrd`` are descriptors open for reading, of sealed
        copies; ``initrd`` is -1 where there is none. OSError: ENOEXEC not a
        kernel, EADDRNOTAVAIL scratch too small, EPERM privilege or lockdown,
        EKEYREJECTED or ENODATA signature, EBUSY kexec lock held, EINVAL command
        line too long.
        """
        ...

    def unload(self) -> None:
        """Drop the image loaded for kexec; nothing loaded is no error."""
        ...

    def state(self) -> KexecState:
        """Return what is loaded now, and whether anything can be."""
        ...

    def sync(self) -> None:
        """Write all file systems out: reboot(KEXEC) does not."""
        ...

    def reboot(self) -> NoReturn:
        """Jump. Returns by OSError alone: EINVAL no image, EBUSY, EPERM, or a freeze's errno."""
        ...


@runtime_checkable
class Paced(Protocol):
    """A simulated host, whose life has a speed."""

    speed: float
    """1 is plausible; 0 stands still."""

    def faster(self) -> None:
        """Double the speed, up to the highest."""
        ...

    def slower(self) -> None:
        """Halve the speed, down to the lowest."""
        ...

    def still(self) -> None:
        """Let nothing happen by itself; or go on, when nothing does."""
        ...


@runtime_checkable
class CarriesGuests(Protocol):
    """A host whose guests can be carried along, by their memory in memfds."""

    guests_wanted: bool
    """Whether the operator wants them carried; false where he did not say so."""

    @property
    def abilities(self) -> Abilities:
        """What this kind of kernel can."""
        ...

    @property
    def guests_proc(self) -> Path:
        """Where the processes are found that guests may be: ``/proc``."""
        ...

    def host(self) -> Host:
        """Return what this host is, with its boot id."""
        ...

    def preserve(self, fd: int, name: str = "") -> int:
        """Have the file behind ``fd`` kept, under ``name`` if it needs one; return its token.

        OSError.
        """
        ...

    def unpreserve(self, token: int) -> None:
        """Give a preserved file up. OSError."""
        ...

    def make_ready(self) -> None:
        """Start whatever has to run before anything is preserved or restored. OSError."""
        ...

    def let_go(self, token: int) -> None:
        """Say that a process has what came over under ``token``: finish discards nothing of it.

        Harmless again. OSError.
        """
        ...


class Inhibitor(Protocol):
    """Holds an ordinary shutdown of the host back, where it can."""

    def available(self) -> str:
        """Return why it could not; empty where it could. Takes nothing."""
        ...

    def take(self, why: str) -> str:
        """Hold it back from now on; return why that is not so, empty where it is."""
        ...

    def release(self) -> None:
        """Hold nothing back any more. Never fails."""
        ...


@runtime_checkable
class HoldsShutdown(Protocol):
    """A host whose ordinary shutdown somebody might order, and may be held back."""

    def shutdown_inhibitor(self) -> Inhibitor:
        """Return a new one, which holds nothing yet."""
        ...


@runtime_checkable
class HasInit(Protocol):
    """A host whose init system can stop all services first, and then jump by itself."""

    def init_system(self) -> InitSystem:
        """Return which one it is, and what units have left with it; never fails."""
        ...

    def kexec_by_init(self) -> None:
        """Order it to shut down and to jump into the loaded image; returns when it has begun.

        OSError: it did not take the order, with its own words.
        """
        ...


class Orchestrator(Protocol):
    """Commands to one kind of kernel. Blocking; every refusal is an OSError with its errno."""

    @property
    def kexec(self) -> Kexec:
        """Loading and starting another kernel."""
        ...

    @property
    def title(self) -> str:
        """What stands behind it, for the operator: ``LUO v2 (luo.ko)`` or ``simulated``."""
        ...

    @property
    def abilities(self) -> Abilities:
        """What this kind of kernel can."""
        ...

    @property
    def demo(self) -> bool:
        """True where nothing real is touched."""
        ...

    @property
    def lock_folder(self) -> Path:
        """Where this host's locks lie: ``/run/luo-tui``, or the simulated host's own."""
        ...

    @property
    def checks_folder(self) -> Path:
        """Where checks of this host's own lie: ``/etc/luo-tui/checks.d``, or the simulated's."""
        ...

    def may_act(self) -> bool:
        """Whether this process has the privilege to act (CAP_SYS_ADMIN and CAP_SYS_BOOT)."""
        ...

    def cannot(self) -> str:
        """Say why no act can be done with this kind of kernel, as a sentence; empty: acts can."""
        ...

    def make_ready(self) -> None:
        """Start whatever has to run before anything is held, restored or judged here. OSError."""
        ...

    def running_kernel(self) -> RunningKernel:
        """Return what the running kernel tells of itself; never fails."""
        ...

    def consoles(self) -> tuple[str, ...]:
        """Return the terminals that the kernel itself writes to, as ``ttyS0``; none: not known."""
        ...

    def firmware(self) -> FirmwareBoot:
        """Return what firmware starts after a reset; never fails."""
        ...

    def drivers(self, devices: Iterable[Device]) -> BoundDrivers:
        """Look up the drivers of devices; never fails."""
        ...

    def memory_limits(self, pids: Iterable[int]) -> MemoryLimits:
        """Look up the memory limits of some processes; never fails."""
        ...

    def host(self) -> Host:
        """Return the machine as it is now."""
        ...

    def state(self) -> State:
        """Ask the kernel for its state, at this instant. OSError where there is no orchestrator."""
        ...

    def move(self, move: Move) -> None:
        """Ask for a move; returns when it is done. See ``errors`` for each errno."""
        ...

    def preserve(self, fd: int, name: str = "") -> int:
        """Have the kernel keep the file behind ``fd``; return its token.

        Under ``name`` where what is kept has one of its own; else it is not used.
        EBADF, ENOENT no handler for this kind of file, EBUSY not in normal or
        updated, EEXIST already preserved.
        """
        ...

    def unpreserve(self, token: int) -> None:
        """Give up what ``preserve`` asked for. ENOENT unknown token, EBUSY wrong state."""
        ...

    def restore(self, token: int) -> int:
        """Return a new descriptor (close-on-exec) for what came over under ``token``.

        EBUSY not in updated, ENOENT unknown token, EINVAL already restored
        and not given out again (not luo.ko's).
        """
        ...

    def sources(self) -> Sequence[Source]:
        """Return fresh, unopened sources that tell of this kind of kernel."""
        ...

    def work(self) -> Work:
        """Look for what runs here and ends with this kernel; it takes its time.

        OSError where this process has no descriptor or memory left.
        """
        ...

    def condition(self) -> Condition:
        """Look at what is to be after an update as before: links, units, the kernel's errors.

        OSError where this process has no descriptor or memory left.
        """
        ...

    def surroundings(self) -> Sequence[Source]:
        """Return fresh, unopened sources that tell of the machine: devices, memory, kernel lines.

        The kexec rests on the devices; the rest is shown, and no act is decided on it.
        """
        ...
