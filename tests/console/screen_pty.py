# SPDX-License-Identifier: MIT
"""A real terminal for a test: a pty with a process on it, and pyte that looks at it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyte

ROOT = Path(__file__).resolve().parents[2]
_MODE = re.compile(rb"\x1b\[\?(\d+(?:;\d+)*)([hl])")


class Tty:
    """One process on a pty of its own, in a session of its own."""

    def __init__(
        self,
        command: Sequence[str],
        size: tuple[int, int] = (80, 24),
        env: Mapping[str, str] | None = None,
        prologue: str = "",
    ) -> None:
        self.master, slave = pty.openpty()
        columns, rows = size
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.before = termios.tcgetattr(self.master)
        self.screen = pyte.Screen(columns or 80, rows or 24)
        self._stream = pyte.ByteStream(self.screen)
        self.raw = bytearray()
        self.hung_up = False
        whole = {
            "HOME": os.environ.get("HOME", "/"),
            "PATH": os.environ["PATH"],
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            **(env or {}),
        }
        self.process = subprocess.Popen(
            list(command),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={k: v for k, v in whole.items() if v},
            cwd=ROOT,
            preexec_fn=_own_session,
        )
        os.close(slave)

    def read(self, seconds: float) -> int:
        """Read for that long; return the number of bytes that came."""
        end, came = time.monotonic() + seconds, 0
        while (left := end - time.monotonic()) > 0:
            ready, _, _ = select.select([self.master], [], [], left)
            if not ready:
                break
            try:
                data = os.read(self.master, 65536)
            except OSError:
                self.hung_up = True
                break
            came += len(data)
            self.raw += data
            self._stream.feed(_known(data))
        return came

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.screen.display)

    def wait_for(self, text: str, seconds: float = 15) -> None:
        """Wait until ``text`` is on the screen and the screen is quiet."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if text in self.text and self.read(0.12) == 0:
                return
            self.read(0.05)
            if self.hung_up:
                break
        assert text in self.text, f"no {text!r} on:\n{self.text}"

    def send(self, data: str | bytes) -> None:
        os.write(self.master, data if isinstance(data, bytes) else data.encode())

    def keys(self, *names: str) -> None:
        """Press keys one after the other, as fingers do."""
        for name in names:
            self.send(_KEYS.get(name, name))
            self.read(0.08)

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def hang_up(self) -> None:
        """Take the terminal away, as a dropped ssh does."""
        os.close(self.master)
        self.master = -1

    def end(self, seconds: float = 10) -> int:
        """Wait for the end of the process; return its exit code."""
        end = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < end:
            if self.master >= 0 and not self.hung_up:
                self.read(0.05)
            else:
                time.sleep(0.02)
        if self.master >= 0 and not self.hung_up:
            self.read(0.1)
        assert self.process.poll() is not None, f"still there:\n{self.text}"
        return self.process.returncode

    def modes(self) -> dict[int, bool]:
        """Return every private mode that was set or reset, as it stands at the end."""
        found: dict[int, bool] = {}
        for match in _MODE.finditer(bytes(self.raw)):
            for number in match[1].split(b";"):
                found[int(number)] = match[2] == b"h"
        return found

    def assert_clean(self) -> None:
        """The terminal is as a shell wants it: main screen, cursor, no mouse, cooked."""
        modes = self.modes()
        left_on = {
            n for n in (1049, 1000, 1002, 1003, 1006, 1015, 1004, 2004, 2048) if modes.get(n)
        }
        assert not left_on, f"modes left on: {left_on}"
        assert modes.get(25, True), "the cursor is hidden"
        assert modes.get(7, True), "lines do not wrap"
        assert bytes(self.raw).count(b"\x1b[<u") >= bytes(self.raw).count(b"\x1b[>")
        now = termios.tcgetattr(self.master)
        assert now[:4] == self.before[:4], "the line discipline is not as before"

    def cpu(self) -> float:
        """Return the seconds of processor time that the process has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.master >= 0:
            os.close(self.master)


_KEYS = {
    "enter": "\r",
    "tab": "\t",
    "escape": "\x1b",
    "ctrl+c": "\x03",
    "ctrl+l": "\x0c",
    "ctrl+q": "\x11",
    "ctrl+z": "\x1a",
    "ctrl+backslash": "\x1c",
}


def _known(data: bytes) -> bytes:
    """Leave out what pyte takes for something else: kitty and mode requests."""
    return re.sub(rb"\x1b\[[<>=]\d*u|\x1b\[\?\d+\$p", b"", data)


def _own_session() -> None:
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGTSTP):
        signal.signal(number, signal.SIG_DFL)


@contextmanager
def console(*arguments: str, **more: Any) -> Iterator[Tty]:
    """Run ``luo-tui`` with these arguments on a pty."""
    tty = Tty([sys.executable, "-m", "luo_tui", *arguments], **more)
    try:
        yield tty
    finally:
        tty.close()
