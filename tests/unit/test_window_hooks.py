# SPDX-License-Identifier: MIT
"""A window that goes by a plan: its hooks run in their places, and what they did is undone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from luo_tui.errors import ActFailed, Exit, NotDone
from luo_tui.model import State
from luo_tui.orchestrator import Move
from luo_tui.orchestrator.simulated import HOST_NAME, SimulatedHost, SimulatedJump
from luo_tui.update.facts import Act
from luo_tui.update.hook import HookPoint
from luo_tui.update.journal import latest
from luo_tui.update.person import Person
from luo_tui.update.plan_files import read_plan
from tests.unit.test_acts import Console, host

EVERY = tuple(HookPoint)


class Planned:
    """A plan whose hooks write their names down; those that are told to fail do."""

    def __init__(self, folder: Path, *points: HookPoint) -> None:
        self.folder = folder
        self.said = folder / "said"
        self.fails = folder / "fails"
        program = folder / "hook"
        program.write_text(
            f'#!/bin/sh\necho "$LUO_TUI_HOOK" >>{self.said}\necho "ran $LUO_TUI_HOOK"\n'
            f'! grep -qx "$LUO_TUI_HOOK" {self.fails} 2>/dev/null\n'
        )
        program.chmod(0o755)
        self.path = folder / "plan.toml"
        tables = (f'[hooks.{p}]\nrun = ["{program}"]\n' for p in points)
        self.path.write_text('format = 1\nchange = "CHG-1"\n' + "".join(tables))
        self.path.chmod(0o600)

    def console(self, machine: SimulatedHost, me: Person | None = None) -> Console:
        console = Console(machine, me)
        console.window.go_by(*read_plan(self.path))
        return console

    def fail(self, *points: HookPoint) -> None:
        self.fails.write_text("".join(f"{p}\n" for p in points))

    def ran(self) -> list[str]:
        return self.said.read_text().split() if self.said.exists() else []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "planned"
    made.mkdir()
    return made


def boot(console: Console, machine: SimulatedHost, me: Person | None = None) -> Console:
    """Jump, and look from the next kernel; its console was given no plan."""
    with pytest.raises(SimulatedJump):
        console.kexec()
    console.window.release()
    return Console(machine, me)


def restore_all(console: Console) -> list[int]:
    """Have everything restored; return the descriptors that keep it."""
    return [console.host.restore(r.token) for r in console.look().discarded]


def test_every_hook_of_a_whole_update_runs_in_its_place(tmp_path: Path, folder: Path) -> None:
    machine = host(tmp_path, "nothing-restored")
    plan = Planned(folder, *EVERY)
    before = plan.console(machine)
    before.load()
    assert plan.ran() == []
    before.prepare()
    assert plan.ran() == ["before-prepare"]
    after = boot(before, machine)
    assert plan.ran() == ["before-prepare", "before-freeze"]
    plan.path.unlink()
    after.window.arrive()
    assert plan.ran()[2:] == [], "nothing is restored yet"
    kept = restore_all(after)
    after.window.arrive()
    after.window.arrive()
    assert plan.ran()[2:] == ["after-restore"], "once"
    after.window.finish(after.yes(Act.FINISH))
    assert plan.ran()[3:] == ["after-finish"]
    state = latest(machine.folder)
    assert state is not None
    assert (state.hook_open, state.closed, state.change) == ("", "finished", "CHG-1")
    told = {a.what: a.result for a in state.acts}
    assert told["hook before-freeze"] == "done"
    assert told["plan"] == "CHG-1"
    for fd in kept:
        os.close(fd)


@pytest.mark.parametrize("points", [EVERY, ()], ids=["hooks", "none"])
def test_what_the_hook_before_the_freeze_has_written_is_synced(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, points: tuple[HookPoint, ...]
) -> None:
    machine = host(tmp_path)
    plan = Planned(folder, *points)
    console = plan.console(machine)
    console.load()
    console.prepare()
    synced: list[list[str]] = []
    kexec = type(console.orchestrator.kexec)
    monkeypatch.setattr(kexec, "sync", lambda self: synced.append(plan.ran()))
    boot(console, machine)
    if points:
        assert synced == [["before-prepare"], ["before-prepare", "before-freeze"]]
    else:
        assert synced == [[]], "once, where nothing is written after it"


def test_finish_runs_what_nobody_has_run_after_the_restore(tmp_path: Path, folder: Path) -> None:
    machine = host(tmp_path)
    plan = Planned(folder, HookPoint.AFTER_RESTORE, HookPoint.AFTER_FINISH)
    before = plan.console(machine)
    before.load()
    before.prepare()
    after = boot(before, machine)
    after.window.finish(after.yes(Act.FINISH, typed="discard"))
    assert plan.ran() == ["after-restore", "after-finish"]


def test_a_cancelled_window_runs_its_hook(tmp_path: Path, folder: Path) -> None:
    machine = host(tmp_path)
    plan = Planned(folder, *EVERY)
    console = plan.console(machine)
    console.load()
    console.prepare()
    assert console.window.cancel(console.yes(Act.CANCEL)) == ("The kernel image was unloaded.",)
    assert plan.ran() == ["before-prepare", "on-cancel"]


def test_a_hook_that_fails_before_prepare_stops_it_and_is_undone(
    tmp_path: Path, folder: Path
) -> None:
    machine = host(tmp_path)
    plan = Planned(folder, *EVERY)
    plan.fail(HookPoint.BEFORE_PREPARE)
    console = plan.console(machine)
    console.load()
    with pytest.raises(NotDone) as refused:
        console.prepare()
    assert refused.value.reason == (
        "The hook before-prepare failed: it ended with 1. Its last line: ran before-prepare "
        "The on-failure hook has run: it undoes what before-prepare did."
    )
    assert refused.value.code is Exit.REFUSED
    assert machine.state is State.NORMAL
    assert plan.ran() == ["before-prepare", "on-failure"]
    plan.fail()
    console.prepare()
    assert machine.state is State.PREPARED


def test_a_refused_prepare_is_undone(tmp_path: Path, folder: Path) -> None:
    machine = host(tmp_path, "prepare-refused")
    plan = Planned(folder, *EVERY)
    console = plan.console(machine)
    console.load()
    with pytest.raises(ActFailed, match="The on-failure hook has run"):
        console.prepare()
    assert plan.ran() == ["before-prepare", "on-failure"]


@pytest.mark.parametrize("fault", ["hook", "freeze", "facts"])
def test_guests_that_were_paused_for_a_jump_are_resumed_if_it_does_not_come(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    machine = host(tmp_path, "freeze-refused" if fault == "freeze" else "default")
    plan = Planned(folder, *EVERY)
    if fault == "hook":
        plan.fail(HookPoint.BEFORE_FREEZE)
    console = plan.console(machine)
    console.load()
    console.prepare()
    if fault == "facts":
        # It changes something that the consent rests on.
        run = console.window._check
        seen = []

        def check(*args: object) -> None:
            seen.append(plan.ran()[-1])
            if seen[-1] == "before-freeze":
                machine.move(Move.CANCEL)
            run(*args)  # type: ignore[arg-type]

        monkeypatch.setattr(console.window, "_check", check)
    with pytest.raises((ActFailed, NotDone), match="The on-failure hook has run"):
        console.kexec()
    assert plan.ran() == ["before-prepare", "before-freeze", "on-failure"]
    assert machine.state is (State.PREPARED if fault == "hook" else State.NORMAL)
    state = latest(machine.folder)
    assert state is not None
    assert state.hook_open == ""


def test_no_guest_stays_paused_by_a_console_that_was_killed(tmp_path: Path, folder: Path) -> None:
    machine = host(tmp_path)
    plan = Planned(folder, *EVERY)
    console = plan.console(machine, Person("ann", "pts/1", "", 11))
    console.load()
    console.prepare()
    console.window.write("hook", point=HookPoint.BEFORE_FREEZE, phase="begin")
    console.window.release()
    # Another person, who would have to take the window over: no guest waits for that.
    other = Console(machine, Person("bob", "pts/2", "", 12))
    other.window.arrive()
    assert plan.ran() == ["before-prepare", "on-failure"]
    state = latest(machine.folder)
    assert state is not None
    assert (state.hook_open, state.closed) == ("", "")
    assert state.holder is not None
    assert state.holder.user == "ann", "the window itself is as it was left"
    other.window.arrive()
    assert plan.ran() == ["before-prepare", "on-failure"], "once"
    assert machine.state is State.PREPARED


def test_a_hook_that_is_under_way_in_another_console_is_not_undone(
    tmp_path: Path, folder: Path
) -> None:
    machine = host(tmp_path)
    plan = Planned(folder, *EVERY)
    console = plan.console(machine)
    console.load()
    console.window.write("hook", point=HookPoint.BEFORE_PREPARE, phase="begin")
    Console(machine, Person("bob", "pts/2", "", 12)).window.arrive()
    assert plan.ran() == []
    console.window.release()


def test_a_window_goes_by_the_plan_that_it_was_begun_with(tmp_path: Path, folder: Path) -> None:
    machine = host(tmp_path)
    plan = Planned(folder, *EVERY)
    console = plan.console(machine)
    console.load()
    console.window.release()
    plan.path.write_text("format = 1\n")
    other = plan.console(machine)
    with pytest.raises(NotDone, match="was begun without this plan"):
        other.prepare()
    (copy,) = (machine.folder / "windows").glob("*.plan.toml")
    copy.write_text(copy.read_text() + "\n# changed\n")
    third = Console(machine)
    with pytest.raises(NotDone, match="cannot be read any more, or is another one"):
        third.prepare()
    assert machine.state is State.NORMAL
    assert plan.ran() == []


def test_without_an_on_failure_hook_that_is_said(tmp_path: Path, folder: Path) -> None:
    machine = host(tmp_path)
    plan = Planned(folder, HookPoint.BEFORE_FREEZE)
    plan.fail(HookPoint.BEFORE_FREEZE)
    console = plan.console(machine)
    console.load()
    console.prepare()
    with pytest.raises(NotDone, match="no on-failure hook: what before-freeze did stays as it is"):
        console.kexec(HOST_NAME)
