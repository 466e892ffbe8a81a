# SPDX-License-Identifier: MIT
"""Signals that would end the program between two steps that belong together."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

HELD_BACK = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGTSTP)


@contextlib.contextmanager
def signals_held_back() -> Iterator[None]:
    """Let them wait until the block is left; then they act. For the calling thread."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
