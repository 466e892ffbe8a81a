# SPDX-License-Identifier: MIT
"""Signals that would end the program between two steps that belong together."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
"""Those of them that ask the program to end."""
HELD_BACK = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGTSTP)


@contextlib.contextmanager
def signals_held_back() -> Iterator[None]:
    """Let them wait until the block is left; then they act. For the calling thread."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_is_asked() -> bool:
    """Whether one that asks for the end waits; for a thread that holds them back.

    One that is ignored, as HUP is under nohup, asks for nothing.
    """
    waiting = signal.sigpending()
    return any(n in waiting and signal.getsignal(n) is not signal.SIG_IGN for n in ENDING)


def take_waiting() -> bool:
    """Take those that wait, so that they no longer act; return as :func:`end_is_asked` did."""
    asked = end_is_asked()
    while signal.sigtimedwait(ENDING, 0) is not None:
        pass
    return asked
