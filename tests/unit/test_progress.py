# SPDX-License-Identifier: MIT
"""What is done of how much: written where it has changed, and not otherwise."""

from __future__ import annotations

import io
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from luo_tui.cli import progress
from luo_tui.cli.progress import Progress
from luo_tui.update.unpack import Part, unpacked


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


def test_how_far_a_kernel_is_read_is_shown_and_taken_away(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    packed = tmp_path / "packed"
    packed.write_bytes(bytes(400_000))
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(progress, "_SHORT", 0.0)
    with progress.reading_kernels(), packed.open("rb") as file:
        assert sum(map(len, unpacked(Part(file.fileno()), 1 << 20))) == 400_000
    told = [text.strip() for text in stream.getvalue().split("\r")]
    assert told[0] == told[-1] == told[-2] == ""
    assert told[1:-2] == [f"reading a kernel: {n} %" for n in (16, 32, 49, 65, 81, 98, 100)]
    # Whoever reads afterwards is not watched.
    stream.truncate(0)
    with packed.open("rb") as file:
        assert list(unpacked(Part(file.fileno()), 1 << 20))
    assert not stream.getvalue()


def test_a_log_is_not_told_of_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(progress, "_SHORT", 0.0)
    (tmp_path / "packed").write_bytes(bytes(400_000))
    with progress.reading_kernels(), (tmp_path / "packed").open("rb") as file:
        assert list(unpacked(Part(file.fileno()), 1 << 20))
    assert not stream.getvalue()


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


class Tick(threading.Event):
    """Ends by itself no wait of a second: that passes at once."""

    now = 100.0

    def wait(self, timeout: float | None = None) -> bool:
        if timeout != progress._SECOND:
            return super().wait(timeout)
        Tick.now += 1
        return self.is_set() or Tick.now > 106


@pytest.mark.parametrize(
    ("stream", "told"),
    [
        (Terminal(), ["prepare: 2 s of about 5 s", "prepare: 4 s of about 5 s", "prepare: 6 s"]),
        (io.StringIO(), ["prepare: 2 s of about 5 s\n"]),
    ],
)
def test_how_long_something_takes_is_told_of_how_long_it_should(
    stream: io.StringIO, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tellers: list[threading.Thread] = []

    def thread(**about: Any) -> threading.Thread:
        tellers.append(threading.Thread(**about))
        return tellers[0]

    monkeypatch.setattr(Tick, "now", 100.0)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: Tick.now))
    monkeypatch.setattr(progress, "threading", SimpleNamespace(Event=Tick, Thread=thread))
    with progress.elapsed("prepare", 5.0):
        tellers[0].join(60)
    shown = [text.strip(" ") for text in stream.getvalue().split("\r") if text.strip(" ")]
    assert [text for text in shown if text in told] == told
    assert stream.isatty() or shown == told


def test_what_takes_no_time_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    with progress.elapsed("prepare", 5.0):
        pass
    assert stream.getvalue() == ""
