# SPDX-License-Identifier: MIT
"""The order of a long list is held to what a plain sort would give, whatever comes and goes."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import pytest

from luo_tui.console.filter import parse
from luo_tui.console.listing import Listing

FIELDS = {"size": lambda t: float(t.size), "name": lambda t: t.name, "kind": lambda t: "memfd"}


@dataclass(frozen=True)
class Thing:
    name: str
    size: int


def listing() -> Listing[int, Thing]:
    return Listing(lambda t: f"{t.name} {t.size}")


def plain(
    rows: dict[int, Thing], word: str, *, by_size: bool | None, reverse: bool = False
) -> list[int]:
    keys = [k for k, t in rows.items() if word in t.name]
    if by_size is not None:
        keys.sort(key=lambda k: ((rows[k].size if by_size else rows[k].name), k))
    return keys[::-1] if reverse else keys


@pytest.mark.parametrize(
    ("by_size", "reverse"),
    [(True, False), (True, True), (False, False), (False, True), (None, False)],
)
@pytest.mark.parametrize("word", ["", "a"])
@pytest.mark.parametrize("burst", [3, 400])
def test_order(by_size: bool | None, reverse: bool, word: str, burst: int) -> None:
    chance = random.Random(f"{by_size}{reverse}{word}{burst}")
    one = listing()
    if by_size is not None:
        one.sort((lambda t: t.size) if by_size else (lambda t: t.name), reverse=reverse)
    if word:
        one.narrow(parse(word, FIELDS))
    rows: dict[int, Thing] = {}
    for _ in range(40):
        old = rows
        rows = dict(rows)
        for _ in range(chance.randrange(1, burst)):
            key = chance.randrange(600)
            if chance.random() < 0.3:
                rows.pop(key, None)
            else:
                rows[key] = Thing(chance.choice("abc") * chance.randrange(1, 4), key % 7)
        found = one.replace(rows)
        assert found.added == rows.keys() - old.keys()
        assert found.removed == old.keys() - rows.keys()
        assert found.changed == {k for k in rows.keys() & old.keys() if rows[k] != old[k]}
        assert one.order == plain(rows, word, by_size=by_size, reverse=reverse)
        for key in range(600):
            at = one.index(key)
            assert at == (one.order.index(key) if key in one.order else None)


def test_what_is_the_same_is_no_difference() -> None:
    one = listing()
    assert one.replace({1: Thing("a", 1)})
    assert not one.replace({1: Thing("a", 1)})
    assert not one.replace(dict(one.rows))


def test_a_filter_sees_what_changed() -> None:
    one = listing()
    one.replace({1: Thing("alpha", 1), 2: Thing("beta", 2)})
    one.narrow(parse("alp", FIELDS))
    assert one.order == [1]
    one.replace({1: Thing("gamma", 1), 2: Thing("alpine", 2)})
    assert one.order == [2]
    one.narrow(None)
    assert one.order == [1, 2]


@pytest.mark.parametrize(
    ("typed", "passes"),
    [
        ("", True),
        ("web", True),
        ("WEB gib", True),
        ("web db", False),
        ("-db", True),
        ("-web", False),
        ("name:web", True),
        ("name:gib", False),
        ("-name:web", False),
        ("kind:memfd", True),
        ("size>1G", True),
        ("size>8G", False),
        ("size<9.5g", True),
        ("size=8GiB", True),
        ("-size>1G", False),
        # What is not understood is looked for as it stands.
        ("size>", False),
        ("colour:red", False),
        ("guest:web", True),
        ("size>much", False),
        ("-", True),
        (":", True),
        ("name:", False),
    ],
)
def test_filters(typed: str, passes: bool) -> None:
    row = Thing("guest:web", 8 << 30)
    found = parse(typed, FIELDS)
    assert found.matches(row, "guest:web 8 gib - x") is passes, found


def test_a_filter_says_what_it_does_not_understand() -> None:
    assert parse("colour:red", FIELDS).doubts[0].startswith("'colour' is no field")
    assert "no number" in parse("size>much", FIELDS).doubts[0]
    assert parse("name:web size>1G", FIELDS).doubts == ()


def test_no_filter_fails_whatever_is_typed() -> None:
    chance = random.Random(7)
    row = Thing("x", 1)
    for _ in range(2000):
        typed = "".join(chance.choice("ab-:<>=1kG .\x1b\\[(*ß") for _ in range(chance.randrange(9)))
        parse(typed, FIELDS).matches(row, "x 1")


def test_rows_that_only_moved_in_memory_are_not_told() -> None:
    one = listing()
    first = Thing("a", 1)
    one.replace({1: first})
    assert not one.replace({1: replace(first)})
