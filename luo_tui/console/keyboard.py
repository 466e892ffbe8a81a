# SPDX-License-Identifier: MIT
"""Reads the terminal in a thread of its own, and makes Textual's events of what is input.

Every key knows whether it came alone: as the only thing within a burst, which is
all that follows one another by less than :data:`QUIET`. A person who presses a
key does that; a reply that lost its head, or line noise, does not.
"""

from __future__ import annotations

import errno
import os
import selectors
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from threading import Event

from textual import events
from textual._xterm_parser import XTermParser
from textual.message import Message
from textual.messages import TerminalSupportsSynchronizedOutput

from luo_tui.console.input import Scanner
from luo_tui.console.sequences import Kind, Token

QUIET = 0.05
"""Seconds without another byte, before a key and after it, in which it counts as alone."""

_TURN = 0.1
"""Seconds after which the thread sees that it is to end."""
_READ = 4096
_CELLS = range(1, 10_000)
_SYNCHRONIZED, _RESIZES = "2026", "2048"
"""Modes that the driver asks for: drawing in one piece, and telling of a new size in the input."""


class Key(events.Key):
    """A key, and whether it came alone; Textual handles it as its own."""

    def __init__(self, key: str, character: str | None, alone: Future[bool]) -> None:
        """``alone`` has its result :data:`QUIET` seconds after the burst that the key is in."""
        super().__init__(key, character)
        self.alone = alone


class Burst:
    """What followed one another without a quiet moment."""

    def __init__(self, *, whole: bool = True) -> None:
        """Not ``whole`` is one whose beginning nobody has seen."""
        self.alone: Future[bool] = Future()
        self._keys = 0
        self._others = 0 if whole else 1

    def count(self, keys: int) -> None:
        """Take note of something that made so many keys; of none, it is something else."""
        self._keys += keys
        self._others += not keys

    def end(self, *, unfinished: bool) -> None:
        """Tell all who ask: a quiet moment is over, in which something may be unfinished."""
        self.alone.set_result(self._keys == 1 and not self._others and not unfinished)


class Keyboard:
    """Hands on what is input; all else does nothing."""

    def __init__(
        self,
        fd: int,
        send: Callable[[Message], None],
        *,
        mouse: bool,
        ask_for_sizes: Callable[[], None],
    ) -> None:
        """``send`` gets the events; ``ask_for_sizes`` is called if the terminal can tell them."""
        self._fd, self._send, self._mouse = fd, send, mouse
        self._ask_for_sizes = ask_for_sizes
        self._sizes = False
        """Whether the terminal was asked to tell of a new size."""
        self._scanner = Scanner()
        self._parser = XTermParser()
        # What was typed before anybody looked has no quiet moment before it.
        self._burst: Burst | None = Burst(whole=False)
        self._quiet_at = 0.0

    def run(self, ending: Event) -> None:
        """Read until ``ending`` is set. OSError: the terminal is gone."""
        with selectors.SelectSelector() as selector:
            selector.register(self._fd, selectors.EVENT_READ)
            self._quiet_at = time.monotonic() + QUIET
            while not ending.is_set():
                began = time.monotonic()
                wait = self._patience(began)
                if selector.select(wait):
                    self._read()
                else:
                    # Nothing was there until then; whether anything is now was not looked at.
                    self.nothing_until(began + wait)

    def _patience(self, now: float) -> float:
        times = [now + _TURN]
        if self._burst is not None:
            times.append(self._quiet_at)
        if self._scanner.deadline is not None:
            times.append(self._scanner.deadline)
        return max(0.0, min(times) - now)

    def _read(self) -> None:
        try:
            data = os.read(self._fd, _READ)
        except BlockingIOError:
            return
        if not data:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self.take(data, time.monotonic())

    def take(self, data: bytes, now: float) -> None:
        """Take what was read at ``now``, by :func:`time.monotonic`."""
        tokens = self._scanner.feed(data, now)
        counted = [t for t in tokens if t.kind is not Kind.MODIFIER]
        if counted or not tokens:
            # Whoever presses Ctrl+Q presses Ctrl shortly before: that alone is no burst.
            self._burst = self._burst or Burst()
            self._quiet_at = now + QUIET
        for token in counted:
            self._hand_on(token)

    def nothing_until(self, now: float) -> None:
        """Take note that nothing more was there to be read until ``now``."""
        if self._burst is not None and now >= self._quiet_at:
            burst, self._burst = self._burst, None
            burst.end(unfinished=not self._scanner.is_idle)
        for token in self._scanner.expire(now):
            self._hand_on(token)

    def _hand_on(self, token: Token) -> None:
        try:
            made = list(self._events(token))
        except Exception:
            # Textual's parser may fail in any way. What it cannot read is no key.
            made = []
        if self._burst is not None:
            self._burst.count(sum(isinstance(m, events.Key) for m in made))
        for message in made:
            self._send(message)

    def _events(self, token: Token) -> Iterator[Message]:
        match token.kind:
            case Kind.KEY:
                alone = self._burst.alone if self._burst is not None else _never()
                for key in self._parser._sequence_to_key_events(token.text):
                    if key.key != "<ignore>":
                        yield Key(key.key, key.character, alone)
            case Kind.PASTE:
                yield events.Paste(token.text)
            case Kind.FOCUS:
                yield events.AppFocus() if token.text.endswith("I") else events.AppBlur()
            case Kind.MOUSE if self._mouse:
                report = self._parser.parse_mouse_code(token.text)
                if report is not None:
                    yield report
            case Kind.REPORT:
                yield from self._report(token.text)

    def _report(self, text: str) -> Iterator[Message]:
        """Take an answer to what the driver asked: whether a mode is known; and a new size."""
        numbers = [int(part.partition(":")[0]) for part in text[2:].strip("?$yt").split(";")]
        if text.endswith("t"):
            _, height, width, pixels_high, pixels_wide = numbers
            if self._sizes and height in _CELLS and width in _CELLS:
                yield events.Resize.from_dimensions((width, height), (pixels_wide, pixels_high))
            return
        mode, setting = text[3:7], numbers[1]
        if setting not in (1, 2, 3):
            return
        if mode == _SYNCHRONIZED:
            yield TerminalSupportsSynchronizedOutput()
        elif mode == _RESIZES and not self._sizes:
            self._sizes = True
            self._ask_for_sizes()


def _never() -> Future[bool]:
    future: Future[bool] = Future()
    future.set_result(False)
    return future
