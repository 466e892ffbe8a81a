# SPDX-License-Identifier: MIT
"""Fixtures: a folder in memory, and a simulated host in it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from luo_tui.console.screens.notice import Notice
from tests.console.stage import Bench
from tests.switched_off import hosts_are_switched_off as hosts_are_switched_off


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in memory where there is one: the journal fsyncs each record."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


@pytest.fixture
def bench(folder: Path) -> Bench:
    return Bench(folder)


@pytest.fixture
def make(folder: Path) -> Callable[..., Bench]:
    return lambda *args, **more: Bench(folder, *args, **more)


@pytest.fixture(autouse=True)
def _no_grace(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(Notice, "GRACE", 0.0)
    return
