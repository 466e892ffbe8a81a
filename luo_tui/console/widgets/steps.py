# SPDX-License-Identifier: MIT
"""The six steps of an update, with a sign and a word for what is done, next and later."""

from __future__ import annotations

from collections.abc import Mapping

from textual.content import Content
from textual.widget import Widget

from luo_tui.update.facts import Step
from luo_tui.update.walk import Walk


class Steps(Widget):
    """``[x] check``, ``[>] load  next``, ``[ ] prepare``."""

    def __init__(self) -> None:
        """Start out with everything later."""
        super().__init__()
        self._step: Step | None = None
        self._done: frozenset[Step] = frozenset()
        self._steps: Mapping[Step, str] = {s: str(s) for s in Step}

    def show(self, walk: Walk) -> None:
        """Mark the steps as in ``walk``."""
        shown = (walk.step, walk.done, walk.steps)
        if shown != (self._step, self._done, self._steps):
            other = walk.steps.keys() != self._steps.keys()
            self._step, self._done, self._steps = shown
            self.refresh(layout=other)

    def render(self) -> Content:
        """Draw one line a step."""
        lines = []
        for step, word in self._steps.items():
            if step in self._done:
                lines.append(Content.styled(f"[x] {word:<17} done", "$text-quiet"))
            elif step is self._step:
                lines.append(Content.styled(f"[>] {word:<17} next", "bold $text-key"))
            else:
                lines.append(Content(f"[ ] {word:<17}"))
        return Content("\n").join(lines)
