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
class ShutDown(Message):
    """The window was left; the console can end."""

    lines: Sequence[str]
