# SPDX-License-Identifier: MIT
"""Everything that is preserved, or came over: what it is, whose, and what becomes of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from luo_tui.console.filter import Field
from luo_tui.console.screens.listing import ListingPlace
from luo_tui.console.session import View
from luo_tui.console.widgets.pick_table import PickTable
from luo_tui.console.widgets.presenter import sessions, tally
from luo_tui.console.widgets.table import Column
from luo_tui.console.widgets.text import Row
from luo_tui.model import Resource, ResourceState, State
from luo_tui.update.came_over import promises_text, resource_came
from luo_tui.update.device_outcome import outlook
from luo_tui.update.empty_lists import no_resources
from luo_tui.update.wording import size_text

_SESSIONS = 10
"""Sessions that are named; there is room for the table, too."""
_SIGN = {
    ResourceState.PRESERVED: "carried over",
    ResourceState.INCOMING: "NOT RESTORED",
    ResourceState.RESTORED: "came over",
    ResourceState.UNKNOWN: "UNKNOWN",
}


def owner(resource: Resource) -> str:
    """Return the process that preserved it; it may be gone."""
    return f"{resource.comm or '?'} [{resource.pid}]" if resource.pid else "?"


def becomes(resource: Resource) -> str:
    """Return what becomes of it, in two words."""
    return "REFUSED" if resource.result else _SIGN[resource.state]


def lost(resource: Resource) -> bool:
    """Whether the next step loses it, as things stand."""
    return resource.endangered


def _highest_token(resources: Mapping[Any, Resource]) -> int:
    """Return the figures of the highest token; what is lost stands first, so it may be anywhere."""
    return len(str(max(resources, default=0)))


COLUMNS: tuple[Column[Resource], ...] = (
    Column(
        "token", lambda r: str(r.token), 6, right=True, key=lambda r: r.token, need=_highest_token
    ),
    Column("kind", lambda r: r.kind, 6),
    Column("state", lambda r: r.state, 9),
    Column("size", lambda r: size_text(r.bytes), 8, right=True, key=lambda r: r.bytes),
    Column("pages", lambda r: f"{r.pages:,}", 11, right=True, key=lambda r: r.pages, above=110),
    Column("owner", owner, 22, key=lambda r: (r.comm, r.pid), above=64, most=34),
    Column("update", becomes, 12, above=100),
    Column("name", lambda r: r.name),
)


class Resources(ListingPlace[Resource]):
    """The table of resources."""

    WORD = "resources"
    FIELDS: ClassVar[Mapping[str, Field[Resource]]] = {
        "token": lambda r: float(r.token),
        "kind": lambda r: r.kind,
        "state": lambda r: str(r.state),
        "size": lambda r: float(r.bytes),
        "pages": lambda r: float(r.pages),
        "owner": owner,
        "pid": lambda r: float(r.pid),
        "update": becomes,
        "name": lambda r: r.name,
    }

    def table(self) -> PickTable[Resource]:
        """Return the table; what would be lost is set off."""
        return PickTable(COLUMNS, grave=lost)

    def items(self, view: View) -> Mapping[int, Resource]:
        """Return the resources by token, with what would be lost first."""
        return view.snapshot.resources.lost_first

    def nothing(self, view: View) -> str:
        """Say what it means that nothing is preserved."""
        return no_resources(view.facts)

    def sums(self, view: View) -> Iterable[Row]:
        """Yield the counts, the sessions, and what is preserved against what memory there is."""
        snapshot = view.snapshot
        if snapshot.luo.state is State.UPDATED:
            lost = bool(view.facts.promises.lost)
            style = "bold $text-error" if lost else ""
            yield Row(promises_text(view.facts.promises), "this update", style=style)
        yield Row(tally(snapshot), "resources")
        yield from sessions(snapshot, _SESSIONS)
        vitals = snapshot.vitals
        if vitals.memory_total and not snapshot.luo.evidence:
            pinned = snapshot.bytes_in(ResourceState.PRESERVED)
            yield Row(
                f"{size_text(pinned)} preserved, {size_text(vitals.memory_available)} available "
                f"of {size_text(vitals.memory_total)}",
                "memory",
            )

    def detail(self, item: Resource) -> Iterable[Row]:
        """Yield all that the kernel tells."""
        yield Row(item.name or "(no name)", "name", style="bold")
        if self.view is not None:
            came = resource_came(item, self.view.facts)
            if came:
                yield Row(came, "this update")
            yield Row(outlook(item, self.view.snapshot), "next" if came else "update")
        yield Row(f"{item.token}", "token")
        yield Row(item.kind + (f", needs {item.handler}" if item.handler else ""), "kind")
        yield Row(str(item.state), "state")
        yield Row(f"{size_text(item.bytes)} ({item.bytes:,} bytes)", "size")
        yield Row(f"{item.pages:,} (holes do not count)", "pages")
        yield Row(f"{owner(item)}, which preserved it; it may have ended since", "owner")

    def about(self) -> Iterable[Row]:
        """Say what the table shows."""
        yield Row("All descriptors that are preserved for an update, or came with one.")
        yield from super().about()
