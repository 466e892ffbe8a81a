# SPDX-License-Identifier: MIT
"""Arriving without an operator: written once, judged, and the window stays its holder's."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from luo_tui.cli import planned_finish
from luo_tui.errors import Exit
from luo_tui.model import Snapshot, Stamps, State
from luo_tui.orchestrator.simulated import SimulatedHost, SimulatedJump
from luo_tui.update.accounting import Accounting
from luo_tui.update.facts import Act
from luo_tui.update.history import read_history
from luo_tui.update.hook import HookPoint
from luo_tui.update.lock import Lock
from luo_tui.update.offers import DISCARD
from luo_tui.update.report import report_text
from tests.unit.test_acts import ANN, BOB, Console
from tests.unit.test_history import held_to_schema, jumped, lines
from tests.unit.test_window_commands import Shell
from tests.unit.test_window_commands import host as host
from tests.unit.test_window_commands import shell as shell
from tests.unit.test_window_hooks import Planned


def events(host: SimulatedHost) -> list[str]:
    (one, *_) = read_history(host.folder)
    return [r.event for r in one.records]


def test_it_writes_once_what_became_of_the_jump_and_gives_the_verdict(
    host: SimulatedHost, shell: Shell
) -> None:
    host.scenario = "nothing-restored"
    jumped(host)
    before = events(host)
    found = shell.json("arrive")
    assert found["verdict"] == "not yet"
    assert found["written"]
    assert found["reasons"]
    (one,) = read_history(host.folder)
    assert [r.event for r in one.records] == [*before, "arrived"]
    assert one.verdict is not None
    assert (one.verdict.level, one.verdict.line) == ("not yet", found["line"])
    assert one.records[-1].data["by"]
    again = shell.json("arrive")
    assert (again["written"], again["line"]) == (False, found["line"])
    assert events(host) == [*before, "arrived"]
    assert Lock(host.lock_folder).holder() is None


def test_the_window_stays_its_holders(host: SimulatedHost, shell: Shell) -> None:
    """What runs at start-up is another user, and takes nobody's window."""
    jumped(host)
    shell.must("arrive")
    assert Console(host, BOB).window.facts().gone_holder == ANN
    back = Console(host, ANN)
    assert back.window.facts().gone_holder is None
    back.window.finish(back.yes(Act.FINISH, DISCARD))
    assert events(host)[-1] == "closed"
    (one,) = read_history(host.folder)
    assert one.state.holder == ANN


def test_a_cold_boot_is_bad_and_loud(host: SimulatedHost, shell: Shell) -> None:
    jumped(host)
    host.state, host.from_release, host.stamps, host.lines = State.NORMAL, "", Stamps(), []
    host.say("Linux version")
    assert shell("arrive") == Exit.BAD_VERDICT
    assert shell.out.startswith("BAD: COLD BOOT, NO HANDOVER")
    assert events(host)[-2:] == ["lost", "closed"]
    assert shell("arrive") == Exit.BAD_VERDICT, "as long as this boot lasts"
    assert events(host)[-2:] == ["lost", "closed"]


def test_what_is_not_known_has_a_code_of_its_own(host: SimulatedHost, shell: Shell) -> None:
    jumped(host)
    next(iter((host.folder / "windows").glob("*.promised.json"))).unlink()
    assert shell("arrive") == Exit.DOUBTFUL
    assert "what was promised is not known" in shell.out


def planned(host: SimulatedHost, tmp_path: Path, finish: bool, *points: HookPoint) -> Planned:
    """Jump by a plan that says whether the update is finished without an operator."""
    plan = Planned(tmp_path, *points)
    text = plan.path.read_text().replace("change =", f"finish = {str(finish).lower()}\nchange =")
    plan.path.write_text(text)
    console = plan.console(host, ANN)
    console.load()
    console.prepare()
    with pytest.raises(SimulatedJump):
        console.kexec()
    console.window.release()
    return plan


def restored(host: SimulatedHost) -> list[int]:
    return [host.restore(r.token) for r in Console(host, ANN).look().discarded]


def test_a_plan_that_says_so_has_the_update_finished(
    host: SimulatedHost, shell: Shell, tmp_path: Path
) -> None:
    host.scenario = "nothing-restored"
    plan = planned(host, tmp_path, True, HookPoint.AFTER_RESTORE, HookPoint.AFTER_FINISH)
    first = shell.json("arrive", "--wait", "0")
    assert (first["verdict"], first["finished"]) == ("not yet", False)
    assert "left to an operator" in first["faults"][0]
    assert plan.ran() == []
    kept = restored(host)
    second = shell.json("arrive")
    assert (second["verdict"], second["finished"]) == ("good", True)
    assert host.state is State.NORMAL
    assert plan.ran() == ["after-restore", "after-finish"]
    (one,) = read_history(host.folder)
    assert one.state.closed == "finished"
    assert one.state.holder != ANN, "taken over, and told"
    for fd in kept:
        os.close(fd)


