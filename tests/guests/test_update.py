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
from luo_tui.guests import participants
from luo_tui.guests.carry import WHOLE_STATE_BYTES
from luo_tui.guests.record import FOLDER, Phase, Records
from luo_tui.model import State
from luo_tui.monitor.hub import Hub
from luo_tui.orchestrator import Move
from luo_tui.orchestrator.simulated import HOST_NAME, SimulatedHost, SimulatedJump
from luo_tui.orchestrator.simulated.orchestrator import SimulatedOrchestrator
from luo_tui.orchestrator.simulated.sessions import SimulatedSessions
from luo_tui.update.acts import Window
from luo_tui.update.facts import Act
from luo_tui.update.offers import DISCARD, offered
from luo_tui.update.rules import refusal
from luo_tui.update.walk import walk
from tests.guests.machine import COUNTER, Machine
from tests.unit.test_acts import Console


class WithGuests(SimulatedOrchestrator):
    """A simulated kernel under the real guests of one test."""

    guests_wanted = True

    def __init__(self, host: SimulatedHost, guests_proc: Path) -> None:
        super().__init__(host)
        self.guests_proc = guests_proc

    def let_go(self, token: int) -> None:
        assert token


class WithSessions(WithGuests, SimulatedSessions):
    """The same with a kernel that has no prepare, and holds all of what is preserved."""

    abilities = SimulatedSessions.abilities._replace(takes_holes=True)


class Site:
    """A simulated host with a window on it, and the guests that it has."""

    def __init__(self, folder: Path, kind: type[WithGuests] = WithGuests) -> None:
        self._kind = kind
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

    def orchestrator(self) -> WithGuests | WithSessions:
        return self._kind(self.host, self.proc)

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


# -- on a kernel without prepare ---------------------------------------------------------


@pytest.fixture
def direct(tmp_path: Path) -> Site:
    return Site(tmp_path, WithSessions)


def kept(site: Site) -> list[str]:
    there = site.console().look().outgoing
    return sorted(r.name for r in there if r.name.startswith("guest web1 "))


def test_load_arms_and_unload_gives_up(direct: Site, machine: Machine) -> None:
    machine.boot()
    machine.until(lambda: machine.number_at(COUNTER))
    direct.has(machine)
    console = direct.console()
    console.load()
    assert direct.phases == {"web1": Phase.ARMED}
    assert kept(direct) == ["guest web1 (devices)", "guest web1 ram"]
    (record,) = direct.records.all()
    assert record.state.bytes == WHOLE_STATE_BYTES
    facts = console.window.facts()
    assert (len(facts.armed), facts.unarmed) == (1, ())
    asked = offered(Act.UNLOAD, facts)
    assert asked is not None
    assert any("1 guest of QEMU; they run on" in line for line in asked.does)
    # Another target in its place: armed anew, once.
    console.window.unload(console.yes(Act.UNLOAD))
    assert (direct.phases, kept(direct)) == ({}, [])
    console.load()
    console.window.leave("a test")
    assert (direct.phases, kept(direct)) == ({}, [])
    machine.counts()
    assert machine.is_whole()


def test_a_load_that_fails_arms_nobody(
    direct: Site, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.boot()
    direct.has(machine)
    console = direct.console()

    def refuse(*_: object) -> None:
        assert direct.phases == {"web1": Phase.ARMED}
        raise OSError(errno.ENOMEM, "no room")

    monkeypatch.setattr(type(console.orchestrator.kexec), "load", refuse)
    with pytest.raises(ActFailed):
        console.load()
    assert (direct.phases, kept(direct)) == ({}, [])
    assert status(machine) == "running"


@pytest.mark.parametrize(
    ("free", "said"), [(100 << 20, "memory for all "), (0, "could not be read: none is armed")]
)
def test_arming_needs_room_for_all_that_a_guest_has_not_touched(
    direct: Site, machine: Machine, monkeypatch: pytest.MonkeyPatch, free: int, said: str
) -> None:
    machine.boot()
    direct.has(machine)
    console = direct.console()
    monkeypatch.setattr(participants, "_available", lambda: free)
    with pytest.raises(NotDone, match=rf"{said}.* Nothing was done"):
        console.load()
    assert (direct.phases, kept(direct)) == ({}, [])
    assert not console.look().kexec.loaded
    assert console.events()[-1] == "failed"


def test_a_guest_whose_memory_is_held_no_more_stops_the_kexec(
    direct: Site, machine: Machine
) -> None:
    machine.boot()
    direct.has(machine)
    console = direct.console()
    console.load()
    (record,) = direct.records.all()
    for token in record.tokens:
        console.orchestrator.unpreserve(token)
    facts = console.window.facts(console.target)
    assert (facts.armed, facts.unarmed) == ((), ("web1",))
    found = refusal(Act.KEXEC, facts)
    assert found is not None
    assert "preserved no more" in found.reason
    assert any(note.startswith("ARMED NO MORE: web1.") for note in walk(facts).notes)


def test_a_jump_that_does_not_happen_leaves_no_guest_paused_or_armed(
    direct: Site, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.boot()
    machine.until(lambda: machine.number_at(COUNTER))
    direct.has(machine)
    console = direct.console()
    console.load()
    seen: list[object] = []

    def stays(_: object) -> None:
        seen.append(status(machine))
        raise OSError(errno.EBUSY, "busy")

    monkeypatch.setattr(type(console.orchestrator.kexec), "reboot", stays)
    with pytest.raises(ActFailed):
        console.kexec()
    assert seen == ["postmigrate"]
    assert status(machine) == "running"
    machine.counts()
    assert machine.is_whole()
    assert (direct.phases, kept(direct)) == ({}, [])


def test_on_a_kernel_without_prepare_the_jump_saves_them(direct: Site, machine: Machine) -> None:
    machine.boot()
    machine.until(lambda: machine.number_at(COUNTER))
    direct.has(machine)
    console = direct.console()
    console.load()
    agreed = offered(Act.KEXEC, console.window.facts())
    assert agreed is not None
    assert agreed.survives[0].startswith("guest web1 [")
    with pytest.raises(SimulatedJump):
        console.kexec()
    console.window.release()
    assert direct.phases == {"web1": Phase.SAVED}
