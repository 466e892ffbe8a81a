# SPDX-License-Identifier: MIT
"""One line to type into, without frame and without blinking."""

from __future__ import annotations

from textual.widgets import Input


class Field(Input):
    """Textual's input, quiet: nothing is written to the terminal while nobody types."""

    def __init__(self, *, id: str | None = None, max_length: int = 255) -> None:  # noqa: A002
        """Start out empty."""
        super().__init__(id=id, compact=True, select_on_focus=False, max_length=max_length)
        self.cursor_blink = False
