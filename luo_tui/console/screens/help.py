# SPDX-License-Identifier: MIT
"""The keys, and what the signs mean."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widget import Widget

from luo_tui.console.screens.base import Dialog, Pairs
from luo_tui.console.session import View
from luo_tui.console.widgets.paragraphs import Paragraphs
from luo_tui.console.widgets.presenter import KEY, WORD
from luo_tui.console.widgets.text import Row

_BEFORE = (
    Row(
        "An update is walked in six steps: check, load, prepare, freeze and kexec, restore, "
        "finish. The walk shows the next one; nothing is done without its key."
    ),
    Row(""),
)
_KEYS = (
    Row("overview, resources, devices, events, window", "1 to 5"),
    Row("everything that can be done, by name", ": or Ctrl+P"),
    *(Row(WORD[act], key) for act, key in KEY.items()),
    Row("choose the target kernel; the checks run at once", "t"),
    Row("back, and no to every question", "Esc"),
    Row("leave; the host stays as it is, and the image is unloaded", "q"),
    Row("draw the screen anew", "Ctrl+L"),
    Row("leave at once, after the call in flight", "Ctrl+\\"),
)
_AFTER = (
    Row(""),
    Row(
        "What was preserved is restored by its owners; files that were held, by "
        "`luo-tui restore NAME -o FILE`. Finish discards what nobody restored."
    ),
    Row("Watching works as any user. Acting needs root: sudo luo-tui"),
)


class Help(Dialog[None]):
    """One page."""

    AUTO_FOCUS = "#page"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q,question_mark", "close", show=False),
    ]

    def __init__(self, here: Iterable[Row] = ()) -> None:
        """Begin with ``here``, which is about the screen that was left."""
        super().__init__()
        self._here = tuple(here)

    def furniture(self) -> Iterable[Widget]:
        """Yield the page."""
        with VerticalScroll(id="page"):
            # Sentences do not stand behind the keys' labels.
            for _, rows_here in groupby(self._here, key=lambda row: bool(row.label)):
                yield Paragraphs((*rows_here, Row("")))
            for rows in (_BEFORE, _KEYS, _AFTER):
                yield Paragraphs(rows)

    def keys(self, view: View) -> Pairs:
        """Return the one key."""
        del view
        return [("Esc", "back")]

    def action_close(self) -> None:
        """Go back."""
        self.dismiss(None)
