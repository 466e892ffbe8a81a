# SPDX-License-Identifier: MIT
"""On a real pty: what is left behind on the terminal, and what is written while nothing happens."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.terminal import Terminal

ROOT = Path(__file__).resolve().parents[2]
CRASH = """
import sys, tempfile
from pathlib import Path
from luo_tui.console.app import run_console
from luo_tui.orchestrator.simulated import SimulatedHost, SimulatedOrchestrator
from luo_tui.console.screens.help import Help
secret = "the secret of a local variable"
def broken(self, view):
    secret_here = secret
    raise RuntimeError("drawn badly")
Help.draw = broken
with tempfile.TemporaryDirectory() as folder:
    host = SimulatedHost.create(Path(folder))
    sys.exit(run_console(SimulatedOrchestrator(host), Path(folder)))
"""


@contextlib.contextmanager
def console(
    *arguments: str, rows: int = 24, cols: int = 80, code: str = "", **env: str
) -> Iterator[Terminal]:
    """Run the demo, or ``code``, on a pty of its own."""
    whole = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT), **env}
    command = ["-c", code] if code else ["-m", "luo_tui", "demo", "--delay", "0"]
    with Terminal.run([sys.executable, *command, *arguments], rows=rows, cols=cols, env=whole) as t:
        t.cooked = termios.tcgetattr(t._fd)[:4]  # type: ignore[attr-defined]
        yield t


def assert_clean(t: Terminal) -> None:
    assert t.left_on() == []
    assert termios.tcgetattr(t._fd)[:4] == t.cooked  # type: ignore[attr-defined]
    assert "Traceback" not in t.flat()


def to_prepared(t: Terminal, *, wait: bool = True) -> None:
    t.wait_for("Nothing is prepared")
    t.send("w")
    t.press("t", "runs now")
    t.press("enter", "[>] load next")
    t.press("l", "[>] prepare next")
    t.press("p", "> [ Stay normal ]")
    t.send("tab")
    t.press("enter", "[x] prepare done" if wait else "Under way: prepare")


def test_quiet_when_idle_and_clean_after_quitting() -> None:
    with console() as t:
        t.wait_for("Nothing is prepared")
        t.pump(0.5)
        assert t.pump(5) == 0, "something was written while nothing happened"
        cpu = Path(f"/proc/{t.process.pid}/stat").read_text().rpartition(")")[2].split()
        before = int(cpu[11]) + int(cpu[12])
        t.pump(1)
        cpu = Path(f"/proc/{t.process.pid}/stat").read_text().rpartition(")")[2].split()
        assert int(cpu[11]) + int(cpu[12]) - before <= 3, "it spins"
        t.send("q")
        assert t.wait_ended() == 0
        assert_clean(t)


def test_the_whole_walk_with_the_jump_and_the_new_console() -> None:
    with console() as t:
        to_prepared(t)
        t.press("k", "> [ Stay prepared ]")
        t.send("tab", *"demo-hv", "tab")
        t.wait_for("> [ End this kernel: kexec into 7.3.4-hv ]")
        screen = t.press("enter", "This kernel took over from 7.3.3-hv. All is restored.")
        assert "[updated]" in screen
        assert "blackout" in screen
        t.press("f", "> [ Stay updated ]")
        t.send("tab")
        t.press("enter", "[normal]")
        # The jump inherited no blocked signal.
        os.kill(t.process.pid, signal.SIGTERM)
        assert t.wait_ended() == 128 + signal.SIGTERM
        assert_clean(t)


def test_the_whole_walk_on_a_kernel_without_moves() -> None:
    with console("--kind", "sessions") as t:
        t.wait_for("Preserving (derived)")
        t.send("w")
        t.press("t", "runs now")
        t.press("enter", "[>] load next")
        screen = t.press("l", "[>] kexec next")
        assert "prepare done" not in screen
        t.send("p")
        t.wait_for("no prepare")
        t.press("k", "> [ Stay preserving ]")
        t.send("tab", *"demo-hv", "tab")
        t.wait_for("> [ End this kernel: kexec into 7.3.4-hv ]")
        t.send("enter")
        # The next boot has a kernel of the same kind.
        t.wait_for("This kernel took over from 7.3.3-hv.")
        t.wait_for("[updated]")
        t.press("f", "> [ Stay updated ]")
        t.send("tab")
        t.press("enter", "(derived)")
        t.wait_until_gone("[updated]")
        t.send("q")
        assert t.wait_ended() == 0
        assert_clean(t)


def test_a_refused_freeze_brings_the_console_back_with_the_reason() -> None:
    with console("--scenario", "freeze-refused") as t:
        to_prepared(t)
        t.press("k", "> [ Stay prepared ]")
        consent(t)
        screen = t.wait_for("Could not freeze")
        assert "> [ I have read this ]" in screen
        assert "NORMAL" in screen
        t.pump(0.5)
        t.send("enter")
        # It is where it was left, and the reason stays on the walk.
        t.wait_for("Kexec failed at")
        t.wait_for("[5 window]")
        t.send("q")
        assert t.wait_ended() == 0
        assert_clean(t)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGINT])
def test_a_signal_leaves_in_order(number: signal.Signals) -> None:
    with console() as t:
        t.wait_for("Nothing is prepared")
        os.kill(t.process.pid, number)
        assert t.wait_ended() == 128 + number
        assert_clean(t)


def test_ctrl_backslash_leaves_at_once() -> None:
    with console() as t:
        t.wait_for("Nothing is prepared")
        t.send("ctrl+c")
        t.wait_for("To leave: Ctrl+Q")
        t.send("ctrl+backslash")
        assert t.wait_ended() == 128 + signal.SIGQUIT
        assert_clean(t)


@pytest.mark.parametrize("at", ["overview", "question"])
def test_a_lost_terminal_ends_it_without_spinning(at: str) -> None:
    with console() as t:
        t.wait_for("Nothing is prepared")
        if at == "question":
            t.send("w")
            t.press("t", "runs now")
        began = time.monotonic()
        t.hang_up()
        assert t.process.wait(10) == 128 + signal.SIGHUP
        assert time.monotonic() - began < 8


def test_a_signal_during_an_act_waits_for_its_end() -> None:
    with console("--delay", "1.5") as t:
        to_prepared(t, wait=False)
        os.kill(t.process.pid, signal.SIGTERM)
        assert t.wait_ended() == 128 + signal.SIGTERM
        assert_clean(t)
        assert "The kernel image was unloaded." in t.flat()
        assert "This host stays prepared." in t.flat()
        assert "This was the demo: its simulated host is gone" in t.flat()


def test_a_terminal_that_takes_nothing_holds_nobody_up() -> None:
    with console() as t:
        t.wait_for("Nothing is prepared")
        for _ in range(60):
            os.write(t._fd, b"\x0c")
            time.sleep(0.01)
        time.sleep(1)  # nobody reads: the pty is full, and so is what draws
        os.kill(t.process.pid, signal.SIGTERM)
        assert t.process.wait(10) == 128 + signal.SIGTERM
        assert termios.tcgetattr(t._fd)[:4] == t.cooked  # type: ignore[attr-defined]


def test_a_crash_leaves_a_clean_terminal_and_a_report(tmp_path: Path) -> None:
    with console(code=CRASH, XDG_STATE_HOME=str(tmp_path)) as t:
        t.wait_for("Nothing is prepared")
        t.send("?")
        assert t.wait_ended() == 1
        assert_clean(t)
        assert "the console failed" in t.flat()
        assert "secret" not in t.flat()
        (report,) = (tmp_path / "luo-tui").iterdir()
        text = report.read_text()
        assert "RuntimeError: drawn badly" in text
        assert "in broken" in text, "the traceback leads to the cause"
        assert "secret" not in text, "local values stay where they are"
        assert report.stat().st_mode & 0o077 == 0
        assert report.name in t.text().replace("\n", "")


JUMP = """
import sys, tempfile, time
from pathlib import Path
from luo_tui.console.app import run_console
from luo_tui.orchestrator.simulated import SimulatedHost, SimulatedKexec, SimulatedOrchestrator
def sync(self):
    {sync}
