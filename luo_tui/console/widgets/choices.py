# SPDX-License-Identifier: MIT
"""A list to choose from; the entry that is chosen by Enter is marked by a sign, not by colour."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from textual.binding import BindingType
from textual.content import Content
from textual.strip import Strip
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from luo_tui.console.widgets.navigation import navigation
from luo_tui.console.widgets.text import plain


@dataclass(frozen=True, slots=True)
class Choice:
    """One entry."""

    id: str
    text: str
    """What it is; may come from elsewhere, and is only ever shown."""
    quiet: bool = False
    """Whether choosing it does no more than to say why it cannot be had."""


class Choices(OptionList):
    """Textual's list of options, without frame and without markup."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *navigation(
            "go through the list",
            up="cursor_up",
            down="cursor_down",
            pageup="page_up",
            pagedown="page_down",
        )
    ]

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        """Start out empty."""
        super().__init__(id=id, markup=False)
        self._choices: tuple[Choice, ...] = ()

    @property
    def chosen(self) -> Choice | None:
        """The entry that Enter takes; None while there is none."""
        return self._choices[self.highlighted] if self.highlighted is not None else None

    def show(self, choices: Iterable[Choice]) -> None:
        """Offer these from now on. The mark stays on its entry; where that has gone, on none.

        What is offered for the first time is marked at its first entry.
        """
        new = tuple(choices)
        if new == self._choices:
            return
        marked, first = self.chosen, not self._choices
        self._choices = new
        self.set_options(
            Option(Content.styled(plain(c.text), "$text-quiet" if c.quiet else ""), id=c.id)
            for c in new
        )
        ids = [c.id for c in new]
        if marked is not None and marked.id in ids:
            self.highlighted = ids.index(marked.id)
        elif first and new:
            self.highlighted = 0

    def mark_first(self) -> None:
        """Mark the first entry, if there is one."""
        self.highlighted = 0 if self._choices else None

    def render_line(self, y: int) -> Strip:
        """Draw one line, with a sign before the entry that is marked."""
        strip = super().render_line(y)
        at = _option(strip)
        if at is None or at != self.highlighted:
            return strip
        if y + self.scroll_offset.y > 0 and _option(super().render_line(y - 1)) == at:
            return strip
        first = next(iter(strip), None)
        sign = Segment(">", first.style if first else None)
        return Strip.join([Strip([sign], 1), strip.crop(1)])


def _option(strip: Strip) -> int | None:
    """Return to which option a line belongs, as Textual notes it for its clicks."""
    for segment in strip:
        if segment.style is not None and "option" in segment.style.meta:
            return int(segment.style.meta["option"])
    return None
