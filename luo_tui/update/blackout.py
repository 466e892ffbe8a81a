# SPDX-License-Identifier: MIT
"""What an update cost: the blackout, phase by phase, from the kernel's own stamps.

Blackout is the time from the beginning of the freeze, after which nothing
preserved may change, to the moment when the new kernel's orchestrator has
taken over and restoring is possible. It is measured with the TSC, which runs
on through the jump.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from luo_tui.model import Stamps


@dataclass(frozen=True, slots=True)
class Phase:
    """One stretch of an update."""

    name: str
    milliseconds: float


@dataclass(frozen=True, slots=True)
class Blackout:
    """The blackout and its phases, in their order."""

    total: float
    """Milliseconds."""
    phases: tuple[Phase, ...]

    def record(self) -> dict[str, Any]:
        """Return what a record says of it."""
        phases = [[p.name, round(p.milliseconds, 3)] for p in self.phases]
        return {"total_ms": round(self.total, 3), "phases": phases}


def blackout(stamps: Stamps) -> Blackout | None:
    """Work the blackout out; None where no update has crossed into this kernel."""
    total = stamps.milliseconds(stamps.freeze_begin, stamps.arrived)
    if total is None:
        return None
    borders = (
        ("freeze", stamps.freeze_begin, stamps.freeze_end),
        ("device shutdown, until the jump", stamps.freeze_end, stamps.jump),
        ("jump, kernel boot, userspace up to luo.ko", stamps.jump, stamps.arrived),
    )
    phases = []
    for name, begin, end in borders:
        took = stamps.milliseconds(begin, end)
        if took is not None:
            phases.append(Phase(name, took))
    return Blackout(total, tuple(phases))
