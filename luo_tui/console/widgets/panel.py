# SPDX-License-Identifier: MIT
"""Part of a screen that has a quiet border and a title where there is room for them.

Where there is none it takes no line and no column of its own: the style sheet decides.
"""

from __future__ import annotations

from typing import Any

from textual.containers import Vertical, VerticalScroll


class Panel(Vertical):
    """Holds what belongs together."""

    def __init__(self, title: str, **more: Any) -> None:
        """``title`` stands in the border."""
        super().__init__(classes="panel", **more)
        self.border_title = title


class ScrollPanel(VerticalScroll):
    """The same, of what may be longer than its room."""

    def __init__(self, title: str, **more: Any) -> None:
        """``title`` stands in the border."""
        super().__init__(classes="panel", **more)
        self.border_title = title
