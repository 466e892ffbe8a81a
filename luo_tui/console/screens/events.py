# SPDX-License-Identifier: MIT
"""Everything that happened since the console began to watch, the kernel's own lines among it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Static
from textual.worker import Worker, WorkerState

from luo_tui.console.filter import Field
from luo_tui.console.paths import typed_path, why_not
from luo_tui.console.screens.base import Dialog
from luo_tui.console.screens.listing import ListingPlace
from luo_tui.console.session import View
from luo_tui.console.widgets.field import Field as Typing
from luo_tui.console.widgets.pick_table import PickTable
from luo_tui.console.widgets.table import Column
from luo_tui.console.widgets.text import Row, plain
from luo_tui.errors import NotDone
from luo_tui.model import Event
from luo_tui.monitor.log import MOST
from luo_tui.update.empty_lists import no_events
from luo_tui.update.wording import count_text

CLIPBOARD = 74_994
"""Bytes that terminals take for their clipboard: 100,000 in base64, less the sequence around."""


@lru_cache(maxsize=1024)
def _second(at: int) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at))


@lru_cache(maxsize=1024)
def _quarter(number: int) -> tuple[str, str]:
    """Return the local date at a quarter of an hour of UTC: no time zone splits one."""
    at = time.localtime(number * 900)
    return time.strftime("%A, %Y-%m-%d", at), time.strftime("%Y-%m-%d", at)


def moment(event: Event) -> str:
    """Return its local time to the millisecond."""
    return f"{_second(int(event.at))}.{int(event.at * 1000) % 1000:03}"


def day(event: Event) -> str:
    """Return its local date."""
    return _quarter(int(event.at // 900))[0]


def line(event: Event) -> str:
    """Return an event as one line of text, for files and clipboards."""
    date = _quarter(int(event.at // 900))[1]
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
        Binding(
            "y",
            "copy(False)",
            "copy",
            tooltip="copy the event under the cursor to the terminal's clipboard",
        ),
        Binding("Y", "copy(True)", "copy", tooltip="copy all that the filter shows"),
        Binding(
            "exclamation_mark",
            "next_serious",
            "next serious",
            key_display="!",
            tooltip="go to the next serious event",
        ),
        Binding(
            "e", "export", "write to a file", tooltip="write all that the filter shows to a file"
        ),
    ]

    def __init__(self) -> None:
        """Start out without events."""
        super().__init__()
        self._last = 0
        """Number of the latest event that is shown."""
        self._grave: deque[int] = deque()
        """Numbers of those that are grave and kept."""

    def table(self) -> PickTable[Event]:
        """Return the table; it follows the end for as long as the cursor is there."""
        return PickTable(COLUMNS, grave=lambda e: e.grave, head=day, follow=True)

    def nothing(self, view: View) -> str:
        """Say what it means that nothing has happened."""
        return no_events(view.log.fault)

    def fill(self, view: View) -> None:
        """Show what is new, and as many events as the log keeps."""
        new = view.log.since(self._last)
        if not new:
            return
        self._last = new[-1].number
        self._grave.extend(e.number for e in new if e.grave)
        while self._grave and self._grave[0] <= self._last - MOST:
            self._grave.popleft()
        self.listed.grow({e.number: e for e in new}, MOST)

    def sums(self, view: View) -> Iterable[Row]:
        """Yield how many there are, and whether some were dropped."""
        dropped = max(0, self._last - MOST)
        gone = f", the oldest {dropped:,} are no longer kept" if dropped else ""
        many = count_text(self._last, "event")
        to = " (! goes to the next)" if self._grave else ""
        yield Row(f"{many}{gone}, {len(self._grave):,} serious{to}")
        if view.log.fault:
            yield Row(view.log.fault, style="$text-error")

    def detail(self, item: Event) -> Iterable[Row]:
        """Yield the whole line."""
        yield Row(item.text, "event", style="bold" if item.grave else "")
        yield Row(f"{day(item)} {moment(item)}", "time")
        yield Row(
            f"{item.kind}, number {item.number:,}" + (", serious" if item.grave else ""), "kind"
        )
        if item.subject:
            yield Row(item.subject, "subject")

    def about(self) -> Iterable[Row]:
        """Say what the log is."""
        yield Row(
            "What happened since this console began to watch, with the kernel's own lines about "
            "updates. The end is followed while the cursor stands on the last row: End."
        )
        yield from super().about()

    def action_copy(self, every: bool) -> None:
        """Hand events to the terminal's clipboard (OSC 52), if they are not too many for it."""
        chosen = self.listed.shown if every else [e for e in [self.listed.row] if e is not None]
        lines, size = [], 0
        for event in chosen:
            lines.append(line(event))
            size += len(lines[-1].encode()) + 1
            if size > CLIPBOARD:
                self.say(
                    f"{len(chosen):,} events are more than a terminal's clipboard takes "
                    f"({CLIPBOARD:,} bytes). Nothing was copied: narrow them with /, or write "
                    "them to a file with e."
                )
                return
        self.app.copy_to_clipboard("\n".join(lines))
        what = count_text(len(chosen), "event")
        self.say(f"{what} sent to the terminal's clipboard; not every terminal takes it.")

    def action_next_serious(self) -> None:
        """Go to the next serious event below the cursor; after the last one, to the first."""
        if not self.listed.go_on(lambda e: e.grave):
            self.say("No serious event is listed.")

    def action_export(self) -> None:
        """Ask for a file."""
        if self.view is not None:
            export = Export(self.listed.shown)
            export.show(self.view)
            self.app.push_screen(export, self._exported)

    def _exported(self, said: str | None) -> None:
        if said:
            self.say(said)


