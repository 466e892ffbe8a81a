# SPDX-License-Identifier: MIT
"""What is done of how much, for whoever waits: on a terminal in one line, else in few lines."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from typing import TextIO

_PAUSE = 5.0
"""Seconds between two lines where there is no terminal, at least: such lines are kept in a log."""
_SHORT = 0.5
"""Seconds that nobody needs to be told of."""
_SECOND, _LONG = 1.0, 2
"""How often it is told how long something takes, and from how many seconds on."""


@contextlib.contextmanager
def elapsed(what: str, expected: float) -> Iterator[None]:
    """Say how long ``what`` has taken, of the seconds that it should; 0: that is not known.

    On a terminal each second, else once. Nothing is said of what takes no time.
    """
    from luo_tui.update.wording import of_about

    shown, ended = Progress(sys.stderr), threading.Event()
    began = time.monotonic()

    def tell() -> None:
        while not ended.wait(_SECOND):
            seconds = round(time.monotonic() - began)
            if seconds < _LONG:
                continue
            shown.tell(f"{what}: {of_about(seconds, expected)}")
            if not shown.on_terminal:
                return

    teller = threading.Thread(target=tell, name="elapsed", daemon=True)
    teller.start()
    try:
        yield
    finally:
        ended.set()
        teller.join()
        shown.clear()


@contextlib.contextmanager
def reading_kernels() -> Iterator[None]:
    """Say on a terminal how far the unpacking of kernels is, where it takes its time."""
    shown = Progress(sys.stderr)
    if not shown.on_terminal:
        yield
        return
    from luo_tui.update.unpack import watched

    began = time.monotonic()

    def tell(done: int, size: int) -> None:
        if size and time.monotonic() - began >= _SHORT:
            shown.tell(f"reading a kernel: {done * 100 // size} %")

    try:
        with watched(tell):
            yield
    finally:
        shown.clear()


class Progress:
    """Writes it; what has not changed is not written again. Never fails."""

    def __init__(self, stream: TextIO | None) -> None:
        """Write to ``stream``; None: nowhere."""
        self._stream = stream
        self.on_terminal = stream is not None and stream.isatty()
        self._told = self._held = ""
        self._at = -_PAUSE

    def tell(self, text: str) -> None:
        """Say how far it is."""
        if text == self._told:
            self._held = ""
            return
        now = time.monotonic()
        if not self.on_terminal and now - self._at < _PAUSE:
            self._held = text
            return
        self._at, self._held = now, ""
        self._write(text)

    def end(self) -> None:
        """Say how it ended, where that was not said, and leave the line."""
        if self._held:
            self._write(self._held)
        if self.on_terminal and self._told:
            self._put("\n")
        self._told = self._held = ""

    def clear(self) -> None:
        """Take away what stands on the terminal."""
        if self.on_terminal and self._told:
            self._put(f"\r{'':{len(self._told)}}\r")
        self._told = self._held = ""

    def _write(self, text: str) -> None:
        if self.on_terminal:
            # Blanks over what was longer: no terminal is asked what it can.
            self._put(f"\r{text:{len(self._told)}}")
        else:
            self._put(f"{text}\n")
        self._told = text

    def _put(self, text: str) -> None:
        if self._stream is not None:
            with contextlib.suppress(OSError, ValueError):
                self._stream.write(text)
                self._stream.flush()
