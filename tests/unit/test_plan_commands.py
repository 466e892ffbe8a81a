# SPDX-License-Identifier: MIT
"""Plans by command line: written, shown, checked, and walked to the end."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from luo_tui.cli import window as window_commands
from luo_tui.errors import Exit
from luo_tui.model import State
from luo_tui.orchestrator.simulated import HOST_NAME, SimulatedHost, SimulatedJump
from luo_tui.update.facts import Facts
from luo_tui.update.plan import parse_plan
from tests.unit.test_window_commands import TARGET, Shell, host, shell

__all__ = ["host", "shell"]


@pytest.fixture
def plan(tmp_path: Path, shell: Shell) -> Path:
    """The plan that this host is given by ``plan new``, with all its losses agreed to."""
    return written(tmp_path, agreed(shell.must("plan", "new")))


def agreed(text: str) -> str:
    return text.replace('\n#  "', '\n  "')


def written(folder: Path, text: str) -> Path:
    path = folder / "plan.toml"
    path.write_text(text)
    path.chmod(0o644)
    return path


def test_a_new_plan_agrees_to_no_loss_and_names_each(shell: Shell) -> None:
    text = shell.must("plan", "new", TARGET)
    new, edited = parse_plan(text), parse_plan(agreed(text))
    assert (new.target, new.losses, new.finish) == (TARGET, (), False)
    shell.prepared()
    assert set(edited.losses) == set(shell.json("kexec", "--show")["lost"]) - set(
        shell.json("kexec", "--show")["lost_always"]
    )


def test_check_says_whether_it_would_be_done(shell: Shell, tmp_path: Path, plan: Path) -> None:
    assert "result      it would be done as things stand now" in shell.must(
        "plan", "check", str(plan)
    )
    told = shell.json("plan", "check", str(plan))
    assert (told["schema"], told["target"], told["blockers"]) == (1, TARGET, [])
    assert told["lost_and_not_in_the_plan"] == []
    bad = (
        'format = 1\n[hooks.on-cancel]\nrun = ["/nowhere/hook"]\n[command_line]\nadd = ["kho=off"]'
    )
    assert shell("plan", "check", str(written(tmp_path, bad))) == Exit.BLOCKED
    assert "blocker     hook on-cancel: /nowhere/hook: No such file or directory" in shell.out
    assert "blocker     It says kho=off, which turns Kexec HandOver off." in shell.out
    assert "NOT LISTED" in shell.out
    assert "result      it would be refused as things stand now" in shell.out
    assert not (shell.host.folder / "windows").exists(), "nothing was done"


def test_show_needs_no_host(shell: Shell, plan: Path) -> None:
    shell.may_act = False
    assert shell.must("plan", "show", str(plan)).splitlines()[0] == f"target      {TARGET}"


def test_a_whole_update_by_a_plan(shell: Shell, plan: Path, host: SimulatedHost) -> None:
    plan.write_text(plan.read_text().replace("add = []", 'add = ["console=ttyS1"]'))
    with pytest.raises(SimulatedJump):
        shell("run", str(plan), "--yes-to", HOST_NAME)
    assert shell.out.count("done        ") == 2
    assert f"into {TARGET} ..." in shell.out
    assert (host.state, host.release) == (State.UPDATED, TARGET)
    assert next(r["command_line"] for r in shell.records() if r["event"] == "jump").endswith(
        " console=ttyS1"
    )
    jump = next(r for r in shell.records() if r["event"] == "jump")
    assert jump["confirmed"].endswith(f"by --yes, by --yes-to {HOST_NAME}, by the plan")
    assert "done        Finish" in shell.must("run", str(plan), "--yes-to", HOST_NAME)
    assert host.state is State.NORMAL
    assert shell.events() == [
        "opened", "plan", "begin", "done", "begin", "done", "jump",
        "opened", "arrived", "begin", "done", "closed",
    ]  # fmt: skip
    err = shell.refused(Exit.REFUSED, "run", str(plan), "--yes-to", HOST_NAME)
    assert f"This host runs {TARGET} already" in err


def test_what_is_not_in_the_plan_is_refused_before_anything_is_done(
    shell: Shell, tmp_path: Path
) -> None:
    path = written(tmp_path, f'format = 1\ntarget = "{TARGET}"\n')
    err = shell.refused(Exit.REFUSED, "run", str(path), "--yes-to", HOST_NAME)
    assert "The kexec would lose what the plan does not list: " in err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--yes-to", "other"), Exit.REFUSED, "--yes-to 'other' is not"),
        ((), Exit.USAGE, "required: --yes-to"),
    ],
)
def test_the_host_is_named(
    shell: Shell, plan: Path, arguments: tuple[str, ...], code: Exit, said: str
) -> None:
    if not arguments:
        with pytest.raises(SystemExit) as ended:
            shell("run", str(plan))
        assert ended.value.code == code
    else:
        shell.refused(code, "run", str(plan), *arguments)
    assert said in shell.err


def test_after_a_kexec_that_does_not_happen_the_host_is_normal_again(
    shell: Shell, tmp_path: Path, plan: Path, host: SimulatedHost
) -> None:
    hook = tmp_path / "hook"
    hook.write_text("#!/bin/sh\nexit 7\n")
    hook.chmod(0o755)
    text = plan.read_text() + f'\n[hooks.before-freeze]\nrun = ["{hook}"]\n'
    written(tmp_path, text)
    assert shell("run", str(plan), "--yes-to", HOST_NAME) == Exit.REFUSED
    assert "The hook before-freeze failed: it ended with 7." in shell.err
    assert "done        Cancel the update: prepared -> normal" in shell.out
    assert (host.state, host.image) == (State.NORMAL, "")
    assert shell.events()[-1] == "closed"


def test_a_prepare_that_is_refused_leaves_nothing_loaded(
    shell: Shell, plan: Path, host: SimulatedHost
) -> None:
    host.scenario = "prepare-refused"
    assert shell("run", str(plan), "--yes-to", HOST_NAME) != Exit.OK
    assert "The kernel image was unloaded." in shell.err
    assert (host.state, host.image) == (State.NORMAL, "")
    assert shell.records()[-1] == {"event": "closed", "how": "left: the run did not go on"}
    assert shell.holder() is None


def test_a_run_holds_its_window_from_the_first_act_on(
    shell: Shell, plan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else whoever watches would be offered to take it over between two acts."""
    seen = []
    look = window_commands.Command._find_target

    def between(self: window_commands.Command, facts: Facts) -> object:
        seen.append(shell.holder() is not None)
        return look(self, facts)

    monkeypatch.setattr(window_commands.Command, "_find_target", between)
    with pytest.raises(SimulatedJump):
        shell("run", str(plan), "--yes-to", HOST_NAME)
    assert seen == [False, True, True], "load, prepare, kexec"


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("format = 3", Exit.USAGE, "format: must be 1"),
        ("#" * 70000, Exit.REFUSED, "longer than 64 KiB"),
        (None, Exit.NOT_FOUND, "No such file"),
    ],
)
def test_a_plan_that_is_none(
    shell: Shell, tmp_path: Path, text: str | None, code: Exit, said: str
) -> None:
    path = tmp_path / "none.toml" if text is None else written(tmp_path, text)
    for line in (("run", str(path), "--yes-to", HOST_NAME), ("plan", "show", str(path))):
        assert said in shell.refused(code, *line)


