# SPDX-License-Identifier: MIT
"""The state machine: a picture where there is room, one line elsewhere."""

from __future__ import annotations

from textual.content import Content
from textual.geometry import Size

from luo_tui.console.widgets.banner import StateWidget
from luo_tui.console.widgets.machine_picture import (
    KEXEC,
    SESSIONS,
    STATE_MACHINE,
    StateBox,
    machine_picture,
    width_of,
)
from luo_tui.console.widgets.text import Charset

_PICTURE = 5
"""Lines of the picture."""


class Machine(StateWidget):
    """``normal -> prepared -> frozen -> (kexec) -> updated -> normal``, the state in brackets."""

    def render(self) -> Content:
        """Draw it; where there is little room the arrows are shorter."""
        if self.size.height < _PICTURE:
            return self._line()
        lines = machine_picture(self._stops, self._state, ascii_only=Charset.ascii_only)
        return Content("\n").join(
            Content.assemble(
                *(
                    (text, f"bold {self.colour}" if state is not None else "$text-quiet")
                    for text, state in line
                )
            )
            for line in lines
        )

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Take the picture's lines where it fits."""
        del container, viewport
        return _PICTURE if width >= width_of(STATE_MACHINE) else 1

    @property
    def _stops(self) -> tuple[StateBox, ...]:
        return SESSIONS if self._derived else STATE_MACHINE

    def _line(self) -> Content:
        lines = [self._with(arrow) for arrow in (" --> ", " > ", ">")]
        return next((one for one in lines if one.cell_length <= self.size.width), lines[-1])

    def _with(self, arrow: str) -> Content:
        parts: list[str | tuple[str, str]] = []
        for stop in self._stops:
            if stop.state is self._state:
                parts.append((f"[{stop.state}]", f"bold {self.colour}"))
            else:
                parts.append((f" {stop.state} ", "$text-quiet"))
            parts.append((arrow, "$text-quiet"))
            if stop.on == KEXEC:
                parts += [("(kexec)", "$text-quiet"), (arrow, "$text-quiet")]
        parts.append(("normal", "$text-quiet"))
        return Content.assemble(*parts)
