# SPDX-License-Identifier: MIT
"""Which orchestrator this host has."""

from __future__ import annotations

from pathlib import Path

from luo_tui.orchestrator.sessions import Sessions
from luo_tui.orchestrator.state_machine import StateMachine
from luo_tui.sources import sysfs
from luo_tui.uapi import kho, luo_sessions


def open_orchestrator(
    folder: Path = sysfs.FOLDER,
    device: Path = Path(luo_sessions.DEVICE),
    module: Path = kho.MODULE,
) -> StateMachine | Sessions:
    """Return the orchestrator of this host; it exists also where there is nothing to drive.

    Decided by evidence: ``folder`` in sysfs is luo.ko's alone, and ``device``
    without it is mainline's, unless that is an ordinary file, or ``module`` (luo.ko's)
    is there, which is then coming or going. Where neither is, luo.ko may still come; mainline's
    orchestrator is built in, and never does later.

    The device is not opened here: mainline's lets one process in at a time, and a
    program that only looks must not shut its owner out. GET_STATE is asked before
    each command of LUO v2, so that none ever goes to the sessions interface, which
    has the same device.
    """
    if device.exists() and not (device.is_file() or module.is_dir() or folder.is_dir()):
        return Sessions()
    return StateMachine()
