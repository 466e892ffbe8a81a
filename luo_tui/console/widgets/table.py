# SPDX-License-Identifier: MIT
"""A table of any length: draws the lines that are in view, and of those only what changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.events import Click
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.timer import Timer

from luo_tui.console.filter import Filter
from luo_tui.console.listing import Listing
from luo_tui.console.widgets.text import clip, fit_right

Row = TypeVar("Row")

MARKED = 10.0
"""Seconds for which what changed is marked."""
_SIGNS = 3
"""Cells before the first column: the cursor's sign, the mark, a blank."""


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
    """Only in windows that are wider than this many cells."""


class Table(ScrollView, Generic[Row], can_focus=True):
    """Scrolls over rows by key, with a cursor, marks, sorting and a filter."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("home", "end(0)", show=False),
        Binding("end", "end(1)", show=False),
        Binding("s", "sort", show=False),
        Binding("S", "reverse", show=False),
        Binding("enter", "open", show=False),
    ]

    @dataclass
    class Picked(Message):
        """The cursor stands on another row, or on the same with other contents."""

        table: Table[Any]

    @dataclass
    class Opened(Message):
        """The row under the cursor is to be shown whole."""

        table: Table[Any]

    def __init__(
        self,
        columns: Sequence[Column[Row]],
        *,
        grave: Callable[[Row], bool] | None = None,
        head: Callable[[Row], str] | None = None,
        empty: str = "There is none.",
        follow: bool = False,
        id: str | None = None,  # noqa: A002
    ) -> None:
        """``grave`` rows are set off; ``head`` names the group of a row, told before its first.

        ``follow`` keeps the cursor on the last row for as long as it stands there.
        """
        super().__init__(id=id)
        self._columns = tuple(columns)
        self._grave, self._head, self._empty, self._follow = grave, head, empty, follow
        self.listing: Listing[Any, Row] = Listing(
            lambda row: " ".join(c.text(row) for c in self._columns)
        )
        self._sorted_by: int | None = None
        self._reverse = False
        self._lines: list[Any] = []
        """What each line shows: a key, or the heading of a group."""
        self._place = 0
        self.cursor: Any = None
        """Key of the row under the cursor; None while there is none."""
        self._marks: dict[Any, tuple[str, float]] = {}
        self._timer: Timer | None = None
        self._first = True

    # -- what is shown ----------------------------------------------------------------

    @property
    def row(self) -> Row | None:
        """The row under the cursor."""
        return self.listing.rows.get(self.cursor) if self.cursor is not None else None

    @property
    def shown(self) -> list[Row]:
        """The rows that pass the filter, in their order."""
        return [self.listing.rows[key] for key in self.listing.order]

    @property
    def newer(self) -> int:
        """How many lines there are below the cursor."""
        return max(0, len(self._lines) - 1 - self._place)

    def show(self, rows: Mapping[Any, Row]) -> None:
        """Show these rows from now on; the cursor stays on its row, and that where it is."""
        following = self._follow and self._place >= len(self._lines) - 1
        before = self._in_view()
        old = self.listing.rows
        difference = self.listing.replace(rows)
        if not difference and not self._first:
            return
        if not self._first:
            self._mark(difference.added, "+")
            self._mark(difference.changed, "*")
        self._first = False
        for key in difference.removed:
            self._marks.pop(key, None)
        self._lay_out(before, difference.changed, following=following)
        if self.cursor in difference.changed or old.get(self.cursor) is None:
            self.post_message(self.Picked(self))

    def narrow(self, by: Filter[Row] | None) -> None:
        """Show only the rows that pass."""
        before = self._in_view()
        self.listing.narrow(by)
        self._lay_out(before, set(), following=False)
        self.post_message(self.Picked(self))

    def _lay_out(self, before: list[Any], changed: set[Any], *, following: bool) -> None:
        """Bring lines, cursor and view together; draw only the lines that differ."""
        above = self._place - round(self.scroll_y)
        self._lines = self._with_heads()
        self._place = self._find_cursor(last=following)
        if len(self._lines) != self.virtual_size.height - 1:
            self.virtual_size = Size(self.size.width, len(self._lines) + 1)
            self.refresh(Region(0, 0, self.size.width, 1))
        room = max(1, self.size.height - 1)
        top = max(0, min(self._place - above, len(self._lines) - room))
        if following:
            top = max(0, len(self._lines) - room)
        if top != round(self.scroll_y):
            # What is at the top stays at the top: there is no row to hold on to.
            stay = self._place < room and round(self.scroll_y) == 0 and not following
            if not stay:
                self.scroll_to(y=top, animate=False, force=True)
        now = self._in_view()
        for at in range(max(len(before), len(now))):
            line = now[at] if at < len(now) else None
            if line != (before[at] if at < len(before) else None) or line in changed:
                self.refresh(Region(0, at + 1, self.size.width, 1))
        if not self._lines or not before:
            self.refresh()

    def _with_heads(self) -> list[Any]:
        order = self.listing.order
        if self._head is None or self._sorted_by is not None:
            return order
        lines: list[Any] = []
        last = None
        for key in order:
            head = self._head(self.listing.rows[key])
            if head != last:
                lines.append(_Head(head))
                last = head
            lines.append(key)
        return lines

    def _find_cursor(self, *, last: bool) -> int:
        """Return the line of the cursor; give it another row if its own is not shown."""
        if not self._lines:
            self.cursor = None
            return 0
        if self.cursor is not None and not last:
            at = self.listing.index(self.cursor)
            if at is not None:
                return at if self._lines is self.listing.order else self._lines.index(self.cursor)
        at = len(self._lines) - 1 if last else min(self._place, len(self._lines) - 1)
        return self._settle(at, 1)

    def _settle(self, at: int, step: int) -> int:
        """Put the cursor on a row at or beyond line ``at``; headings are passed over."""
        at = max(0, min(len(self._lines) - 1, at))
        while isinstance(self._lines[at], _Head):
            at += step if 0 <= at + step < len(self._lines) else -step
        self.cursor = self._lines[at]
        return at

    def _in_view(self) -> list[Any]:
        top = round(self.scroll_y)
        return self._lines[top : top + max(0, self.size.height - 1)]

    # -- marks ------------------------------------------------------------------------

    def _mark(self, keys: set[Any], sign: str) -> None:
        if not keys:
            return
        until = time.monotonic() + MARKED
        for key in keys:
            known = self._marks.get(key)
            self._marks[key] = ("+" if known and known[0] == "+" else sign, until)
        if self._timer is None:
            self._timer = self.set_timer(MARKED, self._forget)

    def _forget(self) -> None:
        """Take away the marks whose time is over; without marks there is no timer."""
        now = time.monotonic() + 0.05
        gone = {key for key, (_, until) in self._marks.items() if until <= now}
        for key in gone:
            del self._marks[key]
        for at, line in enumerate(self._in_view()):
            if line in gone:
                self.refresh(Region(0, at + 1, self.size.width, 1))
        left = min((until for _, until in self._marks.values()), default=None)
        self._timer = None if left is None else self.set_timer(left - now + 0.1, self._forget)

    # -- what is drawn ----------------------------------------------------------------

    def _widths(self) -> list[tuple[int, int]]:
        """Return the columns that are shown, each with its width."""
        width = self.size.width
        shown = [at for at, c in enumerate(self._columns) if width > c.above]
        fixed = sum(self._columns[at].width for at in shown) + len(shown) - 1 + _SIGNS
        open_ended = [at for at in shown if not self._columns[at].width]
        room = max(0, width - fixed)
        share = {at: room // len(open_ended) for at in open_ended}
        if open_ended:
            share[open_ended[-1]] += room % len(open_ended)
        return [(at, max(4, share[at]) if at in share else self._columns[at].width) for at in shown]

    def render_line(self, y: int) -> Strip:
        """Draw one line; the first one has the headings."""
        width, base = self.size.width, self.rich_style
        if y == 0:
            return self._strip(self._heads(), base + Style(bold=True))
        at = round(self.scroll_y) + y - 1
        if at >= len(self._lines):
            text = f"   {self._nothing()}" if not self._lines and y == 1 else ""
            return self._strip(text, base) if text else Strip.blank(width, base)
        line = self._lines[at]
        if isinstance(line, _Head):
            return self._strip(line.text, base + Style(bold=True))
        row = self.listing.rows[line]
        here = line == self.cursor
        grave = self._grave is not None and self._grave(row)
        style = base + Style(bold=True) if grave else base
        if here and self.has_focus:
            style += Style(reverse=True)
        sign = ">" if here else " "
        mark = self._marks[line][0] if line in self._marks else " "
        return self._strip(f"{sign}{mark} {self._cells(row)}", style)

    def _nothing(self) -> str:
        return "Nothing passes the filter." if self.listing.filter else self._empty

    def _strip(self, text: str, style: Style) -> Strip:
        return Strip([Segment(clip(text, self.size.width), style)], self.size.width)

    def _cells(self, row: Row) -> str:
        parts = []
        for at, width in self._widths():
            column = self._columns[at]
            text = column.text(row)
            parts.append(fit_right(text, width) if column.right else clip(text, width))
        return " ".join(parts)

    def _heads(self) -> str:
        parts = []
        for at, width in self._widths():
            column = self._columns[at]
            sign = ("^" if self._reverse else "v") if at == self._sorted_by else ""
            title = f"{column.title}{sign}"
            parts.append(fit_right(title, width) if column.right else clip(title, width))
        return " " * _SIGNS + " ".join(parts)

    # -- what the keys and the mouse do -----------------------------------------------

    def action_move(self, by: int) -> None:
        """Move the cursor."""
        if not self._lines:
            return
        old = self._place
        self._place = self._settle(old + by, 1 if by > 0 else -1)
        self._moved(old)

    def action_open(self) -> None:
        """Ask for the row under the cursor to be shown whole."""
        if self.cursor is not None:
            self.post_message(self.Opened(self))

    def action_page(self, by: int) -> None:
        """Move the cursor by what fits into the window."""
        self.action_move(by * max(1, self.size.height - 2))

    def action_end(self, which: int) -> None:
        """Go to the first or to the last row."""
        self.action_move(which * len(self._lines) or -len(self._lines))

    def _moved(self, old: int) -> None:
        room = max(1, self.size.height - 1)
        top = round(self.scroll_y)
        # With a group's first row its heading comes into view.
        first = self._place - (self._place > 0 and isinstance(self._lines[self._place - 1], _Head))
        if first < top:
            self.scroll_to(y=first, animate=False, force=True)
        elif self._place >= top + room:
            self.scroll_to(y=self._place - room + 1, animate=False, force=True)
        for place in {old, self._place}:
            at = place - round(self.scroll_y)
            if 0 <= at < room:
                self.refresh(Region(0, at + 1, self.size.width, 1))
        self.post_message(self.Picked(self))

    def action_sort(self) -> None:
        """Sort by the next column; after the last one, as it came."""
        shown = [at for at, _ in self._widths()]
        at = shown.index(self._sorted_by) + 1 if self._sorted_by in shown else 0
        self.sort_by(shown[at] if at < len(shown) else None)

    def action_reverse(self) -> None:
        """Turn the order around."""
        if self._sorted_by is not None:
            self.sort_by(self._sorted_by, reverse=not self._reverse)

    def sort_by(self, column: int | None, *, reverse: bool = False) -> None:
        """Sort by a column; None leaves the rows as they came."""
        self._sorted_by, self._reverse = column, reverse
        before = self._in_view()
        if column is None:
            self.listing.sort(None)
        else:
            chosen = self._columns[column]
            self.listing.sort(chosen.key or chosen.text, reverse=reverse)
        self._lay_out(before, set(), following=False)
        self.refresh(Region(0, 0, self.size.width, 1))
        self.post_message(self.Picked(self))

    def on_click(self, event: Click) -> None:
        """Go to a row; sort by a heading."""
        event.stop()
        if event.y == 0:
            self._sort_at(event.x)
            return
        at = round(self.scroll_y) + event.y - 1
        if at < len(self._lines):
            self.action_move(at - self._place)

    def _sort_at(self, x: int) -> None:
        end = _SIGNS
        for at, width in self._widths():
            end += width + 1
            if x < end:
                self.sort_by(at, reverse=at == self._sorted_by and not self._reverse)
                return

    def on_focus(self) -> None:
        """Draw the cursor as the one that moves."""
        self._draw_cursor()

    def on_blur(self) -> None:
        """Draw the cursor as one that waits."""
        self._draw_cursor()

    def _draw_cursor(self) -> None:
        at = self._place - round(self.scroll_y)
        self.refresh(Region(0, at + 1, self.size.width, 1))

    def on_resize(self) -> None:
        """Keep the width of the content that of the window, and the cursor in it."""
        self.virtual_size = Size(self.size.width, len(self._lines) + 1)
        if self._lines:
            self._moved(self._place)


@dataclass(frozen=True, slots=True)
class _Head:
    """The heading of a group, as a line."""

    text: str
