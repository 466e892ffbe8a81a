# SPDX-License-Identifier: MIT
"""What the runner of the tests takes for well, and for in time."""

from __future__ import annotations

import time

import pytest

from tests import run


@pytest.mark.parametrize(
    ("code", "last", "verdict"),
    [
        (0, "12 passed in 3.40s", ""),
        (0, "12 passed, 3 deselected in 63.40s (0:01:03)", ""),
        (1, "1 failed, 11 passed in 3.40s", "FAILED (1)"),
        (5, "no tests ran in 0.01s", "FAILED (5)"),
        (0, "11 passed, 1 skipped in 3.40s", "FAILED (a test has skipped itself)"),
        (0, "11 passed, 1 xfailed in 3.40s", "FAILED (a test has skipped itself)"),
        (0, "3 skipped in 0.01s", "FAILED (nothing has passed)"),
        (0, "", "FAILED (nothing has passed)"),
    ],
)
def test_a_part_is_well_when_all_of_it_has_run(code: int, last: str, verdict: str) -> None:
    assert run.fault(code, f"....  [100%]\n1 skipped in a name\n{last}\n") == verdict


@pytest.mark.parametrize(
    ("minutes", "built", "well"),
    [
        (run.WARM - 1, False, True),
        (run.WARM + 1, False, False),
        (run.WARM + 1, True, True),
        (run.COLD + 1, True, False),
    ],
)
def test_the_limit_is_of_the_whole_run(
    minutes: int, built: bool, well: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run.in_time(time.time() - 60 * minutes, built) is well
    said = capsys.readouterr().out
    limit = run.COLD if built else run.WARM
    assert f"{minutes:.1f}  of {limit}: " in said
    assert ("FAILED" not in said) is well


def test_nothing_is_run_that_no_folder_has() -> None:
    for name, each in run.RUNS.items():
        for folder in each.folders:
            assert list((run.TESTS / folder).glob("test_*.py")), (name, folder)
    assert set(run.RUNS["test"].folders) <= set(run.RUNS["test-all"].folders)


def test_every_folder_of_tests_is_run() -> None:
    folders = {p.parent.name for p in run.TESTS.glob("*/test_*.py")}
    assert folders == set(run.RUNS["test-all"].folders)
