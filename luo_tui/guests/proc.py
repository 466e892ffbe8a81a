# SPDX-License-Identifier: MIT
"""What is read of one process's folder in /proc by whoever starts guests, too (proc(5))."""

from __future__ import annotations

import os
import select
from pathlib import Path


def started(folder: Path) -> int:
    """Return when a process began, in clock ticks since this kernel did. OSError."""
    text = (folder / "stat").read_text(errors="surrogateescape")
    # Its name may have blanks and brackets; what follows the last bracket has none.
    return int(text.rpartition(")")[2].split()[19])


def lives(pid: int, began: int, proc: Path = Path("/proc")) -> bool:
    """Whether the process of that number is the one that ``began`` then; see :func:`started`."""
    try:
        return started(proc / str(pid)) == began
    except (OSError, ValueError, IndexError):
        return False


def ends(process: int, seconds: float) -> bool:
    """Whether the process behind a pidfd has ended, or does so within this time."""
    poll = select.poll()
    poll.register(process, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def words(path: Path) -> tuple[str, ...]:
    """Return a file of words that end with a zero byte: cmdline, environ. OSError."""
    data = path.read_bytes()
    return tuple(os.fsdecode(w) for w in data.removesuffix(b"\0").split(b"\0")) if data else ()
