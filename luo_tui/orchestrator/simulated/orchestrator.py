# SPDX-License-Identifier: MIT
"""Commands to the simulated host. Nothing real is touched."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn

from luo_tui.model import (
    BoundDriver,
    BoundDrivers,
    Condition,
    Device,
    FirmwareBoot,
    Host,
    KexecState,
    MemoryLimit,
    MemoryLimits,
    RunningKernel,
    State,
    Work,
)
from luo_tui.orchestrator import ALL_MOVES, Move
from luo_tui.orchestrator.simulated.host import SimulatedHost
from luo_tui.orchestrator.simulated.kept import error
from luo_tui.orchestrator.simulated.sources import (
    SimulatedDevices,
    SimulatedLines,
    SimulatedSource,
    SimulatedVitals,
)
from luo_tui.sources import Source
from luo_tui.uapi.command_line import LONGEST

COMMAND_LINE = "root=/dev/nvme0n1p2 ro console=ttyS0,115200 kho=on liveupdate=off"


class SimulatedKexec:
    """Kexec on the simulated host."""

    def __init__(self, host: SimulatedHost) -> None:
        """All state is the host's."""
        self._host = host

    @property
    def boot_folder(self) -> Path:
        """The simulated /boot."""
        return self._host.boot_folder

    @property
    def modules_folder(self) -> Path:
        """The simulated /lib/modules."""
        return self._host.modules_folder

    def command_line(self) -> str:
        """Return the simulated command line."""
        return COMMAND_LINE

    def load(self, image: int, initrd: int, command_line: str) -> None:
        """Load an image; ENOEXEC if it is none, EINVAL for a command line that is too long."""
        if len(os.fsencode(command_line)) > LONGEST:
            raise error(errno.EINVAL)
        self._host.load(image, initrd)

    def unload(self) -> None:
        """Drop the loaded image."""
        self._host.image = ""

    def state(self) -> KexecState:
        """Return what is loaded."""
        return KexecState(loaded=bool(self._host.image), crash_loaded=self._host.kdump)

    def sync(self) -> None:
        """There is nothing to write out."""

    def reboot(self) -> NoReturn:
        """Jump."""
        self._host.reboot()


class SimulatedOrchestrator:
    """Commands to the simulated host, and its speed."""

    demo = True
    title = "simulated (demo)"
    abilities = ALL_MOVES

    def __init__(self, host: SimulatedHost, *, may_act: bool = True) -> None:
        """``may_act`` False shows what an unprivileged user sees."""
        self._host = host
        self._may_act = may_act
        self.kexec = SimulatedKexec(host)

    @property
    def lock_folder(self) -> Path:
        """Where the simulated host's locks lie."""
        return self._host.lock_folder

    @property
    def checks_folder(self) -> Path:
        """Where checks of the simulated host's own would lie."""
        return self._host.checks_folder

    def running_kernel(self) -> RunningKernel:
        """Return a kernel that keeps 2 GiB of scratch memory and takes any image."""
        return RunningKernel((), (256 << 20, 1792 << 20), "none", signatures_only=False)

    def consoles(self) -> tuple[str, ...]:
        """Return the serial console that such a host has."""
        return ("ttyS0",)

    def firmware(self) -> FirmwareBoot:
        """Return firmware that starts GRUB from the first disk."""
        return FirmwareBoot(efi=True, first="debian (Boot0001)")

    def drivers(self, devices: Iterable[Device]) -> BoundDrivers:
        """Each driver here is a module of its own name."""
        found = (
            BoundDriver(d.id, d.driver, d.driver.replace("-", "_"), "", bool(d.users))
            for d in devices
            if d.driver
        )
        return BoundDrivers(tuple(found))

    def memory_limits(self, pids: Iterable[int]) -> MemoryLimits:
        """No process here has one."""
        return MemoryLimits(tuple(MemoryLimit(pid, "/machine.slice", None) for pid in pids))

    def may_act(self) -> bool:
        """Whether acting is allowed here."""
        return self._may_act

    def make_ready(self) -> None:
        """Nothing has to run here."""

    def cannot(self) -> str:
        """Nothing speaks against an act but the rules."""
        return ""

    def host(self) -> Host:
        """Return the simulated machine."""
        return Host(self._host.name, self._host.release, self._host.boot_id)

    def state(self) -> State:
        """Return the state."""
        return self._host.state

    def move(self, move: Move) -> None:
        """Make a move."""
        self._host.move(move)

    def preserve(self, fd: int, name: str = "") -> int:
        """Keep a memfd."""
        del name
        return self._host.preserve(fd)

    def unpreserve(self, token: int) -> None:
        """Give it up."""
        self._host.unpreserve(token)

    def restore(self, token: int) -> int:
        """Give out what came over."""
        return self._host.restore(token)

    def sources(self) -> Sequence[Source]:
        """Return what tells of LUO."""
        return (SimulatedSource(self._host),)

    def work(self) -> Work:
        """Look at the simulated guests and services."""
        return self._host.work()

    def condition(self) -> Condition:
        """Look at the simulated links and lines; no unit fails here."""
        return self._host.condition()

    def surroundings(self) -> Sequence[Source]:
        """Return what tells of the simulated machine."""
        kinds = (SimulatedDevices, SimulatedVitals, SimulatedLines)
        return tuple(kind(self._host) for kind in kinds)

    # The speed: see :class:`luo_tui.orchestrator.Paced`.

    @property
    def speed(self) -> float:
        """How fast the host lives; 0 is not at all."""
        return self._host.pace.speed

    @speed.setter
    def speed(self, value: float) -> None:
        self._host.pace.speed = value

    def faster(self) -> None:
        """Double the speed."""
        self._host.pace.faster()

    def slower(self) -> None:
        """Halve the speed."""
        self._host.pace.slower()

    def still(self) -> None:
        """Stand still, or go on."""
        self._host.pace.still()
