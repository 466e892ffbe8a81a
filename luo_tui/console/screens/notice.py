# SPDX-License-Identifier: MIT
"""What has to be acknowledged: a failure, told whole."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widget import Widget

from luo_tui.console.screens.base import Dialog, Pairs
from luo_tui.console.session import View
from luo_tui.console.widgets.choice_button import ChoiceButton
from luo_tui.console.widgets.more_below import MoreBelow
from luo_tui.console.widgets.paragraphs import Paragraphs
from luo_tui.console.widgets.text import Row


class Notice(Dialog[None]):
    """Stays until it was read: the first moment takes no key, lest a second Enter close it."""

    AUTO_FOCUS = "#read"
    GRACE: ClassVar[float] = 0.4
    """Seconds in which no key closes it."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "read", key_display="Esc", show=False, tooltip="close it")
    ]

    def __init__(self, heading: str, lines: Sequence[str], said: str = "I have read this") -> None:
        """``lines`` are whole sentences."""
        super().__init__()
        self._heading, self._lines, self._said = heading, tuple(lines), said
        self._since = time.monotonic()

    def furniture(self) -> Iterable[Widget]:
        """Yield what happened, sentence by sentence."""
        yield Paragraphs(id="heading")
        with VerticalScroll(id="page", can_focus=False):
            yield Paragraphs([r for t in self._lines for r in (Row(t), Row(""))], id="body")
        yield MoreBelow("#page")
        yield ChoiceButton(self._said, id="read")

    def draw(self, view: View) -> None:
        """Name the host."""
        host = view.snapshot.host.name
        self.query_one("#heading", Paragraphs).show(
            [Row(host, "On host", style="bold"), Row(self._heading, style="bold $text-error")]
        )

    def keys(self, view: View) -> Pairs:
        """Return the one key."""
        return [(key, self._said) for key, _ in super().keys(view)]

    @on(ChoiceButton.Pressed)
    def action_read(self) -> None:
        """Close it, once it could be read."""
        if time.monotonic() - self._since >= self.GRACE:
            self.dismiss(None)
