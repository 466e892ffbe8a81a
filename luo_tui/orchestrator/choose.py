# SPDX-License-Identifier: MIT
"""Which orchestrator this host has."""

from __future__ import annotations

from luo_tui.orchestrator.state_machine import StateMachine


def open_orchestrator() -> StateMachine:
    """Return the orchestrator of this host; it exists also where there is nothing to drive.

    The device is not opened here: Linux 6.19's lets one process in at a time,
    and a program that only looks must not shut its owner out. GET_STATE is
    asked before each command instead, so that no command of LUO v2 ever goes
    to the sessions interface, which has the same device.
    """
    return StateMachine()
