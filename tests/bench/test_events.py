# SPDX-License-Identifier: MIT
"""What one event costs the thread that draws, by how many lines the log has already."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.bench.test_console import figures

CASES = (
    ("textual", 0, ""),
    ("console", 100, ""),
    ("console", 19_000, ""),
    ("console", 30_000, ""),
    ("console", 30_000, "line"),
)


def test_an_event() -> None:
    print()
    for kind, lines, typed in CASES:
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.events_child", kind, str(lines), typed],
            check=True,
            capture_output=True,
            text=True,
            timeout=600,
        )
        for part, times in json.loads(done.stdout.splitlines()[-1]).items():
            name = f"{kind} {lines or ''} {'filtered' if typed else ''}".strip()
            figures(f"{name}: {part}", times, "ms")
