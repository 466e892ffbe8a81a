# SPDX-License-Identifier: MIT
"""A lock of logind's that holds an ordinary shutdown back while a window is open.

systemd-inhibit(1) takes it and keeps it as long as the program runs that it was
given: here cat(1), which copies a pipe whose other end this process alone has.
So the lock ends with this process, however that ends. What it holds back is
what goes through logind (``systemctl reboot``, a power key); reboot(2) and
``systemctl reboot -ff`` do not ask it, nor does our own kexec.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from luo_tui.sources.clean import clean

# Loaded when a lock is taken: to look needs none.
if TYPE_CHECKING:
    import subprocess

PROGRAM = Path("/usr/bin/systemd-inhibit")
_KEEPER = "/bin/cat"
_PATIENCE = 5.0
"""Seconds that logind has to give the lock, and that the programs have to end."""
_WORD = b"held\n"
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
_LONGEST = 200


class ShutdownInhibitor:
    """One lock, which this process has or not. Not thread-safe."""

    def __init__(self, program: Path = PROGRAM) -> None:
        """``program`` is systemd-inhibit, or a test's."""
        self._program = program
        self._child: subprocess.Popen[bytes] | None = None

    def available(self) -> str:
        """Ask whether a lock could be had; return why not, empty where it could. Takes none."""
        import subprocess

        try:
            done = subprocess.run(
                (str(self._program), "--list", "--no-pager"),
                env=_ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=_PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return _silent()
        except OSError as error:
            return self._not_started(error)
        return "" if done.returncode == 0 else _said(done.stderr)

    def take(self, why: str) -> str:
        """Take the lock, unless it is held; ``why`` is shown to whoever is held back.

        Return why it could not be taken, in words without a full stop; empty: it is held.
        """
        if self._child is not None and self._child.poll() is None:
            return ""
        self.release()
        import subprocess

        about = ("--what=shutdown", "--mode=block", "--who=luo-tui", f"--why={why}")
        try:
            self._child = subprocess.Popen(
                (str(self._program), *about, _KEEPER),
                env=_ENVIRONMENT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                # Keys and the end of our terminal are for us alone.
                start_new_session=True,
            )
        except OSError as error:
            return self._not_started(error)
        fault = _answer(self._child)
        if fault:
            self.release()
        return fault

    def release(self) -> None:
        """Give the lock back; harmless where there is none. Never fails."""
        child, self._child = self._child, None
        if child is None:
            return
        import subprocess

        with contextlib.suppress(OSError):
            _stream(child.stdin).close()
        try:
            child.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        _stream(child.stdout).close()
        _stream(child.stderr).close()

    def _not_started(self, error: OSError) -> str:
        if isinstance(error, FileNotFoundError):
            return f"there is no {self._program}"
        return f"{self._program}: {error.strerror or error}"


def _answer(child: subprocess.Popen[bytes]) -> str:
    """Wait until the keeper runs, which is when the lock is held; return why it does not."""
    with contextlib.suppress(BrokenPipeError):
        os.write(_stream(child.stdin).fileno(), _WORD)
    out, err = _stream(child.stdout), _stream(child.stderr)
    if not _ready(out):
        return _silent()
    if os.read(out.fileno(), len(_WORD)):
        return ""
    # It has closed its output without a word: what it says of that follows at once.
    return _said(os.read(err.fileno(), 4096) if _ready(err) else b"")


def _ready(stream: IO[bytes]) -> bool:
    """Wait for something to read, or for its end."""
    poll = select.poll()
    poll.register(stream, select.POLLIN)
    return bool(poll.poll(_PATIENCE * 1e3))


def _stream(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None  # noqa: S101
    return stream


def _silent() -> str:
    return f"logind did not answer within {_PATIENCE:.0f} s"


def _said(text: bytes) -> str:
    lines: Sequence[str] = text.decode(errors="replace").strip().splitlines()
    return clean(lines[-1])[:_LONGEST] if lines else "systemd-inhibit ended without a word"
