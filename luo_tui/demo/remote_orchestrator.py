# SPDX-License-Identifier: MIT
"""The simulated kernel as another process sees it: what a window needs of it, over a connection."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from multiprocessing import reduction
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

from luo_tui.model import (
    BoundDrivers,
    Condition,
    Device,
    FirmwareBoot,
    Host,
    KexecState,
    MemoryLimits,
    RunningKernel,
    Snapshot,
    State,
    Work,
)
from luo_tui.orchestrator import ALL_MOVES, Move
from luo_tui.orchestrator.simulated import SimulatedJump
from luo_tui.sources import Source


class RemoteKexec:
    """Kexec over there."""

    def __init__(self, ask: Callable[..., Any], boot: Path) -> None:
        """``ask`` gets an answer from over there, whose kernel images lie in ``boot``."""
        self._ask = ask
        self.boot_folder = boot
        self.modules_folder = boot.parent / "modules"

    def command_line(self) -> str:
        """Return the command line."""
        return str(self._ask("command_line"))

    def load(self, image: int, initrd: int, command_line: str) -> None:
        """Load an image; its descriptors go along."""
        self._ask("load", initrd >= 0, command_line, handles=[h for h in (image, initrd) if h >= 0])

    def unload(self) -> None:
        """Unload it."""
        self._ask("unload")

    def state(self) -> KexecState:
        """Return what is loaded."""
        found: KexecState = self._ask("kexec_state")
        return found

    def sync(self) -> None:
        """There is nothing to write out."""

    def reboot(self) -> NoReturn:
        """Jump over there: nothing of the old boot goes on, and no answer comes."""
        try:
            self._ask("reboot")
        except (EOFError, ConnectionError):
            raise SimulatedJump from None
        raise AssertionError("a jump that came back")


class RemoteOrchestrator:
    """An orchestrator whose kernel is in another process."""

    demo = True
    title = "simulated (demo)"
    abilities = ALL_MOVES

    def __init__(self, link: Connection, boot: Path) -> None:
        """At the other end of ``link`` is who answers for the kernel; ``boot`` is its /boot."""
        self._link = link
        self._asking = threading.RLock()
        """Held from a question to its answer: a hub asks in a thread of its own."""
        self.kexec = RemoteKexec(self._ask, boot)

    def _ask(self, name: str, *arguments: object, handles: Sequence[int] = ()) -> Any:
        with self._asking:
            self._link.send((name, arguments))
            for handle in handles:
                reduction.send_handle(self._link, handle, 0)
            answer = self._link.recv()
        if isinstance(answer, OSError):
            raise answer
        return answer

    @property
    def lock_folder(self) -> Path:
        """Where the simulated host's locks lie."""
        return Path(self._ask("lock_folder"))

    @property
    def checks_folder(self) -> Path:
        """Where checks of the simulated host's own would lie."""
        return Path(self._ask("checks_folder"))

    def running_kernel(self) -> RunningKernel:
        """Ask what the simulated kernel tells of itself."""
        told: RunningKernel = self._ask("running_kernel")
        return told

    def consoles(self) -> tuple[str, ...]:
        """Ask for the simulated host's consoles."""
        return tuple(self._ask("consoles"))

    def firmware(self) -> FirmwareBoot:
        """Ask what the simulated firmware starts."""
        told: FirmwareBoot = self._ask("firmware")
        return told

    def drivers(self, devices: Iterable[Device]) -> BoundDrivers:
        """Ask for the drivers of simulated devices."""
        told: BoundDrivers = self._ask("drivers", tuple(devices))
        return told

    def memory_limits(self, pids: Iterable[int]) -> MemoryLimits:
        """Ask for the limits of simulated processes."""
        told: MemoryLimits = self._ask("memory_limits", tuple(pids))
        return told

    def may_act(self) -> bool:
        """Whether acting is allowed: here it always is."""
        return True

    def cannot(self) -> str:
        """Nothing speaks against an act but the rules."""
        return ""

    def make_ready(self) -> None:
        """Nothing has to run over there."""

    def look(self) -> Snapshot:
        """Read everything."""
        snapshot: Snapshot = self._ask("look")
        return snapshot

    def wait(self, seconds: float) -> None:
        """Let that much of the host's life go by."""
        self._ask("wait", seconds)

    def host(self) -> Host:
        """Return the machine."""
        found: Host = self._ask("host")
        return found

    def state(self) -> State:
        """Ask for the state."""
        return State(self._ask("state"))

    def move(self, move: Move) -> None:
        """Ask for a move."""
        self._ask("move", move)

    def preserve(self, fd: int, name: str = "") -> int:  # noqa: ARG002 - the kernel gives tokens
        """Have it keep a memfd."""
        return int(self._ask("preserve", handles=[fd]))

    def unpreserve(self, token: int) -> None:
        """Give up what is kept."""
        self._ask("unpreserve", token)

    def restore(self, token: int) -> int:
        """Take back what came over, as a new descriptor."""
        with self._asking:
            self._ask("restore", token)
            return reduction.recv_handle(self._link)

    def work(self) -> Work:
        """Look at what runs over there."""
        found: Work = self._ask("work")
        return found

    def condition(self) -> Condition:
        """Look at what is to be after an update as before, over there."""
        found: Condition = self._ask("condition")
        return found

    def sources(self) -> Sequence[Source]:
        """Return none: :meth:`look` reads everything."""
        return ()

    def surroundings(self) -> Sequence[Source]:
        """Return none."""
        return ()
