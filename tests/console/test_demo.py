# SPDX-License-Identifier: MIT
"""The demo as a whole: its life on a screen, its speed, its folder, and another operator."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from luo_tui.demo import folder as folders
from luo_tui.demo.colleague import Colleague
from luo_tui.demo.run import Demo, listing
from luo_tui.errors import NotDone
from luo_tui.model import State
from luo_tui.monitor.hub import Hub
from luo_tui.monitor.reading import reader
from luo_tui.orchestrator import Move
from luo_tui.orchestrator.simulated import (
    NOT_IMITATED,
    SCENARIOS,
    Life,
    SimulatedHost,
    SimulatedOrchestrator,
)
from luo_tui.orchestrator.simulated.pace import FASTEST, SLOWEST
from luo_tui.orchestrator.simulated.sessions import SESSIONS_NOT_IMITATED
from luo_tui.update.acts import Window
from luo_tui.update.consent import Consent
from luo_tui.update.facts import Act
from luo_tui.update.images import scan
from luo_tui.update.journal import latest
from luo_tui.update.lock import Lock
from luo_tui.update.target import Target, read_target
from tests.terminal import Terminal

ROOT = Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def demo(temporary: Path, *arguments: str, rows: int = 24, cols: int = 80) -> Iterator[Terminal]:
    env = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "luo_tui", "demo", *arguments]
    env["TMPDIR"] = str(temporary)
    with Terminal.run(command, rows=rows, cols=cols, env=env) as t:
        yield t


def until(true: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_it_lives_and_its_speed_is_changed_by_keys(tmp_path: Path) -> None:
    with demo(tmp_path, "--speed", "20") as t:
        t.wait_for("Nothing is prepared")
        t.wait_for("5 preserved")
        t.send("?")
        t.wait_for("stand still or go on")
        t.send("escape")
        t.wait_for("preserved for an update")
        t.send("0")
        t.wait_for("stands still")
        t.send("-")
        t.wait_for("speed 20")
        t.send("-")
        t.wait_for("speed 10")
        t.send("+")
        t.wait_for("speed 20")
        t.send("q")
        assert t.wait_ended() == 0
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_while_a_list_waits_for_its_choice(tmp_path: Path) -> None:
    with demo(tmp_path, "--speed", "0") as t:
        t.wait_for("Nothing is prepared")
        for keys, shown in (
            (":", "> Choose the target kernel"),
            ("win", "> Go to: window"),
            ("escape", "Enter window"),
            ("t", "runs now"),
            ("tab", "Initrd: ["),
            ("escape", "Enter window"),
            ("4", "[4 events]"),
            ("/", "Enter keep the filter"),
            ("x", "of 1"),
        ):
            t.send(*([keys] if len(keys) == 1 or keys in ("escape", "tab") else keys))
            t.wait_for(shown)
            while t.pump(0.5):
                pass
            assert t.pump_all(1.5) == 0, f"something was written after {keys}"
        t.send("escape")
        t.wait_for("q quit")
        t.send("q")
        assert t.wait_ended() == 0


def test_life_goes_on_after_the_jump(tmp_path: Path) -> None:
    with demo(tmp_path, "--speed", "20") as t:
        t.wait_for("5 preserved")
        # Asked while the host lives so fast, a question would soon be an old one.
        t.send("0")
        t.wait_for("stands still")
        t.send("w")
        t.press("t", "runs now")
        t.press("enter", "[>] load next")
        t.press("l", "[>] prepare next")
        t.press("p", "> [ Stay normal ]")
        t.send("tab")
        t.press("enter", "[x] prepare done")
        t.press("k", "To arm it")
        t.send("tab", *"demo-hv", "tab")
        t.wait_for("> [ End this kernel")
        t.press("enter", "UPDATED")
        t.send("0")
        t.wait_for("speed 20")
        t.press("f", "> [ Stay updated ]")
        t.send("tab")
        t.press_away("enter", "Stay updated")
        t.wait_for("NORMAL")
        # The guests' agents preserve anew what they have back.
        t.wait_for("memfd preserved")
        t.send("q")
        assert t.wait_ended() == 0
    assert list(tmp_path.iterdir()) == []


def test_a_killed_demo_is_cleared_away_by_the_next(tmp_path: Path) -> None:
    with demo(tmp_path, "--speed", "0") as first:
        first.wait_for("Nothing is prepared")
        (living,) = tmp_path.iterdir()
        with demo(tmp_path, "--speed", "0") as second:
            second.wait_for("Nothing is prepared")
            (other,) = set(tmp_path.iterdir()) - {living}
            os.kill(second.process.pid, signal.SIGKILL)
        assert other.is_dir()
        with demo(tmp_path, "--speed", "0") as third:
            third.wait_for("Nothing is prepared")
            assert not other.exists()
            assert living.is_dir()
            third.send("q")
            assert third.wait_ended() == 0
        first.send("q")
        assert first.wait_ended() == 0
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_ours_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    target = tmp_path / "precious"
    (target / "deep").mkdir(parents=True)
    (tmp_path / "luo-tui-demo-link").symlink_to(target)
    (tmp_path / "luo-tui-demo-file").write_text("a file")
    (tmp_path / "luo-tui-demo-fresh").mkdir()
    old = tmp_path / "luo-tui-demo-old"
    old.mkdir()
    os.utime(old, (1, 1))
    made, lock = folders.make_folder()
    assert (target / "deep").is_dir()
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        ["precious", "luo-tui-demo-link", "luo-tui-demo-file", "luo-tui-demo-fresh", made.name]
    )
    folders.remove_dead(tmp_path)
    assert made.is_dir()
    os.close(lock)
    folders.remove_dead(tmp_path)
    assert not made.exists()
    folders.remove_dead(tmp_path / "none")


def test_the_list_has_every_scenario_and_what_is_not_imitated() -> None:
    lines = list(listing())
    for name, sentence in SCENARIOS.items():
        assert sum(line.startswith(f"{name} ") and sentence in line for line in lines) == 1
    told = [f"- {what}" for what in NOT_IMITATED]
    told += [f"- with --kind sessions: {what}" for what in SESSIONS_NOT_IMITATED]
    assert lines[-len(told) :] == told
    done = subprocess.run(
        [sys.executable, "-m", "luo_tui", "demo", "--list"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == lines


@pytest.mark.parametrize(
    ("option", "value"),
    [("--kind", "luod"), ("--speed", "21"), ("--speed", "0.01"), ("--scenario", "nonsense")],
)
def test_what_is_no_speed_and_no_scenario_is_refused(option: str, value: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "luo_tui", "demo", option, value],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert any(text in done.stderr for text in ("0.1 to 20", "--list", "luo-v2"))
    assert (SLOWEST, FASTEST) == (0.1, 20)


def test_a_scenario_of_moves_is_not_for_a_kernel_without() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "luo_tui", "demo", "--kind", "sessions", "--scenario",
         "second-operator"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "is not for --kind sessions" in done.stderr


def test_other_commands_do_not_load_the_demo() -> None:
    code = "import sys, luo_tui.cli.main; print([m for m in sys.modules if 'simulated' in m])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_demo_with_a_delay_does_not_live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with Demo.begin("default", 1.0, 0.0) as still:
        look = Hub(still.orchestrator, lambda: None).read_now
        # One of its devices cannot take part, and nobody calls it.
        assert {p.state for p in look().participants.values()} == {"registered", "refused"}
        still.orchestrator.move(Move.PREPARE)
        assert {p.state for p in look().participants.values()} == {"prepared", "refused"}
        assert still.orchestrator.speed == 0
        assert still.folder.is_dir()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def watched(folder: Path) -> Iterator[tuple[SimulatedHost, Life, Window]]:
    """A host with another operator on it, and a window of ours."""
    host = SimulatedHost.create(folder, "second-operator")
    host.jump = None
    life = Life(host)
    colleague = Colleague(host, life.clock, folder)
    life.start()
    orchestrator = SimulatedOrchestrator(host)
    try:
        look = reader(orchestrator, orchestrator.surroundings())
        yield host, life, Window(orchestrator, folder, look)
    finally:
        life.stop()
        colleague.stop()
        host.close()


def test_another_operator_has_the_window(
    watched: tuple[SimulatedHost, Life, Window], folder: Path
) -> None:
    host, _life, window = watched
    assert window.holder() is None
    host.pace.speed = 20
    until(lambda: window.holder() is not None)
    owner = window.holder()
    assert owner is not None
    assert (owner.user, owner.origin) == ("oncall", "192.0.2.14")
    assert owner.tty.startswith("pts/")
    until(lambda: bool(host.image))
    host.pace.speed = 0
    image = scan(host.boot_folder, host.modules_folder, host.release)[0]
    target = read_target(Path(image.path), host.modules_folder, "kho=on")
    assert isinstance(target, Target)
    with pytest.raises(NotDone):
        window.load(Consent.to(Act.LOAD, window.facts(target)), target)
    host.pace.speed = 20
    until(lambda: host.state is State.PREPARED)
    until(lambda: window.holder() is None)
    assert host.state is State.NORMAL
    window_state = latest(folder)
    assert window_state is not None
    assert window_state.closed == "cancelled"
    assert "oncall" in window_state.opened_by
    window.load(Consent.to(Act.LOAD, window.facts(target)), target)
    window.unload(Consent.to(Act.UNLOAD, window.facts()))


def test_another_operator_goes_with_the_demo(tmp_path: Path) -> None:
    with demo(tmp_path, "--scenario", "second-operator", "--speed", "5") as t:
        t.wait_for("oncall on pts/")
        (folder,) = tmp_path.iterdir()
        lock = Lock(folder / "run")
        assert lock.holder() is not None
        os.kill(t.process.pid, signal.SIGKILL)
        until(lambda: lock.holder() is None)


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder that others have written to; return what is there when it was imported."""
    there, caught = tmp_path / "shared", tmp_path / "caught"
    (there / "luo_tui").mkdir(parents=True)
    code = f"import sys; open({str(caught)!r}, 'a').write(__name__); sys.exit(9)\n"
    for name in ("luo_tui/__init__.py", "luo_tui/__main__.py", "json.py", "textual.py"):
        (there / name).write_text(code)
    monkeypatch.chdir(there)
    # An empty entry is the working folder too.
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}")
    return caught


def test_the_next_boot_runs_nobody_elses_code(trap: Path, tmp_path: Path) -> None:
    code = (
        "import os, pathlib\n"
        "from luo_tui.orchestrator.simulated import SimulatedHost\n"
        f"host = SimulatedHost.create(pathlib.Path({str(tmp_path / 'host')!r}))\n"
        "host.load(os.open(host.boot_folder / 'vmlinuz-7.3.4-hv', os.O_RDONLY), -1)\n"
        "host.reboot()\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "The console needs a terminal" in done.stderr, "it came into the next boot"
    assert not trap.exists(), trap.read_text()


def test_the_other_operator_runs_nobody_elses_code(trap: Path, folder: Path) -> None:
    host = SimulatedHost.create(folder, "second-operator")
    life = Life(host)
    colleague = Colleague(host, life.clock, folder)
    life.start()
    try:
        host.pace.speed = 20
        until(lambda: Lock(host.lock_folder).holder() is not None or trap.exists())
        assert not trap.exists(), trap.read_text()
    finally:
        life.stop()
        colleague.stop()
        host.close()
