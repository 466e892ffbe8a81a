# SPDX-License-Identifier: MIT
"""Names of resources are a sequence like any other, made when they are asked for."""

from __future__ import annotations

import pytest

from luo_tui.model import Resource, ResourceState
from luo_tui.update.wording import Names, before_jump, change_text, count_text, size_text

SOME = tuple(
    Resource(n, "memfd", ResourceState.PRESERVED, f"g{n}", 1 << 20, n, "vmm") for n in range(4)
)
PARTS = ((SOME[:3], "{}, of {}"), (SOME[3:], "{} (kept)"))
PLAIN = (
    "g0 (token 0), 1 MiB, of an unknown process",
    "g1 (token 1), 1 MiB, of vmm [1]",
    "g2 (token 2), 1 MiB, of vmm [2]",
    "g3 (token 3), 1 MiB (kept)",
    "a device",
)


def test_they_are_what_the_list_of_them_would_be() -> None:
    names = Names(PARTS, ("a device",))
    assert tuple(names) == PLAIN
    assert len(names) == len(PLAIN)
    for at in range(-5, 5):
        assert names[at] == PLAIN[at]
    for part in (slice(2), slice(0), slice(99), slice(1, 4), slice(None, None, 2), slice(-2, None)):
        assert names[part] == PLAIN[part]
    with pytest.raises(IndexError):
        names[5]
    assert not Names(())


def test_they_are_equal_by_what_is_read() -> None:
    names = Names(PARTS, ("a device",))
    assert names == PLAIN
    assert names == Names(PARTS, ("a device",))
    assert hash(names) == hash(PLAIN)
    # What no name tells of makes no difference.
    other = Names(
        ((tuple(r._replace(pages=9) for r in SOME[:3]), "{}, of {}"), PARTS[1]), ("a device",)
    )
    assert names == other
    assert names != Names(PARTS)
    assert names != Names(((SOME[1:], "{}"),))


GIB = 1 << 30


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (1020 << 20, "1020 MiB"),
        (GIB - 1, "1023 MiB"),
        (int(10.1 * GIB), "10.1 GiB"),
        (5000 << 40, "5000 TiB"),
    ],
)
def test_a_size_has_no_power_of_ten_and_is_not_rounded_into_the_next_unit(
    number: int, text: str
) -> None:
    assert size_text(number) == text


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        (9 * GIB, int(10.1 * GIB), "9 -> 10.1 GiB"),
        (512 << 20, 2 * GIB, "512 MiB -> 2 GiB"),
        (8 * GIB, 8 * GIB + 4096, "8,589,934,592 -> 8,589,938,688 bytes"),
    ],
)
def test_a_change_of_size_is_told_so_that_it_is_seen(before: int, after: int, text: str) -> None:
    assert change_text(before, after) == text


def test_thousands_are_set_off() -> None:
    assert count_text(1, "guest") == "1 guest"
    assert count_text(12_000, "guest") == "12,000 guests"


def test_what_comes_after_the_jump_is_said_before_it() -> None:
    assert before_jump("7.2", "7.3", "sudo luo-tui") == (
        "Jumping from 7.2 into 7.3 ...",
        "This login ends. Afterwards: sudo luo-tui",
    )
    assert before_jump("7.2", "7.3", "") == ("Jumping from 7.2 into 7.3 ...",)
