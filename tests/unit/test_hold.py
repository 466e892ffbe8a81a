# SPDX-License-Identifier: MIT
"""hold and restore: bytes proved, and none lost by a failure."""

from __future__ import annotations

import errno
import functools
import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from luo_tui.errors import ActFailed, Exit, NotDone
from luo_tui.model import LuoState, Resource, Resources, ResourceState, Snapshot, State
from luo_tui.monitor.hub import Hub
from luo_tui.orchestrator import Move
from luo_tui.orchestrator.simulated import (
    SimulatedHost,
    SimulatedJump,
    SimulatedOrchestrator,
)
from luo_tui.update import delivery, hold
from luo_tui.update.act_log import LONGEST, ActLog, delivered_here, read_acts
from luo_tui.update.facts import Facts
from luo_tui.update.held import HeldRecords
from luo_tui.update.hold import Holds
from luo_tui.update.lock import Lock, act_count, act_lock, act_reading
from luo_tui.update.person import Person
from tests.opened import load_files

ANN = Person("ann", "pts/1", "", 11)
CONTENT = os.urandom(300_000)


@pytest.fixture
def host(tmp_path: Path) -> SimulatedHost:
    made = SimulatedHost(tmp_path / "host")
    made.lay_boot()
    return made


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(CONTENT)
    return path


def holds(host: SimulatedHost) -> Holds:
    orchestrator = SimulatedOrchestrator(host)
    return Holds(orchestrator, host.folder, Hub(orchestrator, lambda: None).read_now)


def update(host: SimulatedHost) -> None:
    load_files(host.load, host.boot_folder / "vmlinuz-7.3.4-hv")
    host.move(Move.PREPARE)
    with pytest.raises(SimulatedJump):
        host.reboot()


def test_bytes_come_back_after_the_update(
    host: SimulatedHost, source: Path, tmp_path: Path
) -> None:
    held = holds(host).hold(source, "cache")
    assert (held.bytes, held.token) == (len(CONTENT), 0)
    assert [r.name for r in host.resources()] == ["cache"]
    source.unlink()
    update(host)
    back = tmp_path / "back"
    assert holds(host).restore("cache", back) == held
    assert back.read_bytes() == CONTENT
    assert holds(host).records() == ()
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".luo")] == []


