# SPDX-License-Identifier: MIT
"""The last lines of a screen: what was just said, and the keys that do something now."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content
from textual.events import Click
from textual.geometry import Size
from textual.message import Message
from textual.widget import Widget

from luo_tui.console.widgets.text import plain


class Keys(Widget):
    """One line of keys; what does not fit is left out from the end but one."""

    def __init__(self, keys: Sequence[tuple[str, str]] = (), *, id: str | None = None) -> None:  # noqa: A002
        """``keys`` are pairs of key and what it does."""
        super().__init__(id=id)
        self._keys = tuple(keys)

    def show(self, keys: Sequence[tuple[str, str]]) -> None:
        """Show these keys from now on."""
        if tuple(keys) != self._keys:
            self._keys = tuple(keys)
            self.refresh()

    class Clicked(Message):
        """A key was pointed at."""

        def __init__(self, keys: str) -> None:
            """``keys`` are as they are written."""
            super().__init__()
            self.keys = keys

    def _fitting(self) -> list[tuple[str, str]]:
        keys = list(self._keys)
        while len(keys) > 2 and sum(len(k) + len(w) + 3 for k, w in keys) > self.size.width + 2:
            del keys[-3]
        return keys

    def on_click(self, event: Click) -> None:
        """Tell which key the mouse points at."""
        event.stop()
        at = event.x
        for key, word in self._fitting():
            if 0 <= at < len(key) + 1 + len(word):
                self.post_message(self.Clicked(key))
                return
            at -= len(key) + len(word) + 3

    def render(self) -> Content:
        """Draw them, the keys bold."""
        keys = self._fitting()
        parts: list[str | tuple[str, str]] = []
        for key, word in keys:
            parts += [(key, "bold $text-key"), f" {word}  "]
        return Content.assemble(*parts)


class Say(Widget):
    """What the console has to say about the last key; gone with the next one."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        """Start out silent."""
        super().__init__(id=id)
        self._text = ""

    @property
    def text(self) -> str:
        """What is said."""
        return self._text

    def show(self, text: str) -> None:
        """Say this; an empty text takes no room."""
        if text != self._text:
            self._text = text
            self.refresh(layout=True)

    def render(self) -> Content:
        """Draw it."""
        return Content.styled(plain(self._text), "bold $text-say")

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Take no line when there is nothing to say."""
        del container, viewport
        return len(Content(plain(self._text)).wrap(max(1, width))) if self._text else 0
