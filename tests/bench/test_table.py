# SPDX-License-Identifier: MIT
"""The table of resources beside Textual's DataTable with the same rows."""

from __future__ import annotations

import json
import subprocess
import sys

ROWS = (10_000, 100_000)


def test_tables() -> None:
    print()
    for rows in ROWS:
        for kind in ("console", "datatable"):
            done = subprocess.run(
                [sys.executable, "-m", "tests.bench.table_child", kind, str(rows)],
                check=True,
                capture_output=True,
                text=True,
                timeout=600,
            )
            f = json.loads(done.stdout.splitlines()[-1])
            print(
                f"{rows:7,} rows  {kind:10}  load {f['load_s']:6.2f} s  memory {f['mib']:6.1f} MiB"
                f"  changes/s one by one {f['changes_1']:8.0f}, by the hundred"
                f" {f['changes_100']:8.0f}"
            )
