# SPDX-License-Identifier: MIT
"""Commands in other processes speak to the simulated host that a demo serves."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from luo_tui.demo.served import VARIABLE, Served, ServedOrchestrator, open_served
from luo_tui.errors import Exit, NotDone
from luo_tui.model import State
from luo_tui.monitor.reading import reader
from luo_tui.orchestrator import Move
from luo_tui.orchestrator.simulated import SimulatedHost

PROGRAM = [sys.executable, "-m", "luo_tui"]


class Demo:
    """A demo that serves, and commands that speak to it."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [*PROGRAM, "demo", "--serve", "--speed", "0"], stdout=subprocess.PIPE, text=True
        )
        said = "".join(self.line() for _ in range(5))
        found = re.search(rf"export {VARIABLE}=(\S+)", said)
        assert found, said
        self.folder = Path(found[1])
        self.environment = {**os.environ, VARIABLE: str(self.folder)}

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*PROGRAM, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def must(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        assert "DEMO: nothing real is touched." in done.stderr
        return done.stdout


@pytest.fixture
def demo() -> Iterator[Demo]:
    one = Demo()
    try:
        yield one
    finally:
        one.process.send_signal(signal.SIGINT)
        assert one.process.wait(timeout=120) == 0
        assert one.process.stdout is not None
        one.process.stdout.close()
    assert not one.folder.exists(), "nothing is left behind"


def test_a_whole_update_by_commands_in_other_processes(demo: Demo, tmp_path: Path) -> None:
    said = demo.must("status")
    assert "driven by   simulated (demo)" in said
    assert "DEMO: nothing real is touched" in said
    told = json.loads(demo.must("status", "--json"))
    assert (told["demo"], told["state"], told["host"]["name"]) == (True, "normal", "demo-hv")
    assert len(told["resources"]) == 4
    assert len(told["devices"]) > 20
    real = demo.run("guests")
    assert (real.returncode, real.stdout) == (2, ""), "this machine's are none of the demo's"
    assert "speaks of this machine alone" in real.stderr

    held = tmp_path / "held"
    held.write_text("bytes")
    demo.must("hold", str(held), "--name", "mine")
    watch = subprocess.Popen(
        [*PROGRAM, "watch", "--until", "prepared", "--timeout", "300"],
        env=demo.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert watch.stdout is not None
    assert "watching begins: state normal, 5 resources" in watch.stdout.readline()
    demo.must("load", "7.3.4-hv")
    demo.must("prepare", "--yes")
    seen, _ = watch.communicate(timeout=300)
    assert "state normal -> prepared" in seen
    assert watch.returncode == 0

    digest = re.search(r"^digest +(\w+)$", demo.must("kexec", "--show"), re.MULTILINE)
    assert digest
    jumped = demo.run("kexec", "--yes-to", "demo-hv", "--agree", digest[1])
    assert jumped.returncode == 0
    assert "The simulated host has jumped." in jumped.stderr
    assert demo.line() == "It jumped, and runs 7.3.4-hv now.\n"
    told = json.loads(demo.must("status", "--json"))
    assert (told["state"], told["host"]["release"]) == ("updated", "7.3.4-hv")
    demo.must("restore", "mine", "-o", str(tmp_path / "back"))
    assert (tmp_path / "back").read_text() == "bytes"
    demo.must("finish", "--yes")
    assert "finished" in demo.must("history")


def test_the_console_is_not_for_a_served_host(demo: Demo) -> None:
    for arguments in ((), ("console",)):
        done = demo.run(*arguments)
        assert done.returncode == Exit.USAGE
        assert f"{VARIABLE} names a simulated host" in done.stderr


def test_where_nobody_serves_no_other_host_is_taken(tmp_path: Path) -> None:
    environment = {**os.environ, VARIABLE: str(tmp_path)}
    tmp_path.chmod(0o700)
    done = subprocess.run(
        [*PROGRAM, "status"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == Exit.UNAVAILABLE
    assert f"No simulated host is served in {tmp_path}" in done.stderr
    assert done.stdout == ""


def test_a_folder_that_others_may_enter_is_not_believed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(NotDone, match="is not this user's alone") as refused:
        open_served({VARIABLE: str(tmp_path)})
    assert refused.value.code is Exit.NOT_PERMITTED
    assert open_served({}) is None


def test_news_reach_a_watcher_and_a_dead_server_is_said(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    host = SimulatedHost.create(tmp_path)
    served = Served(host)
    orchestrator = ServedOrchestrator(tmp_path)
    state, *_ = sources = (*orchestrator.sources(), *orchestrator.surroundings())
    try:
        assert reader(orchestrator, orchestrator.surroundings())().resources
        for source in sources:
            source.reopen()
            assert source.enumerate()
        orchestrator.move(Move.PREPARE)
        assert state.drain()
        assert orchestrator.state() is State.PREPARED
        with pytest.raises(OSError, match=r"busy|Device"):
            orchestrator.preserve(os.memfd_create("late"))
    finally:
        served.close()
        for source in sources:
            source.close()
        host.close()
    with pytest.raises(OSError, match="No such file"):
        state.reopen()
