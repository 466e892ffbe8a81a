# SPDX-License-Identifier: MIT
"""The acts of a window: consent, refusal, undo and resuming, on every kind of machine."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.machines import Machine
from tests.contract.test_across import other

# What stands above the kernel.
pytestmark = pytest.mark.lab_extra

FOLDER = "/tmp/luo-tui-contract"


@pytest.fixture
def window(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder for journal and lock that is there after a jump."""
    lab = type(machine).__name__ == "LabMachine"
    return "/var/lib/luo-tui/contract" if lab else str(tmp_path_factory.mktemp("window"))


def do(machine: Machine, act: str, typed: str = "") -> dict[str, Any]:
    machine.call("agree", act=act, typed=typed)
    answer: dict[str, Any] = machine.call("act")
    return answer


def host_name(machine: Machine) -> str:
    return str(machine.call("host_name"))


def prepared(machine: Machine, window: str) -> int:
    """Preserve a file, load and prepare; return its token."""
    machine.call("window", folder=window)
    fd = machine.call("memfd", name="guest", size=1 << 20)
    machine.call("fill", fd=fd, at=0, size=4096, seed="guest")
    token: int = machine.call("preserve", fd=fd)
    machine.call("choose", which=other(machine))
    assert do(machine, "load") == {"done": "load"}
    assert do(machine, "prepare") == {"done": "prepare"}
    assert machine.call("state") == "prepared"
    return token


def test_a_whole_update_by_its_acts(machine: Machine, window: str) -> None:
    token = prepared(machine, window)
    # A console that was killed is followed by one that reads everything again.
    machine.call("window", folder=window)
    target = machine.call("resume")
    assert machine.call("offered")["kexec"] == ""
    machine.call("agree", act="kexec", typed=host_name(machine))
    assert machine.kexec("act") is None
    machine.call("window", folder=window)
    machine.call("arrive")
    recorded = machine.call("recorded")
    assert recorded["arrived"]
    assert recorded["target"] == target
    picture = machine.call("picture")
    assert (picture["state"], picture["release"]) == ("updated", target)
    fd = machine.call("restore", token=token)
    assert do(machine, "finish") == {"done": "finish"}
    assert machine.call("recorded")["closed"] == "finished"
    assert machine.call("state") == "normal"
    machine.call("close", fd=fd)


def test_what_is_offered_is_what_is_allowed(machine: Machine, window: str) -> None:
    machine.call("window", folder=window)
    machine.call("choose", which=other(machine))
    for act in ("prepare", "cancel", "kexec", "finish", "unload"):
        answer = do(machine, act, host_name(machine))
        assert "refused" in answer, (act, answer)
        assert machine.call("offered").get(act) != ""
    assert machine.call("state") == "normal"
    assert not machine.call("loaded")


def test_the_name_has_to_be_typed(machine: Machine, window: str) -> None:
    prepared(machine, window)
    for typed in ("", "another", host_name(machine).upper()):
        assert "nothing was done" in do(machine, "kexec", typed)["refused"]
    assert machine.call("state") == "prepared"
    assert do(machine, "cancel") == {"done": "cancel"}
    assert not machine.call("loaded")


def test_a_host_that_another_tool_takes_back_stays(machine: Machine, window: str) -> None:
    prepared(machine, window)
    machine.call("agree", act="kexec", typed=host_name(machine))
    machine.call("move", move="cancel")
    answer = machine.kexec("act")
    assert "was prepared and is now normal" in answer["refused"]
    assert machine.call("state") == "normal"


@pytest.mark.extra
def test_fewer_survivors_make_the_consent_void(machine: Machine, window: str) -> None:
    machine.call("window", folder=window)
    machine.call("choose", which=other(machine))
    fd = machine.call("memfd", name="first", size=4096)
    token = machine.call("preserve", fd=fd)
    assert do(machine, "load") == {"done": "load"}
    machine.call("agree", act="prepare")
    machine.call("unpreserve", token=token)
    assert "is no longer" in machine.call("act")["refused"]
    assert machine.call("state") == "normal"


def test_a_jump_without_an_image_is_undone(machine: Machine, window: str) -> None:
    prepared(machine, window)
    # An image that another tool unloads is loaded again from the copy: the jump goes on. What
    # stops it is a participant, or the rule: here the rule, since nothing of ours is loaded.
    machine.call("agree", act="kexec", typed=host_name(machine))
    machine.call("unload")
    answer = machine.kexec("act")
    assert "load it again" in answer["refused"]
    assert machine.call("state") == "prepared"
    assert do(machine, "cancel") == {"done": "cancel"}
