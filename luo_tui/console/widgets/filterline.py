# SPDX-License-Identifier: MIT
"""The line in which an operator narrows a table, or names a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Static

from luo_tui.console.widgets.field import Field
from luo_tui.console.widgets.text import clip


class FilterLine(Horizontal):
    """``Filter: qemu size>1G   12 of 10,000``. Not there while it is empty and nobody types."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "enter",
            "keep",
            "keep the filter",
            key_display="Enter",
            priority=True,
            tooltip="keep the filter, and go back to the rows",
        ),
        Binding(
            "escape", "clear", "take it away", key_display="Esc", tooltip="take the filter away"
        ),
    ]

    @dataclass
    class Typed(Message):
        """The filter reads so now."""

        text: str

    @dataclass
    class Left(Message):
        """Nobody types any more."""

    def compose(self) -> ComposeResult:
        """Yield the label, the field, and what has come of it."""
        yield Static("Filter: ", id="filter-label")
        yield Field(id="filter-field")
        yield Static("", id="filter-said")

    def on_mount(self) -> None:
        """Take no room yet."""
        self.display = False

    @property
    def text(self) -> str:
        """What was typed."""
        return self.query_one(Field).value

    def begin(self) -> None:
        """Let the operator type."""
        self.display = True
        self.query_one(Field).focus()

    def say(self, text: str) -> None:
        """Tell what passes, to the right of what was typed, which keeps half the line."""
        if self.size.width:
            text = clip(text, min(len(text), self.size.width // 2))
        said = self.query_one("#filter-said", Static)
        if said.content != text:
            # A count of as many figures moves nothing.
            said.update(text, layout=len(text) != said.size.width)

    def action_clear(self) -> None:
        """Show everything again."""
        self.query_one(Field).value = ""
        self._leave()

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Typed(event.value))

    def action_keep(self) -> None:
        """Go back to the rows that pass."""
        self._leave()

    def _leave(self) -> None:
        self.display = bool(self.text)
        self.post_message(self.Left())
