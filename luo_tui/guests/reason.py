# SPDX-License-Identifier: MIT
"""Why a guest cannot be carried, or what is to be known of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason, for a person and for a program."""

    code: str
    """Stays the same between versions."""
    text: str
    """A sentence without its end, to follow on a colon."""
    remedy: str
    """Whole sentences."""
    unknown: bool = False
    """Whether it is only that something could not be found out."""
