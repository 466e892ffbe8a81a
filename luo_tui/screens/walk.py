# SPDX-License-Identifier: MIT
"""The walk: the six steps, and what the next one would do, keep and cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widget import Widget

from luo_tui.desk import View
from luo_tui.screens.base import ACT_BINDINGS, KEY, Drawn, Pairs, act_keys, may_choose
from luo_tui.widgets.picture import action_rows, faults, finding_rows, holder, tally
from luo_tui.widgets.sheet import Sheet
from luo_tui.widgets.steps import Steps
from luo_tui.widgets.text import Row
from luo_tui.window.walk import Act, Action, Step

_OF_STEP = {
    Step.CHECK: Act.LOAD,
    Step.LOAD: Act.LOAD,
    Step.PREPARE: Act.PREPARE,
    Step.KEXEC: Act.KEXEC,
    Step.RESTORE: Act.FINISH,
    Step.FINISH: Act.FINISH,
}
_SURVIVORS = 6


class WalkScreen(Drawn[None]):
    """Where the update stands, and each act that can be done from there."""

    AUTO_FOCUS = "#page"
    BINDINGS: ClassVar[list[BindingType]] = [
        *ACT_BINDINGS,
        Binding("escape", "leave", "back", show=False),
        Binding("enter,w", "app.next", "next", show=False),
    ]

    def action_leave(self) -> None:
        """Go back to the overview."""
        self.dismiss(None)

    def furniture(self) -> Iterable[Widget]:
        """Yield the steps, beside them the target, below them the next act."""
        with Horizontal(id="top"):
            yield Steps()
            yield Sheet(id="target")
        with VerticalScroll(id="page"):
            yield Sheet(id="notes")
            yield Sheet(id="acts")
            yield Sheet(id="findings")

    def draw(self, view: View) -> None:
        """Bring everything up to date."""
        self.query_one(Steps).show(view.walk)
        self.query_one("#target", Sheet).show(_target(view))
        self.query_one("#notes", Sheet).show(_notes(view))
        self.query_one("#acts", Sheet).show(_acts(view))
        self.query_one("#findings", Sheet).show(_findings(view))

    def keys(self, view: View) -> Pairs:
        """Return the keys that do something now."""
        target = [("t", "target")] if may_choose(view) else []
        return [*act_keys(view), *target, ("Esc", "back"), ("?", "help"), ("q", "quit")]


def next_action(view: View) -> Action | None:
    """Return the act of the step that is next, or what has to be done before it."""
    if view.walk.step is None:
        return None
    own = view.walk.action(_OF_STEP[view.walk.step])
    if own is not None and own.possible:
        return own
    return next((a for a in view.walk.actions if a.possible and a.act is Act.LOAD), own)


def _target(view: View) -> Iterator[Row]:
    host = view.snapshot.host
    target = view.facts.image
    yield Row(host.release, "running")
    if target is None:
        yield Row("none chosen", "target")
    else:
        yield Row(target.release or "unknown", "target")
        yield Row(_name(target.path), "image file")
        yield Row(_name(target.initrd) or "none", "initrd")
    yield Row(holder(view), "kexec image")
    yield Row(tally(view.snapshot), "resources")


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _notes(view: View) -> Iterator[Row]:
    yield Row(view.walk.headline, style="bold")
    for note in view.walk.notes:
        yield Row(note, style="$text-note")
    yield from faults(view.snapshot)


def _acts(view: View) -> Iterator[Row]:
    """Yield the next act at full length, the others with key and what blocks them."""
    first = next_action(view)
    if first is not None:
        yield from _named(first)
        yield from action_rows(first, _SURVIVORS)
    for action in view.walk.actions:
        if action is not first:
            yield Row("")
            yield from _named(action)


def _named(action: Action) -> Iterator[Row]:
    yield Row(action.label, f"key {KEY[action.act]}", style="bold", label_style="bold $text-key")
    if action.blocked:
        yield Row(action.blocked, "Not now", style="$text-note")


def _findings(view: View) -> Iterator[Row]:
    if view.facts.findings and view.snapshot.luo.state.usable:
        yield Row("Checks of the target", style="bold")
        yield from finding_rows(view.facts.findings)
