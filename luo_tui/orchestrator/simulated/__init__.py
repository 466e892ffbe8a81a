# SPDX-License-Identifier: MIT
"""A simulated host: the demo, and the second half of every contract test.

``kernel`` has the rules of LUO v2, on what is ``kept``; ``host`` is the machine
around it and its jump, ``machinery`` its devices and vitals, ``boot`` its kernel
images. ``news`` and ``sources`` tell of all that, ``orchestrator`` gives the
commands. ``life`` is what happens there by itself, which only the demo starts:
on a ``clock``, at a ``pace``, with what was ordered in ``scenarios``, which says
too where it is not like the real one.
"""

from __future__ import annotations

from luo_tui.orchestrator.simulated.boot import COMPATIBLE, RUNNING, TARGET
from luo_tui.orchestrator.simulated.host import HOST_NAME, SimulatedHost, SimulatedJump
from luo_tui.orchestrator.simulated.life import Life
from luo_tui.orchestrator.simulated.orchestrator import (
    COMMAND_LINE,
    SimulatedKexec,
    SimulatedOrchestrator,
)
from luo_tui.orchestrator.simulated.scenarios import NOT_IMITATED, SCENARIOS
from luo_tui.orchestrator.simulated.sources import SimulatedSource

__all__ = [
    "COMMAND_LINE",
    "COMPATIBLE",
    "HOST_NAME",
    "NOT_IMITATED",
    "RUNNING",
    "SCENARIOS",
    "TARGET",
    "Life",
    "SimulatedHost",
    "SimulatedJump",
    "SimulatedKexec",
    "SimulatedOrchestrator",
    "SimulatedSource",
]
