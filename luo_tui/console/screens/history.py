# SPDX-License-Identifier: MIT
"""What was done and rehearsed on this host: when, from where to where, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar

from luo_tui.console.filter import Field
from luo_tui.console.screens.listing import ListingPlace
from luo_tui.console.session import View
from luo_tui.console.widgets.pick_table import PickTable
from luo_tui.console.widgets.table import Column
from luo_tui.console.widgets.text import Row
from luo_tui.update import report
from luo_tui.update.empty_lists import no_windows
from luo_tui.update.history import PastWindow
from luo_tui.update.prediction import Prediction, predict
from luo_tui.update.rehearsal import report as rehearsal_report
from luo_tui.update.rehearsal.record import Rehearsed, fitting
from luo_tui.update.wording import count_text, local_time

_BARS = 24
"""Columns of the blackout's bars: they fit beside the table, too."""

Past = PastWindow | Rehearsed
"""A row: a window, or a rehearsal in a machine."""


def _number(past: Past) -> int:
    return past.number if isinstance(past, PastWindow) else 0


def _shown_number(past: Past) -> str:
    return "-" if isinstance(past, Rehearsed) else str(past.number or "?")


def _at(past: Past) -> str:
    return past.state.opened_at if isinstance(past, PastWindow) else past.at


def _target(past: Past) -> str:
    return past.state.target if isinstance(past, PastWindow) else past.target


def _change(past: Past) -> str:
    return past.state.change if isinstance(past, PastWindow) else ""


def _way(past: Past) -> str:
    if isinstance(past, Rehearsed):
        return f"{past.release} -> {past.target}"
    state = past.state
    return f"{state.jumped_release or state.release or '?'} -> {state.target or '?'}"


def _verdict(past: Past) -> str:
    if isinstance(past, Rehearsed):
        return "PASS" if past.passed else "FAIL"
    return past.verdict.level.upper() if past.verdict is not None else ""


def _result(past: Past) -> str:
    return rehearsal_report.result(past) if isinstance(past, Rehearsed) else past.result


def bad(past: Past) -> bool:
    """Whether it ended otherwise than it should have, or nobody can tell."""
    if isinstance(past, Rehearsed):
        return not past.passed
    if past.fault:
        return True
    outcomes = past.outcomes
    return any(outcomes.get(key) for key in ("lost", "failed"))


COLUMNS: tuple[Column[Past], ...] = (
    Column("no", _shown_number, 4, right=True, key=_number),
    Column("when", lambda p: local_time(_at(p)) or "?", 19),
    Column("kernels", _way, 24, above=70, most=60),
    Column("verdict", _verdict, 8, above=90),
    Column("how it ended", _result),
)


class History(ListingPlace[Past]):
    """The table of windows and rehearsals; the details are the report."""

    WORD = "history"
    FIELDS: ClassVar[Mapping[str, Field[Past]]] = {
        "number": lambda p: float(_number(p)),
        "when": lambda p: local_time(_at(p)),
        "target": _target,
        "change": _change,
        "result": _result,
        "verdict": _verdict,
    }

    def table(self) -> PickTable[Past]:
        """Return the table; what lost something, or failed, is set off."""
        return PickTable(COLUMNS, grave=bad)

    def nothing(self, view: View) -> str:
        """Say what it means that there is no window."""
        return no_windows(view.history_fault)

    def items(self, view: View) -> Mapping[str, Past]:
        """Return windows and rehearsals, the newest first; the order of windows is their own."""
        found: dict[str, Past] = {}
        windows = list(view.history)
        # Their clocks may differ: a rehearsal stands before the first window that is older.
        for one in view.rehearsals:
            while windows and _at(windows[0]) >= one.at:
                window = windows.pop(0)
                found[window.window] = window
            found[f"rehearsed {one.at} {one.release} {one.target}"] = one
        return {**found, **{w.window: w for w in windows}}

    def sums(self, view: View) -> Iterator[Row]:
        """Yield how many there are, and what they let expect."""
        for what, fault in (
            ("windows", view.history_fault),
            ("rehearsals", view.rehearsals_fault),
        ):
            if fault:
                yield Row(f"could not be read: {fault}", what, style="$text-error")
        if not view.history_fault:
            rehearsed = len(view.rehearsals)
            more = f", {count_text(rehearsed, 'rehearsal')} in a machine" if rehearsed else ""
            yield Row(count_text(len(view.history), "window") + more, "windows")
        predicted = _predicted(view)
        said = predicted.text() if predicted is not None else "not known: none was measured here"
        yield Row(said, "next blackout")

    def detail(self, item: Past) -> Iterator[Row]:
        """Yield the report of one; what a window was about comes last, since it is long."""
        if isinstance(item, Rehearsed):
            parts = rehearsal_report.sections(item, _BARS)
        else:
            about, *rest = report.sections(item, _BARS)
            parts = (*rest, about)
        for section in parts:
            label = section.title.lower()
            for line in section.lines:
                yield Row(line, label)
                label = ""
            yield Row("")

    def about(self) -> Iterable[Row]:
        """Say what the table shows."""
        yield Row(
            "Every window of this host, from its journal, and the latest rehearsals in a machine "
            "(luo-tui rehearse --machine), which have no number. Enter shows the whole report of "
            "one; luo-tui report writes a window's into a file."
        )
        yield from super().about()


def _predicted(view: View) -> Prediction | None:
    """Return what the next blackout should take; without a target, by a rehearsal to any."""
    if view.facts.image is not None:
        return view.facts.predicted
    host = view.snapshot.host
    return predict(view.history, fitting(view.rehearsals, host.name, host.release))
