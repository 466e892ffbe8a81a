# SPDX-License-Identifier: MIT
"""What the places with a table have in common: the filter, the details, the keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Generic, TypeVar

from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widget import Widget

from luo_tui.console.filter import Field, parse
from luo_tui.console.screens.base import Dialog, Pairs, Place
from luo_tui.console.session import View
from luo_tui.console.widgets.filterline import FilterLine
from luo_tui.console.widgets.paragraphs import Paragraphs
from luo_tui.console.widgets.table import Table
from luo_tui.console.widgets.text import Row, plain

Item = TypeVar("Item")


class ListingPlace(Place, Generic[Item]):
    """A table with a sum above, a filter below, and the row under the cursor told whole."""

    AUTO_FOCUS = "Table"
    FIELDS: ClassVar[Mapping[str, Field[Any]]]
    """What a filter can ask for by name."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", show=False),
        Binding("escape", "back", show=False),
    ]

    def furniture(self) -> Iterable[Widget]:
        """Yield the sum, the table beside or above the details, and the filter."""
        yield Paragraphs(id="sum")
        with Horizontal(id="listing"):
            yield self.table()
            with VerticalScroll(id="beside", can_focus=False):
                yield Paragraphs(id="detail-beside")
        with Vertical(id="below"):
            yield Paragraphs(id="detail-below")
        yield FilterLine()

    def table(self) -> Table[Item]:
        """Return the table, with its columns."""
        raise NotImplementedError

    def items(self, view: View) -> Mapping[Any, Item]:
        """Return the rows by key."""
        raise NotImplementedError

    def sums(self, view: View) -> Iterable[Row]:
        """Yield what stands above the table."""
        raise NotImplementedError

    def detail(self, item: Item) -> Iterable[Row]:
        """Yield all that is known of one row."""
        raise NotImplementedError

    @property
    def listed(self) -> Table[Item]:
        """The table."""
        return self.query_one(Table)

    def draw(self, view: View) -> None:
        """Bring everything up to date."""
        self.query_one("#sum", Paragraphs).show(self.sums(view))
        self.listed.show(self.items(view))
        self._tell_filter()
        self._tell_detail()

    def keys(self, view: View) -> Pairs:
        """Return the keys of the table."""
        del view
        return [
            ("/", "filter"),
            ("s S", "sort"),
            ("Enter", "details"),
            *self.more_keys(),
            ("?", "help"),
            ("q", "quit"),
        ]

    def more_keys(self) -> Pairs:
        """Return the keys that only this place has."""
        return []

    def about(self) -> Iterable[Row]:
        """Say what the keys of a table do."""
        yield Row("go through the rows", "Up Down PgUp PgDn Home End")
        yield Row("sort by the next column; turn the order around", "s S")
        yield Row("the row under the cursor, told whole", "Enter")
        yield Row("narrow the list; Enter keeps the filter, Esc takes it away", "/")
        named = ", ".join(sorted(self.FIELDS))
        yield Row(
            "In a filter all words must occur, -word must not. By field: kind:memfd, size>1G. "
            f"Fields here: {named}."
        )
        yield Row(
            "+ is new, * has changed, within the last ten seconds. > is the row with the cursor."
        )

    # -- filter -----------------------------------------------------------------------

    def action_filter(self) -> None:
        """Let the operator type a filter."""
        self.query_one(FilterLine).begin()

    def action_back(self) -> None:
        """Take the filter away; without one, go to the overview."""
        line = self.query_one(FilterLine)
        if line.text:
            line.action_clear()
        else:
            self.app.call_later(self.run_action, "app.place('overview')")

    @on(FilterLine.Typed)
    def _typed(self, event: FilterLine.Typed) -> None:
        self.listed.narrow(parse(event.text, self.FIELDS) if event.text.strip() else None)
        self._tell_filter()
        self._tell_detail()

    @on(FilterLine.Left)
    def _left(self) -> None:
        self.listed.focus()

    def _tell_filter(self) -> None:
        listing = self.listed.listing
        if listing.filter is None:
            self.query_one(FilterLine).say("")
            return
        doubts = "".join(f"  {d}" for d in listing.filter.doubts[:1])
        passed = f"{len(listing.order):,} of {len(listing.rows):,}"
        self.query_one(FilterLine).say(plain(f"{passed}{doubts}"))

    # -- details ----------------------------------------------------------------------

    @on(Table.Picked)
    def _picked(self) -> None:
        self._tell_detail()

    def _tell_detail(self) -> None:
        item = self.listed.row
        rows = tuple(self.detail(item)) if item is not None else ()
        self.query_one("#detail-beside", Paragraphs).show(rows)
        self.query_one("#detail-below", Paragraphs).show(rows)

    @on(Table.Opened)
    def _opened(self) -> None:
        item = self.listed.row
        if item is not None and self.view is not None:
            whole = Whole((*self.detail(item), *self.more_detail(item)))
            whole.show(self.view)
            self.app.push_screen(whole)

    def more_detail(self, item: Item) -> Iterable[Row]:
        """Yield what is told only of a row that was opened."""
        del item
        return ()


class Whole(Dialog[None]):
    """One row, told whole."""

    AUTO_FOCUS = "#page"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,enter,q", "close", show=False)]

    def __init__(self, rows: Iterable[Row]) -> None:
        """Show ``rows``, as they were when it was opened."""
        super().__init__()
        self._rows = tuple(rows)

    def furniture(self) -> Iterable[Widget]:
        """Yield the page."""
        with VerticalScroll(id="page"):
            yield Paragraphs(self._rows, id="whole")

    def keys(self, view: View) -> Pairs:
        """Return the keys of a page."""
        del view
        return [("Up Down", "read on"), ("Esc", "back")]

    def about(self) -> Iterable[Row]:
        """Say what is shown."""
        yield Row("One row of the table with all that is known of it, as it was when opened.")

    def action_close(self) -> None:
        """Go back."""
        self.dismiss(None)
