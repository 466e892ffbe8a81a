# SPDX-License-Identifier: MIT
"""Which orchestrator this host has, and by what evidence."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass

from luo_tui.model import State
from luo_tui.orchestrator.state_machine import StateMachine
from luo_tui.sources import sysfs
from luo_tui.uapi import luo_v2


@dataclass(frozen=True, slots=True)
class Choice:
    """An orchestrator, and why it is this one."""

    orchestrator: StateMachine
    why: str
    """What the host answered, as a sentence without its full stop."""
    available: bool
    """Whether there is a kernel behind it now; if not, :attr:`why` says what is missing."""


def choose() -> Choice:
    """Ask the host. Never fails: where there is no orchestrator it says why.

    GET_STATE is asked first. The orchestrator of Linux 6.19 and later has the
    same device and no such call; it is recognised and named, not driven. Who
    may not open the device learns the same from sysfs.
    """
    return Choice(StateMachine(), *_probe())


def open_orchestrator() -> StateMachine:
    """Return the orchestrator of this host; it exists also where there is nothing to drive.

    The device is not opened here: Linux 6.19's lets one process in at a time,
    and a program that only looks must not shut its owner out. GET_STATE is
    asked before each command instead. :func:`choose` asks now and says why.
    """
    return StateMachine()


def _probe() -> tuple[str, bool]:
    try:
        device = luo_v2.open_device()
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM):
            return _look()
        return _detail() or f"{luo_v2.DEVICE}: {error.strerror}", False
    try:
        state = luo_v2.check(device)
    except OSError as error:
        return _detail() or f"{luo_v2.DEVICE}: {error.strerror}", False
    finally:
        os.close(device)
    return f"{luo_v2.DEVICE} answered GET_STATE: {state}", True


def _detail() -> str:
    """Return what the state attribute says of itself; nothing where it cannot be read either."""
    try:
        return sysfs.read_state().detail
    except OSError:
        return ""


def _look() -> tuple[str, bool]:
    """Decide without the right to open the device."""
    try:
        luo = sysfs.read_state()
    except OSError as error:
        return f"{sysfs.FOLDER}/state: {error.strerror}", False
    if luo.state is State.UNAVAILABLE:
        return luo.detail, False
    return f"{sysfs.FOLDER}/state says {luo.state}", True
