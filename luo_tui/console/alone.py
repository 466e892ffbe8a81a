# SPDX-License-Identifier: MIT
"""What no key may do within a burst of other input, and what is said when it tried."""

from __future__ import annotations

from textual.actions import ActionParseResult
from textual.dom import DOMNode
from textual.screen import Screen

from luo_tui.console.screens.base import Drawn
from luo_tui.console.widgets.choice_button import ChoiceButton

_ALWAYS = {"act", "target", "quit", "leave_now"}
"""Actions that change the machine or end the console."""
_BLIND = {"leave_now", "repaint"}
"""Actions that need no look at the screen."""
_HARMLESS = {"keep", "read"}
"""Buttons that change nothing, by id."""


def wants_quiet(
    action: str | ActionParseResult, of: DOMNode | None, screen: Screen[object]
) -> bool:
    """Whether a key may do this only if it came alone.

    Text in fields, moving about, and what changes nothing may come as fast as
    a slow line bunches it.
    """
    name = _name(action)
    match name:
        case "press":
            return isinstance(of, ChoiceButton) and of.id not in _HARMLESS
        case "choose" | "select" | "write":
            # The palette does what it names, another chooses the target, or writes a file.
            return isinstance(screen, Drawn) and screen.CHOICE_ACTS
    return name in _ALWAYS


def works_unseen(action: str | ActionParseResult) -> bool:
    """Whether a key may do this while the terminal is too small to show what it does."""
    return _name(action) in _BLIND


def _name(action: str | ActionParseResult) -> str:
    return action.partition("(")[0].rpartition(".")[2] if isinstance(action, str) else action[1]


def ignored(key: str, *, alone: bool) -> str:
    """Say that a key, by Textual's name for it, did nothing: it was not ``alone``, or too late."""
    name = "+".join(part.capitalize() if len(key) > 1 else part for part in key.split("+"))
    why = "the screen changed" if alone else "it came within a burst of other input"
    return f"Key {name} was ignored: {why}. Press it {'again' if alone else 'alone'}."
