# SPDX-License-Identifier: MIT
"""How an operator wants the console: what settings, variables and flags say of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wishes:
    """None of them changes what the console does to the host."""

    theme: str = ""
    """One of the names in :mod:`luo_tui.console.themes`; empty: what the terminal can show."""
    place: str = "overview"
    """The place in which it opens."""
    mouse: bool | None = None
    """None: where a lost line cannot leave the mouse's reports switched on."""
    bell: bool = False
    """Whether to ring when an act ends or fails, and when all is restored."""
