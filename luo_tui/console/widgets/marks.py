# SPDX-License-Identifier: MIT
"""Which rows of a table are new or have changed, for a while."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class Marks:
    """Signs by key, each until its time is over."""

    def __init__(self) -> None:
        """Start out without any."""
        self._signs: dict[Any, tuple[str, float]] = {}
        """By key, those that end first standing first."""

    def add(self, keys: Iterable[Any], sign: str, until: float) -> None:
        """Mark rows ``until`` a moment that is not before any other; what is new stays so."""
        for key in keys:
            known = self._signs.pop(key, None)
            self._signs[key] = ("+" if known and known[0] == "+" else sign, until)

    def sign(self, key: Any) -> str:
        """Return the sign of a row; a blank where it has none."""
        return self._signs[key][0] if key in self._signs else " "

    def expire(self, now: float) -> set[Any]:
        """Take away what ends by ``now``; return whose marks those were."""
        gone = set()
        for key, (_, until) in self._signs.items():
            if until > now:
                break
            gone.add(key)
        for key in gone:
            del self._signs[key]
        return gone

    @property
    def next(self) -> float | None:
        """When the next mark ends; None while there is none."""
        return next((until for _, until in self._signs.values()), None)
