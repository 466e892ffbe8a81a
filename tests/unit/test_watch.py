# SPDX-License-Identifier: MIT
"""Watching by line: what is told, when it ends, and readers that are slow or gone."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from luo_tui.cli.watch import Wanted, Watch
from luo_tui.errors import Exit, NotDone
from luo_tui.model import State
from luo_tui.monitor.event_text import EventDraft
from luo_tui.monitor.log import MOST
from luo_tui.orchestrator import Move
from luo_tui.orchestrator.choose import open_orchestrator
from luo_tui.orchestrator.simulated import SimulatedHost, SimulatedOrchestrator

PATIENCE = 60.0


class Running:
    """A watch in a thread, with its output in a pipe."""

    def __init__(self, host: SimulatedHost, wanted: Wanted, log: Path | None = None) -> None:
        self._reader, self.writer = os.pipe()
        self.complaints: list[str] = []
        self.ending: Exit | NotDone | None = None
        self.watch = Watch(
            SimulatedOrchestrator(host), host.folder, self.writer, wanted, self.complaints.append
        )
        if log is not None:
            self.watch.log_to(log)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self._rest = b""

    def _run(self) -> None:
        try:
            self.ending = self.watch.run()
        except NotDone as refused:
            self.ending = refused

    def line(self) -> str:
        end = time.monotonic() + PATIENCE
        while b"\n" not in self._rest:
            assert select.select([self._reader], [], [], end - time.monotonic())[0], self._rest
            got = os.read(self._reader, 1 << 16)
            assert got, "the output ended"
            self._rest += got
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode()

    def until(self, text: str) -> str:
        while text not in (line := self.line()):
            pass
        return line

    def object(self) -> dict[str, Any]:
        found = json.loads(self.line())
        assert isinstance(found, dict)
        return found

    def close_reader(self) -> None:
        os.close(self._reader)
        self._reader = -1

    def end(self) -> Exit | NotDone | None:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        return self.ending

    def clear(self) -> None:
        if self._thread.is_alive():
            self.watch.leave()
        self._thread.join(PATIENCE)
        for fd in (self._reader, self.writer):
            if fd >= 0:
                os.close(fd)


@pytest.fixture
def host(tmp_path: Path) -> SimulatedHost:
    return SimulatedHost.create(tmp_path / "host", "default", 0)


@pytest.fixture
def begin(host: SimulatedHost) -> Iterator[Any]:
    made: list[Running] = []

    def start(wanted: Wanted = Wanted(), log: Path | None = None) -> Running:  # noqa: B008
        made.append(Running(host, wanted, log))
        return made[-1]

    yield start
    for one in made:
        one.clear()


def keep(host: SimulatedHost, name: str) -> int:
    fd = os.memfd_create(name)
    os.ftruncate(fd, 4096)
    try:
        return host.preserve(fd)
    finally:
        os.close(fd)


def test_a_line_a_change(host: SimulatedHost, begin: Any) -> None:
    running = begin()
    first = running.line()
    assert "  state        watching begins: state normal, 4 resources" in first
    assert time.strptime(first[:19], "%Y-%m-%d %H:%M:%S")
    token = keep(host, "mine")
    assert f"  resource     mine (token {token}) preserved" in running.until("mine")
    host.move(Move.PREPARE)
    assert running.until("  state   ").endswith("state normal -> prepared")
    host.move(Move.CANCEL)
    assert running.until("  state   ").endswith("state prepared -> normal")
    host.unpreserve(token)
    assert running.until("mine").endswith("is gone")
    running.watch.leave()
    assert running.end() is Exit.INTERRUPTED


def test_objects_for_programs(host: SimulatedHost, begin: Any) -> None:
    running = begin(Wanted(as_json=True, kinds=frozenset({"state", "resource"})))
    first = running.object()
    assert (first["kind"], first["state"]) == ("status", "normal")
    assert first["status"]["schema"] == 2
    assert len(first["status"]["resources"]) == 4
    keep(host, "mine")
    host.move(Move.PREPARE)
    seen = [running.object()]
    while seen[-1]["state"] != "prepared":
        seen.append(running.object())
    assert {o["kind"] for o in seen} == {"state", "resource"}
    for one in seen:
        assert set(one) == {
            "schema", "number", "at", "kind", "subject", "grave", "text", "state",
        }  # fmt: skip
        assert one["at"][10] == "T"
        assert one["at"].endswith("Z")
        assert len(one["at"]) == len("2026-11-23T08:20:01.123Z")
    numbers = [first["number"], *(o["number"] for o in seen)]
    assert numbers == sorted(set(numbers))
    assert seen[0]["state"] == "normal"


def test_until_ends_at_once_when_it_is_so_and_else_when_it_becomes_so(
    host: SimulatedHost, begin: Any
) -> None:
    assert begin(Wanted(until=State.NORMAL)).end() is Exit.OK
    running = begin(Wanted(until=State.PREPARED, timeout=PATIENCE))
    running.line()
    host.move(Move.PREPARE)
    assert running.end() is Exit.OK
    assert running.until("-> prepared")


def test_a_state_that_does_not_come_has_a_code_of_its_own(begin: Any) -> None:
    began = time.monotonic()
    ending = begin(Wanted(until=State.UPDATED, timeout=0.2)).end()
    assert isinstance(ending, NotDone)
    assert ending.code is Exit.TIMED_OUT
    assert "not updated after 0.2 s: it is normal" in ending.reason
    assert time.monotonic() - began >= 0.2


def test_time_goes_on_while_nobody_reads(begin: Any) -> None:
    running = begin(Wanted(as_json=True, until=State.UPDATED, timeout=1.0))
    running.line()
    # On a busy machine its time may be over meanwhile, and its hub at its end.
    fill(running)
    ending = running.end()
    assert isinstance(ending, NotDone)
    assert ending.code is Exit.TIMED_OUT


def fill(running: Running) -> None:
    """Let happen what a pipe does not hold.

    The watch may take all that the log has before it finds the pipe full: more than
    twice as much has to happen for something to be missed.
    """
    log = running.watch._hub.log
    for _ in range(3 * MOST // 150):
        log.add(EventDraft("kernel", "x" * 1000) for _ in range(150))


def stuff(host: SimulatedHost, running: Running) -> None:
    """Let happen what a pipe does not hold; the hub's thread gets through with it."""
    fill(running)
    log = running.watch._hub.log
    host.say("the last one")
    end = time.monotonic() + PATIENCE
    while log.since(log.last - 1)[0].text != "the last one":
        assert time.monotonic() < end, "the hub is held up by its reader"
        time.sleep(0.01)


