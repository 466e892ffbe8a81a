# SPDX-License-Identifier: MIT
"""How many windows are kept: journals are small, and a host has few updates a week."""

from __future__ import annotations

import contextlib
from pathlib import Path

from luo_tui.update.journal import window_files

KEPT = 1000
"""Windows whose journals are kept, the latest ones."""


def prune(folder: Path, keep: int = KEPT) -> None:
    """Remove the files of all but the latest windows. Never fails: what stays goes the next time.

    ``folder`` is the journal's. Files that no window has are left alone.
    """
    with contextlib.suppress(OSError):
        for journal in window_files(folder)[keep:]:
            beside = [p for p in journal.parent.iterdir() if p.name.startswith(f"{journal.stem}.")]
            # The journal goes last: without it nobody would know of its other files.
            for path in sorted(beside, key=lambda p: p == journal):
                path.unlink()