SimulatedKexec.sync = sync
with tempfile.TemporaryDirectory() as folder:
    host = SimulatedHost.create(Path(folder))
    sys.exit(run_console(SimulatedOrchestrator(host), Path(folder)))
"""


def consent(t: Terminal) -> None:
    """Type the host's name where the kexec is asked about, and give consent."""
    t.send("tab", *"demo-hv", "tab")
    t.wait_for("> [ End this kernel")
    t.press_away("enter", "> [ End this kernel")


def to_jump(t: Terminal) -> None:
    to_prepared(t)
    t.press("k", "> [ Stay prepared ]")
    consent(t)


def test_ctrl_c_before_the_point_of_no_return_calls_the_jump_off() -> None:
    with console(code=JUMP.format(sync="time.sleep(2)")) as t:
        to_jump(t)
        t.wait_for("Jumping from 7.3.3-hv into 7.3.4-hv ...")
        assert_clean(t)
        t.send("ctrl+c")
        assert t.wait_ended() == 128 + signal.SIGINT
        assert "Could not hand the terminal back" in t.flat()
        assert "This host stays prepared." in t.flat()
        assert_clean(t)


def test_an_error_of_our_own_before_the_jump_is_told(tmp_path: Path) -> None:
    code = JUMP.format(sync='raise RuntimeError("nobody foresaw it")')
    with console(code=code, XDG_STATE_HOME=str(tmp_path)) as t:
        to_jump(t)
        screen = t.wait_for("an error of its own before the jump")
        assert "nobody foresaw it" in screen
        assert "PREPARED" in screen
        assert list((tmp_path / "luo-tui").iterdir())


def test_nothing_stops_it() -> None:
    with console() as t:
        t.wait_for("Nothing is prepared")
        t.send("ctrl+z")
        t.wait_for("Ctrl+Z stops nothing here")
        os.kill(t.process.pid, signal.SIGTSTP)
        t.send("w")
        t.wait_for("[>] check")
        t.send("q")
        assert t.wait_ended() == 0
        assert_clean(t)


def test_ctrl_l_draws_everything_anew() -> None:
    with console() as t:
        t.wait_for("Nothing is prepared")
        t._screen.reset()
        t.send("ctrl+l")
        t.wait_for("Nothing is prepared")
        screen = t.wait_for("guest-web1")
        assert "q quit" in screen
        assert "demo-hv" in screen


def test_a_terminal_without_a_size_is_taken_for_80_by_24() -> None:
    with console(rows=0, cols=0) as t:
        t._screen.resize(24, 80)
        screen = t.wait_for("Nothing is prepared")
        assert "q quit" in screen


@pytest.mark.parametrize("term", ["linux", "vt100"])
def test_plain_terminals(term: str) -> None:
    with console(TERM=term, COLORTERM="") as t:
        t.wait_for("Nothing is prepared")
        assert all(ord(c) < 128 for c in t.text())
        t.send("q")
        assert t.wait_ended() == 0
        assert_clean(t)


def test_no_terminal_is_refused_politely() -> None:
    import subprocess

    done = subprocess.run(
        [sys.executable, "-m", "luo_tui", "demo"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 12
    assert done.stdout == ""
    assert "needs a terminal" in done.stderr
