# SPDX-License-Identifier: MIT
"""A clock that is set in the middle of a window is told, and nothing is reckoned by it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from luo_tui.update.clocks import clock_changes
from luo_tui.update.history import PastWindow
from luo_tui.update.report import report_json, report_text
from luo_tui.update.window_state import FORMAT, Record

BEGAN = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
DAY = 86_400.0


def record(event: str, boot: str, up: float, at: float, **data: object) -> Record:
    """Return a record that was written ``at`` seconds after the first one, by the wall clock."""
    return Record(event, (BEGAN + timedelta(seconds=at)).isoformat(), boot, up, data)


def window(set_by: float = 0.0, in_jump: float = 0.0, waited: float = 1.0) -> list[Record]:
    """Return the records of an update that took a minute, with the clock set before its jump."""
    dark = {"total_ms": 2500, "phases": []}
    off = set_by + in_jump
    return [
        record("opened", "a", 1000, 0),
        record("begin", "a", 1010, 10, act="prepare"),
        record("done", "a", 1012, 12 + set_by, act="prepare"),
        record("jump", "a", 1030, 30 + set_by),
        record("hook", "a", 1030.5, 30.5 + set_by, point="before-freeze", phase="begin"),
        record("hook", "a", 1040, 40 + set_by, point="before-freeze", phase="done"),
        # Two seconds of the blackout have passed when the new kernel's clock begins.
        record("arrived", "b", waited, 42.4 + waited + off, blackout=dark),
        record("closed", "b", waited + 9, 51.4 + waited + off, how="finished"),
    ]


@pytest.mark.parametrize("waited", [1.0, 3000.0])
def test_a_clock_that_runs_on_is_not_mentioned(waited: float) -> None:
    assert list(clock_changes(window(waited=waited))) == []
    assert list(clock_changes(window(in_jump=0.8, waited=waited))) == []
    assert "CLOCK" not in "\n".join(report_text(PastWindow("w", tuple(window()))))


@pytest.mark.parametrize("seconds", [DAY, -DAY, 60.0, -60.0])
def test_one_that_is_set_is_told_of_once(seconds: float) -> None:
    for records, event in ((window(set_by=seconds), 2), (window(in_jump=seconds), 6)):
        (one,) = clock_changes(records)
        assert one.before == records[event].at
        assert one.seconds == pytest.approx(seconds, abs=5)


def test_the_report_says_so() -> None:
    past = PastWindow("w", tuple(window(set_by=-DAY, in_jump=DAY)))
    said = [line for line in report_text(past) if "THE CLOCK WAS SET" in line]
    assert ["back by about 86,400 s" in said[0], "forward by about 86,400 s" in said[1]] == [
        True
    ] * 2
    assert [c["seconds"] for c in report_json(past)["clock_changes"]] == pytest.approx(
        [-DAY, DAY], abs=5
    )


def test_of_what_is_not_known_nothing_is_said() -> None:
    records = window(in_jump=DAY)
    ordinary = [r._replace(data={}) if r.event == "arrived" else r for r in records]
    assert list(clock_changes(ordinary)) == [], "it may have been off for a day"
    assert list(clock_changes([r._replace(at="no time") for r in records])) == []
    assert list(clock_changes([r._replace(format=FORMAT + 1) for r in records])) == []
    wrong = [r._replace(data={"blackout": {"total_ms": "x"}}) for r in records]
    assert list(clock_changes(wrong)) == []
