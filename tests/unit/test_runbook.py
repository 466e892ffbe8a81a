# SPDX-License-Identifier: MIT
"""The page for the night says what the program says, of every step and every failure on the way."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from luo_tui.cli.parser import command_line
from luo_tui.console.widgets.presenter import KEY
from luo_tui.error_table import CATALOGUE
from luo_tui.errors import Op, explain
from luo_tui.packaging.manual import RUNBOOK, pages
from luo_tui.packaging.runbook import BACK, COMMAND, FORWARD, failures, offers_of_a_demo
from luo_tui.update.facts import Act


def told(roff: str) -> str:
    """Return a page's words without what is for roff alone."""
    text = roff.replace("\\(ga", "`").replace("\\(aq", "'").replace("\\-", "-")
    return " ".join(re.sub(r"\\f[BR]|\\&", "", text).split())


@pytest.fixture(scope="module")
def page() -> str:
    return told(pages(Path(__file__).parents[2], "2026-01-01")[RUNBOOK])


def test_every_act_has_its_key_and_its_way_back(page: str) -> None:
    assert {*FORWARD, *BACK} == set(Act)
    for act, action in offers_of_a_demo().items():
        assert f"Key {KEY[act]}, or {COMMAND[act]}." in page
        given = COMMAND[act].removeprefix("luo-tui ").split()
        assert command_line().parse_args(given).command == given[0]
        for line in (*(action.does if act is not Act.TAKE_OVER else ()), action.way_back):
            assert " ".join(line.replace("`", "").split()) in page.replace("`", "")


def test_every_failure_of_an_act_has_its_remedy(page: str) -> None:
    acts = (Op.LOAD, Op.PREPARE, Op.FREEZE, Op.KEXEC, Op.CANCEL, Op.FINISH, Op.UNLOAD)
    known = [(op, number) for op, number in CATALOGUE if op in acts]
    assert len(known) > 25
    for op, number in known:
        one = explain(op, number)
        assert one in list(failures(op))
        for text in (one.meaning, one.remedy):
            assert " ".join(text.replace("`", "").split()) in page.replace("`", "")


def test_it_is_the_same_each_time_and_names_no_place_of_its_making(page: str) -> None:
    again = told(pages(Path(__file__).parents[2], "2026-01-01")[RUNBOOK])
    assert again == page
    assert "/tmp" not in page
