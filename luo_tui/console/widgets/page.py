# SPDX-License-Identifier: MIT
"""A page that is longer than the window."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import BindingType
from textual.containers import VerticalScroll

from luo_tui.console.widgets.navigation import navigation


class Page(VerticalScroll):
    """Scrolls; the keys are told in the help of the screen that it is on."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *navigation(
            "read on",
            up="scroll_up",
            down="scroll_down",
            pageup="page_up",
            pagedown="page_down",
        )
    ]
