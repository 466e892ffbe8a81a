# SPDX-License-Identifier: MIT
"""The lab's machines, and the console in them as an operator drives it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "kernel" / "lab"))

import machine as lab


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs the virtual machine."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.lab)


@pytest.fixture(scope="session")
def built() -> lab.Built:
    """All that machines are made of; from the cache, if it is there."""
    return lab.build()


@pytest.fixture
def cold(built: lab.Built, request: pytest.FixtureRequest) -> Iterator[lab.Machine]:
    """A machine that is not started yet; it is ended after the test."""
    m = lab.Machine(f"test-{os.getpid()}-{request.node.name[5:35]}".partition("[")[0], built)
    yield m
    m.remove()


@pytest.fixture
def machine(cold: lab.Machine) -> lab.Machine:
    """A machine freshly booted into the old kernel."""
    cold.start()
    return cold
