# SPDX-License-Identifier: MIT
"""A guest for each test, which ends with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guests.machine import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    folder = tmp_path / "guest"
    folder.mkdir()
    made = Machine(folder)
    yield made
    made.end()
