# SPDX-License-Identifier: MIT
"""Everything that happened since the console began to watch, the kernel's own lines among it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Input, Static

from luo_tui.console.filter import Field
from luo_tui.console.screens.base import Dialog, Pairs
from luo_tui.console.screens.listing import ListingPlace
from luo_tui.console.session import View
from luo_tui.console.widgets.field import Field as Typing
from luo_tui.console.widgets.table import Column, Table
from luo_tui.console.widgets.text import Row, plain
from luo_tui.model import Event
from luo_tui.monitor.log import MOST


def moment(event: Event) -> str:
    """Return its local time to the millisecond."""
    return f"{time.strftime('%H:%M:%S', time.localtime(event.at))}.{int(event.at * 1000) % 1000:03}"


def day(event: Event) -> str:
    """Return its local date."""
    return time.strftime("%A, %Y-%m-%d", time.localtime(event.at))


def line(event: Event) -> str:
    """Return an event as one line of text, for files and clipboards."""
    date = time.strftime("%Y-%m-%d", time.localtime(event.at))
    sign = "!" if event.grave else " "
    return plain(f"{date} {moment(event)} {sign} {event.kind:12} {event.text}")


COLUMNS: tuple[Column[Event], ...] = (
    Column("", lambda e: "!" if e.grave else "", 1, key=lambda e: not e.grave),
    Column("time", moment, 12, key=lambda e: e.number),
    Column("kind", lambda e: e.kind, 11),
    Column("what happened", lambda e: e.text, key=lambda e: e.text),
)


class Events(ListingPlace[Event]):
    """The event log."""

    WORD = "events"
    FIELDS: ClassVar[Mapping[str, Field[Event]]] = {
        "kind": lambda e: e.kind,
        "subject": lambda e: e.subject,
        "number": lambda e: float(e.number),
        "grave": lambda e: "yes" if e.grave else "no",
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "copy(False)", show=False),
        Binding("Y", "copy(True)", show=False),
        Binding("e", "export", show=False),
    ]

    def __init__(self) -> None:
        """Start out without events."""
        super().__init__()
        self._events: dict[int, Event] = {}
        self._last = 0

    def table(self) -> Table[Event]:
        """Return the table; it follows the end for as long as the cursor is there."""
        return Table(
            COLUMNS, grave=lambda e: e.grave, head=day, empty="Nothing has happened.", follow=True
        )

    def items(self, view: View) -> Mapping[int, Event]:
        """Return the events by number, as many as the log keeps."""
        new = view.log.since(self._last)
        if new:
            self._last = new[-1].number
            events = {**self._events, **{e.number: e for e in new}}
            for number in list(events)[: max(0, len(events) - MOST)]:
                del events[number]
            self._events = events
        return self._events

    def sums(self, view: View) -> Iterable[Row]:
        """Yield how many there are, and whether some were dropped."""
        dropped = max(0, view.log.last - MOST)
        gone = f", the oldest {dropped:,} are no longer kept" if dropped else ""
        grave = sum(e.grave for e in self._events.values())
        yield Row(f"{view.log.last:,}{gone}; {grave:,} grave", "events")
        if view.log.fault:
            yield Row(view.log.fault, style="$text-error")

    def draw(self, view: View) -> None:
        """Bring everything up to date; the events first, the sums are theirs."""
        self.items(view)
        super().draw(view)

    def detail(self, item: Event) -> Iterable[Row]:
        """Yield the whole line."""
        yield Row(item.text, "event", style="bold" if item.grave else "")
        yield Row(f"{day(item)} {moment(item)}", "time")
        yield Row(
            f"{item.kind}, number {item.number:,}" + (", grave" if item.grave else ""), "kind"
        )
        if item.subject:
            yield Row(item.subject, "subject")

    def more_keys(self) -> Pairs:
        """Return the keys of the log."""
        return [("y Y", "copy"), ("e", "write to a file")]

    def about(self) -> Iterable[Row]:
        """Say what the log is."""
        yield Row(
            "What happened since this console began to watch, with the kernel's own lines about "
            "updates. The end is followed while the cursor stands on the last row: End."
        )
        yield Row("copy the event under the cursor to the terminal's clipboard", "y")
        yield Row("copy all that the filter shows", "Y")
        yield Row("write all that the filter shows to a file", "e")
        yield from super().about()

    def action_copy(self, every: bool) -> None:
        """Hand events to the terminal's clipboard (OSC 52)."""
        chosen = self.listed.shown if every else [e for e in [self.listed.row] if e is not None]
        self.app.copy_to_clipboard("\n".join(line(e) for e in chosen))
        what = f"{len(chosen):,} event{'s' if len(chosen) != 1 else ''}"
        self.say(f"{what} sent to the terminal's clipboard; not every terminal takes it.")

    def action_export(self) -> None:
        """Ask for a file."""
        if self.view is not None:
            export = Export([line(e) for e in self.listed.shown])
            export.show(self.view)
            self.app.push_screen(export, self._exported)

    def _exported(self, said: str | None) -> None:
        if said:
            self.say(said)


class Export(Dialog[str]):
    """Writes lines to a file that does not exist yet. Ends with what to say of it."""

    AUTO_FOCUS = "#path"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "no", show=False)]

    def __init__(self, lines: Sequence[str]) -> None:
        """``lines`` are written as they are now."""
        super().__init__()
        self._lines = tuple(lines)

    def furniture(self) -> Iterable[Widget]:
        """Yield the question, and the path that is proposed."""
        yield Static(f"Write {len(self._lines):,} events to a new file:")
        with Horizontal(id="field"):
            field = Typing(id="path", max_length=4096)
            stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
            field.value = str(_home() / f"luo-tui-events-{stamp}.txt")
            yield field

    def keys(self, view: View) -> Pairs:
        """Return the keys of the question."""
        del view
        return [("Enter", "write"), ("Esc", "back")]

    def about(self) -> Iterable[Row]:
        """Say what is done."""
        yield Row("The events that the filter shows are written as text, one a line.")

    def action_no(self) -> None:
        """Write nothing."""
        self.dismiss("")

    @on(Input.Submitted)
    def _write(self, event: Input.Submitted) -> None:
        path = Path(event.value)
        try:
            path = path.expanduser()
            with path.open("x", encoding="utf-8") as file:
                file.writelines(f"{text}\n" for text in self._lines)
        except (OSError, RuntimeError, ValueError) as error:
            why = _why_not(error)
            self.say(f"{plain(str(path))}: {why}. Nothing was written over; choose another path.")
            return
        self.dismiss(f"{len(self._lines):,} events written to {plain(str(path))}.")


def _home() -> Path:
    """Return where the proposed file lies; an account may have no home."""
    try:
        return Path.home()
    except RuntimeError:
        return Path.cwd()


def _why_not(error: OSError | RuntimeError | ValueError) -> str:
    match error:
        case FileExistsError():
            return "it exists already"
        case OSError():
            return error.strerror or str(error)
        case RuntimeError():
            return "nobody of this name has a home directory here"
    return "no file can have this name"
