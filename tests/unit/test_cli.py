# SPDX-License-Identifier: MIT
"""The command line: exit codes, JSON, and plain words where it cannot go on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from luo_tui import cli
from luo_tui.orchestrator.simulated import HOST_NAME, SimulatedHost


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "luo_tui", *arguments],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimulatedHost:
    """The command line on a simulated host."""
    made = SimulatedHost.create(tmp_path / "host")
    monkeypatch.setattr(cli, "open_orchestrator", lambda: made.orchestrator)
    return made


def on(host: SimulatedHost, *arguments: str) -> int:
    return cli.run(["--folder", str(host.folder), *arguments])


def test_status_for_people_and_for_programs(
    host: SimulatedHost, capsys: pytest.CaptureFixture[str]
) -> None:
    assert on(host, "status") == 0
    text = capsys.readouterr().out
    assert text.startswith("LUO state   normal\n")
    assert "guest-db1" in text
    assert "32 GiB" in text
    assert on(host, "status", "--json") == 0
    status = json.loads(capsys.readouterr().out)
    assert status["schema"] == 1
    assert status["demo"] is True
    assert status["host"]["name"] == HOST_NAME
    assert status["state"] == "normal"
    assert status["resources"][0]["name"] == "guest-web1"
    assert status["preserved_bytes"] == sum(r["bytes"] for r in status["resources"])
    assert status["blackout_ms"] is None
    assert status["window"] is None
    assert status["step"] == "check"


def test_hold_and_unpreserve(
    host: SimulatedHost, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "f").write_bytes(b"x" * 5000)
    assert on(host, "hold", str(tmp_path / "f"), "--name", "warm") == 0
    assert "held warm: token 4, 4.88 KiB" in capsys.readouterr().out
    assert on(host, "hold", str(tmp_path / "f"), "--name", "warm") == 6
    assert "held already" in capsys.readouterr().err
    assert on(host, "restore", "warm", "-o", str(tmp_path / "g")) == 5
    assert "The state is now: normal." in capsys.readouterr().err
    assert on(host, "unpreserve", "warm") == 0
    assert on(host, "unpreserve", "warm") == 8
    assert on(host, "hold", str(tmp_path / "none"), "--name", "warm") == 8


def test_a_console_without_a_terminal_is_refused_in_words() -> None:
    for arguments in ((), ("console",), ("demo",)):
        done = run(*arguments)
        assert done.returncode == 12
        assert "terminal" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_failure_that_nobody_foresaw_is_one_line(tmp_path: Path) -> None:
    done = run("demo", "--resume", str(tmp_path / "none"))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "No such file" in done.stderr


def test_wrong_usage_has_its_code() -> None:
    assert run("no-such-command").returncode == 2
    assert run("hold", "/etc/passwd").returncode == 2
    assert run("demo", "--scenario", "nonsense").returncode == 2
    assert run("demo", "--delay", "-1").returncode == 2
    done = run("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("luo-tui ")


def test_a_closed_pipe_is_no_traceback() -> None:
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m luo_tui status | true"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
