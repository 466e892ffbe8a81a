# SPDX-License-Identifier: MIT
"""The same signals for every run of the tests, whoever started it."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Let Ctrl+C interrupt, also in tests that run in the background.

    A shell without job control starts such with SIGINT ignored, and Python leaves
    an ignored signal ignored: nothing that the tests interrupt would notice.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
