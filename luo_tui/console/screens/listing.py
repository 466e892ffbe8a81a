# SPDX-License-Identifier: MIT
"""What the places with a table have in common: the filter, the details, the keys."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widget import Widget
from textual.worker import Worker, WorkerState

from luo_tui.console.filter import Field, parse
from luo_tui.console.screens.base import Dialog, Place
from luo_tui.console.session import View
from luo_tui.console.widgets.filterline import FilterLine
from luo_tui.console.widgets.more_below import MoreBelow
from luo_tui.console.widgets.page import Page
from luo_tui.console.widgets.panel import ScrollPanel
from luo_tui.console.widgets.paragraphs import Paragraphs
from luo_tui.console.widgets.pick_table import PickTable
from luo_tui.console.widgets.text import Row, plain

Item = TypeVar("Item")
MoreDetail = Callable[[], Sequence[Row]]
"""Finds out more of one row; called in a thread, and may take long."""


class ListingPlace(Place, Generic[Item]):
    """A table with a sum above, a filter below, and the row under the cursor told whole."""

    AUTO_FOCUS = "PickTable"
    FIELDS: ClassVar[Mapping[str, Field[Any]]]
    """What a filter can ask for by name."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "slash",
            "filter",
            "filter",
            key_display="/",
            tooltip="narrow the list; Enter keeps the filter, Esc takes it away",
        ),
        Binding(
            "escape",
            "back",
            key_display="Esc",
            show=False,
            tooltip="take the filter away; without one, back to the overview",
        ),
    ]

    def furniture(self) -> Iterable[Widget]:
        """Yield the sum, the table beside or above the details, and the filter."""
        yield Paragraphs(id="sum")
        with Horizontal(id="listing"):
            yield self.table()
            with ScrollPanel("details", id="beside", can_focus=False):
                yield Paragraphs(id="detail-beside")
        with Vertical(id="below"):
            yield Paragraphs(id="detail-below", rest="Enter shows all")
        yield MoreBelow("PickTable")
        yield FilterLine()

    def table(self) -> PickTable[Item]:
        """Return the table, with its columns."""
        raise NotImplementedError

    def items(self, view: View) -> Mapping[Any, Item]:
        """Return the rows by key."""
        raise NotImplementedError

    def fill(self, view: View) -> None:
        """Bring the rows of the table up to date."""
        self.listed.show(self.items(view))

    def sums(self, view: View) -> Iterable[Row]:
        """Yield what stands above the table."""
        raise NotImplementedError

    def nothing(self, view: View) -> str:
        """Say what it means that there is no row, and what to do; or that it is not known."""
        raise NotImplementedError

    def detail(self, item: Item) -> Iterable[Row]:
        """Yield all that is known of one row."""
        raise NotImplementedError

    @property
    def listed(self) -> PickTable[Item]:
        """The table."""
        return self.query_one(PickTable)

    def draw(self, view: View) -> None:
        """Bring everything up to date."""
        self.listed.when_empty(self.nothing(view))
        self.fill(view)
        self.query_one("#sum", Paragraphs).show(self.sums(view))
        self._tell_filter()
        self._tell_detail()

    def about(self) -> Iterable[Row]:
        """Say what the keys of a table do."""
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

    @on(FilterLine.Left)
    def _left(self) -> None:
        self.listed.focus()

    def _tell_filter(self) -> None:
        listing = self.listed.listing
        if listing.arranging:
            self.query_one(FilterLine).say("...")
            return
        if listing.filter is None:
            self.query_one(FilterLine).say("")
            return
        doubts = "".join(f"  {d}" for d in listing.filter.doubts[:1])
        passed = f"{len(listing.order):,} of {len(listing.rows):,}"
        self.query_one(FilterLine).say(plain(f"{passed}{doubts}"))

    # -- details ----------------------------------------------------------------------

    @on(PickTable.Arranged)
    def _arranged(self) -> None:
        self._tell_filter()
        self._tell_detail()

    @on(PickTable.Picked)
    def _picked(self) -> None:
        self._tell_detail()

    def _tell_detail(self) -> None:
        item = self.listed.row
        rows = tuple(self.detail(item)) if item is not None else ()
        self.query_one("#detail-beside", Paragraphs).show(rows)
        self.query_one("#detail-below", Paragraphs).show(rows)

    @on(PickTable.Opened)
    def _opened(self) -> None:
        item = self.listed.row
        if item is not None and self.view is not None:
            whole = Whole(self.detail(item), self.more_detail(item))
            whole.show(self.view)
            self.app.push_screen(whole)

    def more_detail(self, item: Item) -> MoreDetail | None:
        """Return how to find out what is told only of a row that was opened."""
        del item
        return None


class Whole(Dialog[None]):
    """One row, told whole."""

    AUTO_FOCUS = "#page"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "back", key_display="Esc", tooltip="back"),
        Binding("enter,q", "close", show=False),
    ]

    def __init__(self, rows: Iterable[Row], more: MoreDetail | None = None) -> None:
        """Show ``rows``, as they were when it was opened, and what ``more`` finds out."""
        super().__init__()
        self._rows, self._more = tuple(rows), more

    def furniture(self) -> Iterable[Widget]:
        """Yield the page."""
        with Page(id="page"):
            yield Paragraphs(self._rows, id="whole")
            yield Paragraphs(id="more")
        yield MoreBelow("#page")

    def on_mount(self) -> None:
        """Ask further, while what is known can be read."""
        super().on_mount()
        if self._more is not None:
            self.query_one("#more", Paragraphs).show([Row(""), Row("Being read ...")])
            self.run_worker(
                self._more, name="read more", group="read", thread=True, exit_on_error=False
            )

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Show what was found out, or why it was not."""
        if event.state is WorkerState.SUCCESS:
            rows = tuple(event.worker.result or ()) or (Row("Nothing more is known of it."),)
        elif event.state is WorkerState.ERROR:
            rows = (Row(f"More could not be read: {event.worker.error}", style="$text-error"),)
        else:
            return
        self.query_one("#more", Paragraphs).show([Row(""), *rows])

    def about(self) -> Iterable[Row]:
        """Say what is shown."""
        yield Row("One row of the table with all that is known of it, as it was when opened.")

    def action_close(self) -> None:
        """Go back."""
        self.dismiss(None)
