# SPDX-License-Identifier: MIT
"""How long the command line takes: `status` to its exit, `watch` to its first line; and how
long the console takes to its first picture, beside a program of Textual that is empty.

With byte code cached, as for anyone who runs it a second time; beside a Python
that does nothing, since much of it is Python's own start.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from tests.bench.test_console import figures, until
from tests.terminal import Terminal

RUNS = 9
MAIN = "import sys; from luo_tui.__main__ import main; sys.exit(main())"
ROOT = Path(__file__).parents[2]


def cached(folder: Path) -> Mapping[str, str]:
    """An environment in which byte code is kept in ``folder``."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": str(folder), "PYTHONPATH": str(ROOT)}


def start(code: str, *arguments: str, environment: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def processor() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1000


def whole(code: str, *arguments: str, environment: Mapping[str, str]) -> tuple[float, float]:
    """Milliseconds from start to exit by the clock, and of the processor."""
    began, used = time.monotonic(), processor()
    with start(code, *arguments, environment=environment) as ran:
        said, trouble = ran.communicate()
    assert ran.returncode in (0, 4), trouble
    assert bool(said) == (code == MAIN)
    return (time.monotonic() - began) * 1000, processor() - used


def first_line(environment: Mapping[str, str]) -> float:
    began = time.monotonic()
    with start(MAIN, "watch", environment=environment) as ran:
        assert ran.stdout is not None
        assert "watching begins" in ran.stdout.readline()
        took = (time.monotonic() - began) * 1000
        ran.terminate()
    return took


def test_start(tmp_path: Path) -> None:
    environment = cached(tmp_path)
    whole(MAIN, "status", environment=environment)
    first_line(environment)
    assert list(tmp_path.rglob("__main__.*.pyc")), "no byte code was kept"
    bare, status, watch = [], [], []
    for _ in range(RUNS):
        # In turn, so that a machine whose speed drifts is as unfair to each.
        bare.append(whole("pass", environment=environment))
        status.append(whole(MAIN, "status", environment=environment))
        watch.append(first_line(environment))
    print()
    figures("python -c pass", [wall for wall, _ in bare], "ms")
    figures("luo-tui status, start to exit", [wall for wall, _ in status], "ms")
    figures("luo-tui watch, start to first line", watch, "ms")
    figures("python -c pass, processor", [used for _, used in bare], "ms")
    figures("luo-tui status, processor", [used for _, used in status], "ms")
    ratio = statistics.median(s[1] / b[1] for s, b in zip(status, bare, strict=True))
    print(f"{'status beside bare python':34} ratio {ratio:.1f} of processor time")


SHOWN = "Nothing is prepared."
EMPTY = f"""
from textual.app import App
from textual.widgets import Static

class Empty(App[None]):
    def compose(self):
        yield Static({SHOWN!r})

Empty().run()
"""
CONSOLE = "import sys; sys.argv[1:] = ['demo', '--delay', '0', '--speed', '0']; " + MAIN


def first_picture(code: str, environment: Mapping[str, str]) -> float:
    """Milliseconds by the clock until the terminal shows what both programs show."""
    told = {**environment, "TERM": "xterm-256color"}
    with Terminal.run([sys.executable, "-c", code], rows=24, cols=80, env=told) as terminal:
        return until(terminal, SHOWN)


def test_first_picture(tmp_path: Path) -> None:
    environment = cached(tmp_path)
    for code in (EMPTY, CONSOLE):
        first_picture(code, environment)
    empty, console = [], []
    for _ in range(RUNS):
        empty.append(first_picture(EMPTY, environment))
        console.append(first_picture(CONSOLE, environment))
    print()
    figures("empty Textual program, first paint", empty, "ms")
    figures("the console's demo, first paint", console, "ms")
    ratio = statistics.median(c / e for c, e in zip(console, empty, strict=True))
    least = min(console) / min(empty)
    print(f"{'console beside an empty program':34} ratio {ratio:.2f}, of the fastest {least:.2f}")
