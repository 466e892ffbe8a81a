# SPDX-License-Identifier: MIT
"""The first line of every screen: which host, kernel and state, and whether it is a demo."""

from __future__ import annotations

from rich.cells import cell_len
from textual.content import Content
from textual.widget import Widget

from luo_tui.console.session import View
from luo_tui.console.widgets.banner import STYLES
from luo_tui.console.widgets.presenter import is_grave
from luo_tui.console.widgets.text import clip, plain

DEMO = "DEMO: nothing real is touched"


class Title(Widget):
    """One line; the host first, since the wrong host is the dearest mistake."""

    def __init__(self) -> None:
        """Start out empty."""
        super().__init__()
        self._view: View | None = None

    def show(self, view: View) -> None:
        """Show the host of this view."""
        old = self._view
        self._view = view
        same = old is not None and (
            (old.snapshot.host, old.snapshot.luo, is_grave(old))
            == (view.snapshot.host, view.snapshot.luo, is_grave(view))
        )
        if not same:
            self.refresh()

    def render(self) -> Content:
        """Draw the line; what is cut off first is what comes after the host's name."""
        if self._view is None:
            return Content("luo-tui")
        snapshot, width = self._view.snapshot, self.size.width
        state = snapshot.luo.state
        colour = "$text-error" if is_grave(self._view) else STYLES[state]
        name = plain(snapshot.host.name)
        right = f"{state.upper()}"
        if self._view.demo:
            right = f"{right}  {DEMO}" if width >= 76 + len(name) // 2 else f"{right}  DEMO"
        middle = f"  Linux {plain(snapshot.host.release)}  {self._view.title}"
        left = max(0, width - len(right) - 1)
        name = clip(name, min(cell_len(name), left))
        return Content.assemble(
            (name, "bold"),
            clip(middle, left - cell_len(name)),
            " ",
            (right[: len(state)], f"bold {colour}"),
            (right[len(state) :], "bold $text-demo"),
        )
