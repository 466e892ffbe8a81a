# SPDX-License-Identifier: MIT
"""What is marked as new or changed, and for how long."""

from __future__ import annotations

from luo_tui.console.widgets.marks import Marks


def test_a_mark_ends_and_what_is_new_stays_new() -> None:
    marks = Marks()
    assert marks.next is None
    marks.add([1, 2], "+", 10.0)
    marks.add([2, 3], "*", 12.0)
    assert [marks.sign(k) for k in (1, 2, 3, 4)] == ["+", "+", "*", " "]
    assert marks.next == 10.0
    assert marks.expire(9.0) == set()
    assert marks.expire(11.0) == {1}
    assert [marks.sign(k) for k in (1, 2, 3)] == [" ", "+", "*"]
    assert marks.expire(12.0) == {2, 3}
    assert marks.next is None
