# SPDX-License-Identifier: MIT
"""Everything that crosses from other threads into the console, or between its screens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual.message import Message


@dataclass
class Wake(Message):
    """The hub has a newer snapshot. Bursts become one."""

    def can_replace(self, message: Message) -> bool:
        """Let a newer one stand for the older."""
        return isinstance(message, Wake)


@dataclass
class KeyHandled(Message):
    """Follows a key on its way up: wherever that goes, it has been handled when this arrives.

    An action may put off what it does, and that may ask for the focus, which Textual
    gives later still: so it goes through the application's queue some more times.
    """

    number: int
    rounds: int = 2


@dataclass
class ShutDown(Message):
    """The window was left; the console can end."""

    lines: Sequence[str]
