# SPDX-License-Identifier: MIT
"""A rehearsal on this host does all that can be undone, tells what it saw, and undoes it."""

from __future__ import annotations

import errno
import json
import os
import signal

import pytest

from luo_tui.errors import Exit
from luo_tui.model import State
from luo_tui.orchestrator import Move
from luo_tui.orchestrator.simulated import SimulatedOrchestrator
from tests.unit.test_window_commands import TARGET, Shell, host, shell

__all__ = ["host", "shell"]  # fixtures
ON = ("rehearse", "--here", "--yes")


def rehearsed(shell: Shell) -> bool:
    """Whether the host is as it was, and its window closed."""
    window = shell.json("history")["windows"][0] if shell.windows() else {"open": False}
    assert shell.holder() is None
    return (shell.host.state, shell.host.image, window["open"]) == (State.NORMAL, "", False)


def test_all_that_can_be_undone_is_done_and_undone(shell: Shell) -> None:
    before = [(r.token, r.state) for r in shell.host.resources()]
    code = shell(*ON, TARGET)
    out = shell.out
    assert code in (Exit.OK, Exit.DOUBTFUL), shell.err
    assert f"-> {TARGET} on " in out
    assert "took        load " in out
    assert f"preserved   {len(before):,} resources" in out
    assert "kexec       it would be done as things stand now" in out
    assert rehearsed(shell)
    assert [(r.token, r.state) for r in shell.host.resources()] == before
    assert shell.events() == [
        "opened", "begin", "done",  # load
        "opened", "begin", "done",  # prepare
        "opened", "begin", "done", "done", "closed",  # cancel, and its unload
    ]  # fmt: skip


def test_programs_are_told_of_each_participant(shell: Shell) -> None:
    shell(*ON, TARGET, "--json")
    told = json.loads(shell.out)
    assert (told["target"], told["state"]) == (TARGET, "prepared")
    assert set(told["seconds"]) == {"load", "prepare", "cancel"}
    assert told["participants"]
    assert all(p["state"] and p["prepare_ms"] >= 0 for p in told["participants"])
    assert told["kexec_refused"] == ""
    assert told["bytes"] > 0


def test_without_a_yes_nothing_is_done(shell: Shell) -> None:
    assert "say --yes" in shell.refused(Exit.USAGE, "rehearse", "--here", TARGET)
    with pytest.raises(SystemExit):
        shell("rehearse", "--yes", TARGET)


def test_without_privilege_nothing_is_done(shell: Shell) -> None:
    shell.may_act = False
    assert "root" in shell.refused(Exit.NOT_PERMITTED, *ON, TARGET)


def test_an_open_window_is_left_alone(shell: Shell) -> None:
    shell.must("load", TARGET)
    assert "end it first" in shell.refused(Exit.BUSY, *ON, TARGET)
    assert shell.host.image == TARGET


def test_an_image_of_somebody_else_is_not_replaced(shell: Shell) -> None:
    shell.host.image = "7.3.3-hv"
    said = shell.refused(Exit.USAGE, *ON, TARGET)
    assert "--agree" in said


def test_a_host_that_is_prepared_is_left_so(shell: Shell) -> None:
    shell.must("load", TARGET)
    shell.must("prepare", "--yes")
    shell.refused(Exit.BUSY, *ON, TARGET)
    assert shell.host.state is State.PREPARED


def test_a_refused_prepare_is_told_and_undone(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: SimulatedOrchestrator, move: Move) -> None:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    monkeypatch.setattr(SimulatedOrchestrator, "move", refuse)
    assert shell(*ON, TARGET) == Exit.REFUSED
    assert "memory" in shell.err
    assert shell.out == ""
    assert rehearsed(shell)


def test_a_prepare_that_could_not_be_verified_is_undone(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was done all the same: what is prepared is cancelled."""
    state = SimulatedOrchestrator.state
    asked: list[State] = []

    def read_back(self: SimulatedOrchestrator) -> State:
        now = state(self)
        if now is State.PREPARED and not asked:
            asked.append(now)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return now

    monkeypatch.setattr(SimulatedOrchestrator, "state", read_back)
    assert shell(*ON, TARGET) != Exit.OK
    assert asked
    assert rehearsed(shell)


def test_an_interrupt_is_followed_by_the_way_back(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    move = SimulatedOrchestrator.move

    def interrupted(self: SimulatedOrchestrator, which: Move) -> None:
        if which is Move.PREPARE:
            os.kill(os.getpid(), signal.SIGINT)
        move(self, which)

    monkeypatch.setattr(SimulatedOrchestrator, "move", interrupted)
    assert shell(*ON, TARGET) == Exit.INTERRUPTED
    assert "Interrupted after prepare" in shell.err
    assert rehearsed(shell)


def test_a_way_back_that_fails_is_said_too(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def stuck(self: object, move: Move) -> None:
        if move is Move.CANCEL:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(self, move)  # type: ignore[arg-type]

    real = SimulatedOrchestrator.move
    monkeypatch.setattr(SimulatedOrchestrator, "move", stuck)
    assert shell(*ON, TARGET) not in (Exit.OK, Exit.DOUBTFUL)
    assert shell.err
    assert shell.host.state is State.PREPARED
    # Nothing is left unsaid: the window is open in the journal, and a cancel goes on in it.
    monkeypatch.setattr(SimulatedOrchestrator, "move", real)
    shell.must("cancel", "--yes")
    assert rehearsed(shell)
