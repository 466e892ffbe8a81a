# SPDX-License-Identifier: MIT
"""The command line: exit codes, JSON, and plain words where it cannot go on."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from luo_tui.cli import main as cli
from luo_tui.cli.parser import CODES, FAMILIES, command_line
from luo_tui.cli.status import schema_text
from luo_tui.errors import Exit
from luo_tui.orchestrator.simulated import HOST_NAME, SimulatedHost, SimulatedOrchestrator


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
    monkeypatch.setattr(cli, "open_orchestrator", lambda: SimulatedOrchestrator(made))
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
    assert status["schema"] == 2
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


def test_what_cannot_be_read_is_not_said_to_be_absent(
    host: SimulatedHost, capsys: pytest.CaptureFixture[str]
) -> None:
    assert on(host, "status") == 0
    assert "window      none was ever opened here" in capsys.readouterr().out
    (host.folder / "windows").write_text("a file")
    assert on(host, "status") == 0
    out = capsys.readouterr().out
    assert "window      cannot be read: Not a directory" in out
    assert "none was ever opened" not in out
    host.lock_folder.write_text("a file")
    assert on(host, "status") == 0
    assert "window      whether it is open cannot be read: The lock" in capsys.readouterr().out
    assert on(host, "status", "--json") == 0
    assert set(json.loads(capsys.readouterr().out)["faults"]) == {"lock", "journal"}


def test_what_was_done_before_an_interrupt_is_told(
    host: SimulatedHost,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "f").write_bytes(b"x" * 5000)
    ordinary = SimulatedHost.preserve

    def interrupted(self: SimulatedHost, fd: int) -> int:
        os.kill(os.getpid(), signal.SIGINT)
        return ordinary(self, fd)

    with monkeypatch.context() as patch:
        patch.setattr(SimulatedHost, "preserve", interrupted)
        assert on(host, "hold", str(tmp_path / "f"), "--name", "warm") == Exit.INTERRUPTED
    assert "held warm: token 4" in capsys.readouterr().out
    assert on(host, "unpreserve", "warm") == 0


def test_a_console_without_a_terminal_is_refused_in_words() -> None:
    for arguments in ((), ("console",), ("demo",)):
        done = run(*arguments)
        assert done.returncode == 12
        assert "terminal" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_failure_that_nobody_foresaw_is_one_line(tmp_path: Path) -> None:
    done = run("demo", "--resume", str(tmp_path / "none"))
    assert done.returncode == Exit.NOT_FOUND
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


def test_an_empty_folder_is_not_the_one_where_one_stands() -> None:
    done = run("--folder", "", "history")
    assert (done.returncode, done.stdout) == (Exit.USAGE, "")
    assert "the folder's name is empty" in done.stderr


def test_the_demo_takes_no_folder(tmp_path: Path) -> None:
    done = run("--folder", str(tmp_path), "demo", "--list")
    assert (done.returncode, done.stdout) == (Exit.USAGE, "")
    assert "a folder of its own" in done.stderr


def test_the_help_tells_every_command_and_every_exit_code() -> None:
    done = run("--help", COLUMNS="80")
    assert done.returncode == 0
    for command in (
        "status", "check", "guests", "watch", "demo", "console", "hold", "restore", "unpreserve",
        "load", "unload", "prepare", "kexec", "cancel", "finish", "take-over",
        "arrive", "history", "journal",
    ):  # fmt: skip
        assert f"\n  {command} " in done.stdout
        assert run(command, "--help").returncode == 0
    assert set(CODES) == set(Exit)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        assert 128 + number in CODES, "as the console ends by it"
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    for code, text in CODES.items():
        assert f" {code:d}  {text}\n" in done.stdout
        assert f"\n| {code:d} | {text} |\n" in readme
    assert max(len(line) for line in done.stdout.splitlines()) <= 80


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_alone_is_told_as_among_all(family: str) -> None:
    everything, alone = (dict(_commands(command_line(only))) for only in ("", family))
    assert tuple(alone) == FAMILIES[family]
    for name, parser in alone.items():
        assert parser.format_help() == everything[name].format_help()


def test_no_command_is_in_two_families_and_none_is_left_out() -> None:
    assert [n for names in FAMILIES.values() for n in names] == [
        name for name, _ in _commands(command_line())
    ]


def _commands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    (action,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    yield from action.choices.items()


def test_the_schema_is_printed() -> None:
    done = run("status", "--schema")
    assert done.returncode == 0
    assert json.loads(done.stdout)["properties"]["schema"] == {
        "const": 2,
        "description": json.loads(schema_text())["properties"]["schema"]["description"],
    }


def test_a_full_disk_is_one_line_and_a_code() -> None:
    for arguments in (("status",), ("status", "--schema"), ("watch",)):
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                [sys.executable, "-m", "luo_tui", *arguments],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        assert done.returncode == Exit.NO_SPACE
        assert done.stderr.count("\n") == 1
        assert "No space left" in done.stderr


def test_what_cannot_be_waited_for_is_wrong_usage() -> None:
    for arguments in (
        ("--until", "asleep"),
        ("--until", "unavailable"),
        ("--timeout", "1"),
        ("--kind", "weather"),
        ("--until", "normal", "--timeout", "nan"),
        ("--until", "normal", "--timeout", "-1"),
    ):
        done = run("watch", *arguments)
        assert done.returncode == Exit.USAGE, arguments
        assert "Traceback" not in done.stderr
        assert done.stdout == ""


def test_a_log_is_kept_by_who_watches_and_refused_by_who_does_not(tmp_path: Path) -> None:
    path = tmp_path / "log"
    for command in ("status", "demo"):
        done = run("--log", str(path), command)
        assert done.returncode == Exit.USAGE
        assert "has no --log" in done.stderr
    assert not path.exists()
    waiting = ("watch", "--until", "frozen", "--timeout", "0")
    for arguments in (("--log", str(path), *waiting), (*waiting, "--log", str(path))):
        assert run(*arguments).returncode in (Exit.UNAVAILABLE, Exit.TIMED_OUT)
        assert json.loads(path.read_text().splitlines()[0])["text"].startswith("watching begins")
        path.unlink()
    done = run(*waiting, "--log", str(tmp_path / "none" / "log"))
    assert done.returncode == Exit.NOT_FOUND
    assert "No such file" in done.stderr


def test_a_look_loads_nothing_that_it_does_not_need() -> None:
    code = (
        "import sys\n"
        "from luo_tui.cli.main import run\n"
        "run(['--folder', '/nonexistent', 'status'])\n"
        "print(*sorted({m.split('.')[0] for m in sys.modules}), file=sys.stderr)\n"
        "print(*sorted(m for m in sys.modules if m.startswith('luo_tui.')), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    foreign, own = (set(line.split()) for line in done.stderr.splitlines()[-2:])
    assert "luo_tui.cli.status" in own
    assert foreign & {"textual", "pyudev", "watchdog", "hashlib", "tempfile"} == set()
    unneeded = {
        "luo_tui.update.hold",
        "luo_tui.update.acts",
        "luo_tui.update.agreement",
        "luo_tui.update.checks.host",
        "luo_tui.cli.watch",
        "luo_tui.console.session",
        "luo_tui.demo",
    }
    assert own & unneeded == set()


def test_a_closed_pipe_is_no_traceback() -> None:
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m luo_tui status | true"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
