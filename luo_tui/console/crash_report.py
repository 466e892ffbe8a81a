# SPDX-License-Identifier: MIT
"""Crash reports: the traceback of what went wrong, for whoever mends it; the newest are kept."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

MOST = 10
"""Reports that are kept."""
_LONGEST = 256 << 10
"""Characters of a report; what a deep recursion has more is left out from the middle."""
_PREFIX = "luo-tui-crash-"


def keep_report(cause: BaseException | str) -> str:
    """Write a crash report where only its owner can read it; return its path, or ''.

    A traceback is written with its causes and its lines of code, never with the values
    of local variables. Reports beyond the newest :data:`MOST` are removed. Never fails.
    """
    with contextlib.suppress(Exception):
        text = _text(cause)
        for folder in _folders():
            with contextlib.suppress(OSError):
                path = _write(folder, text)
                _prune(folder, path)
                return str(path)
    return ""


def _text(cause: BaseException | str) -> str:
    if isinstance(cause, str):
        return f"{cause}\n"
    try:
        text = "".join(traceback.format_exception(cause))
    except Exception as error:
        text = f"{type(cause).__name__}: its traceback could not be written: {error!r}\n"
    half = _LONGEST // 2
    return text if len(text) <= _LONGEST else f"{text[:half]}\n[...]\n{text[-half:]}"


def _folders() -> Iterator[Path]:
    """Yield where reports may lie, the best place first."""
    state = os.environ.get("XDG_STATE_HOME", "")
    if state.startswith("/"):
        yield Path(state) / "luo-tui"
    else:
        # RuntimeError: whoever runs this has no home.
        with contextlib.suppress(RuntimeError):
            yield Path.home() / ".local" / "state" / "luo-tui"
    with contextlib.suppress(OSError):
        yield Path(tempfile.gettempdir())


def _write(folder: Path, text: str) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = time.strftime(f"{_PREFIX}%Y%m%dT%H%M%S-")
    fd, path = tempfile.mkstemp(prefix=name, suffix=".txt", dir=folder)
    with os.fdopen(fd, "w", errors="backslashreplace") as file:
        file.write(text)
    return Path(path)


def _prune(folder: Path, newest: Path) -> None:
    """Remove the oldest of our own reports; the one just written stays, whatever clocks say."""
    reports = []
    for path in folder.glob(f"{_PREFIX}*.txt"):
        with contextlib.suppress(OSError):
            about = path.lstat()
            # The folder for temporary files is shared with others.
            if path != newest and stat.S_ISREG(about.st_mode) and about.st_uid == os.geteuid():
                reports.append((about.st_mtime_ns, path))
    for _, path in sorted(reports, reverse=True)[MOST - 1 :]:
        with contextlib.suppress(OSError):
            path.unlink()
