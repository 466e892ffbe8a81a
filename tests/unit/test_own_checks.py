# SPDX-License-Identifier: MIT
"""A host's own checks are asked by `check`, and in the act; what they do not say is unknown."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from luo_tui.cli import check as command
from luo_tui.cli import main as cli
from luo_tui.errors import Exit, NotDone
from luo_tui.model import State
from luo_tui.orchestrator.simulated import HOST_NAME, SimulatedOrchestrator
from luo_tui.update import hooks, own_checks
from luo_tui.update.facts import Act, Facts, Finding, Level
from luo_tui.update.own_checks import OwnCheck, run_own_checks
from tests.unit.test_acts import Console, host
from tests.unit.test_host_checks import GOOD

FACTS: Facts = GOOD


@pytest.fixture(autouse=True)
def _trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    # A test's folder lies below one that others may write to, or that root does not own.
    fault = hooks.hook_fault

    def only_the_file(hook: hooks.Program) -> str:
        said = fault(hook)
        return "" if "may be changed by others" in said else said

    monkeypatch.setattr(hooks, "hook_fault", only_the_file)


def lay(folder: Path, name: str, script: str, mode: int = 0o755) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(mode)


def only(folder: Path) -> Finding:
    (found,) = run_own_checks(folder, FACTS)
    return found


@pytest.mark.parametrize(
    ("script", "level", "text"),
    [
        ("echo looked; echo all is well", Level.OK, "all is well"),
        ("echo the backup is old; exit 1", Level.WARNING, "the backup is old"),
        ("echo no change is open; exit 2", Level.BLOCKER, "no change is open"),
        ("exit 0", Level.OK, "It ended as ok."),
        ("exit 2", Level.BLOCKER, "It ended as blocker."),
        ("echo what; exit 3", Level.UNKNOWN, "Not known: it ended with 3. Its last line: what"),
        ("kill -9 $$", Level.UNKNOWN, "Not known: signal SIGKILL ended it."),
        ("""echo '{"result": "warning", "text": "so"}'""", Level.WARNING, "so"),
        ("""echo '{"result": "fine"}'""", Level.UNKNOWN, "Not known: its last line is no object"),
        ("""echo '{"text": "so"}'""", Level.UNKNOWN, "Not known: its last line is no object"),
        ("""echo '{"result": "ok", "text": 1}'""", Level.UNKNOWN, "Not known: its last line"),
        ("echo '{'", Level.UNKNOWN, "Not known: its last line is no object with a result: {"),
        ("printf 'a\\033[2Jb\\n'", Level.OK, "a\\x1b[2Jb"),
    ],
)
def test_a_check_says_by_its_end_what_it_found(
    tmp_path: Path, script: str, level: Level, text: str
) -> None:
    lay(tmp_path / "d", "backup", script)
    found = only(tmp_path / "d")
    assert (found.level, found.code) == (level, "LUO-O-backup")
    assert found.text.startswith(text)


def test_one_that_hangs_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_checks, "OwnCheck", lambda run: OwnCheck(run, seconds=1))
    lay(tmp_path / "d", "slow", "exec sleep 60")
    assert only(tmp_path / "d").text == "Not known: it took longer than 1 s and was killed."


def test_what_is_no_check_is_passed_over_and_what_cannot_run_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    assert run_own_checks(folder, FACTS) == ()
    for name in ("backup.dpkg-old", "backup~", ".hidden", "README.txt"):
        lay(folder, name, "exit 2")
    lay(folder, "10-plain", "exit 2", mode=0o644)
    found = only(folder)
    assert (found.level, found.check) == (Level.UNKNOWN, "10-plain")
    assert "is not executable" in found.text


def test_a_folder_that_cannot_be_read_is_not_one_without_checks(tmp_path: Path) -> None:
    (tmp_path / "d").write_text("a file")
    found = only(tmp_path / "d")
    assert (found.level, found.code) == (Level.UNKNOWN, "LUO-O")


@pytest.mark.root
def test_what_others_may_change_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    lay(tmp_path / "d", "backup", f"touch {tmp_path}/ran")
    (tmp_path / "d" / "backup").chmod(0o777)
    found = only(tmp_path / "d")
    assert found.level is Level.UNKNOWN
    assert "may be changed by others than root" in found.text
    assert not (tmp_path / "ran").exists()


def test_check_names_them_behind_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = host(tmp_path)
    monkeypatch.setattr(cli, "open_orchestrator", lambda: SimulatedOrchestrator(machine))
    lay(machine.checks_folder, "ticket", 'echo "$LUO_TUI_STATE $LUO_TUI_TARGET"; exit 2')
    asked = ["--folder", str(machine.folder), "check", "7.3.4-hv", "--json"]
    assert cli.run(asked) == Exit.BLOCKED
    told = json.loads(capsys.readouterr().out)
    jsonschema.validate(told, json.loads(command.schema_text()), jsonschema.Draft202012Validator)
    assert told["results"][-1]["code"] == "LUO-O-ticket"
    assert told["results"][-1]["text"] == "normal 7.3.4-hv"


def test_a_blocker_stops_load_in_the_act(tmp_path: Path) -> None:
    console = Console(host(tmp_path))
    lay(console.host.checks_folder, "ticket", "echo no change is open; exit 2")
    with pytest.raises(NotDone, match="LUO-O-ticket: no change is open") as refused:
        console.load()
    assert refused.value.code == Exit.BLOCKED
    assert not console.host.image
    assert console.events()[-1] == "failed"
    lay(console.host.checks_folder, "ticket", "exit 1")
    console.load()
    assert console.host.image


def test_a_blocker_that_comes_later_stops_the_kexec_and_the_host_stays_prepared(
    tmp_path: Path,
) -> None:
    console = Console(host(tmp_path))
    console.load()
    console.prepare()
    lay(console.host.checks_folder, "ticket", "echo the change was withdrawn; exit 2")
    with pytest.raises(NotDone, match="the change was withdrawn"):
        console.kexec(HOST_NAME)
    assert console.host.state is State.PREPARED
    facts = console.window.facts(console.target)
    assert facts.window_state is not None
    assert not facts.window_state.closed
    assert console.yes(Act.CANCEL).act is Act.CANCEL
