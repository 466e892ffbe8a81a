# SPDX-License-Identifier: MIT
"""The walk: the six steps, and what the next one would do, keep and cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widget import Widget

from luo_tui.console.screens.base import Place, may_choose
from luo_tui.console.session import View
from luo_tui.console.widgets.more_below import MoreBelow
from luo_tui.console.widgets.page import Page
from luo_tui.console.widgets.paragraphs import Paragraphs
from luo_tui.console.widgets.presenter import (
    blackout_drawn,
    checked,
    doubts,
    finding_rows,
    headline,
    holder,
    named,
    next_action,
    next_rows,
    tally,
    timeline,
)
from luo_tui.console.widgets.steps import Steps
from luo_tui.console.widgets.text import Row
from luo_tui.update.facts import Level, Step

_SURVIVORS = 6


class WalkScreen(Place):
    """Where the update stands, and each act that can be done from there."""

    WORD = "window"
    AUTO_FOCUS = "#page"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "escape",
            "app.place('overview')",
            "back",
            key_display="Esc",
            tooltip="back to the overview",
        )
    ]

    def __init__(self) -> None:
        """Start out at no step."""
        super().__init__()
        self._step: Step | None = None

    def furniture(self) -> Iterable[Widget]:
        """Yield the steps, beside them the target, below them the next act."""
        with Horizontal(id="top"):
            yield Steps()
            yield Paragraphs(id="target", rest="")
        with Page(id="page"):
            yield Paragraphs(id="notes")
            yield Paragraphs(id="doubts")
            yield Paragraphs(id="acts")
            yield Paragraphs(id="passed")
            yield Paragraphs(id="blackout")
            yield Paragraphs(id="timeline")
        yield MoreBelow("#page")

    def draw(self, view: View) -> None:
        """Bring everything up to date."""
        if view.walk.step is not self._step:
            # What was read of the last step stands no longer where it stood.
            self._step = view.walk.step
            self.query_one(Page).scroll_home(animate=False)
        self.query_one(Steps).show(view.walk)
        self.query_one("#target", Paragraphs).show(_target(view))
        self.query_one("#notes", Paragraphs).show(headline(view))
        self.query_one("#doubts", Paragraphs).show(doubts(view))
        self.query_one("#acts", Paragraphs).show(_acts(view))
        self.query_one("#passed", Paragraphs).show(_passed(view))
        self.query_one("#blackout", Paragraphs).show(blackout_drawn(view))
        self.query_one("#timeline", Paragraphs).show(timeline(view))

    def about(self) -> Iterable[Row]:
        """Say what the window is."""
        yield Row(
            "One update of this host, step by step: where it stands, what is next, what that "
            "would do and cost. Nothing is done without its key."
        )


def _target(view: View) -> Iterator[Row]:
    host = view.snapshot.host
    target = view.facts.image
    yield Row(host.release, "running")
    if target is None and may_choose(view):
        yield Row("none chosen", "target")
    if target is not None:
        yield Row(target.release or "unknown", "target")
        yield Row(checked(view), "checks")
    yield Row(holder(view), "kexec image")
    yield Row(tally(view.snapshot), "resources")
    # Last: where there is little room they are cut first.
    if target is not None:
        yield Row(_name(target.path), "image file")
        yield Row(_name(target.initrd) or "none", "initrd")


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _acts(view: View) -> Iterator[Row]:
    """Yield what is next at full length, the other acts with key and what blocks them."""
    first = next_action(view)
    rows = list(next_rows(view, _SURVIVORS))
    yield from rows
    if rows and rows[0].label == "key t":
        first = None
    for action in view.walk.actions:
        if action is not first:
            yield Row("")
            yield from named(action)


def _passed(view: View) -> Iterator[Row]:
    return finding_rows(f for f in view.facts.findings if f.level is Level.OK)
