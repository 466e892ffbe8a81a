# SPDX-License-Identifier: MIT
"""A guest for each test, which ends with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guests.machine import Machine, machine_below


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with machine_below(tmp_path) as made:
        yield made
