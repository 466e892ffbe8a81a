# SPDX-License-Identifier: MIT
"""Hooks run for a limited time, and nothing of them is left."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from luo_tui.update import hooks
from luo_tui.update.hook import Hook, HookPoint
from luo_tui.update.hooks import KEPT, hook_fault, run_hook
from luo_tui.update.signals import signals_held_back


def shell(script: str, seconds: int = 10) -> Hook:
    return Hook(HookPoint.BEFORE_FREEZE, ("/bin/sh", "-c", script), seconds)


def test_a_hook_that_ends_well() -> None:
    end = run_hook(shell('echo "paused $LUO_TUI_TARGET"; echo "$0 $#" >&2'), {"TARGET": "7.3"})
    assert (end.fault, end.said) == ("", ("paused 7.3", "/bin/sh 0"))


def test_it_gets_no_terminal_no_input_and_nothing_of_our_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LD_PRELOAD", "")
    monkeypatch.setenv("SECRET", "x")
    end = run_hook(shell("cat; env | sort | cut -d= -f1; tty"), {"HOST": "h"})
    assert end.fault == "it ended with 1", "tty(1): standard input is no terminal"
    assert end.said == ("LANG", "LUO_TUI_HOST", "PATH", "PWD", "not a tty")


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        ("exit 3", "it ended with 3"),
        ("kill -9 $$", "signal SIGKILL ended it"),
        ("kill -15 $$", "signal SIGTERM ended it"),
    ],
)
def test_one_that_fails(script: str, fault: str) -> None:
    assert run_hook(shell(script), {}).fault == fault


def test_one_that_hangs_is_killed_with_what_it_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = (
        f"trap '' TERM; sleep 60 & echo $! >{pids}; echo $$ >>{pids}; while :; do sleep 1; done"
    )
    monotonic = time.monotonic()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hooks, "_GRACE", 0.2)
        end = run_hook(shell(script, seconds=1), {})
    assert end.fault == "it took longer than 1 s and was killed"
    assert time.monotonic() - monotonic < 20
    assert not any(_runs(int(pid)) for pid in pids.read_text().split())


def test_one_that_leaves_a_child_with_its_output_open_does_not_hold_us_up(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    end = run_hook(shell(f"sleep 60 & echo $! >{pids}"), {})
    assert end.fault == ""
    assert end.seconds < 8
    assert not _runs(int(pids.read_text()))


def test_one_that_floods_keeps_its_last_words() -> None:
    end = run_hook(shell("head -c 3000000 /dev/zero | tr '\\0' x; echo; echo the end"), {})
    assert end.fault == ""
    assert end.said[-1] == "the end"
    assert len("".join(end.said)) <= KEPT


def test_what_it_prints_cannot_speak_to_the_terminal() -> None:
    assert run_hook(shell("printf '\\033[2J\\377'"), {}).said == ("\\x1b[2J\ufffd",)


def test_signals_that_wait_here_reach_it() -> None:
    with signals_held_back():
        end = run_hook(shell("kill -TERM $$; sleep 5"), {})
    assert end.fault == "signal SIGTERM ended it"


def test_ignored_signals_are_not_ignored_in_it() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run_hook(shell("kill -HUP $$; sleep 5"), {}).fault == "signal SIGHUP ended it"
    finally:
        signal.signal(signal.SIGHUP, before)


def test_what_cannot_be_run_is_known_before(tmp_path: Path) -> None:
    def fault(path: Path) -> str:
        return hook_fault(Hook(HookPoint.ON_CANCEL, (str(path),)))

    program = tmp_path / "program"
    assert "No such file" in fault(program)
    assert "No such file" in run_hook(Hook(HookPoint.ON_CANCEL, (str(program),)), {}).fault
    program.write_text("no script")
    assert fault(program).endswith("is not executable")
    assert fault(tmp_path).endswith("is not a regular file")
    program.chmod(0o755)
    if os.geteuid() == 0:
        assert fault(program) == ""
        program.chmod(0o775)
        assert fault(program).endswith("may be changed by others than root")
        program.chmod(0o755)
        os.chown(program, 1000, 0)
        assert fault(program).endswith("may be changed by others than root")
        os.chown(program, 0, 0)
        tmp_path.chmod(0o777)
        assert fault(program) == f"{tmp_path} may be changed by others than root"
        tmp_path.chmod(0o755)
    else:
        assert fault(program) == ""
    assert "could not be started" in run_hook(Hook(HookPoint.ON_CANCEL, (str(program),)), {}).fault


def _runs(pid: int) -> bool:
    """Whether it still runs; one that was killed is given a moment to be gone."""
    end = time.monotonic() + 5
    while _is_there(pid):
        if time.monotonic() > end:
            return True
        time.sleep(0.01)
    return False


def _is_there(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"
