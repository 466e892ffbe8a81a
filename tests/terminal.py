# SPDX-License-Identifier: MIT
"""A terminal for tests: what a program writes, as the screen that a person would see.

Behind it is a local command on a pty, or a serial line on a unix socket.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pyte

_T = TypeVar("_T")
Found = Callable[[str], bool]
"""Whether the screen's words are what is waited for."""

KEYS = {
    "enter": "\r",
    "escape": "\x1b",
    "tab": "\t",
    "shift+tab": "\x1b[Z",
    "up": "\x1b[A",
    "down": "\x1b[B",
    "right": "\x1b[C",
    "left": "\x1b[D",
    "backspace": "\x7f",
    "ctrl+c": "\x03",
    "ctrl+l": "\x0c",
    "ctrl+q": "\x11",
    "ctrl+z": "\x1a",
    "ctrl+backslash": "\x1c",
}
_MODE = re.compile(rb"\x1b\[\?([0-9;]+)([hl])")
_UNCLEAN = {
    1049: "alternate screen",
    1000: "mouse clicks",
    1002: "mouse drags",
    1003: "mouse motion",
    1006: "mouse reports (SGR)",
    1015: "mouse reports (urxvt)",
    1004: "focus reports",
    2004: "bracketed paste",
    2048: "resize reports",
}
IGNORED = "was ignored: it came within a burst of other input."
PATIENCE = 120
"""Seconds in which what is waited for has to come, on a slow and busy machine as well."""
_QUIET = 0.25
_PAUSE = 0.12
"""Seconds between two keys: what acts counts only alone, and no slower hand is imitated."""


