# SPDX-License-Identifier: MIT
"""The keys that work where one is, and what the signs mean there."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget

from luo_tui.console.screens.base import Dialog
from luo_tui.console.widgets.more_below import MoreBelow
from luo_tui.console.widgets.page import Page
from luo_tui.console.widgets.paragraphs import Paragraphs
from luo_tui.console.widgets.text import Row

_AFTER = (
    Row(""),
    Row(
        "An update is walked in six steps: check, load, prepare, freeze and kexec, restore, "
        "finish. The walk shows the next one; nothing is done without its key."
    ),
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
        Binding("escape", "close", "back", key_display="Esc", tooltip="back"),
        Binding("enter,q,question_mark,f1", "close", show=False),
    ]

    def __init__(self, here: Iterable[Row] = (), keys: Iterable[Row] = ()) -> None:
        """Tell of the screen that was left: ``here`` of its signs, ``keys`` of its keys."""
        super().__init__()
        self._here, self._keys = tuple(here), tuple(keys)

    def furniture(self) -> Iterable[Widget]:
        """Yield the page."""
        with Page(id="page"):
            # Sentences do not stand behind the labels of signs.
            for _, rows_here in groupby(self._here, key=lambda row: bool(row.label)):
                yield Paragraphs((*rows_here, Row("")))
            for rows in (self._keys, _AFTER):
                yield Paragraphs(rows)
        yield MoreBelow("#page")

    def action_close(self) -> None:
        """Go back."""
        self.dismiss(None)
