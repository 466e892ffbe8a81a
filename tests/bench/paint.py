# SPDX-License-Identifier: MIT
"""Runs on a host as root: from a change in the kernel to the bytes of a picture of it.

    python3 paint.py CHANGES {moves|sessions} -- COMMAND...

Starts the command on a pty, and moves luo.ko to prepared and back, or makes and drops
a session of mainline's. Prints milliseconds, one line a change: from its end to the first
byte on the pty, and to the last one before it falls silent. With ``bare`` as the command
it is a program that is woken by the same thing as the console, and prints a line.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import pty
import select
import struct
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

DEVICE = "/dev/liveupdate"
PREPARE, CANCEL = 0xBA04, 0xBA06
QUIET = 0.4


def bare_sessions() -> None:
    from luo_tui.uapi import fanotify

    watched = fanotify.watch(DEVICE)
    poll = select.poll()
    poll.register(watched, select.POLLIN)
    while poll.poll():
        print(sorted(fanotify.read(watched).pids), flush=True)


def bare_moves() -> None:
    with Path("/sys/kernel/liveupdate/state").open() as state:
        poll = select.poll()
        poll.register(state, select.POLLPRI | select.POLLERR)
        while True:
            state.seek(0)
            print(state.read().strip(), flush=True)
            poll.poll()


def until_quiet(fd: int, patience: float) -> tuple[float, float]:
    """Read; return when the first and the last byte came, 0 if none did."""
    first = last = 0.0
    wait = patience
    while select.select([fd], [], [], wait)[0]:
        os.read(fd, 65536)
        last = time.monotonic()
        first = first or last
        wait = QUIET
    return first, last


def moves() -> Iterator[None]:
    """Move to prepared and back, for ever."""
    device = os.open(DEVICE, os.O_RDWR)
    for number in itertools.count():
        fcntl.ioctl(device, CANCEL if number % 2 else PREPARE)
        yield


def sessions() -> Iterator[None]:
    """Make a session, and drop it, for ever: each with the device opened and closed."""
    from luo_tui.uapi import luo_sessions

    kept = -1
    while True:
        device = luo_sessions.open_device()
        if kept < 0:
            kept = luo_sessions.create_session(device, b"painted")
        else:
            os.close(kept)
            kept = -1
        os.close(device)
        yield


KINDS = {"moves": (moves, bare_moves), "sessions": (sessions, bare_sessions)}


def main() -> None:
    changes, (change, bare), command = int(sys.argv[1]), KINDS[sys.argv[2]], sys.argv[4:]
    child, fd = pty.fork()
    if not child:
        if command == ["bare"]:
            bare()
        os.environ["TERM"] = "xterm-256color"
        os.execvp(command[0], command)
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    until_quiet(fd, 30)
    until_quiet(fd, 3)
    for _ in itertools.islice(change(), changes):
        began = time.monotonic()
        first, last = until_quiet(fd, 5)
        print(f"{(first - began) * 1000:.2f} {(last - began) * 1000:.2f}", flush=True)
    os.kill(child, 9)


if __name__ == "__main__":
    main()
