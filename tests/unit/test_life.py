# SPDX-License-Identifier: MIT
"""What happens on the simulated host by itself, step by step and without its thread."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from luo_tui.model import ResourceState, Snapshot, State
from luo_tui.monitor.hub import Hub
from luo_tui.monitor.reading import reader
from luo_tui.orchestrator import Move, Paced
from luo_tui.orchestrator.simulated import (
    RUNNING,
    TARGET,
    Life,
    SimulatedHost,
    SimulatedJump,
    SimulatedOrchestrator,
)
from luo_tui.orchestrator.simulated.boot import LATER
from luo_tui.orchestrator.simulated.clock import Clock
from luo_tui.orchestrator.simulated.kernel import LUO
from luo_tui.orchestrator.simulated.news import MOST, News
from luo_tui.orchestrator.simulated.pace import FASTEST, SLOWEST, Pace
from luo_tui.sources.changes import ResourceGone
from luo_tui.update.images import scan
from tests.opened import load_files


def host(folder: Path, scenario: str = "default") -> SimulatedHost:
    made = SimulatedHost.create(folder, scenario)
    made.jump = None
    return made


def live(life: Life, seconds: float) -> None:
    """Let that much of the host's life go by at once."""
    end = life.clock.now + seconds
    life.clock.after(seconds, lambda: None)
    while life.clock.now < end:
        life.clock.step()


def see(made: SimulatedHost) -> Snapshot:
    orchestrator = SimulatedOrchestrator(made)
    return reader(orchestrator, orchestrator.surroundings())()


def jump(made: SimulatedHost) -> None:
    load_files(made.load, made.boot_folder / f"vmlinuz-{TARGET}")
    made.move(Move.PREPARE)
    with pytest.raises(SimulatedJump):
        made.reboot()


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def lines(made: SimulatedHost) -> list[str]:
    return [said.text for said in made.lines]


def window_state(folder: Path, seed: int) -> tuple[Sequence[str], Snapshot]:
    made = host(folder)
    life = Life(made, seed)
    seen = []
    for _ in range(60):
        live(life, 15)
        seen.append(repr(sorted(see(made).resources.items())))
    return seen, see(made)


def test_the_same_seed_tells_the_same_story(tmp_path: Path) -> None:
    first, end = window_state(tmp_path / "a", 1)
    again, _ = window_state(tmp_path / "b", 1)
    other, _ = window_state(tmp_path / "c", 2)
    assert first == again
    assert first != other
    # It is a life: most of the time something has changed, and it does not run away.
    assert len(set(first)) > 20
    assert 4 <= len(end.outgoing) <= 11


def test_all_that_can_happen_happens(tmp_path: Path) -> None:
    made = host(tmp_path)
    life = Life(made)
    orchestrator = SimulatedOrchestrator(made)
    hub = Hub(orchestrator, lambda: None, orchestrator.surroundings())
    hub.start()
    try:

        def followed() -> bool:
            """What came and went between two looks of a busy machine is no news."""
            seen = hub.snapshot
            return (
                len(seen.resources) == len(made.resources())
                and set(seen.devices) == set(made.devices)
                and set(seen.participants) == set(made.participants)
                and seen.vitals.users == made.vitals.users
            )

        for _ in range(400):
            life.clock.step()
            until(followed)
        texts = "\n".join(e.text for e in hub.log.since(0))
    finally:
        hub.stop()
    for word in (
        "preserved by cloud-hyperviso",
        "is gone",
        " GiB",
        "pci 0000:c5:00.0 (KIOXIA Corporation NVMe SSD CM7) is there",
        "pci 0000:c5:00.0 (KIOXIA Corporation NVMe SSD CM7) is gone",
        "pci 0000:6a:00.0 takes part",
        "logged in: deploy on pts/2",
        "no longer logged in: deploy on pts/2",
    ):
        assert word in texts, word


def test_a_kernel_is_installed_after_a_while_whole(tmp_path: Path) -> None:
    made = host(tmp_path)
    life = Life(made)
    image = made.boot_folder / f"vmlinuz-{LATER}"
    live(life, 40)
    assert not image.exists()
    live(life, 10)
    found = {i.release: i for i in scan(made.boot_folder, made.modules_folder, RUNNING)}
    assert (found[LATER].path, found[LATER].fault) == (str(image), "")
    assert found[LATER].orchestrator


def test_nothing_lives_unless_it_is_asked_to(tmp_path: Path) -> None:
    made = host(tmp_path)
    before = see(made)
    assert SimulatedOrchestrator(made).speed == 0
    assert not made.lively
    assert [t for t in threading.enumerate() if t.name == "life"] == []
    assert see(made) == before


