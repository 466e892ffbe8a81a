# SPDX-License-Identifier: MIT
"""The hands of another process in a machine, while a console looks on; runs in the guest.

Sent over by tests/lab/test_live.py and tests/bench/test_live.py; speaks lines on
its standard streams: a request as JSON, an answer as JSON.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time
from typing import Any

from luo_tui.orchestrator import Move
from luo_tui.orchestrator.choose import open_orchestrator

_PR_SET_NAME = 15

orchestrator = open_orchestrator()
kept: list[int] = []
"""Descriptors of what was restored."""


def call_myself(name: str) -> None:
    """Take these bytes (in hex) as the name of this process."""
    raw = bytes.fromhex(name)
    ctypes.CDLL(None).prctl(_PR_SET_NAME, ctypes.c_char_p(raw), 0, 0, 0)


def preserve(name: str, size: int = 4096) -> int:
    """Preserve a memfd by this name (in hex); the kernel holds it from then on."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.memfd_create(ctypes.c_char_p(bytes.fromhex(name)), 3)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "memfd_create")
    os.ftruncate(fd, size)
    token = orchestrator.preserve(fd)
    os.close(fd)
    return token


def unpreserve(token: int) -> None:
    """Give it up."""
    orchestrator.unpreserve(token)


def restore(token: int) -> None:
    """Take it back, and keep it: what nobody has open is lost with finish."""
    kept.append(orchestrator.restore(token))


def move(name: str) -> None:
    """Make a move."""
    orchestrator.move(Move(name))


def burst(times: int, seconds: float = 0.0) -> int:
    """Preserve and give up so often, two events each time; return the events a second."""
    fd = os.memfd_create("burst", 3)
    os.ftruncate(fd, 4096)
    began = time.monotonic()
    for _ in range(times):
        orchestrator.unpreserve(orchestrator.preserve(fd))
        if seconds:
            time.sleep(seconds)
    os.close(fd)
    return int(2 * times / (time.monotonic() - began))


def walk_through(states: int) -> list[float]:
    """Prepare and cancel in turn; return when each was done, by CLOCK_REALTIME."""
    done = []
    for n in range(states):
        orchestrator.move(Move.PREPARE if n % 2 == 0 else Move.CANCEL)
        done.append(time.time())
    return done


def main() -> None:
    """Answer requests until there are no more."""
    for line in sys.stdin:
        request: dict[str, Any] = json.loads(line)
        try:
            answer = globals()[request.pop("do")](**request)
            print(json.dumps({"answer": answer}), flush=True)
        except OSError as error:
            print(json.dumps({"errno": error.errno}), flush=True)


if __name__ == "__main__":
    main()
