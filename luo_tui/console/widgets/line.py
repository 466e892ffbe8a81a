# SPDX-License-Identifier: MIT
"""The line to the terminal: what is drawn waits for a slow one, and is then the newest.

Textual's own driver lets thirty writes queue up and then stops the whole
console until the terminal has taken one: on a slow line the picture falls
behind by minutes, and no key is looked at meanwhile. This driver makes nobody
wait. While too much is unwritten all drawing is held back; once everything is
written the screen is drawn as it is then.

Input is not read by Textual's parser, which takes for keys whatever it does not
know and ends the console where it fails, but by a :class:`Keyboard`.
"""

from __future__ import annotations

import contextlib
import os
import select
import termios
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from textual.app import App
from textual.drivers.linux_driver import LinuxDriver
from textual.timer import Timer, TimerCallback

from luo_tui.console.keyboard import Keyboard

Result = TypeVar("Result")

MOST = 2048
"""Unwritten characters above which nothing more is drawn: some two seconds at 9600 baud."""

MOUSE_OFF = "\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1015l\x1b[?1006l\x1b[?1016l"
_SIZES_OFF = "\x1b[?2048l"

_OUT = 2
"""Standard error, on which Textual draws."""


class OnLine(App[Result]):
    """An application whose terminal may be slow."""

    frames = 0
    """How often something was to be drawn, whether it was or was held back."""

    def __init__(self, **more: Any) -> None:
        """Draw through a :class:`LineDriver`."""
        super().__init__(driver_class=LineDriver, **more)

    def set_timer(
        self,
        delay: float,
        callback: TimerCallback | None = None,
        *,
        name: str | None = None,
        pause: bool = False,
    ) -> Timer:
        """Call ``callback`` once, after ``delay`` seconds, on a busy machine too.

        Textual's timer leaves out what is late already when it looks at the clock for the
        second time, and its only call with it: a size that came last was then never drawn,
        and a key never taken.
        """
        timer = super().set_timer(delay, callback, name=name, pause=pause)
        # Its task has not begun yet. The constructor's argument for it is out of reach.
        timer._skip = False
        return timer

    def post_display_hook(self) -> None:
        """Count; Textual calls this also for what it leaves out."""
        self.frames += 1

    def input_failed(self, error: Exception) -> None:
        """Take note that no input comes any more: an error of ours, or a terminal that is gone."""
        raise error


class LineDriver(LinuxDriver):
    """Textual's driver for terminals, with a writer that knows how far it has come."""

    def __init__(self, app: OnLine[Any], **more: Any) -> None:
        """Write to standard error, as Textual does."""
        super().__init__(app, **more)
        self._drawer = app
        self._batch = contextlib.ExitStack()
        self._held = False
        self._frames = 0
        """How many frames there were when drawing was held back."""
        self._news = threading.Condition()
        """Held for all that follows."""
        self._pieces: list[str] = []
        self._unwritten = 0
        self._tell = False
        """Whether somebody waits for everything to be written."""
        self._ending = False
        self._pen: threading.Thread | None = None
        self._tells_sizes = False

    # -- input ------------------------------------------------------------------------

    def _run_input_thread(self) -> None:
        """Read keys, in a thread of its own, until the driver stops or the terminal is gone."""
        keyboard = Keyboard(
            self.fileno,
            self.process_message,
            mouse=self._mouse,
            ask_for_sizes=self._ask_for_sizes,
        )
        try:
            keyboard.run(self.exit_event)
        except Exception as error:
            # The console's loop may have ended since.
            with contextlib.suppress(RuntimeError):
                self._drawer.call_later(self._drawer.input_failed, error)

    def _ask_for_sizes(self) -> None:
        """Have a new size told in the input as well: a serial line has no signal for it."""
        self._tells_sizes = True
        self._enable_in_band_window_resize()

    def _disable_in_band_window_resize(self) -> None:
        # Textual's own note of it would make it deaf to the signal.
        if self._tells_sizes:
            self._tells_sizes = False
            self.write(_SIZES_OFF)

    def _enable_mouse_support(self) -> None:
        """Ask for reports of the mouse, or have an earlier program's switched off."""
        if self._mouse:
            super()._enable_mouse_support()
        else:
            self.write(MOUSE_OFF)

    # -- output -----------------------------------------------------------------------

    def write(self, data: str) -> None:
        """Have ``data`` written; returns at once."""
        with self._news:
            if self._pen is None:
                self._ending = False
                self._pen = threading.Thread(target=self._write_on, name="line", daemon=True)
                self._pen.start()
            self._pieces.append(data)
            self._unwritten += len(data)
            self._news.notify()

    def flush(self) -> None:
        """Hold back what comes next if too much is unwritten."""
        if self._unwritten > MOST and not self._held:
            self._held = True
            # Not at once: Textual is in the middle of drawing.
            self._drawer.call_later(self._hold)

    def close(self) -> None:
        """Wait until all is written."""
        with self._news:
            pen, self._pen = self._pen, None
            self._ending = True
            self._news.notify()
        if pen is not None:
            pen.join()
        super().close()

    def _hold(self) -> None:
        with self._news:
            self._held = self._tell = self._unwritten > 0
        if self._held:
            self._frames = self._drawer.frames
            self._batch.enter_context(self._drawer.batch_update())

    def _go_on(self) -> None:
        self._held = False
        self._batch.close()
        screen = self._drawer.screen
        if self._drawer.frames != self._frames:
            # What was left out is lost to Textual.
            screen.refresh()
        screen.check_idle()

    def _write_on(self) -> None:
        """In a thread of its own: write whatever there is, until the end."""
        write: Callable[[bytes], None] = _write_all
        while True:
            with self._news:
                while not self._pieces and not self._ending:
                    self._news.wait()
                data, self._pieces = "".join(self._pieces), []
            if not data:
                return
            try:
                write(data.encode(errors="replace"))
            except OSError:
                # The terminal is gone, and the console is told by its input.
                write = _nowhere
            with self._news:
                self._unwritten -= len(data)
                tell = self._tell and not self._unwritten
                self._tell = self._tell and not tell
            if tell:
                # The console's loop may have ended since.
                with contextlib.suppress(RuntimeError):
                    self._drawer.call_later(self._go_on)


def _write_all(data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(_OUT, rest) :]
        except BlockingIOError:
            select.select([], [_OUT], [])
    # A serial line keeps seconds in its buffer. (A pty does not say what it keeps.)
    with contextlib.suppress(termios.error):
        termios.tcdrain(_OUT)


def _nowhere(data: bytes) -> None:
    del data