def test_what_the_kernel_refuses_is_told_and_done_later(tmp_path: Path) -> None:
    made = host(tmp_path)
    life = Life(made)
    made.move(Move.PREPARE)
    before = [r.token for r in see(made).outgoing]
    live(life, 300)
    said = "\n".join(lines(made))
    assert "liveupdate: preserve guest-web2: Device or resource busy" in said
    assert "liveupdate: grow" in said
    assert "Operation not permitted" in said
    assert [r.token for r in see(made).outgoing] == before
    made.move(Move.CANCEL)
    live(life, 20)
    assert "guest-web2" in [r.name for r in see(made).outgoing]


def test_after_the_jump_the_guests_come_back_one_by_one_and_life_goes_on(tmp_path: Path) -> None:
    made = host(tmp_path)
    life = Life(made)
    live(life, 60)
    names = {r.name for r in see(made).outgoing}
    # Where nothing happens by itself they come back at once.
    made.pace.speed = 20
    jump(made)
    assert len(see(made).incoming) == len(names)
    life = Life(made)
    live(life, 1.1)
    assert len(see(made).restored) == 1
    live(life, 20)
    assert not see(made).incoming
    made.move(Move.FINISH)
    assert not see(made).resources
    live(life, 60)
    assert names <= {r.name for r in see(made).outgoing}


def test_a_guest_that_nobody_restored_is_lost(tmp_path: Path) -> None:
    made = host(tmp_path, "nothing-restored")
    life = Life(made)
    jump(made)
    life = Life(made)
    live(life, 10)
    assert len(see(made).incoming) == 4
    made.move(Move.FINISH)
    live(life, 5)
    assert "luo: finish discards 4 resources that nobody holds" in lines(made)
    assert any("guest-db1: its memory was not restored" in line for line in lines(made))
    assert "guest-db1" not in {r.name for r in see(made).outgoing}


def test_memory_short_at_restore(tmp_path: Path) -> None:
    made = host(tmp_path, "memory-short")
    made.pace.speed = 1
    Life(made)
    jump(made)
    token = next(r.token for r in see(made).incoming if r.name == "guest-db1")
    with pytest.raises(OSError) as error:
        made.restore(token)
    assert error.value.errno == errno.ENOMEM
    life = Life(made)
    live(life, 20)
    # It keeps nobody else waiting, and does not ask for what is not there again and again.
    assert [r.name for r in see(made).incoming] == ["guest-db1"]
    failed = f"luo: restore of token {token} failed (-12)"
    assert lines(made).count(failed) == 2
    live(life, 20)
    assert not see(made).incoming


def test_a_guest_that_does_not_load(tmp_path: Path) -> None:
    made = host(tmp_path, "guest-does-not-load")
    Life(made)
    jump(made)
    life = Life(made)
    live(life, 20)
    (stuck,) = see(made).incoming
    assert stuck.name == "guest-ci"
    running = {name for g in made.work().guests for name in g.memory}
    assert {"guest-web1", "guest-db1"} <= running
    assert "guest-ci" not in running
    told = f"restore token {stuck.token}: its device state is of another version"
    assert sum(told in line for line in lines(made)) == 1


def test_a_guest_that_is_not_carried_ends_with_the_jump(tmp_path: Path) -> None:
    made = host(tmp_path, "guest-not-carried")
    (old,) = (g for g in made.work().guests if g.is_qemu)
    assert old.label == "guest-old1 (qemu-system-x86 [2290])"
    assert not any(r.pid == old.pid for r in made.resources())
    jump(made)
    assert not any(g.is_qemu for g in made.work().guests)
    assert not see(made).incoming, "all others have gone on"


def test_a_device_lost_on_the_way(tmp_path: Path) -> None:
    made = host(tmp_path, "device-lost")
    jump(made)
    lost = see(made).participants["pci-0000:3b:00.0"]
    assert (lost.state, lost.reason) == ("lost", "it was switched off on the way")
    (said,) = [s for s in made.lines if "lost on the way" in s.text]
    assert said.grave
    made.move(Move.FINISH)
    assert see(made).participants["pci-0000:3b:00.0"].state == "registered"


def test_a_source_that_dies_comes_back(tmp_path: Path) -> None:
    made = host(tmp_path, "source-dies")
    life = Life(made)
    hub = Hub(SimulatedOrchestrator(made), lambda: None, SimulatedOrchestrator(made).surroundings())
    hub.start()
    try:
        live(life, 7)
        until(lambda: bool(hub.snapshot.health[LUO].fault))
        assert not hub.snapshot.health["devices"].fault
        # Opened again it is refused, until the source is there again.
        hub.refresh()
        until(lambda: hub.snapshot.health[LUO].fault == os.strerror(errno.ECONNREFUSED))
        live(life, 20)
        hub.refresh()
        until(lambda: not hub.snapshot.health[LUO].fault)
        assert len(hub.snapshot.resources) == len(made.resources())
    finally:
        hub.stop()


