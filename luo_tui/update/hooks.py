# SPDX-License-Identifier: MIT
"""Runs a hook or a check: one program, for a limited time, in a process group of its own.

It gets no terminal and no input, the signals as they are for any program, and a
short environment. What it prints is kept up to a limit, the end of it. When it
ends, or its time is over, nothing of its process group is left: who wants a
daemon starts a service. One that makes itself a group of its own is not seen.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from luo_tui.sources.clean import clean

KEPT, LINES = 2048, 5
"""Bytes and lines of what it prints that are kept: the last ones."""
_GRACE = 2.0
"""Seconds that it has to end by itself after SIGTERM."""
_HOLDS, _PIECE = 1 << 20, 1 << 16
"""Bytes that a pipe can hold unless root made it larger (pipe(7)), and those of one read."""
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_DEFAULT = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}


class Program(Protocol):
    """What is run: a plan's hook, or a check of the host's own."""

    @property
    def run(self) -> tuple[str, ...]:
        """The program's whole path, and its arguments."""
        ...

    @property
    def seconds(self) -> int:
        """After so many it is killed."""
        ...


@dataclass(frozen=True, slots=True)
class HookEnd:
    """How a hook ended."""

    fault: str
    """Why it counts as failed, as a clause; empty where it ended well."""
    seconds: float
    said: tuple[str, ...]
    """The last lines that it printed, harmless to show."""
    code: int | None = None
    """What it ended with by itself; None where it did not."""


def hook_fault(hook: Program) -> str:
    """Say why a hook could not be run, before it has to; empty where nothing speaks against it.

    As root only what root alone may change is run: the file, and each folder above it.
    """
    path = Path(hook.run[0])
    try:
        found = path.resolve(strict=True)
        about = found.stat()
        if not stat.S_ISREG(about.st_mode):
            return f"{path} is not a regular file"
        if not os.access(found, os.X_OK):
            return f"{path} is not executable"
        if os.geteuid() != 0:
            return ""
        for one in (found, *found.parents):
            about = one.stat()
            # In a folder like /tmp only the owner of a file may move it.
            others = stat.S_IWGRP | stat.S_IWOTH
            sticky = stat.S_ISDIR(about.st_mode) and about.st_mode & stat.S_ISVTX
            if about.st_uid != 0 or (about.st_mode & others and not sticky):
                return f"{clean(str(one))} may be changed by others than root"
    except OSError as error:
        return f"{path}: {error.strerror or error}"
    return ""


def run_hook(hook: Program, about: Mapping[str, str]) -> HookEnd:
    """Run a hook to its end, or to the end of its time. Never fails.

    ``about`` becomes its environment, each name with ``LUO_TUI_`` before it.
    """
    began = time.monotonic()
    if fault := hook_fault(hook):
        return HookEnd(fault, 0.0, ())
    environment = {"PATH": _PATH, "LANG": "C.UTF-8"}
    environment |= {f"LUO_TUI_{name}": value for name, value in about.items()}
    reading, writing = os.pipe2(os.O_CLOEXEC)
    try:
        pid = _start(hook, environment, writing)
    except (OSError, ValueError) as error:
        os.close(reading)
        why = error.strerror if isinstance(error, OSError) else str(error)
        return HookEnd(f"it could not be started: {why}", 0.0, ())
    finally:
        os.close(writing)
    try:
        fault, code, said = _wait(pid, reading, began + hook.seconds, hook.seconds)
    finally:
        os.close(reading)
    return HookEnd(fault, round(time.monotonic() - began, 3), _lines(said), code)


def _start(hook: Program, environment: Mapping[str, str], writing: int) -> int:
    """Start it in a session of its own. Not by fork(): this process has threads."""
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.posix_spawn(
            hook.run[0],
            hook.run,
            environment,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, null, 0),
                (os.POSIX_SPAWN_DUP2, writing, 1),
                (os.POSIX_SPAWN_DUP2, writing, 2),
            ],
            setsid=True,
            # Held back here, they would be held back in it, for good.
            setsigmask=[],
            setsigdef=_DEFAULT,
        )
    finally:
        os.close(null)


def _lines(said: bytes) -> tuple[str, ...]:
    return tuple(clean(line) for line in said.decode(errors="replace").splitlines()[-LINES:])


def _wait(pid: int, reading: int, end: float, seconds: int) -> tuple[str, int | None, bytes]:
    """Wait for its end; return why it failed, its code, and the last of what it printed."""
    said = bytearray()
    os.set_blocking(reading, False)
    ended = os.pidfd_open(pid)
    try:
        in_time = _watch(ended, reading, end, said)
        if not in_time:
            _signal(pid, signal.SIGTERM)
            _watch(ended, reading, time.monotonic() + _GRACE, said)
        # Also what it has left behind. Its own number is not given anew before it is waited for.
        _signal(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        # One that has left the group may write on: what a pipe holds is enough.
        for _ in range(_HOLDS // _PIECE):
            _take(reading, said)
    finally:
        os.close(ended)
    if not in_time:
        return f"it took longer than {seconds} s and was killed", None, bytes(said)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return f"signal {signal.Signals(number).name} ended it", None, bytes(said)
    code = os.waitstatus_to_exitcode(status)
    return f"it ended with {code}" if code else "", code, bytes(said)


def _watch(ended: int, reading: int, end: float, said: bytearray) -> bool:
    """Take what it prints until it ends; False where it has not at ``end``."""
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    poll.register(reading, select.POLLIN)
    while True:
        left = end - time.monotonic()
        if left <= 0:
            return False
        events = poll.poll(left * 1000)
        if any(fd == ended for fd, _ in events):
            return True
        if events and not _take(reading, said):
            # Closed: its end is all that there is to wait for.
            poll.unregister(reading)


def _take(reading: int, said: bytearray) -> bool:
    """Take what has been printed; False where nothing more can come."""
    try:
        piece = os.read(reading, _PIECE)
    except BlockingIOError:
        return True
    said += piece
    del said[:-KEPT]
    return bool(piece)


def _signal(pid: int, number: signal.Signals) -> None:
    """Send a signal to its process group, which may be gone."""
    with contextlib.suppress(ProcessLookupError):
        try:
            os.killpg(pid, number)
        except PermissionError as error:
            # All that is left of it is a program of another user.
            if error.errno != errno.EPERM:
                raise
