# SPDX-License-Identifier: MIT
"""Roots of a fresh Debian are made by root, with what makes the lab."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "kernel" / "lab"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder starts the virtual machine, and needs root."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.lab)
