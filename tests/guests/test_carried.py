# SPDX-License-Identifier: MIT
"""A guest is armed, saved, and goes on in another QEMU; or it goes on where it was."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from luo_tui.guests import carry
from luo_tui.guests.carry import arm, disarm, resume, save
from luo_tui.guests.context import read_context
from luo_tui.guests.failed import GuestFailed
from luo_tui.guests.find import read_guest
from luo_tui.guests.proc import words
from luo_tui.guests.record import Phase, Record, Records, waiting
from luo_tui.guests.rules import Guest, judge
from luo_tui.guests.state_pipe import StatePipe
from luo_tui.sources.processes import running
from luo_tui.sources.qemu import is_qemu
from tests import qcow2
from tests.guests.keeper import Descriptors
from tests.guests.machine import BARE, COUNTER, LONG, Machine

PROC = Path("/proc")


@pytest.fixture
def keeper() -> Iterator[Descriptors]:
    made = Descriptors()
    yield made
    made.close()


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(tmp_path / "state" / "guests")


def guest_of(machine: Machine) -> Guest:
    (guest,) = judge([read_guest(PROC, machine.pid, LONG)])
    return guest


def armed(machine: Machine, keeper: Descriptors, records: Records) -> Record:
    return arm(keeper, guest_of(machine), "boot-1", records)


def status(machine: Machine) -> object:
    found = machine.ask("query-status")
    assert isinstance(found, dict)
    return found["status"]


def ignores_shared(machine: Machine) -> bool:
    found = machine.ask("query-migrate-capabilities")
    assert isinstance(found, list)
    return any(c["state"] for c in found if c["capability"] == "x-ignore-shared")


def test_a_state_that_has_no_room_is_refused_and_the_guest_goes_on(
    machine: Machine, keeper: Descriptors, records: Records
) -> None:
    machine.boot()
    machine.until(lambda: machine.number_at(COUNTER))
    record = arm(keeper, guest_of(machine), "boot-1", records, state_bytes=4096)
    with pytest.raises(GuestFailed, match=r"state is larger than 4,096 bytes\. It goes on"):
        save(record, records, LONG)
    assert status(machine) == "running"
    assert not ignores_shared(machine)
    machine.counts()
    assert machine.is_whole()
    state = keeper.fds[record.state.token]
    assert os.fstat(state).st_size == 4096


def test_a_guest_goes_on_in_another_qemu_three_times(
    machine: Machine, keeper: Descriptors, records: Records
) -> None:
    machine.boot("-smp", "2", "-nic", "user,model=virtio-net-pci", "-device", "virtio-rng-pci")
    machine.until(lambda: machine.number_at(COUNTER))
    for _ in range(3):
        machine.counts()
        record = armed(machine, keeper, records)
        assert len(keeper.fds) == 2
        assert status(machine) == "running"
        assert guest_of(machine).refusals == (), "it can be looked at while it is armed"
        saved = save(record, records, LONG)
        before = machine.number_at(COUNTER)
        assert status(machine) == "postmigrate"
        assert records.find("web1") == saved
        assert waiting(records.all(), "boot-2") == (saved,)
        assert waiting(records.all(), "boot-1") == ()
        machine.signal(signal.SIGKILL)
        machine.wait()
        done = keeper.load_elsewhere(records, "web1")
        assert done.returncode == 0, done.stderr
        pid, slow = done.stdout.split("\n")[:2]
        assert slow == "", "the loader imports what is slow"
        machine.adopt(int(pid))
        assert machine.number_at(COUNTER) >= before
        assert machine.counts() < before + 18 * LONG, "it went on, and did not begin anew"
        assert machine.is_whole()
        assert not ignores_shared(machine)
        links = guest_of(machine).facts.process.links.values()
        assert "/memfd:luo-state-web1 (deleted)" in links, "nobody restored it otherwise"
        loaded = records.find("web1")
        assert loaded is not None
        assert (loaded.phase, loaded.pid) == (Phase.LOADED, int(pid))
        keeper.close()


def test_who_may_read_what_is_written_down(
    machine: Machine, keeper: Descriptors, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUO_TUI_TEST", "a secret\nof two lines")
    machine.boot()
    record = armed(machine, keeper, records)
    path = records.path("web1")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert records.find("web1") == record
    assert "LUO_TUI_TEST=a secret\nof two lines" in record.context.environ
    assert record.context.limits == tuple((n, *resource.getrlimit(n)) for n in range(16))
    assert str(machine.folder) in [folder.path for folder in record.context.folders]


def test_after_a_cancel_it_runs_on_and_can_be_armed_anew(
    machine: Machine, keeper: Descriptors, records: Records
) -> None:
    machine.boot()
    machine.until(lambda: machine.number_at(COUNTER))
    for step in ("arm", "save", "arm", "save"):
        record = armed(machine, keeper, records)
        if step == "save":
            # As often as it is tried: between prepare and the kexec nothing new is preserved.
            for _ in range(2):
                record = save(record, records, LONG)
                assert status(machine) == "postmigrate"
                record = resume(record, records)
                assert records.find("web1") == record
                machine.counts()
        assert resume(record, records) == record
        assert status(machine) == "running"
        disarm(keeper, record, records)
        assert keeper.fds == {}
        assert records.all() == ()
        assert not ignores_shared(machine)
        machine.counts()
    assert machine.is_whole()


def test_a_guest_that_was_paused_stays_so(
    machine: Machine, keeper: Descriptors, records: Records
) -> None:
    machine.boot()
    machine.until(lambda: machine.number_at(COUNTER))
    machine.ask("stop")
    record = save(armed(machine, keeper, records), records, LONG)
    assert not record.goes_on
    before = machine.number_at(COUNTER)
    machine.signal(signal.SIGKILL)
    machine.wait()
    done = keeper.load_elsewhere(records, "web1")
    assert done.returncode == 0, done.stderr
    machine.adopt(int(done.stdout.split()[0]))
    assert status(machine) == "paused"
    assert machine.number_at(COUNTER) == before
    machine.ask("cont")
    machine.counts()


@pytest.mark.parametrize("well", [0, 1])
def test_what_is_refused_while_it_is_armed_leaves_nothing(
    machine: Machine, keeper: Descriptors, records: Records, well: int
) -> None:
    machine.boot()
    keeper.refuse["preserve"] = well
    with pytest.raises(
        GuestFailed, match=r"web1 could not be armed: Cannot allocate.* It runs on\.$"
    ):
        armed(machine, keeper, records)
    assert keeper.fds == {}
    assert records.all() == ()
    keeper.refuse = {"unpreserve": 0}
    record = armed(machine, keeper, records)
    with pytest.raises(GuestFailed, match="Still preserved are the tokens 41"):
        disarm(keeper, record, records)
    assert records.find("web1") == record


def test_who_cannot_be_carried_is_not_armed(
    machine: Machine, keeper: Descriptors, records: Records
) -> None:
    machine.start("-name", "bare", *BARE, "-S")
    with pytest.raises(GuestFailed, match="bare cannot be carried: its memory"):
        armed(machine, keeper, records)
    assert keeper.fds == {}


def test_a_state_that_does_not_fit_lets_the_guest_go_on(
    machine: Machine, keeper: Descriptors, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.boot()
    machine.until(lambda: machine.number_at(COUNTER))
    record = armed(machine, keeper, records)
    # What QEMU is to write to is taken from it.
    machine.ask("closefd", fdname=carry.STATE_NAME)
    with pytest.raises(
        GuestFailed, match=r"could not be saved: QEMU has not the file.* It goes on\."
    ):
        save(record, records, LONG)
    assert status(machine) == "running"
    assert not ignores_shared(machine)
    machine.counts()
    disarm(keeper, record, records)
    record = armed(machine, keeper, records)
    with pytest.raises(GuestFailed, match=r"has not written its state .* It goes on\."):
        save(record, records, -1.0)
    machine.until(lambda: status(machine) == "running")
    machine.counts()


def test_a_guest_that_has_ended_or_hangs_is_told(
    machine: Machine, keeper: Descriptors, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carry, "LIMIT", 0.5)
    machine.boot()
    record = armed(machine, keeper, records)
    machine.signal(signal.SIGSTOP)
    with pytest.raises(GuestFailed, match=r"could not be saved: .* web1 may be paused: .*cont"):
        save(record, records, LONG)
    machine.signal(signal.SIGCONT)
    machine.until(lambda: status(machine) == "running")
    machine.signal(signal.SIGKILL)
    machine.wait()
    with pytest.raises(GuestFailed, match="web1 has ended since it was armed"):
        save(record, records, LONG)
    with pytest.raises(GuestFailed, match="web1 has ended"):
        resume(record._replace(phase=Phase.SAVED), records)
    disarm(keeper, record, records)
    assert keeper.fds == {}


def test_what_a_disk_lies_upon_must_not_change_while_it_is_saved(
    machine: Machine, keeper: Descriptors, records: Records
) -> None:
    below, over = machine.folder / "below.img", machine.folder / "over.img"
    below.write_bytes(bytes(1 << 20))
    over.write_bytes(qcow2.overlay(str(below), 1 << 20))
    for file in (below, over):
        os.chown(file, machine.folder.stat().st_uid, machine.folder.stat().st_gid)
    disk = f"file={over},format=qcow2,if=virtio"
    saved, before = saved_and_ended(machine, keeper, records, "-drive", disk)
    at = saved.disks[str(below)][1]
    os.utime(below)
    done = keeper.load_elsewhere(records, "web1")
    assert f"web1 must not be loaded: its disk {below} was written to" in done.stderr
    os.utime(below, ns=(at, at))
    loads_whole(machine, keeper, records, before)


def test_what_keeps_it_from_being_loaded_loses_nothing(
    machine: Machine, keeper: Descriptors, records: Records
) -> None:
    saved, before = saved_and_ended(machine, keeper, records)
    hidden = machine.disk.with_suffix(".hidden")
    machine.disk.rename(hidden)
    done = keeper.load_elsewhere(records, "web1")
    assert done.returncode == 1
    assert "disk.img is not there" in done.stderr
    hidden.rename(machine.disk)
    os.utime(machine.disk)
    done = keeper.load_elsewhere(records, "web1")
    assert "web1 must not be loaded: its disk" in done.stderr
    at = saved.disks[str(machine.disk)][1]
    os.utime(machine.disk, ns=(at, at))
    records.write(saved._replace(argv=(*saved.argv, "-device", "no-such-device")))
    done = keeper.load_elsewhere(records, "web1")
    assert "web1 could not be loaded: QEMU has ended. It said: " in done.stderr
    assert "no-such-device" in done.stderr
    # Another machine than that of the state.
    records.write(saved._replace(argv=(*saved.argv, "-device", "virtio-rng-pci")))
    done = keeper.load_elsewhere(records, "web1")
    assert "web1 could not be loaded" in done.stderr
    records.write(saved._replace(exe="/usr/bin/no-such-qemu"))
    done = keeper.load_elsewhere(records, "web1")
    assert "/usr/bin/no-such-qemu: No such file or directory" in done.stderr
    records.write(saved)
    loads_whole(machine, keeper, records, before)


@pytest.mark.parametrize("more", [(), ("-daemonize",)], ids=["", "daemonize"])
@pytest.mark.parametrize("killed_at", ["_connect", "_source", "_wait_loaded"])
def test_a_loader_that_was_killed_is_started_again(
    machine: Machine,
    keeper: Descriptors,
    records: Records,
    killed_at: str,
    more: tuple[str, ...],
) -> None:
    """What it has left holds the disk, and waits for a state that nobody will tell it of."""
    record, before = saved_and_ended(machine, keeper, records)
    records.write(record._replace(argv=(*record.argv, *more)))
    try:
        for _ in range(2):
            done = keeper.load_elsewhere(records, "web1", killed_at)
            assert done.returncode == -signal.SIGKILL, done.stderr
            left = records.find("web1")
            assert left is not None
            assert left.phase is Phase.SAVED
        loads_whole(machine, keeper, records, before)
        assert having(machine.disk) == [machine.pid], "of the others none is left"
    finally:
        for pid in having(machine.disk):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("killed_at", ["QEMU _source", "QEMU _wait_loaded"])
def test_a_qemu_that_was_killed_while_it_loaded_is_loaded_again(
    machine: Machine, keeper: Descriptors, records: Records, killed_at: str
) -> None:
    record, before = saved_and_ended(machine, keeper, records)
    done = keeper.load_elsewhere(records, "web1", killed_at)
    assert done.returncode == 1
    assert "web1 could not be loaded" in done.stderr
    assert "preserved as they were" in done.stderr
    assert records.find("web1") == record
    loads_whole(machine, keeper, records, before)


def test_a_qemu_that_was_killed_while_it_was_saved_is_told(
    machine: Machine, keeper: Descriptors, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.boot()
    record = armed(machine, keeper, records)
    take = StatePipe.take

    def killed(self: StatePipe, seconds: float) -> bool:
        machine.signal(signal.SIGKILL)
        return take(self, seconds)

    monkeypatch.setattr(StatePipe, "take", killed)
    with pytest.raises(GuestFailed, match=r"web1 could not be saved: .* web1 has ended\."):
        save(record, records, LONG)
    machine.wait()
    left = records.find("web1")
    assert left is not None
    disarm(keeper, left, records)
    assert (keeper.fds, records.all()) == ({}, ())


def saved_and_ended(
    machine: Machine, keeper: Descriptors, records: Records, *more: str
) -> tuple[Record, int]:
    """Have a guest counting, saved, and its QEMU ended; its record, and how far it was."""
    machine.boot(*more)
    machine.until(lambda: machine.number_at(COUNTER))
    record = save(armed(machine, keeper, records), records, LONG)
    before = machine.number_at(COUNTER)
    machine.signal(signal.SIGKILL)
    machine.wait()
    return record, before


def loads_whole(machine: Machine, keeper: Descriptors, records: Records, before: int) -> None:
    """Another process loads it, and it counts on from where it was, its memory whole."""
    done = keeper.load_elsewhere(records, "web1")
    assert done.returncode == 0, done.stderr
    machine.adopt(int(done.stdout.split()[0]))
    assert machine.number_at(COUNTER) >= before
    machine.counts()
    assert machine.is_whole()


def having(disk: Path) -> list[int]:
    """Return the processes of QEMU whose arguments name this disk."""
    found = []
    for pid in running(PROC, is_qemu).pids:
        with contextlib.suppress(FileNotFoundError):
            if any(str(disk) in word for word in words(PROC / str(pid) / "cmdline")):
                found.append(pid)
    return found


@pytest.mark.root
def test_it_comes_back_as_who_it_was(keeper: Descriptors, records: Records) -> None:
    folder = Path(tempfile.mkdtemp())
    machine = Machine(folder)
    try:
        os.chown(folder, 65534, 65534)
        who = ("setpriv", "--reuid=65534", "--regid=65534", "--groups=65533", "--inh-caps=-all")
        limits = ("prlimit", "--nofile=1000:2000", "nice", "-n", "1")
        machine.boot(under=(*limits, *who))
        before = guest_of(machine)
        record = save(armed(machine, keeper, records), records, LONG)
        machine.signal(signal.SIGKILL)
        machine.wait()
        done = keeper.load_elsewhere(records, "web1")
        assert done.returncode == 0, done.stderr
        machine.adopt(int(done.stdout.split()[0]))
        after = read_context(PROC, machine.pid, (str(machine.socket),))
        assert after == record.context._replace(folders=after.folders)
        assert (after.uid, after.gid, after.groups) == (65534, 65534, (65533,))
        assert (resource.RLIMIT_NOFILE, 1000, 2000) in after.limits
        assert guest_of(machine).facts.process.capabilities == before.facts.process.capabilities
        machine.counts()
    finally:
        machine.end()
        shutil.rmtree(folder)


def test_a_damaged_record_is_none_that_is_absent(records: Records) -> None:
    assert records.all() == ()
    assert records.find("web1") is None
    records.folder.mkdir(parents=True)
    for text in ("", "[]", "{}", '{"format": 2}', '{"format": 1}', '{"format": 1, "context": 7}'):
        records.path("web1").write_text(text)
        with pytest.raises(ValueError, match=r"web1\.json: (the record|another version)"):
            records.find("web1")
        with pytest.raises(ValueError, match=r"web1\.json"):
            records.all()
    with pytest.raises(ValueError, match="name of other than"):
        records.path("../web1")