class Terminal:
    """A screen of ``rows`` by ``cols`` that is fed by a descriptor."""

    def __init__(self, fd: int, rows: int, cols: int) -> None:
        """``fd`` is read and written, and closed by :meth:`close`."""
        self.rows, self.cols = rows, cols
        self.bytes = 0
        """How many bytes the program has written."""
        self.ended = False
        self.record: bytearray | None = None
        """Every byte that came; set it to an empty one to have them kept."""
        self._fd = fd
        self._screen = pyte.Screen(cols, rows)
        self._stream = pyte.ByteStream(self._screen)
        self._modes: set[int] = set()
        self._hidden = False
        self._tail = b""
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def run(
        cls,
        command: Sequence[str | Path],
        *,
        rows: int = 30,
        cols: int = 100,
        env: Mapping[str, str] | None = None,
    ) -> Terminal:
        """Start a command on a pty of its own."""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

        def own() -> None:
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        process = subprocess.Popen(
            [str(c) for c in command],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={"TERM": "xterm-256color", **(os.environ if env is None else env)},
            preexec_fn=own,
        )
        os.close(slave)
        terminal = cls(master, rows, cols)
        terminal._process = process
        return terminal

    @classmethod
    def serial(cls, path: Path, *, rows: int = 30, cols: int = 100) -> Terminal:
        """Connect to a serial line; the caller sets its size there with stty."""
        line = socket.socket(socket.AF_UNIX)
        line.connect(str(path))
        return cls(line.detach(), rows, cols)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The command on the pty."""
        assert self._process is not None
        return self._process

    def resize(self, rows: int, cols: int) -> None:
        """Change the pty's size, as a window does."""
        self.rows, self.cols = rows, cols
        self._screen.resize(rows, cols)
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def send(self, *keys: str) -> None:
        """Press keys, by name or as text."""
        for key in keys:
            os.write(self._fd, KEYS.get(key, key).encode())
            self.pump(_PAUSE)

    def press(self, key: str, wanted: str, timeout: float = PATIENCE) -> str:
        """Press a key that acts, until the screen has ``wanted``; return the screen.

        What a busy machine takes in one go is a burst to the console, which says that
        the key was ignored: then it is pressed again, as a person would.
        """
        return self._press(key, lambda flat: wanted in flat, repr(wanted), timeout)

    def press_away(self, key: str, unwanted: str, timeout: float = PATIENCE) -> str:
        """Press a key that acts, until ``unwanted`` is no longer on the screen; return that."""
        return self._press(key, lambda flat: unwanted not in flat, f"no {unwanted!r}", timeout)

    def _press(self, key: str, done: Found, what: str, timeout: float) -> str:
        end = time.monotonic() + timeout
        self.send(key)
        while True:
            screen = self._wait(
                lambda flat: done(flat) or IGNORED in flat, what, end - time.monotonic()
            )
            if done(screen):
                return screen
            self.pump_all(1)
            self.send(key)
            # Until the screen has caught up, it says what became of the key before.
            with contextlib.suppress(AssertionError):
                self._wait(lambda flat: done(flat) or IGNORED not in flat, "", 10)

    def send_now(self, text: str) -> None:
        """Press keys and do not wait for anything: for measuring."""
        os.write(self._fd, text.encode())

    def pump_all(self, seconds: float) -> int:
        """Take whatever comes in all of this time; return how many bytes came."""
        end = time.monotonic() + seconds
        came = 0
        while not self.ended and (left := end - time.monotonic()) > 0:
            came += self.pump(left)
        return came

    def pump(self, seconds: float) -> int:
        """Take what comes for this long; return how many bytes came."""
        came = 0
        end = time.monotonic() + seconds
        while not self.ended:
            left = end - time.monotonic()
            if not select.select([self._fd], [], [], max(left, 0))[0]:
                break
            try:
                data = os.read(self._fd, 65536)
            except OSError:
                data = b""
            if not data:
                self.ended = True
                break
            came += len(data)
            self._feed(data)
            if left <= 0:
                break
        return came

    def trickle(self, rate: int, seconds: float) -> int:
        """Take what comes as a slow line does, ``rate`` bytes a second; return how many came."""
        began, came = time.monotonic(), 0
        while (past := time.monotonic() - began) < seconds and not self.ended:
            due = int(past * rate) - came
            if due > 0 and select.select([self._fd], [], [], 0)[0]:
                data = os.read(self._fd, due)
                came += len(data)
                self._feed(data)
            time.sleep(0.02)
        return came

    def lines(self) -> list[str]:
        """Return the screen, row by row."""
        return [row.rstrip() for row in self._screen.display]

    def text(self) -> str:
        """Return the screen as one text."""
        return "\n".join(self.lines())

    def flat(self) -> str:
        """Return the screen's words alone: no borders, and one blank between words."""
        return " ".join(re.sub(r"[\u2500-\u259f|]", " ", self.text()).split())

    def wait_for(self, wanted: str, timeout: float = PATIENCE) -> str:
        """Wait until ``wanted`` is among the screen's words, and the screen is quiet; return it."""
        return self._wait(lambda flat: wanted in flat, repr(wanted), timeout)

    def wait_until_gone(self, unwanted: str, timeout: float = PATIENCE) -> str:
        """Wait until ``unwanted`` is no longer on the screen."""
        return self._wait(lambda flat: unwanted not in flat, f"no {unwanted!r}", timeout)

    def _wait(self, found: Found, what: str, timeout: float) -> str:
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            self.pump(0.05)
            if found(self.flat()):
                # A picture in the middle of a repaint mixes old and new rows.
                while self.pump(_QUIET) and time.monotonic() < end:
                    pass
                if found(self.flat()):
                    return self.flat()
            if self.ended:
                break
        raise AssertionError(f"{what} did not come in {timeout:.0f} s; the screen:\n{self.text()}")

    def meanwhile(self, work: Callable[[], _T]) -> _T:
        """Do ``work``, and go on reading: a serial line that nobody reads stops its machine."""
        with ThreadPoolExecutor(1) as pool:
            doing = pool.submit(work)
            while not doing.done():
                self.pump(0.1)
                if self.ended:
                    break
            return doing.result()

    def left_on(self) -> list[str]:
        """Return what a program has switched on in the terminal and not off again."""
        on = [name for mode, name in _UNCLEAN.items() if mode in self._modes]
        return [*on, "hidden cursor"] if self._hidden else on

    def wait_ended(self, timeout: float = PATIENCE) -> int:
        """Wait for the command's end; return its exit code, negative for a signal."""
        end = time.monotonic() + timeout
        while self.process.poll() is None and time.monotonic() < end:
            self.pump(0.05)
        assert self.process.returncode is not None, f"still running:\n{self.text()}"
        self.pump(0.2)
        return self.process.returncode

    def wait_for_left(self, timeout: float = PATIENCE) -> None:
        """Wait until the program has given the terminal back."""
        end = time.monotonic() + timeout
        while self.left_on() and time.monotonic() < end:
            self.pump(0.1)
        self.pump(0.5)

    def hang_up(self) -> None:
        """Close the line under the program, as a lost connection does."""
        os.close(self._fd)
        self._fd = -1
        self.ended = True

    def close(self) -> None:
        """End the command, if it still runs, and close the line."""
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _feed(self, data: bytes) -> None:
        self.bytes += len(data)
        if self.record is not None:
            self.record += data
        seen = self._tail + data
        last = 0
        for match in _MODE.finditer(seen):
            last = match.end()
            for mode in map(int, match[1].split(b";")):
                on = match[2] == b"h"
                if mode == 25:
                    self._hidden = not on
                elif on:
                    self._modes.add(mode)
                else:
                    self._modes.discard(mode)
        self._tail = seen[max(last, len(seen) - 16) :]
        # pyte does not know some private sequences that Textual asks with.
        data = re.sub(rb"\x1b\[[<>=?][0-9;]*[a-gi-km-zA-Z]", b"", data)
        data = re.sub(rb"\x1b\[\?[0-9;]+\$p", b"", data)
        # A shell asks for the cursor's place and waits for the answer.
        if b"\x1b[6n" in data and self._fd >= 0:
            cursor = self._screen.cursor
            os.write(self._fd, f"\x1b[{cursor.y + 1};{cursor.x + 1}R".encode())
            data = data.replace(b"\x1b[6n", b"")
        self._stream.feed(data)
