# SPDX-License-Identifier: MIT
"""What an operator types to narrow a list, as a rule. Pure.

Words must all occur, in any order and case. ``-word`` must not occur.
``field:text`` looks in one field alone; ``size>1G``, ``size<=4M`` and ``pid=7``
compare numbers. What is no such thing is looked for as it stands: a filter that
is half typed never fails.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

Row = TypeVar("Row")
Field = Callable[[Row], str | float]

_TERM = re.compile(r"(?P<field>[a-z]+)(?P<how>[<>]=|[:=<>])(?P<value>.+)")
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)([kmgt]?)(?:i?b)?")
_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    ":": operator.eq,
}
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


@dataclass(frozen=True, slots=True)
class _Term(Generic[Row]):
    """One thing that has to be so, or must not be so."""

    wanted: bool
    word: str = ""
    field: Field[Row] | None = None
    how: str = ":"
    number: float = 0.0

    def holds(self, row: Row, text: str) -> bool:
        return self._found(row, text) is self.wanted

    def _found(self, row: Row, text: str) -> bool:
        if self.field is None:
            return self.word in text
        value = self.field(row)
        if isinstance(value, str):
            return self.word in value.lower()
        return _COMPARE[self.how](value, self.number)


@dataclass(frozen=True, slots=True)
class Filter(Generic[Row]):
    """A filter as it was typed."""

    typed: str
    terms: tuple[_Term[Row], ...]
    doubts: tuple[str, ...]
    """What was not understood, and how it is taken instead."""

    def matches(self, row: Row, text: str) -> bool:
        """Whether ``row`` passes; ``text`` is all that is told of it, in lower case."""
        return all(term.holds(row, text) for term in self.terms)


def parse(typed: str, fields: Mapping[str, Field[Row]]) -> Filter[Row]:
    """Read what was typed; never fails. ``fields`` are those that can be asked for by name."""
    terms, doubts = [], []
    for word in typed.lower().split():
        wanted = not (word.startswith("-") and len(word) > 1)
        body = word if wanted else word[1:]
        term, doubt = _term(body, wanted, fields)
        terms.append(term)
        if doubt:
            doubts.append(doubt)
    return Filter(typed, tuple(terms), tuple(doubts))


def _term(body: str, wanted: bool, fields: Mapping[str, Field[Row]]) -> tuple[_Term[Row], str]:
    found = _TERM.fullmatch(body)
    if found is None:
        return _Term(wanted, body), ""
    field = fields.get(found["field"])
    if field is None:
        # A name may well have a colon; only what looks like a comparison is told.
        doubt = f"no field {found['field']!r} here"
        return _Term(wanted, body), doubt
    number = _NUMBER.fullmatch(found["value"])
    if number is not None:
        amount = float(number[1]) * _UNITS[number[2]]
        return _Term(wanted, found["value"], field, found["how"], amount), ""
    if found["how"][0] in "<>":
        return _Term(wanted, body), f"{found['value']!r}: no number"
    return _Term(wanted, found["value"], field), ""
