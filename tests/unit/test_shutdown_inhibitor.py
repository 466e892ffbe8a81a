# SPDX-License-Identifier: MIT
"""An ordinary shutdown is held back while a window is open, and no longer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from luo_tui.orchestrator.shutdown_inhibitor import PROGRAM, ShutdownInhibitor
from luo_tui.orchestrator.simulated import SimulatedHost, SimulatedOrchestrator
from luo_tui.update.history import read_history
from luo_tui.update.report import report_text
from tests.unit.test_window_commands import Console

ROOT = Path(__file__).parents[2]


class FakeLogind:
    """A systemd-inhibit that has the lock as long as a file is locked, as the real one has a fd."""

    def __init__(self, folder: Path) -> None:
        self.program = folder / "systemd-inhibit"
        self.lock = folder / "lock"
        self.said = folder / "said"
        self.lock.touch()
        self.answers('exec 9<>{lock}; flock -x 9; shift 4; "$@"')

    def answers(self, does: str) -> None:
        does = does.format(lock=self.lock)
        list_ = f'[ "$1" = --list ] && exit 0; printf "%s\\n" "$@" > {self.said}'
        self.program.write_text(f"#!/bin/sh\n{list_}\n{does}\n")
        self.program.chmod(0o755)

    def held(self) -> bool:
        return subprocess.run(["flock", "-n", self.lock, "true"], check=False).returncode != 0

    def wait_until_free(self) -> None:
        """Return when nobody has the lock any more; flock gives up where somebody keeps it."""
        subprocess.run(["flock", "-w", "60", self.lock, "true"], check=True)


@pytest.fixture
def logind(tmp_path: Path) -> FakeLogind:
    return FakeLogind(tmp_path)


def test_it_is_held_from_take_to_release(logind: FakeLogind) -> None:
    inhibitor = ShutdownInhibitor(logind.program)
    assert inhibitor.available() == ""
    assert not logind.held()
    assert inhibitor.take("a live update") == ""
    assert logind.held()
    assert inhibitor.take("again") == ""
    told = logind.said.read_text().splitlines()
    assert told == [
        "--what=shutdown", "--mode=block", "--who=luo-tui", "--why=a live update", "/bin/cat"
    ]  # fmt: skip
    inhibitor.release()
    assert not logind.held()
    inhibitor.release()


def test_it_ends_with_a_process_that_is_killed(logind: FakeLogind) -> None:
    code = (
        "import sys, pathlib, signal\n"
        "from luo_tui.orchestrator.shutdown_inhibitor import ShutdownInhibitor\n"
        "mine = ShutdownInhibitor(pathlib.Path(sys.argv[1]))\n"
        "print(mine.take('x'), flush=True)\n"
        "signal.pause()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(logind.program)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "\n"
        assert logind.held()
        os.kill(process.pid, signal.SIGKILL)
    logind.wait_until_free()


@pytest.mark.parametrize(
    ("does", "why"),
    [
        ("echo 'Failed to inhibit: Access denied' >&2; exit 1", "Failed to inhibit: Access denied"),
        ("exit 1", "systemd-inhibit ended without a word"),
    ],
)
def test_a_refusal_is_told_and_leaves_nothing_behind(
    logind: FakeLogind, does: str, why: str
) -> None:
    logind.answers(does)
    inhibitor = ShutdownInhibitor(logind.program)
    assert inhibitor.take("x") == why
    assert not logind.held()


def test_a_logind_that_is_silent_is_given_up(
    logind: FakeLogind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luo_tui.orchestrator.shutdown_inhibitor._PATIENCE", 0.2)
    logind.answers("exec 9<>{lock}; flock -x 9; sleep 600")
    assert "did not answer" in ShutdownInhibitor(logind.program).take("x")
    logind.wait_until_free()


def test_without_systemd_it_is_said_plainly(tmp_path: Path) -> None:
    inhibitor = ShutdownInhibitor(tmp_path / "none")
    assert inhibitor.available() == inhibitor.take("x") == f"there is no {tmp_path}/none"


class Inhibits(SimulatedOrchestrator):
    """A simulated host with a logind."""

    inhibitor: ShutdownInhibitor

    def shutdown_inhibitor(self) -> ShutdownInhibitor:
        return self.inhibitor


@pytest.mark.parametrize("there", [True, False])
def test_a_window_has_it_as_long_as_it_is_open_here(
    logind: FakeLogind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    program = logind.program if there else tmp_path / "none"
    monkeypatch.setattr(Inhibits, "inhibitor", ShutdownInhibitor(program), raising=False)
    monkeypatch.setattr("tests.unit.test_window_commands.SimulatedOrchestrator", Inhibits)
    host = SimulatedHost.create(tmp_path / "host", delay=0.0)
    console = Console(host)
    window = console.window
    window.open(window.facts())
    assert logind.held() == there
    (past,) = read_history(host.folder)
    line = next(line for line in report_text(past) if "ordinary shutdown" in line)
    assert ("held back by logind" in line) == there
    assert (f"NOT held back: there is no {program}" in line) != there
    window.release()
    assert not logind.held()


def test_the_program_is_named_by_its_whole_path() -> None:
    assert PROGRAM.is_absolute()
