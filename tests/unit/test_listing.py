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
        one.adopt(
            one.resorted((lambda t: t.size) if by_size else (lambda t: t.name), reverse=reverse)
        )
    if word:
        one.adopt(one.narrowed(parse(word, FIELDS)))
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


@pytest.mark.parametrize(("by_size", "reverse"), [(True, False), (False, True), (None, False)])
@pytest.mark.parametrize("word", ["", "a"])
@pytest.mark.parametrize("burst", [1, 3, 300])
def test_a_list_that_grows_at_its_end(
    by_size: bool | None, reverse: bool, word: str, burst: int
) -> None:
    chance = random.Random(f"{by_size}{reverse}{word}{burst}")
    one, most = listing(), 200
    if by_size is not None:
        key = (lambda t: t.size) if by_size else (lambda t: t.name)
        one.adopt(one.resorted(key, reverse=reverse))
    if word:
        one.adopt(one.narrowed(parse(word, FIELDS)))
    rows: dict[int, Thing] = {}
    last = 0
    for _ in range(120):
        before = list(one.order)
        new = {
            last + n: Thing(chance.choice("abc") * chance.randrange(1, 4), chance.randrange(7))
            for n in range(chance.randrange(burst + 1))
        }
        last += len(new)
        rows = {key: row for key, row in {**rows, **new}.items() if key >= last - most}
        grown = one.grow(new, most)
        assert dict(one.rows) == rows
        assert one.order == plain(rows, word, by_size=by_size, reverse=reverse)
        assert grown.gone == len([k for k in before if k not in rows])
        assert grown.shown == [k for k in new if k in rows and word in rows[k].name]
        for key in list(rows)[:3]:
            at = one.index(key)
            assert at == (one.order.index(key) if key in one.order else None)


def test_a_list_that_has_grown_shows_what_came_while_it_was_arranged() -> None:
    one = listing()
    one.grow({n: Thing("abc"[n % 3], n % 5) for n in range(50)}, 60)
    work = one.narrowed(parse("a", FIELDS))
    assert one.arranging
    assert len(one.order) == 50, "it is shown as it was until the work is done"
    one.grow({n: Thing("abc"[n % 3], n % 5) for n in range(50, 90)}, 60)
    work.run()
    assert one.adopt(work)
    assert one.order == [n for n in range(30, 90) if n % 3 == 0]
    one.grow({90: Thing("a", 1)}, 60)
    assert one.order[-1] == 90


def test_only_what_was_asked_for_last_is_shown() -> None:
    one = listing()
    one.replace({n: Thing("abc"[n % 3], n) for n in range(30)})
    first = one.narrowed(parse("a", FIELDS))
    second = one.narrowed(parse("b", FIELDS))
    both = one.resorted(lambda t: t.size, reverse=True)
    for work in (first, second, both):
        work.run()
    assert not one.adopt(second)
    assert one.adopt(both)
    assert not one.adopt(first)
    assert one.order == [n for n in reversed(range(30)) if n % 3 == 1]
    assert not one.arranging


def test_a_change_looks_at_no_other_row() -> None:
    looked: list[str] = []

    def text(thing: Thing) -> str:
        looked.append(thing.name)
        return thing.name

    one: Listing[int, Thing] = Listing(text)
    rows = {n: Thing(f"a{n}", n) for n in range(1000)}
    one.replace(rows)
    one.adopt(one.narrowed(parse("a", FIELDS)))
    assert len(looked) == 1000
    looked.clear()
    one.replace({**rows, 7: Thing("a-seven", 7)})
    assert looked == ["a-seven"]
    looked.clear()
    one.grow({1000: Thing("a-new", 1)}, 1000)
    assert looked == ["a-new"]
    assert len(one.order) == 1000


def test_what_is_the_same_is_no_difference() -> None:
    one = listing()
    assert one.replace({1: Thing("a", 1)})
    assert not one.replace({1: Thing("a", 1)})
    assert not one.replace(dict(one.rows))


def test_a_filter_sees_what_changed() -> None:
    one = listing()
    one.replace({1: Thing("alpha", 1), 2: Thing("beta", 2)})
    one.adopt(one.narrowed(parse("alp", FIELDS)))
    assert one.order == [1]
    one.replace({1: Thing("gamma", 1), 2: Thing("alpine", 2)})
    assert one.order == [2]
    one.adopt(one.narrowed(None))
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
        ("size>=8G", True),
        ("size<=8G", True),
        ("size>=9G", False),
        ("size<=7G", False),
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
    assert parse("colour:red", FIELDS).doubts == ("no field 'colour' here",)
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
