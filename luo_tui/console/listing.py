# SPDX-License-Identifier: MIT
"""A long list in the order and with the rows that an operator wants to see. Pure.

Holds a hundred thousand rows: what changed is found by identity, a few changes
move only the rows that they are about, and a log grows at its end without a
look at what it has already. Only a new filter or another order takes all rows
in hand; :class:`Arranging` does that away from whoever draws.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from operator import is_not
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


@dataclass(frozen=True, slots=True)
class Grown(Generic[Key]):
    """How a list has grown at its end."""

    shown: Sequence[Key]
    """New rows that are shown, in the order in which they came."""
    gone: int
    """How many rows that were shown are no longer kept."""


@dataclass(frozen=True, slots=True)
class Wanted(Generic[Row]):
    """Which rows are to be seen, and in which order."""

    filter: Filter[Row] | None = None
    sort_key: Callable[[Row], Any] | None = None
    """None: as they came."""
    reverse: bool = False


class Listing(Generic[Key, Row]):
    """Rows by key, sorted and filtered."""

    def __init__(self, text: Callable[[Row], str]) -> None:
        """``text`` returns all that is told of a row; words are looked for in it."""
        self._text = text
        self._wanted: Wanted[Row] = Wanted()
        self._asked = self._wanted
        """What was asked for last; not shown yet while it is being arranged."""
        self._passing: set[Key] = set()
        """The rows that pass the filter; empty without one."""
        self._log: dict[Key, Row] = {}
        """The rows of a list that grows at its end."""
        self._came: deque[Key] = deque()
        """Their keys, the oldest first."""
        self.rows: Mapping[Key, Row] = {}
        self.order: list[Key] = []
        """The keys of the rows that are shown, in their order."""

    @property
    def filter(self) -> Filter[Row] | None:
        """What the rows have to pass."""
        return self._wanted.filter

    @property
    def sorted(self) -> bool:
        """Whether the order is another than that in which the rows came."""
        return self._wanted.sort_key is not None

    # -- rows -------------------------------------------------------------------------

    def replace(self, rows: Mapping[Key, Row]) -> Difference[Key]:
        """Take these rows, which do not change any more; return how they differ."""
        old, difference = self.rows, Difference[Key]()
        # Ten thousand rows, of which one differs, are passed over without a step of our own.
        others = compress(rows.items(), map(is_not, map(old.get, rows), rows.values()))
        for key, row in others:
            before = old.get(key)
            if before is None:
                difference.added.add(key)
            elif before != row:
                difference.changed.add(key)
        if len(old) + len(difference.added) != len(rows):
            difference.removed = {key for key in old if key not in rows}
        if not difference:
            self.rows = rows
        elif len(stirred := difference.added | difference.changed | difference.removed) > _FEW:
            self.rows = rows
            self._pass(stirred)
            self._arrange()
        else:
            self._move(stirred, rows)
        return difference

    def grow(self, rows: Mapping[Key, Row], most: int) -> Grown[Key]:
        """Take these new rows after all others; above ``most`` rows the oldest go."""
        if self.rows is not self._log:
            self._log = dict(self.rows)
            self._came = deque(self._log)
            self.rows = self._log
        over = len(self._came) + len(rows) - most
        gone = [self._came.popleft() for _ in range(min(over, len(self._came)))]
        came = list(rows)[max(0, len(rows) - most) :]
        at_the_front = self._drop(gone)
        for key in gone:
            del self._log[key]
        self._log.update((key, rows[key]) for key in came)
        self._came.extend(came)
        shown = self._pass(came) if self.filter is not None else came
        if not self.sorted:
            self.order.extend(shown)
        elif len(shown) > _FEW:
            self._arrange()
        else:
            self._insert(shown)
        return Grown(shown, at_the_front)

    # -- what is wanted of them -------------------------------------------------------

    def narrowed(self, by: Filter[Row] | None) -> Arranging[Key, Row]:
        """Return the work of showing only what passes ``by``, to be done and adopted."""
        by = by if by is not None and by.terms else None
        return Arranging(self, replace(self._asked, filter=by))

    def resorted(
        self, key: Callable[[Row], Any] | None, *, reverse: bool = False
    ) -> Arranging[Key, Row]:
        """Return the work of sorting by ``key``; None is for the order in which the rows came."""
        return Arranging(self, replace(self._asked, sort_key=key, reverse=reverse))

    def adopt(self, arranging: Arranging[Key, Row]) -> bool:
        """Show the rows as they were arranged, and those that came since in their places.

        False, and nothing, where something else was asked for since.
        """
        if arranging.wanted is not self._asked:
            return False
        now = self.rows
        self._wanted, self._passing, self.order = arranging.wanted, *arranging.done()
        if now is not arranging.rows:
            self.rows = arranging.rows
            self.replace(now)
        return True

    @property
    def arranging(self) -> bool:
        """Whether something was asked for that has not been adopted yet."""
        return self._asked is not self._wanted

    def index(self, key: Key) -> int | None:
        """Return at which line ``key`` is shown; None if it is not."""
        if key not in self.rows:
            return None
        if self.sorted:
            at = self._place(key)
            return at if at < len(self.order) and self.order[at] == key else None
        try:
            return self.order.index(key)
        except ValueError:
            return None

    # -- in their places --------------------------------------------------------------

    def _pass(self, keys: Iterable[Key]) -> list[Key]:
        """See anew which of these pass the filter; return those, in their order."""
        by = self.filter
        if by is None:
            return []
        self._passing.difference_update(keys)
        found = [
            key
            for key in keys
            if (row := self.rows.get(key)) is not None and by.matches(row, self._text(row).lower())
        ]
        self._passing.update(found)
        return found

    def _arrange(self) -> None:
        passing = None if self.filter is None else self._passing
        self.order = _arranged(self.rows, passing, self._wanted)

    def _move(self, stirred: set[Key], rows: Mapping[Key, Row]) -> None:
        """Take a few rows out of their old places and put them in their new ones."""
        if not self.sorted:
            self.rows = rows
            self._pass(stirred)
            self._arrange()
            return
        self._take_out(stirred)
        self.rows = rows
        shown = self._pass(stirred) if self.filter is not None else stirred
        self._insert(key for key in shown if key in rows)

    def _drop(self, gone: Sequence[Key]) -> int:
        """Take out the oldest rows, before they are forgotten; return how many were shown."""
        if self.filter is not None:
            shown = [key for key in gone if key in self._passing]
            self._passing.difference_update(gone)
        else:
            shown = list(gone)
        if self.sorted:
            self._take_out(shown)
        else:
            del self.order[: len(shown)]
        return len(shown)

    def _take_out(self, keys: Iterable[Key]) -> None:
        for key in keys:
            at = self.index(key)
            if at is not None:
                del self.order[at]

    def _insert(self, keys: Iterable[Key]) -> None:
        for key in keys:
            self.order.insert(self._place(key), key)

    def _place(self, key: Key) -> int:
        """Return where in the sorted order ``key`` stands, or would."""
        rank = _ranked(self.rows, self._wanted.sort_key)
        if not self._wanted.reverse:
            return bisect_left(self.order, rank(key), key=rank)
        mine = rank(key)
        return bisect_left(self.order, True, key=lambda other: bool(rank(other) <= mine))


class Arranging(Generic[Key, Row]):
    """Finds what passes a filter and sorts it, from the rows of one moment.

    :meth:`run` may be called in another thread than the list's own.
    """

    def __init__(self, listing: Listing[Key, Row], wanted: Wanted[Row]) -> None:
        """``wanted`` is what ``listing`` is asked to show."""
        self.wanted = listing._asked = wanted
        self._text = listing._text
        rows = listing.rows
        self.rows: Mapping[Key, Row] = dict(rows) if rows is listing._log else rows
        """The rows, which do not change meanwhile."""
        same = wanted.filter is not None and wanted.filter == listing.filter
        self._passing: set[Key] | None = set(listing._passing) if same else None
        self._order: list[Key] | None = None

    def run(self) -> None:
        """Do it. Takes long: all rows are looked at."""
        by = self.wanted.filter
        if by is not None and self._passing is None:
            text = self._text
            self._passing = {
                key for key, row in self.rows.items() if by.matches(row, text(row).lower())
            }
        self._order = _arranged(self.rows, self._passing, self.wanted)

    def done(self) -> tuple[set[Key], list[Key]]:
        """Return what passes the filter (nothing without one), and the order."""
        if self._order is None:
            self.run()
        return self._passing or set(), self._order or []


def _ranked(rows: Mapping[Key, Row], sort_key: Callable[[Row], Any] | None) -> Callable[[Key], Any]:
    """Rows with one rank stand in the order of their keys, so that each has one place."""
    if sort_key is None:
        return lambda key: key
    return lambda key: (sort_key(rows[key]), key)


def _arranged(rows: Mapping[Key, Row], passing: set[Key] | None, wanted: Wanted[Row]) -> list[Key]:
    order = list(rows) if passing is None else [key for key in rows if key in passing]
    if wanted.sort_key is not None:
        order.sort(key=_ranked(rows, wanted.sort_key), reverse=wanted.reverse)
    return order