def restored_once_told(host: SimulatedHost, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Restore all as soon as it was told how far it is; return the descriptors, then there."""
    kept: list[int] = []
    progress = planned_finish.progress

    def told_first(snapshot: Snapshot) -> str:
        text = progress(snapshot)
        if not kept:
            kept.extend(restored(host))
        return text

    monkeypatch.setattr(planned_finish, "progress", told_first)
    return kept


def test_the_plan_says_how_long_it_waits_for_that(
    host: SimulatedHost, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.scenario = "nothing-restored"
    planned(host, tmp_path, True)
    kept = restored_once_told(host, monkeypatch)
    found = shell.json("arrive")
    assert (found["verdict"], found["finished"]) == ("good", True)
    assert "restored: 0 of 4" in shell.err
    for fd in kept:
        os.close(fd)


def test_what_was_held_for_it_is_given_back_first_of_all(
    host: SimulatedHost, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, back, other = (tmp_path / name for name in ("source", "back", "other"))
    source.write_bytes(b"precious")
    assert shell("hold", str(source), "--name", "x", "--back-to", str(other / "x")) == Exit.USAGE
    other.mkdir()
    shell.must("hold", str(source), "--name", "cache", "--back-to", str(back))
    shell.must("hold", str(source), "--name", "other", "--back-to", str(other / "x"))
    shell.must("hold", str(source), "--name", "by-hand")
    other.rmdir()
    back.write_bytes(b"older")
    host.scenario = "nothing-restored"
    known = host.condition
    monkeypatch.setattr(host, "condition", lambda: known()._replace(arrived_up=1.0))
    planned(host, tmp_path, True)
    kept = [
        host.restore(r.token) for r in Console(host, ANN).look().discarded if r.pid != os.getpid()
    ]
    assert shell("arrive", "--wait", "0") == Exit.FAILED
    assert back.read_bytes() == b"precious"
    assert f"other was not given back to {other / 'x'}: " in shell.err
    assert "by-hand" not in shell.err
    assert host.state is State.UPDATED, "what could not be given back is not finished away"
    (one,) = read_history(host.folder)
    assert [name.split()[0] for name, _ in one.restores] == ["cache"]
    # The others are as restored by hand as ever, and what was given back is not given again.
    other.mkdir()
    back.unlink()
    assert shell("arrive", "--wait", "0") == Exit.OK
    assert (other / "x").read_bytes() == b"precious"
    assert not back.exists()
    for fd in kept:
        os.close(fd)


def test_a_plan_that_does_not_say_so_leaves_the_finish_to_an_operator(
    host: SimulatedHost, shell: Shell, tmp_path: Path
) -> None:
    host.scenario = "nothing-restored"
    planned(host, tmp_path, False)
    kept = restored(host)
    found = shell.json("arrive")
    assert (found["verdict"], found["finished"], found["faults"]) == ("good", False, [])
    assert host.state is State.UPDATED
    for fd in kept:
        os.close(fd)


def test_what_is_lost_is_finished_by_no_plan(
    host: SimulatedHost, shell: Shell, tmp_path: Path
) -> None:
    host.scenario = "device-lost"
    planned(host, tmp_path, True)
    assert shell("arrive") == Exit.BAD_VERDICT
    assert "left to an operator" in shell.err
    assert host.state is State.UPDATED


def test_it_waits_until_all_is_restored_and_no_longer_than_it_is_told(
    host: SimulatedHost, shell: Shell, tmp_path: Path
) -> None:
    host.scenario = "nothing-restored"
    planned(host, tmp_path, True)
    began = time.monotonic()
    assert shell.json("arrive", "--wait", "0.2")["verdict"] == "not yet"
    assert time.monotonic() - began >= 0.2
    kept: list[int] = []
    later = threading.Timer(0.3, lambda: kept.extend(restored(host)))
    later.start()
    found = shell.json("arrive", "--wait", "60")
    later.join()
    assert (found["verdict"], found["finished"]) == ("good", True)
    assert time.monotonic() - began < 60
    for fd in kept:
        os.close(fd)


def test_what_is_restored_while_it_waits_is_written_down(
    host: SimulatedHost, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.scenario = "nothing-restored"
    planned(host, tmp_path, False)
    arrived = time.clock_gettime(time.CLOCK_BOOTTIME)
    known = host.condition
    monkeypatch.setattr(host, "condition", lambda: known()._replace(arrived_up=arrived))
    before = events(host)
    # Nobody restores anything: there is nothing to write down but the arrival.
    shell.must("arrive", "--wait", "0.2")
    assert events(host) == [*before, "arrived"]
    assert shell.err.count("restored: 0 of 4") == 1
    kept = restored_once_told(host, monkeypatch)
    shell.must("arrive", "--wait", "60")
    assert events(host)[-1] == "restored"
    assert "restored: 4 of 4" in shell.err
    (one,) = read_history(host.folder)
    names = [name for name, _ in one.restores]
    assert len(names) == 4
    assert all(took >= 0 for _, took in one.restores)
    told = list(report_text(one))
    assert [line.split("ms  ")[-1] for line in told if "ms  " in line] == names
    assert any("restored; 4, the last " in line for line in told)
    held_to_schema(lines(host.folder))
    # What was seen once is not written again.
    shell.must("arrive", "--wait", "60")
    assert events(host).count("restored") == 1
    for fd in kept:
        os.close(fd)


def test_what_is_restored_hinders_nobody_where_another_console_has_the_window(
    host: SimulatedHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned(host, tmp_path, False)
    known = host.condition
    monkeypatch.setattr(host, "condition", lambda: known()._replace(arrived_up=1.0))
    before = events(host)
    lock = Lock(host.lock_folder)
    lock.take(BOB)
    try:
        Accounting(Console(host).window).restored([("a", 2.0)])
    finally:
        lock.release()
    assert events(host) == before
    Accounting(Console(host).window).restored([("a", 2.0), ("b", 1.5)])
    (one,) = read_history(host.folder)
    assert one.restores == (("b", 500.0), ("a", 1000.0))


def test_without_a_jump_there_is_nothing_to_do(host: SimulatedHost, shell: Shell) -> None:
    assert "No jump led into this boot" in shell.must("arrive")
    assert shell.json("arrive")["verdict"] is None
    assert not (host.folder / "windows").exists()


def test_who_may_not_act_writes_nothing(host: SimulatedHost, shell: Shell) -> None:
    jumped(host)
    shell.may_act = False
    assert "sudo luo-tui arrive" in shell.refused(Exit.NOT_PERMITTED, "arrive")


def test_another_consoles_window_is_judged_and_left_alone(
    host: SimulatedHost, shell: Shell
) -> None:
    jumped(host)
    before = events(host)
    lock = Lock(host.lock_folder)
    lock.take(BOB)
    try:
        assert shell("arrive") == Exit.BUSY
    finally:
        lock.release()
    assert "bob" in shell.err
    assert shell.out, "the verdict is given all the same"
    assert events(host) == before


def test_a_full_disk_hides_no_bad_verdict(
    host: SimulatedHost, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, end: int) -> None:
        raise OSError(28, "No space left on device")

    host.scenario = "device-lost"
    jumped(host)
    monkeypatch.setattr("luo_tui.update.journal._reserve", full)
    assert shell("arrive") == Exit.BAD_VERDICT
    assert "was not written down" in shell.err
    assert Lock(host.lock_folder).holder() is None


def test_it_loads_nothing_slow(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from luo_tui.__main__ import main\n"
        f"sys.argv = ['luo-tui', '--folder', {str(tmp_path)!r}, 'arrive', '--json']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "slow = {'textual', 'pyudev', 'watchdog', 'zstandard', 'lzma', 'asyncio'}\n"
        "print(sorted(slow & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == "[]"
    assert done.returncode in (Exit.OK, Exit.NOT_PERMITTED)


def test_who_is_logged_in_is_told_where_the_update_waits(
    host: SimulatedHost, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "told"
    wall = tmp_path / "wall"
    wall.write_text(f"#!/bin/sh\ncat >>{told}\n")
    wall.chmod(0o755)
    monkeypatch.setattr("luo_tui.cli.arrive.WALL", str(wall))
    shell.must("arrive", "--wall")
    assert not told.exists(), "no jump led into this boot"
    jumped(host)
    found = shell.json("arrive", "--wall")
    assert told.read_text() == (
        f"luo-tui: {found['line']}\nThe update waits for its finish: sudo luo-tui\n"
    )
    wall.write_text("#!/bin/sh\nexit 3\n")
    assert shell.json("arrive", "--wall")["faults"] == [
        f"Who is logged in was not told: {wall} ended with 3."
    ]
    wall.unlink()
    (fault,) = shell.json("arrive", "--wall")["faults"]
    assert fault.startswith("Who is logged in was not told: ")


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("normal", ""),
        ("prepared", "This host is prepared for a live update: sudo luo-tui\n"),
        ("updated", "This host was updated live, and waits for its finish: sudo luo-tui\n"),
    ],
)
def test_a_login_is_told_where_an_update_stands(tmp_path: Path, state: str, said: str) -> None:
    script = (Path(__file__).parents[2] / "luo_tui/debian/profile.sh").read_text()
    (tmp_path / "state").write_text(f"{state}\n")
    script = script.replace("/sys/kernel/liveupdate/state", str(tmp_path / "state"))
    done = subprocess.run(
        ["/bin/sh", "-euc", script], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout == said
