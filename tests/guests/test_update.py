# SPDX-License-Identifier: MIT
"""Guests in an update: armed, saved as the last thing, on again whatever happens.

The kernel is simulated, and holds the descriptors; the guest and its QEMU are real.
"""

from __future__ import annotations

import errno
import json
import signal
import time
from pathlib import Path

import pytest

from luo_tui.cli import main as cli
from luo_tui.errors import ActFailed, NotDone
from luo_tui.guests.record import FOLDER, Phase, Records
from luo_tui.model import State
from luo_tui.monitor.hub import Hub
from luo_tui.orchestrator import Move
from luo_tui.orchestrator.simulated import HOST_NAME, SimulatedHost, SimulatedJump
from luo_tui.orchestrator.simulated.orchestrator import SimulatedOrchestrator
from luo_tui.update.acts import Window
from luo_tui.update.facts import Act
from luo_tui.update.offers import DISCARD, offered
from tests.guests.machine import COUNTER, Machine
from tests.unit.test_acts import Console


class WithGuests(SimulatedOrchestrator):
    """A simulated kernel under the real guests of one test."""

    guests_wanted = True

    def __init__(self, host: SimulatedHost, guests_proc: Path) -> None:
        super().__init__(host)
        self.guests_proc = guests_proc


class Site:
    """A simulated host with a window on it, and the guests that it has."""

    def __init__(self, folder: Path) -> None:
        self.host = SimulatedHost.create(folder / "host")
        self.host.jump = None
        self.proc = folder / "proc"
        self.proc.mkdir()
        for name in ("1", "self"):
            (self.proc / name).symlink_to(f"/proc/{name}")
        self.records = Records(self.host.folder / FOLDER)

    def has(self, machine: Machine) -> None:
        """Let a guest be found on this host."""
        (self.proc / str(machine.pid)).symlink_to(f"/proc/{machine.pid}")

    def orchestrator(self) -> WithGuests:
        return WithGuests(self.host, self.proc)

    def console(self) -> Console:
        console = Console(self.host)
        console.orchestrator = self.orchestrator()
        look = Hub(console.orchestrator, lambda: None, console.orchestrator.surroundings())
        console.look = look.read_all
        console.window = Window(console.orchestrator, self.host.folder, console.look)
        return console

    def prepared(self) -> Console:
        console = self.console()
        console.load()
        console.prepare()
        return console

    @property
    def phases(self) -> dict[str, Phase]:
        return {record.name: record.phase for record in self.records.all()}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def status(machine: Machine) -> object:
    found = machine.ask("query-status")
    assert isinstance(found, dict)
    return found["status"]


def names(site: Site) -> list[str]:
    return [r.name for r in site.console().look().resources.values() if "luo-state" in r.name]


