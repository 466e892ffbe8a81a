# SPDX-License-Identifier: MIT
"""The console on this machine: how soon it paints, what it writes, how fast it answers."""

from __future__ import annotations

import statistics
import sys
import time

from tests.terminal import Terminal

RUNS = 5
IDLE = 10.0


def until(t: Terminal, text: str) -> float:
    began = time.monotonic()
    while text not in t.flat():
        t.pump(0.005)
        assert time.monotonic() - began < 60, t.text()
    return (time.monotonic() - began) * 1000


def figures(name: str, values: list[float], unit: str) -> None:
    middle = statistics.median(values)
    print(f"{name:34} median {middle:8.1f} {unit}  ({min(values):.1f} to {max(values):.1f})")


def test_console() -> None:
    paints, keys, idle = [], [], 0
    for run in range(RUNS):
        with Terminal.run(
            [sys.executable, "-m", "luo_tui", "demo", "--delay", "0"], rows=24, cols=80
        ) as t:
            paints.append(until(t, "Nothing is prepared."))
            t.pump(1)
            for _ in range(5):
                t.send_now("w")
                keys.append(until(t, "[>] check"))
                t.pump(0.3)
                t.send_now("\x1b")
                keys.append(until(t, "token kind"))
                t.pump(0.3)
            if run == 0:
                t.pump(1)
                idle = t.pump_all(IDLE)
    print()
    figures("start to first paint", paints, "ms")
    figures("key to repaint", keys, "ms")
    print(f"{'bytes written in 10 idle seconds':34} {idle}")
