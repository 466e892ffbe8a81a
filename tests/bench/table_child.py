# SPDX-License-Identifier: MIT
"""One table in one process, so that its memory can be told: ``console`` or ``datatable``.

    python -m tests.bench.table_child KIND ROWS

Prints JSON: seconds to the first picture of all rows, MiB more than before them,
and changes a second when one row changes at a time, and when a hundred do. All
seconds are of the processor.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.widgets import DataTable

from luo_tui.console.widgets.resource_columns import COLUMNS
from luo_tui.model import Resource
from luo_tui.monitor.fold import fold
from luo_tui.sources.changes import ResourcePut, ResourcesRead
from tests.console.stage import Bench, many, press, see, settle

LONGEST = 2.0
"""Seconds of changes after which the rate is known well enough."""


def rss() -> float:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / (1 << 20)


async def drawn(pilot: Pilot[Any]) -> None:
    for _ in range(3):
        await pilot.pause(0)


async def measure(
    pilot: Pilot[Any],
    rows: Sequence[Resource],
    load: Callable[[Sequence[Resource]], None],
    change: Callable[[Sequence[Resource]], None],
) -> dict[str, float]:
    before, began = rss(), time.process_time()
    load(rows)
    await drawn(pilot)
    figures = {"load_s": time.process_time() - began, "mib": rss() - before}
    for burst in (1, 100):
        began, done = time.process_time(), 0
        while time.process_time() - began < LONGEST and done < len(rows) - burst:
            change([r._replace(bytes=r.bytes + done + 1) for r in rows[done : done + burst]])
            await drawn(pilot)
            done += burst
        figures[f"changes_{burst}"] = done / (time.process_time() - began)
    return figures


async def console(rows: Sequence[Resource]) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        app = Bench(Path(folder)).console()
        async with app.run_test(size=(120, 36)) as pilot:
            await settle(pilot)
            await press(pilot, "2")

            def load(found: Sequence[Resource]) -> None:
                see(app, fold(app.view.snapshot, [ResourcesRead(tuple(found))]))

            def change(found: Sequence[Resource]) -> None:
                see(app, fold(app.view.snapshot, [ResourcePut(r) for r in found]))

            return await measure(pilot, rows, load, change)


class Plain(App[None]):
    """A DataTable and nothing else."""

    def compose(self) -> ComposeResult:
        yield DataTable(cursor_type="row")

    def on_mount(self) -> None:
        for column in COLUMNS:
            self.query_one(DataTable).add_column(column.title, key=column.title)


async def datatable(rows: Sequence[Resource]) -> dict[str, float]:
    app = Plain()
    async with app.run_test(size=(120, 36)) as pilot:
        await drawn(pilot)
        table = app.query_one(DataTable)

        def load(found: Sequence[Resource]) -> None:
            for r in found:
                table.add_row(*(c.text(r) for c in COLUMNS), key=str(r.token))

        def change(found: Sequence[Resource]) -> None:
            for r in found:
                for column in COLUMNS:
                    table.update_cell(str(r.token), column.title, column.text(r))

        return await measure(pilot, rows, load, change)


KINDS: dict[str, Callable[[Sequence[Resource]], Awaitable[dict[str, float]]]] = {
    "console": console,
    "datatable": datatable,
}


async def main() -> None:
    print(json.dumps(await KINDS[sys.argv[1]](many(int(sys.argv[2])))))


if __name__ == "__main__":
    asyncio.run(main())
