# SPDX-License-Identifier: MIT
"""The windows of this host: when, from where to where, what came of each, and its report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar

from luo_tui.console.filter import Field
from luo_tui.console.screens.listing import ListingPlace
from luo_tui.console.session import View
from luo_tui.console.widgets.pick_table import PickTable
from luo_tui.console.widgets.table import Column
from luo_tui.console.widgets.text import Row
from luo_tui.update.empty_lists import no_windows
from luo_tui.update.history import PastWindow
from luo_tui.update.prediction import predict
from luo_tui.update.report import sections
from luo_tui.update.wording import count_text, local_time

_BARS = 24
"""Columns of the blackout's bars: they fit beside the table, too."""


def _way(window: PastWindow) -> str:
    state = window.state
    return f"{state.jumped_release or state.release or '?'} -> {state.target or '?'}"


def _verdict(window: PastWindow) -> str:
    return window.verdict.level.upper() if window.verdict is not None else ""


def bad(window: PastWindow) -> bool:
    """Whether it ended otherwise than it should have, or nobody can tell."""
    if window.fault:
        return True
    outcomes = window.outcomes
    return any(outcomes.get(key) for key in ("lost", "failed"))


COLUMNS: tuple[Column[PastWindow], ...] = (
    Column("no", lambda w: str(w.number or "?"), 4, right=True, key=lambda w: w.number),
    Column("opened", lambda w: local_time(w.state.opened_at) or "?", 19),
    Column("kernels", _way, 24, above=70, most=60),
    Column("verdict", _verdict, 8, above=90),
    Column("how it ended", lambda w: w.result),
)


class History(ListingPlace[PastWindow]):
    """The table of windows; the details are the report."""

    WORD = "history"
    FIELDS: ClassVar[Mapping[str, Field[PastWindow]]] = {
        "number": lambda w: float(w.number),
        "opened": lambda w: local_time(w.state.opened_at),
        "target": lambda w: w.state.target,
        "change": lambda w: w.state.change,
        "result": lambda w: w.result,
        "verdict": _verdict,
    }

    def table(self) -> PickTable[PastWindow]:
        """Return the table; windows that lost something are set off."""
        return PickTable(COLUMNS, grave=bad)

    def nothing(self, view: View) -> str:
        """Say what it means that there is no window."""
        return no_windows(view.history_fault)

    def items(self, view: View) -> Mapping[str, PastWindow]:
        """Return the windows by name, the newest first."""
        return {w.window: w for w in view.history}

    def sums(self, view: View) -> Iterator[Row]:
        """Yield how many there are, and what they let expect."""
        if view.history_fault:
            yield Row(f"could not be read: {view.history_fault}", "windows", style="$text-error")
        else:
            yield Row(count_text(len(view.history), "window"), "windows")
        predicted = predict(view.history)
        said = predicted.text() if predicted is not None else "not known: none was measured here"
        yield Row(said, "next blackout")

    def detail(self, item: PastWindow) -> Iterator[Row]:
        """Yield the report of one window; what it was about comes last, since it is long."""
        about, *rest = sections(item, _BARS)
        for section in (*rest, about):
            label = section.title.lower()
            for line in section.lines:
                yield Row(line, label)
                label = ""
            yield Row("")

    def about(self) -> Iterable[Row]:
        """Say what the table shows."""
        yield Row(
            "Every window of this host, from its journal. Enter shows the whole report of one; "
            "luo-tui report writes it into a file."
        )
        yield from super().about()
