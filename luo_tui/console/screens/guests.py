# SPDX-License-Identifier: MIT
"""The guests of this host, and what an update does to each; those that are lost first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import ClassVar

from luo_tui.console.filter import Field
from luo_tui.console.screens.listing import ListingPlace, MoreDetail
from luo_tui.console.session import View
from luo_tui.console.widgets.pick_table import PickTable
from luo_tui.console.widgets.table import Column
from luo_tui.console.widgets.text import Row
from luo_tui.model import State
from luo_tui.update.empty_lists import no_guests
from luo_tui.update.guest_list import RUNS, Becomes, ListedGuest, summary
from luo_tui.update.wording import clock_text, few, size_text

_PATIENCE = 2.0
"""Seconds that a guest has for each answer; one whose socket another program has takes them."""
_SIGN = {
    Becomes.WAITS: "!!",
    Becomes.ENDED: "!!",
    Becomes.LOST: "!!",
    Becomes.NOT_ASKED: "?",
    Becomes.NOT_YET: "-",
    Becomes.ARMED: "ok",
    Becomes.CARRIED: "ok",
    Becomes.WENT_ON: "ok",
}
_MEANS = {
    Becomes.WAITS: "they were saved for the jump into this kernel, and stand still",
    Becomes.ENDED: "they were to go on, and have no process any more",
    Becomes.LOST: "a kexec ends them, as things stand",
    Becomes.NOT_ASKED: "those that can be carried are armed in the next update",
    Becomes.NOT_YET: "nothing is preserved for the next update before finish",
    Becomes.ARMED: "they are saved directly before the jump, and go on after it",
    Becomes.CARRIED: "their memory is preserved for the next update",
    Becomes.WENT_ON: "they came with this update",
}


def _head(guest: ListedGuest) -> str:
    return f"{guest.becomes}: {_MEANS[guest.becomes]}"


def _memory(guest: ListedGuest) -> str:
    return size_text(guest.bytes) if guest.bytes else "?"


def _paused(guest: ListedGuest) -> str:
    return clock_text(guest.paused) if guest.paused else "-"


def _process(guest: ListedGuest) -> str:
    return f"{guest.program} [{guest.pid}]" if guest.program else "none"


_ORDER = {becomes: number for number, becomes in enumerate(Becomes)}
COLUMNS: tuple[Column[ListedGuest], ...] = (
    Column("", lambda g: _SIGN[g.becomes], 2, key=lambda g: _ORDER[g.becomes]),
    Column("guest", lambda g: g.name, 16, most=40),
    Column("memory", _memory, 8, right=True, key=lambda g: g.bytes),
    Column("state", lambda g: g.state, 12),
    Column("paused", _paused, 9, key=lambda g: g.paused, above=70),
    Column("update", lambda g: str(g.becomes), 12, above=100),
    Column("process", _process),
)


class Guests(ListingPlace[ListedGuest]):
    """The table of guests, in groups."""

    WORD = "guests"
    FIELDS: ClassVar[Mapping[str, Field[ListedGuest]]] = {
        "guest": lambda g: g.name,
        "memory": lambda g: float(g.bytes),
        "state": lambda g: g.state,
        "fate": lambda g: str(g.becomes),
        "process": _process,
        "pid": lambda g: float(g.pid),
    }

    def table(self) -> PickTable[ListedGuest]:
        """Return the table, with a heading for each group."""
        return PickTable(COLUMNS, grave=lambda g: g.becomes.grave, head=_head)

    def items(self, view: View) -> Mapping[tuple[int, str], ListedGuest]:
        """Return the guests, those that are lost first."""
        return {g.key: g for g in view.guests.guests} if view.guests is not None else {}

    def fill(self, view: View) -> None:
        """Bring the table up to date; while they are looked for it stays as it was left."""
        if view.guests is not None:
            super().fill(view)

    def nothing(self, view: View) -> str:
        """Say what it means that no guest is there."""
        return no_guests(view.guests)

    def sums(self, view: View) -> Iterable[Row]:
        """Yield how many there are of what, and why there may be more."""
        found = view.guests
        if found is None:
            yield Row("being looked for", "guests")
            return
        yield Row(summary(found.guests) or ("none seen" if found.missing else "none"), "guests")
        if view.snapshot.incoming and view.snapshot.luo.state is State.UPDATED:
            waiting = few([r.label for r in view.snapshot.incoming])
            text = f"{waiting}: a guest whose memory that is has not gone on (key 2)"
            yield Row(text, "not restored", style="$text-warning")
        for sentence in found.missing[:1]:
            yield Row(f"there may be more: {sentence}", "not known", style="$text-warning")

    def detail(self, item: ListedGuest) -> Iterator[Row]:
        """Yield what is known without asking further."""
        yield Row(item.name, "guest", style="bold")
        style = "bold" if item.becomes.grave else ""
        yield Row(f"{item.becomes}. {item.reason}", "update", style=style)
        yield Row(self._state(item), "state")
        yield Row(f"since {_paused(item)}" if item.paused else "not known to be", "paused")
        named = f" ({', '.join(item.memory)})" if item.memory else ""
        size = f"{size_text(item.bytes)} in memfds{named}" if item.bytes else "none seen in memfds"
        yield Row(size, "memory")
        yield Row(_process(item), "process")
        began = self._began(item)
        if began:
            yield Row(f"at {began}", "began")

    def _state(self, item: ListedGuest) -> str:
        if item.state != RUNS or not item.is_qemu:
            return item.state
        return f"{RUNS}; QEMU was not asked: Enter asks it, or luo-tui guests check {item.name}"

    def _began(self, item: ListedGuest) -> str:
        booted = self.view.snapshot.vitals.booted_at if self.view is not None else 0.0
        return clock_text(booted + item.started) if booted and item.started else ""

    def more_detail(self, item: ListedGuest) -> MoreDetail | None:
        """Return how to ask QEMU; a simulated guest has none."""
        if self.view is None or self.view.demo or not item.is_qemu or not item.program:
            return None
        return partial(_ask, item.pid)

    def about(self) -> Iterable[Row]:
        """Say what the signs mean."""
        yield Row(
            "The guests of this host and what the next update does to each: every QEMU, who has "
            "/dev/kvm open, and who has 256 MiB of memfds. They are looked for every two seconds "
            "while this place is in front. Enter asks QEMU whether it can be carried."
        )
        yield Row("will be lost, or was to go on and does not", "!!")
        yield Row("QEMU was not asked whether it can be carried: luo-tui guests check NAME", "?")
        yield Row("nothing can be preserved of it before finish", "-")
        yield Row("goes on in the next kernel, or went on in this one", "ok")
        yield from super().about()


def _ask(pid: int) -> Sequence[Row]:
    """Ask QEMU what its guest is like, and judge it as `luo-tui guests` does. Takes its time."""
    from luo_tui.guests.find import find_guests
    from luo_tui.guests.rules import judge

    there = find_guests(limit=_PATIENCE)
    guest = next((g for g in judge(there.guests) if g.facts.process.pid == pid), None)
    if guest is None:
        why = there.missing or ("its process has ended",)
        return [Row(f"QEMU could not be asked: {sentence}.") for sentence in why]
    rows = [
        Row(guest.state or "not known", "state by QEMU"),
        Row(str(guest.disposition), "by its rules"),
    ]
    for label, reasons in (("why not", guest.refusals), ("note", guest.warnings)):
        for reason in reasons:
            rows += [Row(f"{reason.text} ({reason.code})", label), Row(reason.remedy, "do")]
    return rows