def test_an_empty_file_is_a_file(host: SimulatedHost, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    holds(host).hold(tmp_path / "empty", "none")
    update(host)
    holds(host).restore("none", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b""


@pytest.mark.parametrize("name", ["", "a/b", "../x", ".hidden", "a b", "x" * 65, "\x1b[2J"])
def test_bad_names_are_refused(host: SimulatedHost, source: Path, name: str) -> None:
    with pytest.raises(NotDone) as refused:
        holds(host).hold(source, name)
    assert refused.value.code is Exit.USAGE
    assert host.resources() == ()


def test_a_name_is_held_once(host: SimulatedHost, source: Path) -> None:
    holds(host).hold(source, "cache")
    with pytest.raises(NotDone, match="held already"):
        holds(host).hold(source, "cache")
    assert len(host.resources()) == 1
    holds(host).unpreserve("cache")
    assert host.resources() == ()
    holds(host).hold(source, "cache")


def test_a_record_of_another_boot_is_not_in_the_way(host: SimulatedHost, source: Path) -> None:
    holds(host).hold(source, "cache")
    load_files(host.load, host.boot_folder / "vmlinuz-7.3.4-hv")
    with pytest.raises(SimulatedJump):
        host.reboot()  # in normal: nothing is handed over
    with pytest.raises(NotDone, match="not in memory any more"):
        holds(host).unpreserve("cache")
    assert holds(host).records() == ()
    holds(host).hold(source, "cache")


def test_restore_only_where_it_can_be(host: SimulatedHost, source: Path, tmp_path: Path) -> None:
    with pytest.raises(NotDone) as refused:
        holds(host).restore("cache", tmp_path / "back")
    assert refused.value.code is Exit.NOT_FOUND
    holds(host).hold(source, "cache")
    with pytest.raises(ActFailed) as failed:
        holds(host).restore("cache", tmp_path / "back")
    assert failed.value.explanation.errno == errno.EBUSY
    assert failed.value.explanation.code is Exit.WRONG_STATE
    update(host)
    (tmp_path / "back").write_text("mine")
    with pytest.raises(NotDone, match="--force"):
        holds(host).restore("cache", tmp_path / "back")
    assert (tmp_path / "back").read_text() == "mine"
    with pytest.raises(ActFailed, match="no such file"):
        holds(host).restore("cache", tmp_path / "nowhere" / "back")
    holds(host).restore("cache", tmp_path / "back", force=True)
    assert (tmp_path / "back").read_bytes() == CONTENT


def test_no_room_is_found_out_before_anything_is_taken(
    host: SimulatedHost, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holds(host).hold(source, "cache")
    update(host)

    def full(fd: int, offset: int, length: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        with pytest.raises(ActFailed, match="disk is full"):
            holds(host).restore("cache", tmp_path / "back")
    assert not (tmp_path / "back").exists()
    holds(host).restore("cache", tmp_path / "back")


def test_other_bytes_are_found_out_and_kept(
    host: SimulatedHost, source: Path, tmp_path: Path
) -> None:
    held = holds(host).hold(source, "cache")
    record = next((host.folder / "holds").glob("*.json"))
    record.write_text(record.read_text().replace(held.sha256, "0" * 64))
    update(host)
    with pytest.raises(NotDone, match="not what was held") as refused:
        holds(host).restore("cache", tmp_path / "back")
    assert refused.value.code is Exit.MISMATCH
    assert not (tmp_path / "back").exists()
    # It went back to the kernel under a new token, so that nothing is lost.
    assert "preserved anew" in str(refused.value)
    (again,) = holds(host).records()
    assert again.token == held.token + 1


def test_a_record_that_cannot_be_written_holds_nothing(
    host: SimulatedHost, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: HeldRecords, held: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(HeldRecords, "write", full)
    with pytest.raises(ActFailed, match="nothing is held"):
        holds(host).hold(source, "cache")
    assert host.resources() == ()


def test_what_would_not_fit_into_memory_is_refused(host: SimulatedHost, tmp_path: Path) -> None:
    huge = tmp_path / "huge"
    with huge.open("wb") as file:
        file.truncate(1 << 42)
    with pytest.raises(NotDone, match="without memory"):
        holds(host).hold(huge, "huge")
    with pytest.raises(ActFailed, match="no such file"):
        holds(host).hold(tmp_path / "none", "none")


@pytest.mark.parametrize("kind", ["folder", "fifo", "device"])
def test_what_is_no_regular_file_is_not_held(
    host: SimulatedHost, tmp_path: Path, kind: str
) -> None:
    """A device has no end, and a fifo may never have a beginning."""
    other = Path("/dev/zero") if kind == "device" else tmp_path / "other"
    if kind == "fifo":
        os.mkfifo(other)
    elif kind == "folder":
        other.mkdir()
    with pytest.raises(NotDone, match="not a regular file: nothing was held") as refused:
        holds(host).hold(other, "cache")
    assert refused.value.code is Exit.USAGE
    assert host.resources() == ()


def test_a_file_that_is_longer_than_it_says_takes_no_more_memory_than_there_is(
    host: SimulatedHost, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that grows while it is copied."""
    monkeypatch.setattr(hold, "_room", lambda size: len(CONTENT) - 1)
    with pytest.raises(NotDone, match="without memory") as refused:
        holds(host).hold(source, "cache")
    assert refused.value.code is Exit.NO_SPACE
    assert host.resources() == ()


def cold_boot(host: SimulatedHost) -> None:
    """Another boot of the same kernel, into which nothing was handed over."""
    load_files(host.load, host.boot_folder / f"vmlinuz-{host.release}")
    with pytest.raises(SimulatedJump):
        host.reboot()


@pytest.mark.parametrize("name", ["guest-db", "cache"])
def test_a_stale_record_takes_nobodys_memory(
    host: SimulatedHost, source: Path, tmp_path: Path, name: str
) -> None:
    """Tokens begin anew with each boot: the guest's is the one that the record names."""
    held = holds(host).hold(source, "cache")
    cold_boot(host)
    token = host.start_process(name, len(CONTENT), 2177, "cloud-hyperviso")
    assert token == held.token
    update(host)
    # The guest's own agent has not come yet.
    for kept in host._kept.values():
        kept.state = ResourceState.INCOMING
    before = host.resources()
    with pytest.raises(NotDone) as refused:
        holds(host).restore("cache", tmp_path / "back")
    assert refused.value.code is Exit.NOT_FOUND
    assert "another's" in str(refused.value)
    assert "cloud-hyperviso [2177]" in str(refused.value)
    with pytest.raises(NotDone, match="not in memory any more"):
        holds(host).unpreserve("cache")
    assert host.resources() == before, "it is its owner's to restore"
    assert not (tmp_path / "back").exists()
    os.close(host.restore(token))


def test_a_stale_record_gives_up_nobodys_memory(host: SimulatedHost, source: Path) -> None:
    holds(host).hold(source, "cache")
    cold_boot(host)
    token = host.start_process("cache", len(CONTENT), 2177, "cloud-hyperviso")
    with pytest.raises(NotDone, match="not in memory any more") as refused:
        holds(host).unpreserve("cache")
    assert refused.value.code is Exit.NOT_FOUND
    assert [r.token for r in host.resources()] == [token]
    assert holds(host).records() == ()


def test_a_record_of_this_boot_names_nothing_that_came_over(
    host: SimulatedHost, source: Path, tmp_path: Path
) -> None:
    held = holds(host).hold(source, "cache")
    update(host)
    record = host.folder / "holds" / "cache.json"
    raw = json.loads(record.read_text())
    for changed in ({"boot": host.boot_id}, {"release": "6.1-other"}, {"bytes": 7}, {"pid": 1}):
        record.write_text(json.dumps({**raw, **changed}))
        with pytest.raises(NotDone, match="did not come over"):
            holds(host).restore("cache", tmp_path / "back")
    assert [r.state for r in host.resources()] == [ResourceState.INCOMING]
    # What an earlier version wrote has less to be known by.
    old = {k: v for k, v in raw.items() if k not in ("format", "release", "pid", "comm")}
    record.write_text(json.dumps(old))
    assert holds(host).restore("cache", tmp_path / "back").token == held.token


HELD_BACK = {signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGTSTP}


def interrupting(monkeypatch: pytest.MonkeyPatch, where: object, name: str) -> list[bool]:
    """Have SIGINT come in the middle of a call; return whether it was held back there."""
    ordinary, held = getattr(where, name), []

    def interrupted(*args: object, **more: object) -> object:
        os.kill(os.getpid(), signal.SIGINT)
        held.append(signal.pthread_sigmask(signal.SIG_BLOCK, ()) >= HELD_BACK)
        return ordinary(*args, **more)

    monkeypatch.setattr(where, name, interrupted)
    return held


@pytest.mark.parametrize("step", ["restore", "copy", "fsync_folder"])
def test_an_interrupt_waits_until_the_bytes_are_delivered(
    host: SimulatedHost,
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    held = holds(host).hold(source, "cache")
    update(host)
    where: object = SimulatedHost if step == "restore" else delivery
    asked = interrupting(monkeypatch, where, step)
    restoring = holds(host)
    with pytest.raises(KeyboardInterrupt):
        restoring.restore("cache", tmp_path / "back")
    assert asked == [True]
    assert (tmp_path / "back").read_bytes() == CONTENT
    assert restoring.done == held
    assert holds(host).records() == ()
    assert not HELD_BACK & signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.mark.parametrize("step", ["preserve", "record"])
def test_an_interrupt_waits_until_what_is_preserved_is_written_down(
    host: SimulatedHost, source: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    where: object = SimulatedHost if step == "preserve" else HeldRecords
    asked = interrupting(monkeypatch, where, "preserve" if step == "preserve" else "write")
    holding = holds(host)
    with pytest.raises(KeyboardInterrupt):
        holding.hold(source, "cache")
    assert asked == [True]
    (record,) = holds(host).records()
    assert holding.done == record
    assert [r.token for r in host.resources()] == [record.token]


def raising(error: BaseException) -> Callable[..., object]:
    def fail(*args: object, **more: object) -> object:
        raise error

    return fail


@pytest.mark.parametrize(
    "error",
    [OSError(errno.EIO, "gone"), OSError(errno.ENOSPC, "full"), MemoryError(), RuntimeError("?"),
     KeyboardInterrupt(), SystemExit(1)],
    ids=repr,
)  # fmt: skip
@pytest.mark.parametrize("step", ["copy", "fsync", "replace", "fsync_folder"])
def test_whatever_ends_the_delivery_the_bytes_are_preserved_anew(
    host: SimulatedHost,
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    step: str,
) -> None:
    holds(host).hold(source, "cache")
    update(host)
    with monkeypatch.context() as patch:
        where: object = delivery
        if step == "fsync":
            where = delivery.os
            # Records are written to the disk too: only the delivery fails.
            ordinary = os.fsync

            def fsync(fd: int) -> None:
                if ".luo-tui-" in str(Path(f"/proc/self/fd/{fd}").readlink()):
                    raise error
                ordinary(fd)

            patch.setattr(os, "fsync", fsync)
        elif step == "replace":
            ordinary_replace = Path.replace

            def replace(self: Path, target: Path) -> Path:
                if self.name.startswith(".luo-tui-"):
                    raise error
                return ordinary_replace(self, target)

            patch.setattr(Path, "replace", replace)
        else:
            patch.setattr(where, step, raising(error))
        with pytest.raises(BaseException) as failed:
            holds(host).restore("cache", tmp_path / "back")
    said = " ".join([str(failed.value), *getattr(failed.value, "__notes__", ())])
    assert "preserved anew (token 1)" in said
    if isinstance(error, (OSError, MemoryError)):
        assert isinstance(failed.value, ActFailed)
    (record,) = holds(host).records()
    assert (record.token, record.boot) == (1, host.boot_id)
    states = {r.token: r.state for r in host.resources()}
    assert states == {0: ResourceState.RESTORED, 1: ResourceState.PRESERVED}
    assert read_acts(host.folder)[-1].event == "failed"
    # In this boot the kernel gives out nothing that it is to keep; in the next it does.
    with pytest.raises(NotDone, match="after the next update"):
        holds(host).restore("cache", tmp_path / "back", force=True)
    host.move(Move.FINISH)
    update(host)
    holds(host).restore("cache", tmp_path / "back", force=True)
    assert (tmp_path / "back").read_bytes() == CONTENT


def test_a_program_that_is_killed_in_the_delivery_loses_nothing(
    host: SimulatedHost, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the first byte is copied, the kernel has them again and the record says so."""
    holds(host).hold(source, "cache")
    update(host)
    seen = []

    def looked(*args: int) -> tuple[int, str]:
        seen.append(({r.token: r.state for r in host.resources()}, holds(host).records()))
        return ordinary(*args)

    ordinary = delivery.copy
    monkeypatch.setattr(delivery, "copy", looked)
    holds(host).restore("cache", tmp_path / "back")
    ((states, (record,)),) = seen
    assert states == {0: ResourceState.RESTORED, 1: ResourceState.PRESERVED}
    assert (record.token, record.boot) == (1, host.boot_id)
    assert [r.state for r in host.resources()] == [ResourceState.RESTORED]


def test_a_kernel_that_takes_it_only_later_is_asked_again(
    host: SimulatedHost, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holds(host).hold(source, "cache")
    update(host)
    ordinary, asked = SimulatedHost.preserve, []

    def busy(self: SimulatedHost, fd: int) -> int:
        asked.append(fd)
        if len(asked) == 1:
            raise OSError(errno.EBUSY, "busy")
        return ordinary(self, fd)

    with monkeypatch.context() as patch:
        patch.setattr(SimulatedHost, "preserve", busy)
        patch.setattr(delivery, "copy", raising(OSError(errno.EIO, "gone")))
        with pytest.raises(ActFailed, match="preserved anew"):
            holds(host).restore("cache", tmp_path / "back")
    assert len(asked) == 2
    assert [r.token for r in holds(host).records()] == [1]


def test_what_is_delivered_while_the_kernel_takes_nothing_is_delivered(
    host: SimulatedHost, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holds(host).hold(source, "cache")
    update(host)
    monkeypatch.setattr(SimulatedHost, "preserve", raising(OSError(errno.EBUSY, "busy")))
    holds(host).restore("cache", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == CONTENT
    assert holds(host).records() == ()


def test_other_peoples_window_is_no_hindrance(
    host: SimulatedHost, source: Path, tmp_path: Path
) -> None:
    window = Lock(host.lock_folder)
    window.take(ANN)
    counts = [act_count(host.lock_folder)]
    holds(host).hold(source, "cache")
    counts.append(act_count(host.lock_folder))
    update(host)
    holds(host).restore("cache", tmp_path / "back")
    counts.append(act_count(host.lock_folder))
    assert counts == [0, 1, 2], "its standing consents are stale"
    assert window.held
    with pytest.raises(NotDone):
        holds(host).restore("cache", tmp_path / "again")
    assert act_count(host.lock_folder) == 2, "what was refused was no act"


def test_an_act_under_way_is_waited_for_and_named(
    host: SimulatedHost, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holds(host).hold(source, "cache")
    monkeypatch.setattr(hold, "act_lock", functools.partial(act_lock, wait=0))
    before = host.resources()
    with act_lock(host.lock_folder, ANN, "prepare"):
        for do in (
            lambda: holds(host).hold(source, "other"),
            lambda: holds(host).unpreserve("cache"),
            lambda: holds(host).restore("cache", tmp_path / "back"),
        ):
            with pytest.raises(NotDone, match=r"ann on pts/1.*prepare") as refused:
                do()
            assert refused.value.code is Exit.BUSY
    assert host.resources() == before


def test_the_facts_are_read_anew_when_its_turn_has_come(host: SimulatedHost, source: Path) -> None:
    holds(host).hold(source, "cache")
    with act_lock(host.lock_folder, ANN, "prepare"):
        failed: list[ActFailed] = []

        def later() -> None:
            with pytest.raises(ActFailed) as refused:
                holds(host).unpreserve("cache")
            failed.append(refused.value)

        thread = threading.Thread(target=later)
        thread.start()
        host.move(Move.PREPARE)
    thread.join()
    assert failed[0].explanation.errno == errno.EBUSY
    assert failed[0].state is not None
    assert [r.event for r in read_acts(host.folder)] == ["begin", "done"], "nothing was begun"


def test_several_are_restored_beside_each_other(
    host: SimulatedHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"part-{n}" for n in range(4)]
    for name in names:
        (tmp_path / name).write_bytes(name.encode() * 1000)
        holds(host).hold(tmp_path / name, name)
    update(host)
    together = threading.Barrier(len(names))
    ordinary = delivery.copy

    def all_at_once(source: int, target: int) -> tuple[int, str]:
        together.wait(20)
        return ordinary(source, target)

    monkeypatch.setattr(delivery, "copy", all_at_once)
    threads = [
        threading.Thread(target=lambda n=name: holds(host).restore(n, tmp_path / f"back-{n}"))
        for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in names:
        assert (tmp_path / f"back-{name}").read_bytes() == name.encode() * 1000
    acts = [(r.event, r.data["name"]) for r in read_acts(host.folder) if r.data["act"] == "restore"]
    assert sorted(acts) == sorted((e, n) for e in ("begin", "done") for n in names)
    assert act_reading(host.lock_folder).person is None


def test_who_did_what_is_written_down(host: SimulatedHost, source: Path, tmp_path: Path) -> None:
    held = holds(host).hold(source, "cache")
    with pytest.raises(ActFailed):
        holds(host).restore("cache", tmp_path / "back")
    update(host)
    holds(host).restore("cache", tmp_path / "back")
    found = [(r.event, r.data["act"], r.data["token"]) for r in read_acts(host.folder)]
    assert found == [
        ("begin", "hold", None),
        ("done", "hold", held.token),
        ("begin", "restore", held.token),
        ("done", "restore", held.token),
    ]
    begun = read_acts(host.folder)[0]
    assert begun.data["who"] == held.who
    assert begun.data["sha256"] == held.sha256


def test_a_file_that_was_given_back_is_not_discarded(
    host: SimulatedHost, source: Path, tmp_path: Path
) -> None:
    held = holds(host).hold(source, "cache")
    update(host)
    holds(host).restore("cache", tmp_path / "back")
    gone = Resource(held.token, "memfd", ResourceState.RESTORED, "cache", 4096, abandoned=True)
    now = Hub(SimulatedOrchestrator(host), lambda: None).read_now()
    snapshot = Snapshot(now.host, LuoState(State.UPDATED), Resources((gone,)))
    assert delivered_here(host.folder, snapshot) == {held.token}
    facts = Facts(snapshot, True, delivered=delivered_here(host.folder, snapshot))
    assert facts.discarded == ()
    assert facts._replace(delivered=frozenset()).discarded == (gone,)
    # Of another boot: tokens restart with each.
    later = snapshot._replace(host=snapshot.host._replace(boot_id="another"))
    assert delivered_here(host.folder, later) == frozenset()
    # What some process has is not looked up.
    kept = snapshot._replace(resources=Resources((gone._replace(abandoned=False),)))
    assert delivered_here(tmp_path / "nowhere", kept) == frozenset()


def test_what_cannot_be_written_down_is_not_begun(
    host: SimulatedHost, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = raising(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    monkeypatch.setattr("luo_tui.update.act_log.reserve", full)
    with pytest.raises(ActFailed, match="disk is full") as failed:
        holds(host).hold(source, "cache")
    assert failed.value.explanation.code is Exit.NO_SPACE
    assert host.resources() == ()
    assert holds(host).records() == ()


def test_what_was_set_aside_for_the_records_of_acts_is_used(
    host: SimulatedHost, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that has filled up meanwhile keeps nobody from what is his."""
    holds(host).hold(source, "cache")
    update(host)
    full = raising(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    monkeypatch.setattr("luo_tui.update.act_log.reserve", full)
    holds(host).restore("cache", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == CONTENT


def test_an_end_that_cannot_be_written_down_is_told(
    host: SimulatedHost, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ActLog, "end", raising(OSError(errno.EIO, "broken")))
    holding = holds(host)
    assert holding.hold(source, "cache") in holding.records()
    assert "could not be written" in " ".join(holding.left)


def test_the_record_of_acts_bears_damage_and_does_not_grow_for_ever(tmp_path: Path) -> None:
    log = ActLog(tmp_path, "b")
    log.begin("hold", name="one")
    path = tmp_path / "acts.v1.jsonl"
    with path.open("ab") as file:
        file.write(b'{"torn')
    log.end("done", "hold", name="one")
    assert [r.event for r in read_acts(tmp_path)] == ["begin", "done"]
    newer = tmp_path / "acts.v2.jsonl"
    newer.write_text("a newer version's")
    with path.open("ab") as file:
        file.write(b"x" * LONGEST)
    log.begin("hold", name="two")
    log.end("done", "hold", name="two")
    assert path.stat().st_size < LONGEST
    assert [r.data["name"] for r in read_acts(tmp_path)] == ["one", "one", "two", "two"]
    assert newer.read_text() == "a newer version's"


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "[]", "{}", '{"name":"cache"}', "[" * 100_000, '{"format":2}'],
)
def test_a_damaged_record_is_not_said_to_be_absent(
    host: SimulatedHost, source: Path, tmp_path: Path, text: str
) -> None:
    holds(host).hold(source, "cache")
    holds(host).hold(source, "other")
    (host.folder / "holds" / "cache.json").write_text(text)
    for do in (
        lambda: holds(host).restore("cache", tmp_path / "back"),
        lambda: holds(host).unpreserve("cache"),
        lambda: holds(host).hold(source, "cache"),
    ):
        with pytest.raises(NotDone, match=r"record of cache cannot be used.*cache\.json"):
            do()
    assert [h.name for h in holds(host).records()] == ["other"]
    for name in ("../x", "/etc/passwd", "a b"):
        with pytest.raises(NotDone, match="Nothing is held"):
            holds(host).unpreserve(name)


@pytest.mark.parametrize("umask", [0o027, 0o077])
def test_everybody_can_read_what_is_held(host: SimulatedHost, source: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        holds(host).hold(source, "cache")
    finally:
        os.umask(before)
    folder = host.folder / "holds"
    assert folder.stat().st_mode & 0o777 == 0o755
    for path in (folder / "cache.json", host.folder / "acts.v1.jsonl"):
        assert path.stat().st_mode & 0o777 == 0o644


def test_what_could_not_be_read_is_not_acted_on(
    host: SimulatedHost, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holds(host).hold(source, "cache")
    cut = raising(OSError(errno.EIO, "broken"))
    monkeypatch.setattr("luo_tui.orchestrator.simulated.SimulatedSource.enumerate", cut)
    for do in (lambda: holds(host).hold(source, "b"), lambda: holds(host).unpreserve("cache")):
        with pytest.raises(NotDone, match="could not be read"):
            do()
    assert [r.name for r in host.resources()] == ["cache"]
    assert len(holds(host).records()) == 1
