# SPDX-License-Identifier: MIT
"""Paragraphs with labels, as high as their text is."""

from __future__ import annotations

from collections.abc import Iterable

from textual.content import Content
from textual.geometry import Size
from textual.widget import Widget

from luo_tui.console.widgets.text import Row, clip, hang


class Paragraphs(Widget):
    """Draws rows of text with hanging labels; redraws only when they differ."""

    def __init__(
        self,
        rows: Iterable[Row] = (),
        *,
        rest: str = "",
        id: str | None = None,  # noqa: A002
    ) -> None:
        """``rows`` can be replaced later with :meth:`show`.

        ``rest`` says where all of them are read, should there be no room here.
        """
        super().__init__(id=id)
        self._rest = rest
        self._rows = tuple(rows)
        self._laid_out = self._rows
        """What the height was found for."""
        self._kept: tuple[tuple[Row, ...], int, list[Content]] = ((), 0, [])
        """Rows as they were laid out for a width."""
        self.display = bool(self._rows)

    @property
    def rows(self) -> tuple[Row, ...]:
        """What is shown."""
        return self._rows

    def show(self, rows: Iterable[Row]) -> None:
        """Show these rows from now on."""
        new = tuple(rows)
        if new == self._rows:
            return
        self._rows = new
        self.display = bool(new)
        if not new or not self.is_on_screen:
            return
        if len(self._lines(self.size.width)) == self.size.height:
            # What is below stays where it is.
            self._laid_out = new
            self.refresh()
        else:
            self.refresh(layout=True)

    def on_show(self) -> None:
        """Take as many lines as are needed for what came while this was not to be seen."""
        if self._laid_out is not self._rows:
            self.refresh(layout=True)

    def render(self) -> Content:
        """Lay the rows out for the width that there is."""
        lines, room = self._lines(self.size.width), self.size.height
        if 0 < room < len(lines):
            # The style sheet gives no more room: what is cut is marked as cut.
            more = len(lines) - room + 1
            said = f"... {more:,} more {'line' if more == 1 else 'lines'}"
            said = f"{said}: {self._rest}" if self._rest else said
            cut = Content.styled(clip(said, min(len(said), self.size.width)), "$text-note")
            lines = [*lines[: room - 1], cut]
        return Content("\n").join(lines)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Return the number of lines at ``width``."""
        del container, viewport
        self._laid_out = self._rows
        return len(self._lines(width))

    def _lines(self, width: int) -> list[Content]:
        """Lay the rows out; what was laid out last is kept."""
        if self._kept[:2] != (self._rows, width):
            self._kept = (self._rows, width, hang(self._rows, width))
        return self._kept[2]
