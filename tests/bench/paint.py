# SPDX-License-Identifier: MIT
"""Runs on a host with luo.ko, as root: from the kernel's state to the bytes of a picture of it.

    python3 paint.py CHANGES -- COMMAND...

Starts the command on a pty and moves the orchestrator to prepared and back.
Prints milliseconds, one line a move: from the ioctl's return to the first byte
on the pty, and to the last one before it falls silent. With ``poll`` as the
command it is a bare program that is woken by the state attribute and prints it.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import sys
import termios
import time
from pathlib import Path

PREPARE, CANCEL = 0xBA04, 0xBA06
QUIET = 0.4


def bare() -> None:
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


def main() -> None:
    changes, command = int(sys.argv[1]), sys.argv[3:]
    child, fd = pty.fork()
    if not child:
        if command == ["poll"]:
            bare()
        os.environ["TERM"] = "xterm-256color"
        os.execvp(command[0], command)
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    until_quiet(fd, 30)
    until_quiet(fd, 3)
    device = os.open("/dev/liveupdate", os.O_RDWR)
    for number in range(changes):
        fcntl.ioctl(device, CANCEL if number % 2 else PREPARE)
        began = time.monotonic()
        first, last = until_quiet(fd, 5)
        print(f"{(first - began) * 1000:.2f} {(last - began) * 1000:.2f}", flush=True)
    os.close(device)
    os.kill(child, 9)


if __name__ == "__main__":
    main()
