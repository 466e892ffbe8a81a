# SPDX-License-Identifier: MIT
"""Watching by line: each act of anybody is told, and a state can be waited for."""

from __future__ import annotations

import time

import pytest

from luo_tui.errors import Exit
from tests.contract.machines import Machine

# What stands above the kernel.
pytestmark = pytest.mark.lab_extra


def test_each_act_is_a_line(machine: Machine) -> None:
    first = machine.call("lines")
    assert (first["kind"], first["state"]) == ("status", "normal")
    assert first["status"]["resources"] == []
    token = machine.call("preserve", fd=machine.call("memfd", name="told", size=8192))
    kept = machine.call("line", kind="resource", text="told")
    assert kept["text"].startswith(f"told (token {token}) preserved")
    assert (kept["subject"], kept["state"], kept["grave"]) == (str(token), "normal", False)
    numbers = [first["number"], kept["number"]]
    for move, text, state in (
        ("prepare", "normal -> prepared", "prepared"),
        ("freeze", "prepared -> frozen", "frozen"),
        ("cancel", "frozen -> normal", "normal"),
    ):
        machine.call("move", move=move)
        line = machine.call("line", kind="state", text=text)
        assert (line["subject"], line["state"]) == (state, state)
        numbers.append(line["number"])
    machine.call("unpreserve", token=token)
    gone = machine.call("line", kind="resource", text="told")
    assert gone["text"] == f"told (token {token}) is gone"
    numbers.append(gone["number"])
    assert numbers == sorted(set(numbers))


def test_a_state_is_waited_for(machine: Machine) -> None:
    machine.call("lines", until="prepared", timeout=60)
    machine.call("move", move="prepare")
    assert machine.call("lines_ended") == Exit.OK
    # It is there already.
    machine.call("lines", until="prepared")
    assert machine.call("lines_ended") == Exit.OK
    machine.call("lines", until="normal", timeout=60)
    machine.call("move", move="cancel")
    assert machine.call("lines_ended") == Exit.OK


def test_waiting_ends_with_a_code_of_its_own(machine: Machine) -> None:
    began = time.monotonic()
    machine.call("lines", until="updated", timeout=0.3)
    assert machine.call("lines_ended") == Exit.TIMED_OUT
    assert time.monotonic() - began >= 0.3
