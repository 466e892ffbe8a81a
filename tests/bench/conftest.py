# SPDX-License-Identifier: MIT
"""Figures, not verdicts: each test prints what it measured, and fails only if it could not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "kernel" / "lab"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add an option for figures that take longer than a test may."""
    parser.addoption("--whole", action="store_true", help="all sizes, and every figure")


@pytest.fixture(scope="session")
def update(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bare update program, linked statically for the guest."""
    out = tmp_path_factory.mktemp("update") / "update"
    subprocess.run(
        ["gcc", "-static", "-O2", "-Wall", "-Werror", "-o", out, HERE / "update.c"], check=True
    )
    return out.read_bytes()


@pytest.fixture
def lab_machine() -> Iterator[Any]:
    """A machine of the lab that is not started yet, with room for large files."""
    from machine import Machine

    machine = Machine(f"bench-{os.getpid()}", memory=2048)
    yield machine
    machine.remove()
