# SPDX-License-Identifier: MIT
"""QMP with a real QEMU."""

from __future__ import annotations

import os
import signal

import pytest

from luo_tui.guests.qmp import Qmp, QmpGone, QmpRefused, QmpSilent
from tests.guests.machine import BARE, LONG, MEMORY, Machine


def test_commands_events_and_refusals(machine: Machine) -> None:
    machine.boot()
    with Qmp.connect(machine.socket, pid=machine.pid, limit=LONG) as monitor:
        assert monitor.peer == machine.pid
        assert monitor.version >= (7, 2, 0)
        assert monitor.command("query-name") == {"name": "web1"}
        monitor.command("stop")
        monitor.command("cont")
        assert [e.name for e in monitor.events() if e.name in ("STOP", "RESUME")] == [
            "STOP",
            "RESUME",
        ]
        with pytest.raises(QmpRefused, match=r"no-such-command: .*not been found") as refused:
            monitor.command("no-such-command")
        assert refused.value.kind == "CommandNotFound"
        read, write = os.pipe()
        monitor.command("getfd", {"fdname": "one"}, fds=(write,))
        os.close(write)
        monitor.command("closefd", {"fdname": "one"})
        assert os.read(read, 1) == b"", "QEMU had the other end, and closed it"
        os.close(read)
    machine.counts()
    assert machine.is_whole()


def test_a_second_client_a_stopped_process_and_a_killed_one(machine: Machine) -> None:
    machine.start(*BARE, *MEMORY, "-S")
    with machine.monitor() as monitor:
        with pytest.raises(QmpSilent):
            Qmp.connect(machine.socket, limit=0.2)
        machine.signal(signal.SIGSTOP)
        with pytest.raises(QmpSilent, match="query-status: no answer in time"):
            monitor.command("query-status", limit=0.2)
        with pytest.raises(QmpGone, match="of no more use"):
            monitor.command("query-status")
        machine.signal(signal.SIGCONT)
    with machine.monitor() as monitor:
        machine.signal(signal.SIGKILL)
        with pytest.raises(QmpGone):
            monitor.command("query-status")
