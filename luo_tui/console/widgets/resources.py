# SPDX-License-Identifier: MIT
"""The list of preserved resources; draws only the lines that are in view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from luo_tui.console.widgets.text import clip
from luo_tui.model import Resource, ResourceState
from luo_tui.update.wording import size_text

_NARROW = (6, 9, 8, 23)
_WIDE = (10, 10, 10, 26)
_HEADS = ("token", "kind", "state", "size", "owner", "name")


def columns(width: int, highest: int) -> tuple[int, ...]:
    """Return the widths of the columns for tokens up to ``highest``; the name takes the rest."""
    fixed = (max(5, len(str(highest))), *(_WIDE if width >= 100 else _NARROW))
    return (*fixed, max(4, width - sum(fixed) - len(fixed)))


def line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Lay one line out; token and size stand to the right."""
    out = []
    for at, (text, width) in enumerate(zip(cells, widths, strict=True)):
        out.append(text.rjust(width) if at in (0, 3) else clip(text, width))
    return " ".join(out)


def cells(resource: Resource) -> tuple[str, ...]:
    """Return what is told of one resource."""
    owner = f"{resource.comm or '?'} [{resource.pid}]" if resource.pid else "?"
    return (
        str(resource.token),
        resource.kind,
        resource.state,
        size_text(resource.bytes),
        owner,
        resource.name,
    )


class ResourceList(ScrollView, can_focus=True):
    """Scrolls over any number of resources."""

    @dataclass
    class Moved(Message):
        """Another part of the list is in view."""

    def __init__(self) -> None:
        """Start out empty."""
        super().__init__()
        self._rows: tuple[Resource, ...] = ()
        self._highest = 0

    @property
    def heads(self) -> str:
        """The headings, in the columns that the rows stand in."""
        return line(_HEADS, columns(self.size.width, self._highest))

    def show(self, rows: tuple[Resource, ...]) -> None:
        """Show these resources from now on; the place in the list stays."""
        if rows != self._rows:
            self._rows = rows
            self._highest = max((r.token for r in rows), default=0)
            self.virtual_size = Size(self.size.width, len(rows))
            self.refresh()

    @property
    def in_view(self) -> tuple[int, int]:
        """First and last row that can be seen, counted from 1; (0, 0) when there is none."""
        if not self._rows:
            return 0, 0
        top = int(self.scroll_offset.y)
        return top + 1, min(len(self._rows), top + max(1, self.size.height))

    def on_resize(self) -> None:
        """Keep the width of the content that of the window."""
        self.virtual_size = Size(self.size.width, len(self._rows))
        self.post_message(self.Moved())

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Tell that another part is in view."""
        super().watch_scroll_y(old_value, new_value)
        if round(old_value) != round(new_value):
            self.post_message(self.Moved())

    def render_line(self, y: int) -> Strip:
        """Draw one line."""
        width = self.size.width
        at = int(self.scroll_offset.y) + y
        base = self.rich_style
        if at >= len(self._rows):
            return Strip.blank(width, base)
        resource = self._rows[at]
        waiting = resource.state is ResourceState.INCOMING
        style = base + Style(bold=True) if waiting else base
        text = clip(line(cells(resource), columns(width, self._highest)), width)
        return Strip([Segment(text, style)], width)
