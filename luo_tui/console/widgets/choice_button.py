# SPDX-License-Identifier: MIT
"""A button that names an outcome: one line, its focus marked by a sign as well as by colour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.events import Click
from textual.message import Message
from textual.widget import Widget

from luo_tui.console.widgets.text import plain


class ChoiceButton(Widget, can_focus=True):
    """``> [ Stay prepared ]``; Enter or a click presses it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "enter",
            "press",
            "press",
            key_display="Enter",
            tooltip="give the answer that has the focus",
        )
    ]

    @dataclass
    class Pressed(Message):
        """The operator decided for this outcome."""

        button: ChoiceButton

        @property
        def control(self) -> ChoiceButton:
            """The widget, for handlers that select by its id."""
            return self.button

    def __init__(self, label: str, *, id: str | None = None, disabled: bool = False) -> None:  # noqa: A002
        """``label`` says what will be so afterwards."""
        super().__init__(id=id, disabled=disabled)
        self.label = label

    def relabel(self, label: str) -> None:
        """Name another outcome."""
        self.label = label
        self.refresh(layout=True)

    def render(self) -> Content:
        """Draw it; what cannot be pressed is in parentheses."""
        sign = ">" if self.has_focus else " "
        left, right = ("( ", " )") if self.disabled else ("[ ", " ]")
        return Content(f"{sign} {left}{plain(self.label)}{right}")

    def action_press(self) -> None:
        """Tell the screen."""
        if not self.disabled:
            self.post_message(self.Pressed(self))

    def on_click(self, event: Click) -> None:
        """Press with the mouse."""
        event.stop()
        self.action_press()

    def on_focus(self) -> None:
        """Draw the sign."""
        self.refresh()

    def on_blur(self) -> None:
        """Take the sign away."""
        self.refresh()