def test_a_plan_that_is_no_text_is_wrong_as_any_other(shell: Shell, tmp_path: Path) -> None:
    path = written(tmp_path, "format = 1\n")
    path.write_bytes(path.read_bytes() + b'target = "\xff"\n')
    said = shell.refused(Exit.USAGE, "plan", "show", str(path))
    assert f"{path}: line 2: byte 22 of the file is not UTF-8. Nothing was done." in said


def test_for_root_only_a_plan_of_root_counts(
    shell: Shell, plan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever runs the test: whose the file is, is told by the system, which is asked alone."""
    line = ("run", str(plan), "--yes-to", HOST_NAME)
    system, owner = os.fstat, 0

    def fstat(fd: int) -> os.stat_result:
        about = list(system(fd))
        about[stat.ST_UID] = owner
        return os.stat_result(about)

    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("luo_tui.update.plan_files.os.fstat", fstat)
    plan.chmod(0o666)
    assert "others may write to it" in shell.refused(Exit.REFUSED, *line)
    plan.chmod(0o644)
    owner = 1000
    assert f"chown root {plan}" in shell.refused(Exit.REFUSED, *line)


def test_json_has_an_object_for_each_step(shell: Shell, plan: Path) -> None:
    with pytest.raises(SimulatedJump):
        shell("run", str(plan), "--yes-to", HOST_NAME, "--json")
    decoder, text, acts = json.JSONDecoder(), shell.out, []
    while text.strip():
        told, end = decoder.raw_decode(text.lstrip())
        acts.append((told["act"], told["result"]))
        text = text.lstrip()[end:]
    assert acts == [("load", "done"), ("prepare", "done"), ("kexec", "jumping")]


def test_a_plan_is_written_from_what_was_done_by_hand(
    shell: Shell, host: SimulatedHost, tmp_path: Path
) -> None:
    shell.must("load", TARGET, "--change", "CHG-7", "--reason", "a fix")
    shell.must("unload", "--yes")
    text = shell.must("plan", "new", "--from-window", "1")
    plan = parse_plan(text)
    assert (plan.target, plan.change, plan.reason) == (TARGET, "CHG-7", "a fix")
    assert (plan.approved_by, plan.losses, plan.initrd) == ("", (), "")
    assert (plan.add, plan.remove) == ((), ())
    other = shell.must("plan", "new", TARGET, "--from-window", "")
    assert parse_plan(other).target == TARGET
    assert shell("plan", "new", "--from-window", "9") == Exit.NOT_FOUND
