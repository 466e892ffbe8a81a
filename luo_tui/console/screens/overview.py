# SPDX-License-Identifier: MIT
"""The overview: the state as the largest thing, and everything that an update would carry."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widget import Widget

from luo_tui.console.screens.base import Place
from luo_tui.console.session import View
from luo_tui.console.widgets.banner import Banner
from luo_tui.console.widgets.machine import Machine
from luo_tui.console.widgets.panel import Panel, ScrollPanel
from luo_tui.console.widgets.paragraphs import Paragraphs
from luo_tui.console.widgets.presenter import (
    headline,
    is_grave,
    machine,
    next_rows,
    tally,
    vitals,
)
from luo_tui.console.widgets.resource_columns import COLUMNS, lost
from luo_tui.console.widgets.steps import Steps
from luo_tui.console.widgets.table import Table
from luo_tui.console.widgets.text import Row
from luo_tui.update.empty_lists import no_resources

_FEW = 8
_WINDOW = "the window: the update, step by step"


class Overview(Place):
    """The base screen."""

    WORD = "overview"
    AUTO_FOCUS = "Table"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "window", "window", key_display="Enter", tooltip=_WINDOW),
        Binding("w", "window", key_display="w", show=False, tooltip=_WINDOW),
    ]

    def furniture(self) -> Iterable[Widget]:
        """State, state machine, what it means, resources."""
        yield Banner()
        yield Machine()
        with Horizontal(id="halves"):
            with Vertical(id="left"):
                with Panel("this host", id="host"):
                    yield Paragraphs(id="headline", rest="the window (key 5) has them all")
                    yield Paragraphs(id="machine")
                    with Vertical(id="where-there-is-room"):
                        yield Paragraphs(id="vitals")
                with Panel("resources", id="preserved"):
                    yield Paragraphs(id="tally")
                    yield Table(COLUMNS, grave=lost)
            with ScrollPanel("the update", id="right", can_focus=False):
                yield Steps()
                yield Paragraphs(id="next")
                yield Paragraphs(id="news")

    def draw(self, view: View) -> None:
        """Bring everything up to date."""
        snapshot = view.snapshot
        grave = is_grave(view)
        self.query_one(Banner).show(snapshot.luo, grave=grave)
        self.query_one(Machine).show(snapshot.luo, grave=grave)
        self.query_one(Steps).show(view.walk)
        self.query_one("#next", Paragraphs).show(next_rows(view, _FEW))
        self.query_one("#news", Paragraphs).show(_news(view))
        self.query_one("#headline", Paragraphs).show(headline(view))
        self.query_one("#machine", Paragraphs).show(machine(view))
        self.query_one("#vitals", Paragraphs).show(vitals(view.snapshot))
        table = self.query_one(Table)
        table.when_empty(no_resources(view.facts))
        table.show(snapshot.resources.lost_first)
        self._count()

    def about(self) -> Iterable[Row]:
        """Say what is on the overview."""
        yield Row("The state, what it means, and all that is preserved.")

    async def action_window(self) -> None:
        """Go to the window."""
        await self.run_action("app.place('window')")

    def on_table_moved(self) -> None:
        """Say which part of the list is in view."""
        self._count()

    def _count(self) -> None:
        if self.view is None:
            return
        first, last = self.query_one(Table).in_view
        total = len(self.view.snapshot.resources)
        part = f"; {first:,}-{last:,} of {total:,} in view" if last - first + 1 < total else ""
        text = f"{tally(self.view.snapshot)}{part}"
        self.query_one("#tally", Paragraphs).show([Row(text, "resources")])


def _news(view: View) -> Iterator[Row]:
    """Yield the latest events, the newest first."""
    for event in reversed(view.latest):
        at = time.strftime("%H:%M:%S", time.localtime(event.at))
        sign = "! " if event.grave else ""
        style = "$text-error" if event.grave else "$text-quiet"
        yield Row(f"{sign}{event.text}", at, style=style, label_style="$text-quiet")
