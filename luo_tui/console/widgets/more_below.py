# SPDX-License-Identifier: MIT
"""Says in words that a page goes on, where no colour of a scroll bar can."""

from __future__ import annotations

from textual.content import Content
from textual.message import Message
from textual.theme import Theme
from textual.widget import Widget

from luo_tui.console.themes import is_without_colour

_MORE, _END = "-- more below: PgDn --", "-- the end; PgUp goes back --"


class MoreBelow(Widget):
    """One line below what scrolls; only in monochrome, and only where not all fits."""

    def __init__(self, of: str) -> None:
        """``of`` is the selector of what scrolls, on the same screen."""
        super().__init__()
        self._of = of
        self._text = ""
        self.display = False
        self.goes_on = False
        """Whether not all fits, so that there is something to scroll."""

    class Changed(Message):
        """Now it fits, or no longer."""

    def on_mount(self) -> None:
        """Follow what scrolls."""
        page = self.screen.query_one(self._of)
        self.watch(page, "scroll_y", self.look, init=False)
        self.watch(page, "virtual_size", self.look, init=False)
        self.app.theme_changed_signal.subscribe(self, self._other_theme)
        self.look()

    def _other_theme(self, _: Theme) -> None:
        self.look()

    def look(self) -> None:
        """Say whether there is more, as soon as everything has its place."""
        self.call_after_refresh(self._look)

    def _look(self) -> None:
        page = self.screen.query_one(self._of)
        # Rounded as what is drawn: half a line is none.
        left = page.max_scroll_y - round(page.scroll_y)
        before, self.goes_on = self.goes_on, page.max_scroll_y > 0
        if before is not self.goes_on:
            self.post_message(self.Changed())
        self.display = self.goes_on and is_without_colour(self.app.theme)
        text = _MORE if left > 0 else _END
        if text != self._text:
            self._text = text
            self.refresh()

    def render(self) -> Content:
        """Draw it."""
        return Content.styled(self._text, "bold")