def test_an_overrun_is_told_and_loses_nothing(tmp_path: Path) -> None:
    made = host(tmp_path, "overrun")
    life = Life(made)
    ear = made.news.listen(LUO)
    live(life, 7)
    assert ear.take() is None
    assert len(see(made).resources) in (4, 5)
    fd = os.memfd_create("after")
    made.preserve(fd)
    os.close(fd)
    assert len(ear.take() or ()) == 1
    made.news.unlisten(ear)


def test_a_crowd(tmp_path: Path) -> None:
    with contextlib.closing(host(tmp_path, "crowd")) as made:
        made.pace.speed = 1
        life = Life(made)
        before = see(made)
        assert len(before.outgoing) == 10_000
        assert before.bytes_in(ResourceState.PRESERVED) < before.vitals.memory_total
        # The low numbers are left to those who need them.
        fd = os.memfd_create("low")
        assert fd < 1024
        os.close(fd)
        jump(made)
        assert len(see(made).incoming) == 10_000
        live(life, 20)
        assert len(see(made).restored) == 10_000
        made.move(Move.FINISH)
        assert not see(made).resources
        live(life, 20)
        # A guest may have gone meanwhile.
        assert len(see(made).outgoing) > 9_990
    assert not made.resources()


@pytest.mark.parametrize("scenario", ["crowd", "overrun"])
@pytest.mark.parametrize(("soft", "hard"), [(1024, 4096), (256, 20_000)])
def test_few_files_may_be_open(tmp_path: Path, scenario: str, soft: int, hard: int) -> None:
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from luo_tui.orchestrator.simulated import Life, SimulatedHost\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))\n"
        f"host = SimulatedHost.create(Path({str(tmp_path)!r}), {scenario!r})\n"
        "life = Life(host)\n"
        "while life.clock.now < 60: life.clock.step()\n"
        "print(len(host.resources()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    wanted = {("crowd", 4096): 1700, ("crowd", 20_000): 9_990}.get((scenario, hard), 4)
    assert int(done.stdout) >= wanted


def test_an_ear_holds_so_much_and_dies_once_closed() -> None:
    news = News()
    ear = news.listen("a")
    news.announce("b")
    assert ear.take() == []
    for _ in range(MOST + 1):
        news.announce("a", ResourceGone(1))
    assert ear.take() is None
    assert ear.take() == []
    news.unlisten(ear)
    news.unlisten(ear)
    news.announce("a", ResourceGone(1))


def test_the_speed_stays_within_what_can_be_followed(tmp_path: Path) -> None:
    orchestrator = SimulatedOrchestrator(host(tmp_path))
    assert isinstance(orchestrator, Paced)
    orchestrator.faster()
    assert orchestrator.speed == 1
    for _ in range(10):
        orchestrator.faster()
    assert orchestrator.speed == FASTEST
    for _ in range(20):
        orchestrator.slower()
    assert orchestrator.speed == SLOWEST
    orchestrator.still()
    assert orchestrator.speed == 0
    orchestrator.still()
    assert orchestrator.speed == SLOWEST
    orchestrator.speed = 1000
    assert orchestrator.speed == FASTEST


def test_a_move_takes_as_long_as_the_speed_says(tmp_path: Path) -> None:
    made = SimulatedHost.create(tmp_path, delay=None)
    made.pace.speed = FASTEST
    made.move(Move.PREPARE)
    took = made.stamps.milliseconds(made.stamps.prepare_begin, made.stamps.prepare_end)
    assert took is not None
    assert 1000 / FASTEST <= took < 1000
    made.pace.speed = 0
    made.move(Move.CANCEL)


def test_the_clock_follows_the_speed_and_waits_for_acts() -> None:
    pace, lock = Pace(), threading.RLock()
    clock = Clock(pace, lock)
    happened = threading.Event()
    clock.after(1, happened.set)
    clock.start()
    try:
        assert not happened.wait(0.05)
        assert clock.now == 0
        with lock:
            pace.speed = FASTEST
            assert not happened.wait(0.2)
        assert happened.wait(10)
    finally:
        clock.stop()
        clock.stop()
    assert [t for t in threading.enumerate() if t.name == "life"] == []


def test_life_in_its_thread_ends_when_it_is_told(tmp_path: Path) -> None:
    made = host(tmp_path)
    life = Life(made)
    life.start()
    made.pace.speed = FASTEST
    until(lambda: life.clock.now > 12)
    assert made.state is State.NORMAL
    life.stop()
    now = life.clock.now
    assert [t for t in threading.enumerate() if t.name == "life"] == []
    assert life.clock.now == now
    assert all(r.state is ResourceState.PRESERVED for r in made.resources())
