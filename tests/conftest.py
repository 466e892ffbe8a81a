# SPDX-License-Identifier: MIT
"""The same for every run of the tests, whoever started it, and what only root can run."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import settings

from luo_tui.cli.settings import MOUSE, SERVED, THEME

# How long an example takes says something about the machine, and nothing about the program.
settings.register_profile("luo-tui", deadline=None)
settings.load_profile("luo-tui")


def pytest_configure(config: pytest.Config) -> None:
    """Name a mark; let Ctrl+C interrupt, also in tests that run in the background.

    A shell without job control starts such with SIGINT ignored, and Python leaves
    an ignored signal ignored: nothing that the tests interrupt would notice.
    """
    config.addinivalue_line(
        "markers",
        "lab_extra: on a real kernel in `make test-all` alone, on a simulated host in both",
    )
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # What is set for the program's user is not for its tests.
    for name in (THEME, MOUSE, SERVED):
        os.environ.pop(name, None)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what only root can run where somebody else does; pytest counts them."""
    if os.geteuid() == 0:
        return
    left_out = [item for item in items if item.get_closest_marker("root")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
