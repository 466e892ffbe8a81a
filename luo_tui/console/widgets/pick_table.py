# SPDX-License-Identifier: MIT
"""A table with a cursor, marks, groups, sorting and a filter."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from rich.style import Style
from textual.binding import Binding, BindingType
from textual.events import Click
from textual.geometry import Region
from textual.message import Message
from textual.timer import Timer

from luo_tui.console.filter import Filter
from luo_tui.console.listing import Arranging, Grown
from luo_tui.console.widgets.marks import Marks
from luo_tui.console.widgets.navigation import navigation
from luo_tui.console.widgets.table import Column, Head, Table

Row = TypeVar("Row")

MARKED = 10.0
"""Seconds for which what changed is marked."""
AT_ONCE = 1000
"""Rows up to which a filter or an order is worked out while the operator waits."""


class PickTable(Table[Row], Generic[Row]):
    """The cursor stays on its row, and that where it is, whatever comes and goes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *navigation(
            "go through the rows",
            up="move(-1)",
            down="move(1)",
            pageup="page(-1)",
            pagedown="page(1)",
            home="end(0)",
            end="end(1)",
        ),
        Binding("s", "sort", "sort", tooltip="sort by the next column"),
        Binding("S", "reverse", "sort", tooltip="turn the order around"),
        Binding(
            "enter",
            "open",
            "details",
            key_display="Enter",
            tooltip="the row under the cursor, told whole",
        ),
    ]
    SIGNS = 3
    """The cursor's sign, the mark, a blank."""

    @dataclass
    class Picked(Message):
        """The cursor stands on another row."""

        table: PickTable[Any]

    @dataclass
    class Opened(Message):
        """The row under the cursor is to be shown whole."""

        table: PickTable[Any]

    @dataclass
    class Worked(Message):
        """A filter or an order has been worked out."""

        arranging: Arranging[Any, Any]

    @dataclass
    class Arranged(Message):
        """Other rows are shown, or in another order."""

        table: PickTable[Any]

    def __init__(
        self,
        columns: Sequence[Column[Row]],
        *,
        grave: Callable[[Row], bool] | None = None,
        head: Callable[[Row], str] | None = None,
        follow: bool = False,
        id: str | None = None,  # noqa: A002
    ) -> None:
        """``head`` names the group of a row, told before its first.

        ``follow`` keeps the cursor on the last row for as long as it stands there.
        """
        super().__init__(columns, grave=grave, id=id)
        self._head, self._follow = head, follow
        self._sorted_by: int | None = None
        self._reverse = False
        self._place = 0
        """The line of the cursor."""
        self.cursor: Any = None
        """Key of the row under the cursor; None while there is none."""
        self._marks = Marks()
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

    def show(self, rows: Mapping[Any, Row]) -> None:
        """Show these rows from now on."""
        following, before, above = self._following, self._in_view(), self._place - self._top
        difference = self.listing.replace(rows)
        if not difference and not self._first:
            return
        if not self._first:
            self._mark(difference.added, "+")
            self._mark(difference.changed, "*")
        self._first = False
        self._lines = self._with_heads()
        self._find_cursor(last=following)
        self._seen_from(before, difference.changed, above, following=following)

    def grow(self, rows: Mapping[Any, Row], most: int) -> None:
        """Show these new rows after all others; above ``most`` rows the oldest go."""
        following, before, above = self._following, self._in_view(), self._place - self._top
        grown = self.listing.grow(rows, most)
        if not self._first:
            self._mark(grown.shown, "+")
        self._first = False
        if self.listing.sorted:
            self._lines = self.listing.order
            self._find_cursor(last=following)
        else:
            self._place -= self._grow_lines(grown)
            if following or self.cursor not in self.listing.rows:
                self._settle(len(self._lines) if following else self._place, 1)
        self._seen_from(before, set(), above, following=following)

    @property
    def _following(self) -> bool:
        return self._follow and self._place >= len(self._lines) - 1

    def _seen_from(
        self, before: list[Any], changed: set[Any], above: int, *, following: bool
    ) -> None:
        """Draw what differs; the cursor stays ``above`` lines below the first one in view."""
        top = len(self._lines) if following else self._place - above
        if self._top == 0 and self._place < self._room and not following:
            # What is at the top stays at the top: there is no row to hold on to.
            top = 0
        self._drawn_anew(before, changed, top)

    def _with_heads(self) -> list[Any]:
        order = self.listing.order
        if self._head is None or self.listing.sorted:
            return order
        lines: list[Any] = []
        self._add_lines(lines, order)
        return lines

    def _add_lines(self, lines: list[Any], keys: Sequence[Any]) -> None:
        """Add rows at the end, each group with its heading."""
        if self._head is None:
            lines.extend(keys)
            return
        last = self._head(self.listing.rows[lines[-1]]) if lines else None
        for key in keys:
            head = self._head(self.listing.rows[key])
            if head != last:
                lines.append(Head(head))
                last = head
            lines.append(key)

    def _grow_lines(self, grown: Grown[Any]) -> int:
        """Follow a list that grew at its end; return how many lines went from the front."""
        if self._head is None:
            self._lines = self.listing.order
            return grown.gone
        lines, end, gone = self._lines, 0, 0
        while gone < grown.gone and end < len(lines):
            gone += not isinstance(lines[end], Head)
            end += 1
        # The rows that are no longer kept may be the first ones of a group that goes on.
        went = end
        if end and end < len(lines) and not isinstance(lines[end], Head):
            lines[end - 1] = Head(self._head(self.listing.rows[lines[end]]))
            went -= 1
        del lines[:went]
        self._add_lines(lines, grown.shown)
        return went

    def _find_cursor(self, *, last: bool) -> None:
        """Find the line of the cursor; give it another row if its own is not shown."""
        if self.cursor is not None and not last:
            at = self.listing.index(self.cursor)
            if at is not None:
                plain = self._lines is self.listing.order
                self._place = at if plain else self._lines.index(self.cursor)
                return
        self._settle(len(self._lines) if last else self._place, 1)

    def _settle(self, at: int, step: int) -> None:
        """Put the cursor on a row at or beyond line ``at``; headings are passed over."""
        if not self._lines:
            self._place, self.cursor = 0, None
            return
        at = max(0, min(len(self._lines) - 1, at))
        while isinstance(self._lines[at], Head):
            at += step if 0 <= at + step < len(self._lines) else -step
        self._place, self.cursor = at, self._lines[at]

    # -- which rows, and in which order -----------------------------------------------

    def narrow(self, by: Filter[Row] | None) -> None:
        """Show only the rows that pass."""
        self._arrange(self.listing.narrowed(by))

    def sort_by(self, column: int | None, *, reverse: bool = False) -> None:
        """Sort by a column; None leaves the rows as they came."""
        self._sorted_by, self._reverse = column, reverse
        chosen = None if column is None else self._columns[column]
        key = None if chosen is None else chosen.key or chosen.text
        self.refresh(Region(0, 0, self.size.width, 1))
        self._arrange(self.listing.resorted(key, reverse=reverse))

    def _arrange(self, arranging: Arranging[Any, Row]) -> None:
        """Look at all rows: at once if they are few, else while other keys are answered."""
        if len(arranging.rows) <= AT_ONCE:
            self._adopt(arranging)
            return

        def work() -> None:
            arranging.run()
            self.post_message(self.Worked(arranging))

        self.run_worker(work, name="arrange a table", group="arrange", thread=True)

    def on_pick_table_worked(self, message: Worked) -> None:
        """Show what was worked out meanwhile."""
        message.stop()
        self._adopt(message.arranging)

    def _adopt(self, arranging: Arranging[Any, Row]) -> None:
        before, above = self._in_view(), self._place - self._top
        if not self.listing.adopt(arranging):
            return
        self._lines = self._with_heads()
        self._find_cursor(last=False)
        self._seen_from(before, set(), above, following=False)
        self.post_message(self.Arranged(self))

    # -- marks ------------------------------------------------------------------------

    def _mark(self, keys: Sequence[Any] | set[Any], sign: str) -> None:
        if not keys:
            return
        self._marks.add(keys, sign, time.monotonic() + MARKED)
        if self._timer is None:
            self._timer = self.set_timer(MARKED, self._forget)

    def _forget(self) -> None:
        """Take away the marks whose time is over; without marks there is no timer."""
        now = time.monotonic() + 0.05
        gone = self._marks.expire(now)
        for at, line in enumerate(self._in_view()):
            if line in gone:
                self._draw_line(at)
        left = self._marks.next
        self._timer = None if left is None else self.set_timer(left - now + 0.1, self._forget)

    # -- what is drawn ----------------------------------------------------------------

    def _signs(self, key: Any) -> str:
        return f"{'>' if key == self.cursor else ' '}{self._marks.sign(key)} "

    def _emphasis(self, key: Any) -> Style:
        return Style(reverse=True) if key == self.cursor and self.has_focus else Style()

    def _nothing(self) -> str:
        if self.listing.filter:
            return "Nothing passes the filter. Esc takes it away."
        return super()._nothing()

    def _title(self, column: int) -> str:
        sign = ("^" if self._reverse else "v") if column == self._sorted_by else ""
        return f"{super()._title(column)}{sign}"

    # -- what the keys and the mouse do -----------------------------------------------

    def action_move(self, by: int) -> None:
        """Move the cursor."""
        if not self._lines:
            return
        old = self._place
        self._settle(old + by, 1 if by > 0 else -1)
        self._moved(old)

    def go_on(self, wanted: Callable[[Row], bool]) -> bool:
        """Move the cursor to the next row that is wanted, round the end; False if there is none."""
        lines, rows, old = self._lines, self.listing.rows, self._place
        for at in (*range(old + 1, len(lines)), *range(min(old + 1, len(lines)))):
            if not isinstance(lines[at], Head) and wanted(rows[lines[at]]):
                self._settle(at, 1)
                self._moved(old)
                return True
        return False

    def action_open(self) -> None:
        """Ask for the row under the cursor to be shown whole."""
        if self.cursor is not None:
            self.post_message(self.Opened(self))

    def action_page(self, by: int) -> None:
        """Move the cursor by what fits into the table."""
        self.action_move(by * max(1, self.size.height - 2))

    def action_end(self, which: int) -> None:
        """Go to the first or to the last row."""
        self.action_move(which * len(self._lines) or -len(self._lines))

    def _moved(self, old: int) -> None:
        # With a group's first row its heading comes into view.
        first = self._place - (self._place > 0 and isinstance(self._lines[self._place - 1], Head))
        if first < self._top:
            self.scroll_to(y=first, animate=False, force=True)
        elif self._place >= self._top + self._room:
            self.scroll_to(y=self._place - self._room + 1, animate=False, force=True)
        for place in {old, self._place}:
            if 0 <= place - self._top < self._room:
                self._draw_line(place - self._top)
        self.post_message(self.Picked(self))

    def action_sort(self) -> None:
        """Sort by the next column; after the last one, as it came."""
        shown = [at for at, _ in self._widths(self.across)]
        at = shown.index(self._sorted_by) + 1 if self._sorted_by in shown else 0
        self.sort_by(shown[at] if at < len(shown) else None)

    def action_reverse(self) -> None:
        """Turn the order around."""
        if self._sorted_by is not None:
            self.sort_by(self._sorted_by, reverse=not self._reverse)

    def on_click(self, event: Click) -> None:
        """Go to a row; sort by a heading."""
        event.stop()
        if event.y == 0:
            self._sort_at(event.x)
            return
        at = self._top + event.y - 1
        if at < len(self._lines):
            self.action_move(at - self._place)

    def _sort_at(self, x: int) -> None:
        end = self.SIGNS
        for at, width in self._widths(self.across):
            end += width + 1
            if x < end:
                self.sort_by(at, reverse=at == self._sorted_by and not self._reverse)
                return

    def on_focus(self) -> None:
        """Draw the cursor as the one that moves."""
        self._draw_line(self._place - self._top)

    def on_blur(self) -> None:
        """Draw the cursor as one that waits."""
        self._draw_line(self._place - self._top)

    def on_resize(self) -> None:
        """Keep the cursor in view."""
        super().on_resize()
        if self._lines:
            self._moved(self._place)
