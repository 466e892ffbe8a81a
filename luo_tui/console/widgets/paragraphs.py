# SPDX-License-Identifier: MIT
"""A sheet of paragraphs with labels, as high as its text is."""

from __future__ import annotations

from collections.abc import Iterable

from textual.content import Content
from textual.geometry import Size
from textual.widget import Widget

from luo_tui.console.widgets.text import Row, hang


class Paragraphs(Widget):
    """Draws rows of text with hanging labels; redraws only when they differ."""

    def __init__(self, rows: Iterable[Row] = (), *, id: str | None = None) -> None:  # noqa: A002
        """``rows`` can be replaced later with :meth:`show`."""
        super().__init__(id=id)
        self._rows = tuple(rows)
        self.display = bool(self._rows)

    @property
    def rows(self) -> tuple[Row, ...]:
        """What is shown."""
        return self._rows

    def show(self, rows: Iterable[Row]) -> None:
        """Show these rows from now on."""
        new = tuple(rows)
        if new != self._rows:
            self._rows = new
            self.display = bool(new)
            self.refresh(layout=True)

    def render(self) -> Content:
        """Lay the rows out for the width that there is."""
        return Content("\n").join(hang(self._rows, self.size.width))

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Return the number of lines at ``width``."""
        del container, viewport
        return len(hang(self._rows, width))
