# SPDX-License-Identifier: MIT
"""Leaving by signal, by a lost terminal, or by a crash: in order, and with a clean terminal.

HUP, INT, QUIT and TERM ask for the same thing: finish the call in flight,
leave the window safely, end. A terminal that hangs up is taken away from under
the program at once (its descriptors then lead nowhere), because drawing on it
would fail, block or spin. If the program then does not end by itself, it is
ended: everything that matters was done by then.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import termios
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

_WHY = {
    signal.SIGHUP: "lost the terminal",
    signal.SIGINT: "interrupted",
    signal.SIGQUIT: "asked to quit at once",
    signal.SIGTERM: "told to terminate",
}
Lines = tuple[str, ...]
_PATIENCE = 3.0
"""Seconds that the console gets to end by itself after everything was done."""

RESET = "If this terminal behaves strangely, type reset and Ctrl+J, blind if need be."
"""What is printed where nobody may be left to clean the terminal up."""

# Leave paste mode, mouse reporting, focus reports and the kitty keyboard; wrap
# lines, leave the alternate screen, show the cursor, plain colours.
_CLEAN = (
    b"\x1b[?2004l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1015l\x1b[?1006l\x1b[?1016l\x1b[?2048l"
    b"\x1b[?1004l\x1b[<u\x1b[?7h\x1b[?1049l\x1b[?25h\x1b[0m"
)


class Shutdown:
    """Holds the signals from the first drawing to the last line."""

    def __init__(self) -> None:
        """Nothing is asked for yet."""
        self.signal = 0
        """The signal that asked first; 0 while none has."""
        self._before: dict[int, Any] = {}
        self._attributes: list[Any] | None = None
        self._attend: tuple[Callable[[str], Lines], Callable[[Lines], None]] | None = None

    @property
    def asked(self) -> bool:
        """Whether something asked to leave."""
        return self.signal != 0

    @property
    def code(self) -> int:
        """The exit code, as a shell writes death by that signal."""
        return 128 + self.signal

    def __enter__(self) -> Self:
        """Take the signals over; remember how the terminal was."""
        # A program that jumped into this one may have left them blocked.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (*_WHY, signal.SIGTSTP))
        for number in _WHY:
            self._before[number] = signal.signal(number, self._arrived)
        with contextlib.suppress(termios.error, OSError, ValueError):
            self._attributes = termios.tcgetattr(sys.__stdin__.fileno())  # type: ignore[union-attr]
        return self

    def __exit__(self, *_: object) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def attend(self, leave: Callable[[str], Lines], end: Callable[[Lines], None]) -> None:
        """From now on call ``leave(why)``, once, when asked to go, and ``end`` with its lines.

        Both are called in a thread of their own. ``end`` tells whoever draws
        to stop; it is left out where the process may not touch the terminal.
        """
        self._attend = (leave, end)
        if self.asked:
            self._call()

    def unattend(self) -> None:
        """From now on only note who asked."""
        self._attend = None

    def ask(self, number: int) -> None:
        """Ask to leave, as if that signal had come. From any thread."""
        if self.asked:
            return
        self.signal = number
        if number == signal.SIGHUP and terminal_is_gone():
            take_terminal_away()
        self._call()

    def terminal_lost(self) -> None:
        """Ask to leave, since the terminal failed without a signal."""
        take_terminal_away()
        self.ask(signal.SIGHUP)

    def restore_terminal(self, lines: Lines = ()) -> None:
        """Leave the terminal clean, without the help of whoever drew on it; never blocks.

        ``lines`` are what is left to say.
        """
        fd = 2
        with contextlib.suppress(OSError):
            os.set_blocking(fd, False)
            os.write(fd, _CLEAN + "".join(f"{line}\r\n" for line in lines).encode(errors="replace"))
        with contextlib.suppress(OSError):
            os.set_blocking(fd, True)
        if self._attributes is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(0, termios.TCSANOW, self._attributes)

    def _arrived(self, number: int, _frame: FrameType | None) -> None:
        self.ask(number)

    def _call(self) -> None:
        if self._attend is not None:
            leave, end = self._attend
            self._attend = None
            threading.Thread(
                target=self._run, args=(leave, end), name="shutdown", daemon=True
            ).start()

    def _run(self, leave: Callable[[str], Lines], end: Callable[[Lines], None]) -> None:
        lines: Lines = ()
        with contextlib.suppress(Exception):
            lines = leave(_WHY[signal.Signals(self.signal)])
        if _in_background():
            os._exit(self.code)
        end(lines)
        # This thread dies with the process, if that ends in time.
        time.sleep(_PATIENCE)
        self.restore_terminal((*lines, RESET))
        os._exit(self.code)


def _in_background() -> bool:
    """Whether this process was stopped by its shell: touching the terminal would stop it again."""
    try:
        return os.tcgetpgrp(0) != os.getpgrp()
    except OSError:
        return False


def terminal_is_gone() -> bool:
    """Whether standard input is a terminal that hung up."""
    try:
        termios.tcgetattr(0)
    except (termios.error, OSError):
        return True
    return False


def take_terminal_away() -> None:
    """Make the standard descriptors lead nowhere: nothing to read, and writing succeeds."""
    with contextlib.suppress(OSError):
        never, keep = os.pipe()
        # Whoever was about to read must not wait for what never comes.
        os.set_blocking(never, False)
        os.set_inheritable(keep, False)
        nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        os.dup2(never, 0)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
