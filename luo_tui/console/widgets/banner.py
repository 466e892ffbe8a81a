# SPDX-License-Identifier: MIT
"""The LUO state in letters of five rows.

The letters are drawn with ``#`` in one colour on the same colour, which is a
solid block where there are colours, and a readable ``#`` where there are none.
"""

from __future__ import annotations

from textual.content import Content
from textual.widget import Widget

from luo_tui.model import LuoState, State

_LETTERS = {
    "A": (" ### ", "#   #", "#####", "#   #", "#   #"),
    "B": ("#### ", "#   #", "#### ", "#   #", "#### "),
    "D": ("#### ", "#   #", "#   #", "#   #", "#### "),
    "E": ("#####", "#    ", "#### ", "#    ", "#####"),
    "F": ("#####", "#    ", "#### ", "#    ", "#    "),
    "G": (" ####", "#    ", "#  ##", "#   #", " ####"),
    "I": ("###", " # ", " # ", " # ", "###"),
    "K": ("#   #", "#  # ", "###  ", "#  # ", "#   #"),
    "L": ("#    ", "#    ", "#    ", "#    ", "#####"),
    "M": ("#   #", "## ##", "# # #", "#   #", "#   #"),
    "N": ("#   #", "##  #", "# # #", "#  ##", "#   #"),
    "O": (" ### ", "#   #", "#   #", "#   #", " ### "),
    "P": ("#### ", "#   #", "#### ", "#    ", "#    "),
    "R": ("#### ", "#   #", "#### ", "#  # ", "#   #"),
    "S": (" ####", "#    ", " ### ", "    #", "#### "),
    "T": ("#####", "  #  ", "  #  ", "  #  ", "  #  "),
    "U": ("#   #", "#   #", "#   #", "#   #", " ### "),
    "V": ("#   #", "#   #", "#   #", " # # ", "  #  "),
    "W": ("#   #", "#   #", "# # #", "## ##", "#   #"),
    "Z": ("#####", "   # ", "  #  ", " #   ", "#####"),
}

STYLES = {
    State.NORMAL: "$state-normal",
    State.PREPARED: "$state-prepared",
    State.FROZEN: "$state-frozen",
    State.UPDATED: "$state-updated",
    State.PRESERVING: "$state-prepared",
    State.UNAVAILABLE: "$state-none",
    State.UNKNOWN: "$state-none",
}


def big(word: str) -> list[str]:
    """Return ``word`` in five rows of letters."""
    return [" ".join(_LETTERS[c][row] for c in word.upper()) for row in range(5)]


class StateWidget(Widget):
    """Something that draws the state, anew only when that has changed."""

    def __init__(self) -> None:
        """Start out unknown."""
        super().__init__()
        self._state = State.UNKNOWN
        self._derived = False
        self._grave = False

    def show(self, luo: LuoState, *, grave: bool = False) -> None:
        """Show this state from now on; ``grave`` says that something promised is lost."""
        new = luo.state, bool(luo.evidence), grave
        if new != (self._state, self._derived, self._grave):
            self._state, self._derived, self._grave = new
            self.refresh()

    @property
    def colour(self) -> str:
        """The state's colour; that of an error where something promised is lost."""
        return "$text-error" if self._grave else STYLES[self._state]


class Banner(StateWidget):
    """The state as the largest thing on the screen; one line where there is no room."""

    def render(self) -> Content:
        """Draw the letters, or the word alone."""
        colour = self.colour
        rows = big(self._state)
        if self.size.height < 5 or self.size.width < len(rows[0]):
            word = (self._state.upper(), f"bold {colour}")
            return Content.assemble("LUO state: ", word, " (derived)" if self._derived else "")
        lines = []
        for row in rows:
            parts: list[tuple[str, str]] = []
            for char in row:
                parts.append((char, f"{colour} on {colour}" if char == "#" else ""))
            lines.append(Content.assemble(*parts).simplify())
        return Content("\n").join(lines)
