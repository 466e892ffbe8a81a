# SPDX-License-Identifier: MIT
"""Kernels with sessions: what luo-tui-holder does on a real one, and the simulated host too."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from luo_tui.orchestrator.simulated.sessions import SimulatedSessions
from tests.contract.conftest import LAB
from tests.contract.machines import LabMachine, Machine, SimulatedMachine

SESSIONS = "liveupdate=on luo.noload"


@pytest.fixture(
    scope="module",
    params=["simulated", pytest.param("lab", marks=[pytest.mark.lab, pytest.mark.extra])],
)
def sessions(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    """A machine whose kernel has sessions; each test leaves it with none."""
    machine: Machine
    if request.param == "simulated":
        machine = SimulatedMachine(tmp_path_factory.mktemp("simulated"), SimulatedSessions)
    else:
        sys.path.insert(0, str(LAB))
        import machine as lab

        built = lab.build()
        releases = (built.kernels["old"].release, built.kernels["new"].release)
        real = lab.Machine(f"contract-{os.getpid()}-sessions", built)
        machine = LabMachine(real, releases, SESSIONS)
    machine.boot()
    yield machine
    machine.stop()


@pytest.fixture
def machine(sessions: Machine) -> Machine:
    """The machine, found as it has to be left."""
    assert sessions.call("state") == "normal"
    assert kept(sessions) == []
    return sessions


def kept(machine: Machine) -> list[tuple[str, int, str]]:
    """Return what is held: names, sizes and states."""
    found = machine.call("picture")["resources"]
    return [(r["name"], r["bytes"], r["state"]) for r in found]


def refused(machine: Machine, call: str, **arguments: Any) -> str:
    with pytest.raises(OSError) as met:
        machine.call(call, **arguments)
    return errno.errorcode[met.value.errno]


def test_the_state_follows_from_what_is_held(machine: Machine) -> None:
    fd = machine.call("memfd", name="web", size=8192)
    token = machine.call("preserve", fd=fd, name="web")
    other = machine.call("memfd", name="db", size=4096)
    second = machine.call("preserve", fd=other, name="db")
    assert token != second
    assert machine.call("state") == machine.call("picture")["state"] == "preserving"
    assert kept(machine) == [("web", 8192, "preserved"), ("db", 4096, "preserved")]
    machine.call("unpreserve", token=token)
    assert machine.call("state") == "preserving"
    machine.call("unpreserve", token=second)


def test_each_name_and_each_file_is_held_once(machine: Machine) -> None:
    fd = machine.call("memfd", name="web", size=4096)
    token = machine.call("preserve", fd=fd, name="web")
    other = machine.call("memfd", name="other", size=4096)
    assert refused(machine, "preserve", fd=other, name="web") == "EEXIST"
    assert refused(machine, "preserve", fd=fd, name="again") == "EBUSY"
    assert refused(machine, "preserve", fd=other, name="systemd") == "EPERM"
    assert refused(machine, "preserve", fd=other, name="x" * 64) == "EINVAL"
    longest = machine.call("preserve", fd=other, name="x" * 63)
    machine.call("unpreserve", token=longest)
    # What was refused has left nothing behind.
    assert kept(machine) == [("web", 4096, "preserved")]
    machine.call("unpreserve", token=token)
    assert refused(machine, "unpreserve", token=token) == "ENOENT"


@pytest.mark.parametrize("kind", ["pipe", "eventfd", "file", "socket"])
def test_what_is_no_memfd_is_not_held(machine: Machine, kind: str) -> None:
    fd = machine.call("other", kind=kind)
    assert refused(machine, "preserve", fd=fd, name="odd") == "ENOENT"
    assert machine.call("state") == "normal"


@pytest.mark.parametrize("move", ["prepare", "freeze", "cancel"])
def test_there_are_no_moves(machine: Machine, move: str) -> None:
    assert refused(machine, "move", move=move) == "ENOTSUP", "of the same number as EOPNOTSUPP"
    token = machine.call("preserve", fd=machine.call("memfd", name="a", size=4096), name="a")
    assert refused(machine, "move", move=move) == "ENOTSUP", "of the same number as EOPNOTSUPP"
    assert machine.call("state") == "preserving"
    machine.call("unpreserve", token=token)


def test_without_an_image_nothing_happens(machine: Machine) -> None:
    fd = machine.call("memfd", name="a", size=4096)
    token = machine.call("preserve", fd=fd, name="a")
    assert refused(machine, "reboot") == "EINVAL"
    assert kept(machine) == [("a", 4096, "preserved")]
    assert refused(machine, "restore", token=token) == "ENOENT"
    machine.call("unpreserve", token=token)


def test_what_is_held_at_the_jump_arrives(machine: Machine) -> None:
    before, target = machine.kernels
    tokens = {}
    for name, text in (("web", "these bytes"), ("db", "and those"), ("left", "nobody asks")):
        fd = machine.call("memfd", name=name, size=4096)
        tokens[name] = machine.call("preserve", fd=fd, name=name)
        machine.call("write", fd=fd, at=0, text=text)
    machine.call("load", which=target.rpartition("-")[2])
    machine.kexec()
    machine.call("make_ready")
    picture = machine.call("picture")
    assert (picture["state"], picture["from_release"]) == ("updated", before)
    assert machine.call("state") == "updated"
    assert sorted(kept(machine)) == [(n, 4096, "incoming") for n in ("db", "left", "web")]
    web = machine.call("restore", token=tokens["web"])
    assert machine.call("read", fd=web, at=0, size=11) == "these bytes"
    assert machine.call("about", fd=web)["cloexec"]
    # A restorer that has crashed asks again.
    again = machine.call("restore", token=tokens["web"])
    assert machine.call("read", fd=again, at=0, size=11) == "these bytes"
    assert refused(machine, "restore", token=9999) == "ENOENT"
    assert ("web", 4096, "restored") in kept(machine)
    machine.call("move", move="finish")
    assert machine.call("state") == "normal"
    assert kept(machine) == []
    assert machine.call("read", fd=web, at=0, size=11) == "these bytes"
    assert refused(machine, "restore", token=tokens["left"]) in ("ENOENT", "EBUSY")
