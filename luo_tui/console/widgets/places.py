# SPDX-License-Identifier: MIT
"""The last line but one: the places with their number keys, the current one in brackets."""

from __future__ import annotations

from textual.content import Content
from textual.events import Click
from textual.widget import Widget

PLACES = {
    "overview": "1",
    "resources": "2",
    "devices": "3",
    "events": "4",
    "window": "5",
    "guests": "6",
    "history": "7",
}
"""The places by name, each with its key."""


class Places(Widget):
    """``1 overview [2 resources] 3 devices ...``; a click goes there.

    Where that has no room the other places have their numbers alone.
    """

    def __init__(self, here: str) -> None:
        """Put brackets around ``here``."""
        super().__init__()
        self._here = here

    def _parts(self) -> list[tuple[str, str]]:
        """Return each place as it is written, with its name."""
        whole = sum(len(key) + len(name) + 3 for name, key in PLACES.items())
        return [
            (f"[{key} {name}]" if name == self._here else f" {key} {name} ", name)
            if name == self._here or self.size.width >= whole
            else (f" {key} ", name)
            for name, key in PLACES.items()
        ]

    def render(self) -> Content:
        """Draw them."""
        styled = [
            (text, "bold $text-key" if name == self._here else "$text-quiet")
            for text, name in self._parts()
        ]
        return Content.assemble(*styled)

    async def on_click(self, event: Click) -> None:
        """Go where the mouse points."""
        event.stop()
        at = event.x
        for text, name in self._parts():
            if at < len(text):
                await self.run_action(f"app.place({name!r})")
                return
            at -= len(text)
