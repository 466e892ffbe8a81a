# SPDX-License-Identifier: MIT
"""What is done of how much: written where it has changed, and not otherwise."""

from __future__ import annotations

import io

import pytest

from luo_tui.cli import progress
from luo_tui.cli.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_has_one_line_that_is_written_over() -> None:
    stream = Terminal()
    shown = Progress(stream)
    for text in ("10 of 12", "10 of 12", "9 of 9"):
        shown.tell(text)
    shown.end()
    shown.end()
    assert stream.getvalue() == "\r10 of 12\r9 of 9  \n"


def test_a_log_has_few_lines_and_always_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    stream = io.StringIO()
    shown = Progress(stream)
    for number in range(5):
        shown.tell(f"{number} of 9")
    now += progress._PAUSE
    shown.tell("6 of 9")
    shown.tell("9 of 9")
    shown.end()
    assert stream.getvalue() == "0 of 9\n6 of 9\n9 of 9\n"


def test_nothing_is_written_where_nothing_is_to_be_told() -> None:
    stream = Terminal()
    Progress(stream).end()
    assert not stream.getvalue()
    Progress(None).tell("x")


class Closed(Terminal):
    def write(self, text: str) -> int:
        raise BrokenPipeError(text)


def test_whoever_does_not_listen_stops_nothing() -> None:
    shown = Progress(Closed())
    shown.tell("x")
    shown.end()
