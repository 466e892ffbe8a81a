# SPDX-License-Identifier: MIT
"""What one more event costs the thread that draws, in one process: ``console`` or ``textual``.

    python -m tests.bench.events_child KIND LINES [FILTER]

Prints JSON: milliseconds of that thread's processor time for each of many events.
``draw`` is what the console's own code takes; ``paint`` is all until the
terminal has it, the library's share among it. ``textual`` is the library alone:
a bare widget of the same size that scrolls by one line.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from rich.segment import Segment
from textual.app import App, ComposeResult
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from luo_tui.console.console import Console
from luo_tui.console.screens.events import Events
from luo_tui.monitor.event_text import EventDraft
from tests.console.stage import Bench, press, see, settle

EVENTS = 200
SIZE = (120, 36)
QUIET = 0.06
"""Seconds in which an event has been drawn long since; waiting takes no processor time."""

Times = dict[str, list[float]]


def happen(app: Console, count: int) -> None:
    """Let the log have that many events more."""
    first = app.hub.log.last
    app.hub.log.add(
        EventDraft("kernel", f"luo: line {first + n} of a handler", grave=not n % 50)
        for n in range(count)
    )


async def console(lines: int, typed: str) -> Times:
    """Show the events; most of the time the log is full, and each event drops another."""
    times: Times = {"draw": [], "paint": []}
    with tempfile.TemporaryDirectory() as folder:
        app = Bench(Path(folder)).console()
        async with app.run_test(size=SIZE) as pilot:
            await settle(pilot)
            happen(app, lines - app.hub.log.last)
            see(app, app.view.snapshot._replace(events=app.hub.log.last))
            await press(pilot, "4")
            if typed:
                await press(pilot, "slash", *typed, "enter")
                await asyncio.sleep(1)
            assert isinstance(app.screen, Events)
            await asyncio.sleep(QUIET)
            for _ in range(EVENTS):
                happen(app, 1)
                app.view = app.session.view(app.view.snapshot._replace(events=app.hub.log.last))
                began = time.thread_time()
                app._draw()
                times["draw"].append((time.thread_time() - began) * 1000)
                await asyncio.sleep(QUIET)
                times["paint"].append((time.thread_time() - began) * 1000)
    return times


class Bare(ScrollView):
    """Lines of text and nothing else."""

    def on_mount(self) -> None:
        self.virtual_size = Size(SIZE[0], 1_000_000)

    def render_line(self, y: int) -> Strip:
        text = f"{round(self.scroll_y) + y} a line".ljust(self.size.width)
        return Strip([Segment(text)], self.size.width)


class BareApp(App[None]):
    """The least that Textual can do."""

    def compose(self) -> ComposeResult:
        yield Bare()


async def textual(lines: int, typed: str) -> Times:
    """Scroll by one line at a time."""
    del lines, typed
    times: Times = {"paint": []}
    app = BareApp()
    async with app.run_test(size=SIZE):
        await asyncio.sleep(QUIET)
        for at in range(EVENTS):
            began = time.thread_time()
            app.query_one(Bare).scroll_to(y=at + 1, animate=False)
            await asyncio.sleep(QUIET)
            times["paint"].append((time.thread_time() - began) * 1000)
    return times


KINDS: dict[str, Callable[[int, str], Awaitable[Times]]] = {"console": console, "textual": textual}


async def main() -> None:
    print(json.dumps(await KINDS[sys.argv[1]](int(sys.argv[2]), "".join(sys.argv[3:]))))


if __name__ == "__main__":
    asyncio.run(main())
