# SPDX-License-Identifier: MIT
"""The keys, and what the signs mean."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widget import Widget

from luo_tui.desk import View
from luo_tui.screens.base import Dialog, Pairs
from luo_tui.widgets.picture import KEY, WORD
from luo_tui.widgets.sheet import Sheet
from luo_tui.widgets.text import Row

_TEXT = (
    Row("An update is walked in six steps: check, load, prepare, freeze and kexec, restore,"),
    Row("finish. The walk shows the next one; nothing is done without its key."),
    Row(""),
    Row("the walk", "Enter or w"),
    *(Row(WORD[act], key) for act, key in KEY.items()),
    Row("choose the target kernel; the checks run at once", "t"),
    Row("back, and no to every question", "Esc"),
    Row("leave; the host stays as it is, and the image is unloaded", "q"),
    Row("draw the screen anew", "Ctrl+L"),
    Row("stop this console in the shell's background, unless an act is under way", "Ctrl+Z"),
    Row("leave at once, after the call in flight", "Ctrl+\\"),
    Row(""),
    Row("Restoring is done by the owners of what was preserved, for files that were held by"),
    Row("`luo-tui restore NAME -o FILE`. Finish discards what nobody restored."),
    Row("Acting needs root. Watching does not: sudo luo-tui"),
)


class Help(Dialog[None]):
    """One page."""

    AUTO_FOCUS = "#page"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q,question_mark", "close", show=False)
    ]

    def furniture(self) -> Iterable[Widget]:
        """Yield the page."""
        with VerticalScroll(id="page"):
            yield Sheet(_TEXT, id="body")

    def keys(self, view: View) -> Pairs:
        """Return the one key."""
        del view
        return [("Esc", "back")]

    def action_close(self) -> None:
        """Go back."""
        self.dismiss(None)