class Export(Dialog[str]):
    """Writes events to a file that does not exist yet. Ends with what to say of it."""

    AUTO_FOCUS = "#path"
    CHOICE_ACTS = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "enter",
            "write",
            "write",
            key_display="Enter",
            priority=True,
            tooltip="write the file",
        ),
        Binding("escape", "no", "back", key_display="Esc", tooltip="back: nothing is written"),
    ]

    def __init__(self, events: Sequence[Event]) -> None:
        """``events`` are written as they are now."""
        super().__init__()
        self._events = tuple(events)
        self._writing = ""
        """The path that is being written."""

    def furniture(self) -> Iterable[Widget]:
        """Yield the question, and the path that is proposed."""
        yield Static(f"Write {count_text(len(self._events), 'event')} to a new file:")
        with Horizontal(id="field"):
            field = Typing(id="path", max_length=4096)
            stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
            field.value = f"~/luo-tui-events-{stamp}.txt"
            yield field

    def about(self) -> Iterable[Row]:
        """Say what is done."""
        yield Row("The events that the filter shows are written as text, one a line.")

    def action_no(self) -> None:
        """Write nothing; what has begun goes on."""
        self.dismiss(f"{self._writing} is still being written." if self._writing else "")

    def action_write(self) -> None:
        """Write them, in a thread: the disk may be slow."""
        if self._writing:
            return
        typed = self.query_one(Typing).value
        self._writing = plain(typed)
        self.say(f"Writing {self._writing} ...")
        self.run_worker(
            partial(write_new, typed, self._events),
            name="write the events",
            group="write",
            thread=True,
            exit_on_error=False,
        )

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Say what has become of it."""
        if event.state is WorkerState.SUCCESS and self.is_active:
            self.dismiss(str(event.worker.result))
        elif event.state is WorkerState.SUCCESS:
            self._writing = ""
            self.say(str(event.worker.result))
        elif event.state is WorkerState.ERROR:
            self._writing = ""
            error = event.worker.error
            self.say(plain(error.reason if isinstance(error, NotDone) else repr(error)))


def write_new(typed: str, events: Sequence[Event]) -> str:
    """Write events to a file that is not there yet; return what was done.

    Raises NotDone. May take long: it belongs into a thread.
    """
    path, begun = typed_path(typed), False
    try:
        with path.open("x", encoding="utf-8") as file:
            begun = True
            file.writelines(f"{line(event)}\n" for event in events)
    except FileExistsError as error:
        raise NotDone(
            f"{path}: it exists already. Nothing was written over; choose another path."
        ) from error
    except OSError as error:
        left = "The file is not whole" if begun else "Nothing was written"
        raise NotDone(f"{path}: {why_not(error)}. {left}; choose another path.") from error
    return f"{count_text(len(events), 'event')} written to {plain(str(path))}."
