# SPDX-License-Identifier: MIT
"""How live the picture is: from a change to the painted screen, and what it costs."""

from __future__ import annotations

import os
import statistics
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from luo_tui.sources.processes import open_files
from luo_tui.sources.sessions import RARELY, SessionSource
from luo_tui.uapi import luo_sessions
from tests.terminal import Terminal

ROOT = Path(__file__).resolve().parents[2]
CHANGES = 60
IDLE = 20.0
MOVES = 100

CONSOLE = """
import os, sys, tempfile, threading, time
from pathlib import Path
from luo_tui.console.app import run_console
from luo_tui.orchestrator.simulated import SimulatedHost, SimulatedOrchestrator

def change(host):
    for line in iter(lambda: os.read(asks, 1), b""):
        fd = os.memfd_create(f"at-{time.monotonic() * 1000:.1f}")
        if kept:
            host.unpreserve(kept.pop())
        kept.append(host.preserve(fd))
        os.close(fd)

kept, asks = [], os.open(sys.argv[1], os.O_RDONLY)
with tempfile.TemporaryDirectory() as folder:
    host = SimulatedHost.create(Path(folder))
    threading.Thread(target=change, args=(host,), daemon=True).start()
    sys.exit(run_console(SimulatedOrchestrator(host), Path(folder)))
"""

EMPTY = """
from textual.app import App
from textual.widgets import Static

class Empty(App[None]):
    def compose(self):
        yield Static("nothing")

Empty().run()
"""


def quantiles(name: str, values: Sequence[float], unit: str) -> None:
    """Print the middle and the worst of a hundred."""
    ranked = sorted(values)
    worst = ranked[min(len(ranked) - 1, int(len(ranked) * 0.99))]
    print(f"{name:44} p50 {statistics.median(ranked):8.1f} {unit}  p99 {worst:8.1f} {unit}")


def spent(pid: int) -> float:
    """Return the processor time that a process has used, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def start(code: str, *arguments: str) -> Terminal:
    """Run a program on a pty."""
    env = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", textwrap.dedent(code), *arguments]
    return Terminal.run(command, rows=30, cols=80, env=env)


def test_from_a_change_to_the_screen(tmp_path: Path) -> None:
    """In one machine and one process: what the console itself needs."""
    pipe = tmp_path / "asks"
    os.mkfifo(pipe)
    asks = os.open(pipe, os.O_RDWR)
    for place, key in (("overview", "1"), ("resources", "2")):
        with start(CONSOLE, str(pipe)) as t:
            t.wait_for("guest-web1")
            t.send(key)
            t.wait_for(f"[{key} {place}]")
            late, size = [], []
            for _ in range(CHANGES):
                t.pump(0.3)
                before, shown = t.bytes, t.text()
                os.write(asks, b"x")
                while t.text() == shown or "at-" not in t.text():
                    t.pump(0.001)
                stamp = t.text().partition("at-")[2].split()[0]
                late.append(time.monotonic() * 1000 - float(stamp))
                t.pump(0.2)
                size.append(t.bytes - before)
            print()
            quantiles(f"{place}: change to screen", late, "ms")
            quantiles(f"{place}: bytes for one that goes and one that comes", size, "B")
    os.close(asks)


def test_what_it_costs_to_look_on(tmp_path: Path) -> None:
    """While nothing happens: bytes, and processor time beside a program that shows nothing."""
    pipe = tmp_path / "asks"
    os.mkfifo(pipe)
    asks = os.open(pipe, os.O_RDWR)
    print()
    for name, code, shown in (
        ("console", CONSOLE, "guest-web1"),
        ("an empty Textual program", EMPTY, "nothing"),
    ):
        with start(code, str(pipe)) as t:
            t.wait_for(shown)
            t.pump(2)
            before = spent(t.process.pid)
            came = t.pump_all(IDLE)
            used = (spent(t.process.pid) - before) * 60 / IDLE
            print(f"{name:44} {came} bytes in {IDLE:.0f} s, {used:.2f} CPU seconds a minute")
    os.close(asks)


@pytest.mark.lab
@pytest.mark.parametrize(
    ("kind", "extra"), [("moves", ""), ("sessions", "liveupdate=on luo.noload")]
)
def test_from_the_kernel_to_the_screen(lab_machine: Any, kind: str, extra: str) -> None:
    """On a real kernel, beside a bare program that prints a line: the rest is the console's."""
    lab_machine.boot(extra=extra)
    lab_machine.put((ROOT / "tests" / "bench" / "paint.py").read_bytes(), "/tmp/paint.py")
    print()
    for name, command in (("bare program", "bare"), ("console", "luo-tui")):
        said = lab_machine.must(f"python3 /tmp/paint.py {MOVES} {kind} -- {command}", timeout=400)
        pairs = [tuple(float(w) for w in line.split()) for line in said.splitlines()]
        quantiles(f"{kind}, {name}: to first byte", [first for first, _ in pairs], "ms")
        quantiles(f"{kind}, {name}: to whole picture", [last for _, last in pairs], "ms")


def test_what_a_look_at_all_processes_costs() -> None:
    """On this machine: who holds sessions is looked up in what every process has open."""
    number = sum(path.name.isdecimal() for path in Path("/proc").iterdir())
    took = []
    for _ in range(200):
        began = time.process_time()
        open_files(Path("/proc"), luo_sessions.LINK)
        took.append((time.process_time() - began) * 1e6 / number)
    print()
    quantiles(f"a look at {number} processes, each", took, "us")
    look = statistics.median(took) * 1e4 / 1e6
    share = look / max(SessionSource.every, RARELY * look)
    print(f"{'of a core over time, with 10,000 processes':44} {share:.1%}")
