# SPDX-License-Identifier: MIT
"""The event log: numbered, bounded, and on disk if that is wanted."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest

from luo_tui.model import Event
from luo_tui.monitor.event_text import EventDraft
from luo_tui.monitor.log import MOST, Log


def test_events_are_numbered_and_the_oldest_go_first() -> None:
    log = Log(most=5)
    assert log.since(0) == ()
    log.add(EventDraft("kernel", f"line {n}") for n in range(12))
    assert log.last == 12
    assert [e.number for e in log.since(0)] == [8, 9, 10, 11, 12]
    assert [e.text for e in log.since(10)] == ["line 10", "line 11"]
    assert log.since(12) == ()
    assert log.since(99) == ()


def test_what_is_new_costs_what_is_new() -> None:
    class Counting(deque[Event]):
        seen = 0

        def __iter__(self) -> Iterator[Event]:
            for event in super().__iter__():
                self.seen += 1
                yield event

        def __reversed__(self) -> Iterator[Event]:
            for event in super().__reversed__():
                self.seen += 1
                yield event

    log = Log()
    log._events = counting = Counting(maxlen=MOST)
    log.add(EventDraft("kernel", f"line {n}") for n in range(MOST + 5))
    assert [e.number for e in log.since(MOST + 2)] == [MOST + 3, MOST + 4, MOST + 5]
    assert counting.seen <= 4
    assert len(log.since(0)) == MOST


def test_an_event_has_its_own_time_or_now() -> None:
    log = Log()
    before = time.time()
    log.add([EventDraft("kernel", "then", at=7.5), EventDraft("state", "now", "normal", True)])
    then, now = log.since(0)
    assert then.at == 7.5
    assert before <= now.at <= time.time()
    assert (now.kind, now.subject, now.grave) == ("state", "normal", True)


def test_events_are_appended_to_a_file(tmp_path: Path) -> None:
    path = tmp_path / "events"
    path.write_text("before\n")
    log = Log()
    log.write_to(path)
    log.add([EventDraft("kernel", "evil \x1b[2J\nline")])
    log.close()
    first, line = path.read_text().splitlines()
    assert first == "before"
    assert json.loads(line)["text"] == "evil \x1b[2J\nline"
    log.add([EventDraft("kernel", "after")])
    assert len(path.read_text().splitlines()) == 2


def test_a_file_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        Log().write_to(tmp_path / "none" / "events")


def test_a_full_disk_ends_the_writing_and_nothing_else() -> None:
    log = Log()
    log.write_to(Path("/dev/full"))
    log.add([EventDraft("kernel", "one"), EventDraft("kernel", "two")])
    assert "No space left" in log.fault
    assert log.last == 2
    log.close()


def test_it_is_read_while_it_is_written() -> None:
    log = Log(most=100)
    wrong: list[object] = []

    def look() -> None:
        while log.last < 20_000:
            numbers = [e.number for e in log.since(0)]
            if numbers != list(range(numbers[0], numbers[0] + len(numbers))) if numbers else False:
                wrong.append(numbers)

    reader = threading.Thread(target=look)
    reader.start()
    log.add(EventDraft("kernel", "x") for _ in range(20_000))
    reader.join()
    assert wrong == []


def test_what_is_new_is_read_without_a_look_at_the_rest() -> None:
    log = Log()
    log.add(EventDraft("kernel", "x") for _ in range(20_000))

    class Counted(deque[Event]):
        """Counts how many events were looked at."""

        looked = 0

        def __iter__(self) -> Iterator[Event]:
            for event in super().__iter__():
                self.looked += 1
                yield event

        def __reversed__(self) -> Iterator[Event]:
            for event in super().__reversed__():
                self.looked += 1
                yield event

    log._events = Counted(log._events, maxlen=20_000)
    assert [e.number for e in log.since(19_998)] == [19_999, 20_000]
    assert log._events.looked <= 3
