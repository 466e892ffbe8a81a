# SPDX-License-Identifier: MIT
"""The keys that go up and down, wherever something is longer than the window."""

from __future__ import annotations

from textual.binding import Binding

_SHOWN = {
    "up": "Up",
    "down": "Down",
    "pageup": "PgUp",
    "pagedown": "PgDn",
    "home": "Home",
    "end": "End",
}


def navigation(sentence: str, **actions: str) -> list[Binding]:
    """Return bindings by key; the help tells them together in one ``sentence``."""
    return [
        Binding(key, action, key_display=_SHOWN[key], show=False, tooltip=sentence)
        for key, action in actions.items()
    ]
