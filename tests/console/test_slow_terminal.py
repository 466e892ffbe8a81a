# SPDX-License-Identifier: MIT
"""A terminal slower than the news: the hub goes on, memory is bounded, the newest picture wins."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.terminal import Terminal

ROOT = Path(__file__).resolve().parents[2]
BAUD_9600 = 960
"""Bytes a second."""

CHURN = """
import os, sys, tempfile, threading, time
from pathlib import Path
from luo_tui.console.app import run_console
from luo_tui.monitor.hub import Hub
from luo_tui.orchestrator.simulated import SimulatedHost, SimulatedOrchestrator

note = os.open(sys.argv[1], os.O_WRONLY)
ordinary = Hub.start

def start(hub):
    ordinary(hub)
    threading.Thread(target=churn, args=(hub,), daemon=True).start()

def churn(hub):
    while True:
        now = time.monotonic()
        fd = os.memfd_create(f"at-{now * 1000:.0f}")
        token = host.preserve(fd)
        os.close(fd)
        os.pwrite(note, b"%12d" % hub.log.last, 0)
        time.sleep(0.05)
        host.unpreserve(token)

Hub.start = start
with tempfile.TemporaryDirectory() as folder:
    host = SimulatedHost.create(Path(folder))
    sys.exit(run_console(SimulatedOrchestrator(host), Path(folder)))
"""
"""A console on a host where something is preserved and given up twenty times a second."""


@dataclass
class Churned:
    """A console that has no end of news, in a terminal that is read by hand."""

    t: Terminal
    note: Path

    def numbered(self) -> int:
        """Return the number of the hub's latest event."""
        return int(self.note.read_text() or "0")

    def rss(self) -> int:
        """Return the console's memory in KiB."""
        status = Path(f"/proc/{self.t.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found
        return int(found[1])

    def age(self) -> float:
        """Return how old the picture on the screen is, in seconds; 1e9 if it does not say."""
        found = re.findall(r"at-(\d+)", self.t.text())
        return time.monotonic() - int(found[-1]) / 1000 if found else 1e9

    def until_young(self, seconds: float = 1.0) -> int:
        """Read on until the picture is young; return the bytes that came before."""
        before, end = self.t.bytes, time.monotonic() + 60
        while self.age() > seconds:
            self.t.pump(0.01)
            assert time.monotonic() < end, self.t.text()
        return self.t.bytes - before


@pytest.fixture
def churned(tmp_path: Path) -> Iterator[Churned]:
    note = tmp_path / "note"
    note.touch()
    env = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT)}
    with Terminal.run([sys.executable, "-c", CHURN, str(note)], rows=30, cols=80, env=env) as t:
        cooked = termios.tcgetattr(t._fd)[:4]
        c = Churned(t, note)
        end = time.monotonic() + 30
        while "at-" not in t.text():
            t.pump(0.05)
            assert time.monotonic() < end, t.text()
        yield c
        with contextlib.suppress(ProcessLookupError):
            os.kill(t.process.pid, signal.SIGTERM)
        assert t.wait_ended() == 128 + signal.SIGTERM
        assert t.left_on() == []
        assert termios.tcgetattr(t._fd)[:4] == cooked


STALL = float(os.environ.get("LUO_TUI_STALL", "6"))
"""Seconds for which nobody reads."""
MOST = 32 << 10
"""Bytes before the newest picture: what the kernel keeps for a pty, and two whole screens."""


def test_a_terminal_that_nobody_reads_holds_nobody_up(churned: Churned) -> None:
    t = churned.t
    t.pump_all(2)
    number, rss = churned.numbered(), churned.rss()
    for key in "w\x1b" * 20 + "w":
        t.send_now(key)
        time.sleep(STALL / 41)
    went_on, grown = churned.numbered() - number, churned.rss() - rss
    before, end = t.bytes, time.monotonic() + 60
    while "[>] check" not in t.flat() or "guest-web1" in t.text():
        t.pump(0.01)
        assert time.monotonic() < end, f"the last key was lost:\n{t.text()}"
    came = t.bytes - before
    print(f"{went_on} events in {STALL:.0f} s, {grown} KiB more; the newest after {came} bytes")
    assert went_on > STALL * 10, "the hub waited for the terminal"
    assert grown < 8 << 10
    assert came < MOST
    t.send_now("\x1b")
    churned.until_young()


def test_a_slow_line_is_not_sent_what_is_old(churned: Churned) -> None:
    t = churned.t
    t.trickle(BAUD_9600, 4)
    for key in "w\x1b" * 15:
        t.send_now(key)
        t.trickle(BAUD_9600, 0.2)
    came = churned.until_young()
    print(f"thirty whole screens at 9600 baud: {came} bytes until the newest")
    assert came < MOST
