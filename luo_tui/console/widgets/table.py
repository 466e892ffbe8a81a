# SPDX-License-Identifier: MIT
"""A table of any length: draws the lines that are in view, and of those only what changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from luo_tui.console.listing import Listing
from luo_tui.console.widgets.navigation import navigation
from luo_tui.console.widgets.text import Row as Paragraph
from luo_tui.console.widgets.text import clip, fit_right, hang

Row = TypeVar("Row")

_OPEN = 36
"""Cells of a column without an end before the others get more than their width."""


@dataclass(frozen=True, slots=True)
class Column(Generic[Row]):
    """What is told of each row in one place."""

    title: str
    text: Callable[[Row], str]
    width: int = 0
    """Cells; 0 shares what is left over."""
    right: bool = False
    key: Callable[[Row], Any] | None = None
    """What the rows are sorted by; without it, by the text."""
    above: int = 0
    """Only in tables that are wider than this many cells."""
    most: int = 0
    """Cells that it may have where there is room, beside ``width``; 0: never more."""
    need: Callable[[Mapping[Any, Row]], int] | None = None
    """Cells that these rows need, where that may be more than ``width``."""


@dataclass(frozen=True, slots=True)
class Head:
    """The heading of a group, as a line."""

    text: str


class Table(ScrollView, Generic[Row], can_focus=True):
    """Scrolls over rows by key, below a line of headings."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *navigation(
            "go through the list",
            up="scroll_up",
            down="scroll_down",
            pageup="page_up",
            pagedown="page_down",
            home="scroll_home",
            end="scroll_end",
        )
    ]
    SIGNS: ClassVar[int] = 0
    """Cells before the first column."""

    @dataclass
    class Moved(Message):
        """Another part of the table is in view."""

    def __init__(
        self,
        columns: Sequence[Column[Row]],
        *,
        grave: Callable[[Row], bool] | None = None,
        id: str | None = None,  # noqa: A002
    ) -> None:
        """``grave`` rows are set off."""
        super().__init__(id=id)
        self._columns = tuple(columns)
        self._grave = grave
        self._empty = ""
        self.listing: Listing[Any, Row] = Listing(
            lambda row: " ".join(c.text(row) for c in self._columns)
        )
        self._lines: list[Any] = []
        """What each line shows: a key, or the heading of a group."""
        self._needs: tuple[int, ...] = tuple(c.width for c in self._columns)
        """Cells of each column for the rows that there are."""
        self._drawing = (0, Style(), self._widths(0))
        """Width, style and columns of what is being drawn."""

    # -- what is shown ----------------------------------------------------------------

    @property
    def in_view(self) -> tuple[int, int]:
        """First and last line that can be seen, counted from 1; (0, 0) when there is none."""
        if not self._lines:
            return 0, 0
        return self._top + 1, min(len(self._lines), self._top + self._room)

    def when_empty(self, text: str) -> None:
        """Say this from now on where there is no row."""
        if text != self._empty:
            self._empty = text
            self.refresh()

    def show(self, rows: Mapping[Any, Row]) -> None:
        """Show these rows from now on; the place in the list stays."""
        before = self._in_view()
        difference = self.listing.replace(rows)
        if difference:
            self._lines = self.listing.order
            self._drawn_anew(before, difference.changed, self._top)

    @property
    def _top(self) -> int:
        """The first line that is in view."""
        return round(self.scroll_y)

    @property
    def _room(self) -> int:
        """How many lines there are below the headings."""
        return max(1, self.size.height - 1)

    def _in_view(self) -> list[Any]:
        return self._lines[self._top : self._top + max(0, self.size.height - 1)]

    def _drawn_anew(self, before: list[Any], changed: set[Any], top: int) -> None:
        """Have the lines that differ from those ``before`` drawn, from line ``top`` on."""
        needs = tuple(
            max(c.width, c.need(self.listing.rows)) if c.need else c.width for c in self._columns
        )
        whole = needs != self._needs or not before or not self._lines
        self._needs = needs
        self._set_length(len(self._lines) + 1)
        old = self._top
        self.scroll_to(y=max(0, min(top, len(self._lines) - self._room)), animate=False, force=True)
        if whole:
            self.refresh()
        elif self._top == old:
            now = self._in_view()
            if len(before) != len(now):
                self.refresh()
                return
            differ = [at for at, line in enumerate(now) if line != before[at] or line in changed]
            if len(differ) > len(now) // 2:
                self.refresh(Region(0, 1, self.size.width, len(now)))
            else:
                for at in differ:
                    self._draw_line(at)

    def _draw_line(self, at: int) -> None:
        """Have one line drawn, counted from the first one in view."""
        self.refresh(Region(0, at + 1, self.size.width, 1))

    def _set_length(self, height: int) -> None:
        """Scroll over so many lines from now on."""
        size = Size(self.size.width, height)
        if size == self.virtual_size:
            return
        if self.show_vertical_scrollbar == (height > self.size.height):
            # The bar stays or stays away: no other widget has to move.
            self.set_reactive(Table.virtual_size, size)
            if self.show_vertical_scrollbar:
                self.vertical_scrollbar.window_virtual_size = height
        else:
            self.virtual_size = size

    # -- what is drawn ----------------------------------------------------------------

    def _widths(self, width: int) -> list[tuple[int, int]]:
        """Return the columns that are shown in so many cells, each with its width."""
        shown = [at for at, c in enumerate(self._columns) if width > c.above]
        needs = {at: self._needs[at] for at in shown}
        fixed = sum(needs.values()) + len(shown) - 1 + self.SIGNS
        open_ended = [at for at in shown if not self._columns[at].width]
        room = max(0, width - fixed)
        for at in shown:
            # What is open has enough of it, before a column with an end gets more than it has.
            spare = room - _OPEN * len(open_ended)
            more = max(0, min(self._columns[at].most - needs[at], spare))
            needs[at] += more
            room -= more
        share = {at: room // len(open_ended) for at in open_ended}
        if open_ended:
            share[open_ended[-1]] += room % len(open_ended)
        return [(at, max(4, share[at]) if at in share else needs[at]) for at in shown]

    @property
    def across(self) -> int:
        """Cells of a line: those that the scroll bar does not cover."""
        return self.scrollable_content_region.width

    def render_lines(self, crop: Region) -> list[Strip]:
        """Draw some lines; what they have in common is found out once."""
        width = self.across
        self._drawing = (width, self.rich_style, self._widths(width))
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """Draw one line; the first one has the headings."""
        width, base, _ = self._drawing
        if y == 0:
            return self._strip(self._heads(), base + Style(bold=True))
        at = self._top + y - 1
        if at >= len(self._lines):
            return Strip.blank(width, base) if self._lines else self._told_empty(y, base)
        line = self._lines[at]
        if isinstance(line, Head):
            return self._strip(line.text, base + Style(bold=True))
        row = self.listing.rows[line]
        grave = self._grave is not None and self._grave(row)
        style = base + Style(bold=True) if grave else base
        return self._strip(f"{self._signs(line)}{self._cells(row)}", style + self._emphasis(line))

    def _signs(self, key: Any) -> str:
        """Return what stands before the first column."""
        del key
        return ""

    def _emphasis(self, key: Any) -> Style:
        """Return how a row is set off besides."""
        del key
        return Style()

    def _nothing(self) -> str:
        return self._empty

    def _told_empty(self, y: int, style: Style) -> Strip:
        """Draw a line of what is said where there is no row: whole, however narrow it is."""
        indent = " " * self.SIGNS
        lines = hang([Paragraph(self._nothing())], max(1, self._drawing[0] - self.SIGNS))
        # Below the headings stands a line of nothing, where there is room for one.
        first = 2 if self.size.height > len(lines) + 1 else 1
        if not 0 <= y - first < len(lines):
            return Strip.blank(self._drawing[0], style)
        return self._strip(f"{indent}{lines[y - first].plain}", style)

    def _strip(self, text: str, style: Style) -> Strip:
        width = self._drawing[0]
        return Strip([Segment(clip(text, width), style)], width)

    def _cells(self, row: Row) -> str:
        parts = []
        for at, width in self._drawing[2]:
            column = self._columns[at]
            text = column.text(row)
            parts.append(fit_right(text, width) if column.right else clip(text, width))
        return " ".join(parts)

    def _heads(self) -> str:
        parts = []
        for at, width in self._drawing[2]:
            title = self._title(at)
            right = self._columns[at].right
            parts.append(fit_right(title, width) if right else clip(title, width))
        return " " * self.SIGNS + " ".join(parts)

    def _title(self, column: int) -> str:
        return self._columns[column].title

    # -- where it is ------------------------------------------------------------------

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Tell that another part is in view."""
        super().watch_scroll_y(old_value, new_value)
        if round(old_value) != round(new_value):
            self.post_message(self.Moved())

    def on_resize(self) -> None:
        """Keep the width of the content that of the window."""
        self.virtual_size = Size(self.size.width, len(self._lines) + 1)
        self.post_message(self.Moved())
