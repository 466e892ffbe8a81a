# SPDX-License-Identifier: MIT
"""Everything that is preserved, or came over: what it is, whose, and what becomes of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

from luo_tui.console.filter import Field
from luo_tui.console.screens.listing import ListingPlace
from luo_tui.console.session import View
from luo_tui.console.widgets.pick_table import PickTable
from luo_tui.console.widgets.presenter import sessions, tally
from luo_tui.console.widgets.resource_columns import COLUMNS, becomes, lost, owner
from luo_tui.console.widgets.text import Row
from luo_tui.model import Resource, ResourceState, State
from luo_tui.update.came_over import promises_text, resource_came
from luo_tui.update.device_outcome import outlook
from luo_tui.update.empty_lists import no_resources
from luo_tui.update.wording import size_text

_SESSIONS = 10
"""Sessions that are named; there is room for the table, too."""


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
