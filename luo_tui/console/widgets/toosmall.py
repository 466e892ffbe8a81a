# SPDX-License-Identifier: MIT
"""What a terminal shows that is too small for everything else."""

from __future__ import annotations

from textual.content import Content
from textual.widget import Widget

from luo_tui.console.session import View

LEAST = (60, 18)


class TooSmall(Widget):
    """The state, readable at any size, and why there is no more."""

    def __init__(self) -> None:
        """Start out without a state."""
        super().__init__()
        self._state = ""

    def show(self, view: View) -> None:
        """Show the state of this view."""
        state = view.snapshot.luo.state.upper()
        if state != self._state:
            self._state = state
            self.refresh()

    def render(self) -> Content:
        """Put the state first."""
        columns, rows = LEAST
        size = self.app.size
        return Content.assemble(
            (self._state, "bold"),
            f"\nTerminal is {size.width}x{size.height}; {columns}x{rows} is needed. "
            "Until then no key acts but Ctrl+\\, which leaves.",
        )
