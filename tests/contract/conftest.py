# SPDX-License-Identifier: MIT
"""Every test here runs on the simulated orchestrator and on luo.ko, with the same assertions."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.machines import LabMachine, Machine, SimulatedMachine

LAB = Path(__file__).parents[2] / "kernel" / "lab"
_LAB = pytest.param("lab", marks=pytest.mark.lab)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave to test-all what takes long on luo.ko and is proved beside it."""
    for item in items:
        of = getattr(item, "callspec", None)
        real = of is not None and of.params.get("running") == "lab"
        if real and item.get_closest_marker("lab_extra") is not None:
            item.add_marker(pytest.mark.extra)


@pytest.fixture(scope="module", params=["simulated", _LAB])
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    """A machine for all tests of a file; each leaves it in state normal, with nothing preserved."""
    machine: Machine
    if request.param == "simulated":
        machine = SimulatedMachine(tmp_path_factory.mktemp("simulated"))
    else:
        sys.path.insert(0, str(LAB))
        import machine as lab

        built = lab.build()
        name = request.module.__name__.rpartition(".")[2]
        real = lab.Machine(f"contract-{os.getpid()}-{name}", built)
        machine = LabMachine(real, (built.kernels["old"].release, built.kernels["new"].release))
    machine.boot()
    yield machine
    machine.stop()


@pytest.fixture
def machine(running: Machine) -> Iterator[Machine]:
    """The machine, found and left as it has to be."""
    assert running.call("state") == "normal"
    assert running.call("picture")["resources"] == []
    yield running
    state = running.call("state")
    if state in ("prepared", "frozen"):
        running.call("move", move="cancel")
    elif state == "updated":
        running.call("move", move="finish")
    for resource in running.call("picture")["resources"]:
        running.call("unpreserve", token=resource["token"])
    running.call("unload")
    running.call("end")
