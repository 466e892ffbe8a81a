# SPDX-License-Identifier: MIT
"""Scroll bars of blanks alone: told by reverse video and colour, drawn in ASCII."""

from __future__ import annotations

from typing import ClassVar

from textual.scrollbar import ScrollBar, ScrollBarRender


class PlainBar(ScrollBarRender):
    """Textual's scroll bar without the eighths of blocks at its ends."""

    VERTICAL_BARS: ClassVar[list[str]] = [" "]
    HORIZONTAL_BARS: ClassVar[list[str]] = [" "]


def use_plain_bars() -> None:
    """Draw all scroll bars of this program so."""
    ScrollBar.renderer = PlainBar
