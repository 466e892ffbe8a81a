# SPDX-License-Identifier: MIT
"""The state machine, drawn in one line."""

from __future__ import annotations

from textual.content import Content

from luo_tui.console.widgets.banner import STYLES, StateWidget
from luo_tui.model import State

_ROUND = (State.NORMAL, State.PREPARED, State.FROZEN, None, State.UPDATED)
_SESSIONS = (State.NORMAL, State.PRESERVING, None, State.UPDATED)
"""The same of mainline's sessions: nothing is prepared, and the state is derived."""


class Machine(StateWidget):
    """``normal -> prepared -> frozen -> (kexec) -> updated -> normal``, the state in brackets."""

    def render(self) -> Content:
        """Draw it; narrow windows get shorter arrows."""
        arrow = " --> " if self.size.width >= 73 else " > "
        parts: list[str | tuple[str, str]] = []
        for state in _SESSIONS if self._derived else _ROUND:
            if state is None:
                parts.append(("(kexec)", "$text-muted"))
            elif state is self._state:
                parts.append((f"[{state}]", f"bold {STYLES[state]}"))
            else:
                parts.append((f" {state} ", "$text-muted"))
            parts.append((arrow, "$text-muted"))
        parts.append(("normal", "$text-muted"))
        return Content.assemble(*parts)