def test_two_guests_go_through_a_whole_update(
    site: Site, machine: Machine, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    other = Machine(tmp_path / "other")
    other.folder.mkdir()
    both = (machine, other)
    try:
        for guest, name in zip(both, ("web1", "db1"), strict=True):
            guest.boot(name=name)
            guest.until(lambda guest=guest: guest.number_at(COUNTER))
            site.has(guest)
        before = site.prepared()
        assert site.phases == {"db1": Phase.ARMED, "web1": Phase.ARMED}
        assert sorted(names(site)) == ["luo-state-db1", "luo-state-web1"]
        for guest in both:
            guest.counts()
        agreed = offered(Act.KEXEC, before.window.facts())
        assert agreed is not None
        assert [line.split(" [")[0] for line in agreed.survives[:2]] == ["guest db1", "guest web1"]
        with pytest.raises(SimulatedJump):
            before.kexec()
        before.window.release()
        assert set(site.phases.values()) == {Phase.SAVED}
        stood_at = {guest: guest.number_at(COUNTER) for guest in both}
        for guest in both:
            assert status(guest) == "postmigrate"
            guest.signal(signal.SIGKILL)
            guest.wait()
        # In the simulation it is the same process, and has another boot.
        host = SimulatedOrchestrator.host
        monkeypatch.setattr(
            WithGuests, "host", lambda self: host(self)._replace(boot_id="the next one")
        )
        monkeypatch.setattr(cli, "open_orchestrator", site.orchestrator)
        monkeypatch.setattr(WithGuests, "may_act", lambda self: True)
        cli.run(["--folder", str(site.host.folder), "arrive", "--json"])
        told = capsys.readouterr()
        said = json.loads(told.out)
        assert said["faults"] == [], told.err
        kept = [r["text"] for r in said["reasons"] if r["about"] == "guests"]
        assert [text.partition(",")[0] for text in kept] == [
            "kept: db1 goes on",
            "kept: web1 goes on",
        ]
        for record in site.records.all():
            assert record.phase is Phase.LOADED
            assert 0 < record.paused < record.went_on < time.time()
            guest = machine if record.name == "web1" else other
            guest.adopt(record.pid)
            assert guest.number_at(COUNTER) >= stood_at[guest]
            guest.counts()
            assert guest.is_whole()
        after = site.console()
        assert after.look().luo.state is State.UPDATED
        after.window.finish(after.yes(Act.FINISH, DISCARD))
        assert site.phases == {}
    finally:
        other.end()


@pytest.mark.parametrize("where", ["hand back", "interrupt", "freeze", "reboot"])
def test_a_jump_that_does_not_happen_leaves_no_guest_paused(
    site: Site, machine: Machine, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    machine.boot()
    machine.until(lambda: machine.number_at(COUNTER))
    site.has(machine)
    console = site.prepared()
    seen: list[object] = []

    def hand_back() -> None:
        seen.append(status(machine))
        if where == "hand back":
            raise OSError(errno.EIO, "the terminal is gone")
        if where == "interrupt":
            raise KeyboardInterrupt

    ordinary = WithGuests.move

    def move(self: WithGuests, wanted: Move) -> None:
        if wanted is Move.FREEZE and where == "freeze":
            ordinary(self, Move.CANCEL)
            raise OSError(errno.EBUSY, "busy")
        ordinary(self, wanted)

    monkeypatch.setattr(WithGuests, "move", move)
    if where == "reboot":

        def stays(_: object) -> None:
            raise OSError(errno.EBUSY, "busy")

        monkeypatch.setattr(type(console.orchestrator.kexec), "reboot", stays)
    consent = console.yes(Act.KEXEC, HOST_NAME)
    with pytest.raises((ActFailed, KeyboardInterrupt)):
        console.window.kexec(consent, console.target, hand_back)
    assert seen == ["postmigrate"], "it was saved before anything that cannot be undone"
    assert status(machine) == "running"
    machine.counts()
    assert machine.is_whole()
    if where in ("hand back", "interrupt"):
        # Prepared as before: it can be tried again, or taken back.
        assert site.phases == {"web1": Phase.ARMED}
        where = "nowhere"
        with pytest.raises(SimulatedJump):
            console.kexec()
        assert site.phases == {"web1": Phase.SAVED}
    else:
        assert site.host.state is State.NORMAL
        assert site.phases == {}
        assert names(site) == []


def test_a_cancel_gives_up_what_was_armed(site: Site, machine: Machine) -> None:
    machine.boot()
    site.has(machine)
    console = site.prepared()
    assert console.window.cancel(console.yes(Act.CANCEL))[-1:] == (
        "The kernel image was unloaded.",
    )
    assert site.phases == {}
    assert names(site) == []
    assert status(machine) == "running"


def test_a_refused_prepare_gives_up_what_was_armed(
    site: Site, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.boot()
    site.has(machine)
    console = site.console()
    console.load()

    def refuse(self: WithGuests, wanted: Move) -> None:
        raise OSError(errno.ENOMEM, f"no {wanted}")

    monkeypatch.setattr(WithGuests, "move", refuse)
    with pytest.raises(ActFailed):
        console.prepare()
    assert site.phases == {}
    assert names(site) == []
    assert status(machine) == "running"


def test_a_guest_that_cannot_be_saved_stops_the_jump(site: Site, machine: Machine) -> None:
    machine.boot()
    site.has(machine)
    console = site.prepared()
    machine.signal(signal.SIGKILL)
    machine.wait()
    with pytest.raises(NotDone, match="web1 has ended since it was armed"):
        console.kexec()
    assert site.host.state is State.PREPARED
    console.window.cancel(console.yes(Act.CANCEL))
    assert site.phases == {}


def test_whoever_takes_over_lets_go_on_what_another_has_saved(site: Site, machine: Machine) -> None:
    machine.boot()
    machine.until(lambda: machine.number_at(COUNTER))
    site.has(machine)
    first = site.prepared()
    assert first.window.guests is not None
    first.window.guests.save()
    assert status(machine) == "postmigrate"
    # Killed there: its lock is free, and the window open.
    first.window.release()
    second = site.console()
    assert second.window.guests is not None
    second.window.guests.resume()
    assert second.window.guests.left == ()
    assert status(machine) == "running"
    machine.counts()


def test_who_cannot_be_carried_is_left_alone(site: Site, machine: Machine) -> None:
    machine.start("-accel", "tcg", "-nodefaults", "-display", "none", "-m", "64", "-S")
    site.has(machine)
    site.prepared()
    assert site.phases == {}
    assert status(machine) == "prelaunch"
