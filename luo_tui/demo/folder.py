# SPDX-License-Identifier: MIT
"""The demo's folder: gone when the demo ends, and cleared away by the next one if it was killed.

A demo holds a lock on a file in its folder, also across its jump; the kernel
drops it with the process, however that ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path

_PREFIX = "luo-tui-demo-"
_ALIVE = "alive"
_OLD = 3600.0
"""Seconds after which a folder that nobody ever locked was left behind."""


def make_folder() -> tuple[Path, int]:
    """Make a folder and lock it; return it and the descriptor that holds the lock."""
    remove_dead(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    new = folder / f"{_ALIVE}.new"
    fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX)
    # It gets its name with the lock on it: nobody finds it unlocked.
    new.rename(folder / _ALIVE)
    return folder, fd


def remove_dead(parent: Path) -> None:
    """Remove this user's demo folders whose demos live no longer. Says nothing, never fails."""
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(parent)):
            if not entry.name.startswith(_PREFIX) or not entry.is_dir(follow_symlinks=False):
                continue
            with contextlib.suppress(OSError):
                about = entry.stat(follow_symlinks=False)
                if about.st_uid == os.getuid() and _is_dead(Path(entry.path), about.st_mtime):
                    shutil.rmtree(entry.path, ignore_errors=True)


def _is_dead(folder: Path, written: float) -> bool:
    try:
        fd = os.open(folder / _ALIVE, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return time.time() - written > _OLD
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True