def test_a_slow_reader_holds_nobody_up_and_is_told_what_it_missed(
    host: SimulatedHost, begin: Any
) -> None:
    running = begin(Wanted(as_json=True))
    last = running.object()["number"]
    stuff(host, running)
    gaps = 0
    while True:
        one = running.object()
        if one["kind"] == "gap":
            gaps += 1
            assert one["grave"]
            assert one["text"] == f"{one['number'] - last:,} events were not shown"
        assert one["number"] > last
        last = one["number"]
        if one["text"] == "the last one":
            break
    assert gaps >= 1
    running.watch.leave()
    assert running.end() is Exit.INTERRUPTED


def test_it_can_be_ended_while_nobody_reads(host: SimulatedHost, begin: Any) -> None:
    running = begin()
    running.line()
    stuff(host, running)
    running.watch.leave()
    assert running.end() is Exit.INTERRUPTED


def test_a_reader_that_goes_is_noticed_though_nothing_happens(begin: Any) -> None:
    running = begin()
    running.line()
    running.close_reader()
    ending = running.end()
    assert isinstance(ending, NotDone)
    assert ending.code is Exit.FAILED
    assert ending.reason == "Nobody reads the output any more."


def test_the_log_on_disk_has_every_event(host: SimulatedHost, begin: Any, tmp_path: Path) -> None:
    path = tmp_path / "log"
    running = begin(Wanted(kinds=frozenset({"state"})), path)
    running.line()
    keep(host, "mine")
    host.move(Move.PREPARE)
    running.until("-> prepared")
    running.watch.leave()
    running.end()
    written = [json.loads(line) for line in path.read_text().splitlines()]
    assert [w["number"] for w in written] == list(range(1, len(written) + 1))
    assert any(w["text"].startswith("mine (token") for w in written)
    assert running.complaints == []


def test_a_log_whose_disk_is_full_is_told_on_all_sides(host: SimulatedHost, begin: Any) -> None:
    running = begin(Wanted(), Path("/dev/full"))
    line = running.until("event log is not live")
    assert "! " in line
    assert "No space left" in line
    keep(host, "mine")
    running.until("mine")
    health = running.watch._hub.snapshot.health["event log"]
    assert "/dev/full" in health.fault
    running.watch.leave()
    running.end()
    assert len(running.complaints) == 1
    assert "No space left" in running.complaints[0]


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "luo_tui", "watch", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_it_calmly(number: signal.Signals) -> None:
    with start() as watch:
        assert watch.stdout is not None
        assert watch.stderr is not None
        assert "watching begins" in watch.stdout.readline()
        watch.send_signal(number)
        assert watch.wait(PATIENCE) == Exit.INTERRUPTED
        assert watch.stderr.read() == ""


@pytest.mark.skipif(
    open_orchestrator().title != "no orchestrator", reason="this host has an orchestrator"
)
def test_a_host_without_an_orchestrator_is_watched_and_waited_for() -> None:
    with start() as watch:
        assert watch.stdout is not None
        assert "It is told when that changes." in watch.stdout.readline()
        watch.terminate()
        assert watch.wait(PATIENCE) == Exit.INTERRUPTED
    for arguments in (("--until", "normal"), ("--until", "normal", "--timeout", "0.1")):
        with start(*arguments) as watch:
            _, said = watch.communicate(timeout=PATIENCE)
            assert watch.returncode == Exit.UNAVAILABLE
            assert "no orchestrator" in said
