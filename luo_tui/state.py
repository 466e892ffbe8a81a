# SPDX-License-Identifier: MIT
"""The orchestrator's state, apart from the model for whoever needs nothing else of it."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """The orchestrator's state, by the kernel's own name for it."""

    NORMAL = "normal"
    PREPARED = "prepared"
    FROZEN = "frozen"
    UPDATED = "updated"
    PRESERVING = "preserving"
    """Somebody holds sessions for the next update. Derived: mainline's kernel tells no state."""
    UNAVAILABLE = "unavailable"
    """There is no orchestrator to ask; :attr:`LuoState.detail` says why."""
    UNKNOWN = "unknown"
    """The kernel named a state that this program does not know; the word is in the detail."""

    @property
    def at_rest(self) -> bool:
        """Whether no update is under way, before its kexec or after."""
        return self in (State.NORMAL, State.PRESERVING)

    @property
    def usable(self) -> bool:
        """Whether the state is known: told by the kernel, or derived from what it shows."""
        return self not in (State.UNAVAILABLE, State.UNKNOWN)
