# SPDX-License-Identifier: MIT
"""The demo from its beginning to its end, with all that has to be stopped and cleared away."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Self

from luo_tui.demo.folder import make_folder
from luo_tui.orchestrator.simulated import (
    NOT_IMITATED,
    SCENARIOS,
    Life,
    SimulatedHost,
    SimulatedOrchestrator,
)
from luo_tui.orchestrator.simulated.machinery import REFUSED
from luo_tui.orchestrator.simulated.scenarios import NEEDS_LIFE
from luo_tui.orchestrator.simulated.sessions import SESSIONS_NOT_IMITATED, SimulatedSessions

# Those who speak to the host from other processes need much that a demo alone does without.
if TYPE_CHECKING:
    from luo_tui.demo.colleague import Colleague
    from luo_tui.demo.served import Served

SESSIONS = "sessions"
KINDS = ("luo-v2", SESSIONS)
"""Kinds of kernel that the host can have; the first is its usual one."""
NOT_OF_SESSIONS = frozenset({"second-operator"})
"""Scenarios that speak of moves which that kind of kernel has not."""
_KIND_FILE = "kind"


class Demo:
    """A simulated host with its life; ends when its block is left."""

    def __init__(self, host: SimulatedHost, kind: str = KINDS[0]) -> None:
        """Nothing lives before the block is entered; ``kind`` is that of the kernel."""
        self.folder = host.folder
        made = SimulatedSessions if kind == SESSIONS else SimulatedOrchestrator
        self.orchestrator = made(host)
        self._host = host
        self._life: Life | None = None
        self._colleague: Colleague | None = None

    @classmethod
    def begin(
        cls, scenario: str, speed: float, delay: float | None = None, kind: str = KINDS[0]
    ) -> Self:
        """Set up a host in a folder of its own; with a ``delay`` nothing happens by itself."""
        folder, lock = make_folder()
        # The next boot has a kernel of the same kind.
        (folder / _KIND_FILE).write_text(kind)
        host = SimulatedHost.create(folder, scenario, delay)
        host.kdump = True
        host.participants[REFUSED.id] = REFUSED
        host.carried = [lock]
        host.pace.speed = speed if delay is None else 0.0
        return cls(host, kind)

    @classmethod
    def resume(cls, folder: Path) -> Self:
        """Go on after the jump."""
        kept = folder / _KIND_FILE
        kind = kept.read_text() if kept.exists() else KINDS[0]
        return cls(SimulatedHost.resume(folder), kind)

    def serve(self) -> Served:
        """Let other processes of this user speak to the host, also after it has jumped."""
        from luo_tui.demo.served import Served

        self._host.jump = lambda host: host.start_again("--serve")
        return Served(self._host)

    def __enter__(self) -> Self:
        """Let it live."""
        if self._host.delay is None:
            self._life = Life(self._host)
            if self._host.scenario == "second-operator":
                from luo_tui.demo.colleague import Colleague

                self._colleague = Colleague(self._host, self._life.clock, self.folder)
            self._life.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End everything, and leave nothing behind."""
        # In this order: the clock would let the colleague come again.
        if self._life is not None:
            self._life.stop()
        if self._colleague is not None:
            self._colleague.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
        self._host.close()


def listing() -> Iterator[str]:
    """Yield what ``luo-tui demo --list`` prints."""
    for name, sentence in SCENARIOS.items():
        needs = " (not at speed 0)" if name in NEEDS_LIFE else ""
        yield f"{name:20} {sentence}{needs}"
    yield ""
    yield "Keys in the demo: + faster, - slower, 0 stand still or go on."
    yield "Not as on a real host:"
    yield from (f"- {what}" for what in NOT_IMITATED)
    yield from (f"- with --kind {SESSIONS}: {what}" for what in SESSIONS_NOT_IMITATED)
