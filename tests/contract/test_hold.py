# SPDX-License-Identifier: MIT
"""Files held across an update, beside whoever has the window, and never anybody else's memory."""

from __future__ import annotations

from typing import Any

import pytest

from luo_tui.errors import Exit
from tests.contract.machines import Machine
from tests.contract.test_across import other, update

# What stands above the kernel.
pytestmark = pytest.mark.lab_extra


def resources(machine: Machine) -> dict[int, tuple[str, str]]:
    return {r["token"]: (r["name"], r["state"]) for r in machine.call("picture")["resources"]}


def boot_anew(machine: Machine) -> None:
    """Jump into a boot to which nothing is handed over: its tokens begin anew."""
    machine.call("load", which=other(machine))
    machine.kexec()
    assert resources(machine) == {}


def is_refused(answer: Any, code: Exit, words: str) -> bool:
    assert isinstance(answer, dict), answer
    assert words in answer["said"]
    return bool(answer["code"] == code)


def test_held_bytes_come_back_while_another_has_the_window(machine: Machine) -> None:
    machine.call("take_window", user="ann")
    assert machine.call("window_holder") == ["ann", ""]
    before = machine.call("acts")
    token = machine.call("hold", name="cache", text="precious")
    assert resources(machine) == {token: ("cache", "preserved")}
    assert machine.call("acts") == before + 1, "ann's standing consents are stale"
    assert is_refused(machine.call("hold", name="cache", text="x"), Exit.REFUSED, "held already")
    assert is_refused(machine.call("give_back", name="cache"), Exit.WRONG_STATE, "normal")
    machine.call("move", move="prepare")
    assert is_refused(machine.call("give_up", name="cache"), Exit.WRONG_STATE, "prepared")
    assert is_refused(machine.call("hold", name="b", text="x"), Exit.WRONG_STATE, "prepared")
    machine.call("move", move="cancel")
    update(machine)
    machine.call("take_window", user="bob")
    assert is_refused(machine.call("give_up", name="cache"), Exit.WRONG_STATE, "came over")
    assert machine.call("give_back", name="cache") == "precious"
    assert machine.call("window_holder") == ["bob", ""]
    # What was preserved anew for the time of the delivery was given up again.
    assert resources(machine) == {token: ("cache", "restored")}
    assert is_refused(machine.call("give_back", name="cache"), Exit.NOT_FOUND, "Nothing is held")
    machine.call("leave_window")
    machine.call("move", move="finish")


def test_what_is_held_can_be_given_up(machine: Machine) -> None:
    token = machine.call("hold", name="cache", text="precious")
    assert machine.call("give_up", name="cache") == token
    assert resources(machine) == {}
    assert is_refused(machine.call("give_up", name="cache"), Exit.NOT_FOUND, "Nothing is held")


def test_a_stale_record_takes_nobodys_memory(machine: Machine) -> None:
    """The record's boot ends without a handover; its token is a guest's in the next one."""
    boot_anew(machine)
    token = machine.call("hold", name="cache", text="precious")
    boot_anew(machine)
    fd = machine.call("memfd", name="guest", size=len("precious"))
    machine.call("write", fd=fd, at=0, text="guest's.")
    assert machine.call("preserve", fd=fd) == token
    update(machine)
    assert is_refused(machine.call("give_back", name="cache"), Exit.NOT_FOUND, "did not come over")
    assert resources(machine) == {token: ("guest", "incoming")}, "it is its owner's to restore"
    assert is_refused(machine.call("give_up", name="cache"), Exit.NOT_FOUND, "record was removed")
    back = machine.call("restore", token=token)
    assert machine.call("read", fd=back, at=0, size=8) == "guest's."
    machine.call("move", move="finish")


def test_a_stale_record_gives_up_nobodys_memory(machine: Machine) -> None:
    boot_anew(machine)
    token = machine.call("hold", name="cache", text="precious")
    boot_anew(machine)
    fd = machine.call("memfd", name="cache", size=len("precious"))
    assert machine.call("preserve", fd=fd) == token
    assert is_refused(machine.call("give_up", name="cache"), Exit.NOT_FOUND, "not in memory")
    assert resources(machine) == {token: ("cache", "preserved")}
