# SPDX-License-Identifier: MIT
"""A long list in the order and with the rows that an operator wants to see. Pure.

Holds a hundred thousand rows: what changed is found by identity, a few changes
move only the rows that they are about, and no text is made of a row before a
filter asks for it.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from luo_tui.console.filter import Filter

Row = TypeVar("Row")
Key = TypeVar("Key")

_FEW = 64
"""Up to this many changes are put in their places one by one; more are sorted at once."""


@dataclass(slots=True)
class Difference(Generic[Key]):
    """How a list differs from what it was."""

    added: set[Key] = field(default_factory=set)
    changed: set[Key] = field(default_factory=set)
    removed: set[Key] = field(default_factory=set)

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.added or self.changed or self.removed)


class Listing(Generic[Key, Row]):
    """Rows by key, sorted and filtered."""

    def __init__(self, text: Callable[[Row], str]) -> None:
        """``text`` returns all that is told of a row; words are looked for in it."""
        self._text = text
        self._texts: dict[Key, str] = {}
        self._sort_key: Callable[[Row], Any] | None = None
        self._reverse = False
        self.filter: Filter[Row] | None = None
        self.rows: Mapping[Key, Row] = {}
        self.order: list[Key] = []
        """The keys of the rows that are shown, in their order."""

    def replace(self, rows: Mapping[Key, Row]) -> Difference[Key]:
        """Take these rows; return how they differ from those before."""
        old, difference = self.rows, Difference[Key]()
        for key, row in rows.items():
            before = old.get(key)
            if before is None:
                difference.added.add(key)
            elif before is not row and before != row:
                difference.changed.add(key)
        if len(old) + len(difference.added) != len(rows):
            difference.removed = {key for key in old if key not in rows}
        if not difference:
            self.rows = rows
            return difference
        stirred = difference.added | difference.changed | difference.removed
        for key in stirred:
            self._texts.pop(key, None)
        if len(stirred) <= _FEW and self._sort_key is not None:
            self._move(stirred, rows)
        else:
            self.rows = rows
            self._arrange()
        return difference

    def sort(self, key: Callable[[Row], Any] | None, *, reverse: bool = False) -> None:
        """Sort by ``key``; None leaves the order in which the rows came."""
        self._sort_key, self._reverse = key, reverse
        self._arrange()

    def narrow(self, by: Filter[Row] | None) -> None:
        """Show only what passes ``by``."""
        self.filter = by if by is not None and by.terms else None
        self._arrange()

    def index(self, key: Key) -> int | None:
        """Return at which line ``key`` is shown; None if it is not."""
        row = self.rows.get(key)
        if row is None:
            return None
        if self._sort_key is not None and not self._reverse:
            at = bisect_left(self.order, self._rank(key), key=self._rank)
            return at if at < len(self.order) and self.order[at] == key else None
        try:
            return self.order.index(key)
        except ValueError:
            return None

    def _passes(self, key: Key, row: Row) -> bool:
        if self.filter is None:
            return True
        text = self._texts.get(key)
        if text is None:
            text = self._texts[key] = self._text(row).lower()
        return self.filter.matches(row, text)

    def _arrange(self) -> None:
        if self.filter is None:
            self.order = list(self.rows)
        else:
            self.order = [k for k, r in self.rows.items() if self._passes(k, r)]
        if self._sort_key is not None:
            self.order.sort(key=self._rank)
        if self._reverse:
            self.order.reverse()

    def _rank(self, key: Key) -> Any:
        """Rows with one rank stand in the order of their keys, so that each has one place."""
        return (self._sort_key(self.rows[key]), key) if self._sort_key is not None else key

    def _move(self, stirred: set[Key], rows: Mapping[Key, Row]) -> None:
        """Take a few rows out of their old places and put them in their new ones."""
        self.order = [k for k in self.order if k not in stirred]
        self.rows = rows
        if self._reverse:
            self.order.reverse()
        for key in stirred:
            row = rows.get(key)
            if row is not None and self._passes(key, row):
                insort(self.order, key, key=self._rank)
        if self._reverse:
            self.order.reverse()
