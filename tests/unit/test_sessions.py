# SPDX-License-Identifier: MIT
"""Mainline's sessions: who holds one, the state that follows, and that nothing is acted on."""

from __future__ import annotations

import errno
import os
import select
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from luo_tui.cli.status import status_json, status_text
from luo_tui.errors import Exit, HolderError, NotDone
from luo_tui.model import LuoState, Participant, Snapshot, State
from luo_tui.orchestrator import Move, sessions
from luo_tui.orchestrator.choose import open_orchestrator
from luo_tui.orchestrator.sessions import Sessions
from luo_tui.orchestrator.simulated import SimulatedOrchestrator
from luo_tui.orchestrator.state_machine import StateMachine
from luo_tui.sources import sessions as source
from luo_tui.sources.changes import LuoChanged, ParticipantsRead, ReadingDone
from luo_tui.sources.condition import LogRecord
from luo_tui.sources.processes import OpenFiles, Process
from luo_tui.sources.sessions import Arrival, SessionSource, derived, read_arrival
from luo_tui.uapi import fanotify, kho, luo_sessions
from luo_tui.update.checks.host import run_host_checks
from luo_tui.update.facts import Act, arrival
from luo_tui.update.facts import Arrival as Became
from luo_tui.update.rules import refusal
from luo_tui.update.walk import walk
from luo_tui.update.window_state import WindowState
from tests.unit.test_acts import ANN, Console, host

COLD = Arrival(False, "the log tells of none")
CAME = Arrival(True, "the kernel's log: live update number 3", "7.3.4")
UNREAD = Arrival(None, "whether this kernel took an update over is not known: no log")
NOBODY = OpenFiles()
HIDDEN = OpenFiles(missing="known to root alone")


def holders(*names: str) -> OpenFiles:
    links = [luo_sessions.LINK + name for name in names]
    return OpenFiles({link: (Process(40 + i, "vmm"),) for i, link in enumerate(links)})


@pytest.mark.parametrize(
    ("held", "how", "state"),
    [
        (NOBODY, COLD, State.NORMAL),
        (holders("a"), COLD, State.PRESERVING),
        (NOBODY, CAME, State.UPDATED),
        (holders("a"), CAME, State.UPDATED),
        (NOBODY, UNREAD, State.UNKNOWN),
        (holders("a"), UNREAD, State.UNKNOWN),
        # Who may not look sees none, and that is not none.
        (HIDDEN, COLD, State.UNKNOWN),
        (HIDDEN, CAME, State.UPDATED),
        (holders("a")._replace(missing="known to root alone"), COLD, State.PRESERVING),
    ],
)
def test_the_state_is_derived_and_says_from_what(
    held: OpenFiles, how: Arrival, state: State
) -> None:
    luo = derived(held, how)
    assert luo.state is state
    assert how.evidence in luo.evidence
    number = len(held.by_path)
    assert any(str(number) in e or "no session seen" in e for e in luo.evidence)
    assert any("known to root alone" in e for e in luo.evidence) == (not held.complete)


@pytest.fixture
def no_debugfs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kho, "handed_over", lambda: None)
    monkeypatch.setattr(kho, "exec_from", lambda: None)


def log(
    monkeypatch: pytest.MonkeyPatch, *lines: str, whole: bool = True, kernel: bool = True
) -> None:
    records = tuple(LogRecord(6, kernel, line) for line in lines)
    monkeypatch.setattr(source, "read_records", lambda *_: (records, whole, True))


def test_the_log_tells_whether_an_update_led_here(
    no_debugfs: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (
        "KHO: exec from: 7.2.12 (count 4)",
        ("luo: Retrieved live update data, liveupdate number: 2"),
    )
    log(monkeypatch, first, second)
    assert read_arrival() == Arrival(True, "the kernel's log: live update number 2", "7.2.12")
    # A kexec that handed over, but no sessions.
    log(monkeypatch, first)
    assert read_arrival().came is False
    log(monkeypatch, first, whole=False)
    assert read_arrival().came is None
    # Whoever is root may write lines; they are not the kernel's.
    log(monkeypatch, first, second, kernel=False)
    assert read_arrival().came is False


def test_an_unreadable_log_is_not_an_empty_one(no_debugfs: None, tmp_path: Path) -> None:
    found = read_arrival(str(tmp_path / "none"))
    assert found.came is None
    assert "No such file" in found.evidence


def test_debugfs_outranks_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kho, "exec_from", lambda: ("7.2.12", 3))
    monkeypatch.setattr(kho, "handed_over", lambda: frozenset({"LUO", "kexec-metadata"}))
    assert read_arrival("/nowhere").came is True
    assert read_arrival("/nowhere").release == "7.2.12"
    monkeypatch.setattr(kho, "handed_over", lambda: frozenset({"kexec-metadata"}))
    assert read_arrival("/nowhere").came is False
    assert read_arrival("/nowhere").release == ""


# -- the source -----------------------------------------------------------------------------


class FakeProc:
    """A /proc with processes of a test's: links of sessions need no kernel that has any."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.process(1, "init")

    def process(self, pid: int, comm: str, *links: str) -> None:
        folder = self.root / str(pid)
        (folder / "fd").mkdir(parents=True, exist_ok=True)
        (folder / "comm").write_text(f"{comm}\n")
        for old in (folder / "fd").iterdir():
            old.unlink()
        for number, link in enumerate(links):
            (folder / "fd" / str(number)).symlink_to(link)


@pytest.fixture
def proc(tmp_path: Path) -> FakeProc:
    return FakeProc(tmp_path / "proc")


@pytest.fixture(params=["fanotify", "inotify"])
def watched(
    proc: FakeProc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[SessionSource]:
    monkeypatch.setattr(source, "read_arrival", lambda *_: COLD)
    if request.param == "inotify":
        monkeypatch.setattr(source.fanotify, "watch", refused)
    device = tmp_path / "liveupdate"
    device.touch()
    made = SessionSource(str(device), proc.root)
    made.reopen()
    yield made
    made.close()


def refused(path: str) -> int:
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), path)


def told(changes: object) -> tuple[State | None, dict[str, str] | None]:
    assert isinstance(changes, (list, tuple))
    state, sessions = None, None
    for change in changes:
        if isinstance(change, LuoChanged):
            state = change.luo.state
        if isinstance(change, ParticipantsRead):
            sessions = {p.name: p.state for p in change.participants}
    return state, sessions


def woken(watched: SessionSource, within: float = 5.0) -> bool:
    poll = select.poll()
    poll.register(watched.fileno(), watched.events)
    return bool(poll.poll(within * 1000))


def test_sessions_are_told_with_their_holders_byte_for_byte(
    proc: FakeProc, watched: SessionSource
) -> None:
    assert told(watched.enumerate()) == (State.NORMAL, {})
    one = luo_sessions.LINK
    proc.process(7, "vmm", one + "web", one + "web", "/dev/null", "anon_inode:[eventfd]")
    proc.process(9, "luod", one + "web", one + "db (deleted)", one + "a\nb\x1b[2J")
    state, sessions = told(watched.enumerate())
    assert state is State.PRESERVING
    assert sessions is not None
    assert sessions["web"] == "held by vmm [7], luod [9]"
    assert sessions["db (deleted)"] == "held by luod [9]"
    assert len(sessions) == 3
    # A name cannot move the cursor.
    assert not any("\n" in name or "\x1b" in name for name in sessions)


def test_opening_the_device_says_when_to_look(
    proc: FakeProc, watched: SessionSource, tmp_path: Path
) -> None:
    watched.enumerate()
    assert not woken(watched, 0.05)
    me = os.getpid()
    proc.process(me, "vmm", luo_sessions.LINK + "web")
    assert watched.drain() == (), "nothing stirred, and it is not time yet"
    os.close(os.open(tmp_path / "liveupdate", os.O_RDONLY))
    assert woken(watched)
    assert told(watched.drain()) == (State.PRESERVING, {"web": f"held by vmm [{me}]"})
    # What has been told is not told again.
    os.close(os.open(tmp_path / "liveupdate", os.O_RDONLY))
    assert woken(watched)
    assert watched.drain() == []


@pytest.mark.parametrize("watched", ["fanotify"], indirect=True)
def test_a_device_that_is_another_is_watched_anew(watched: SessionSource, tmp_path: Path) -> None:
    # Of its own process the kernel tells anybody.
    assert watched.by_process
    watched.enumerate()
    (tmp_path / "liveupdate").unlink()
    assert woken(watched)
    assert watched.drain() is None


@pytest.mark.parametrize("watched", ["fanotify"], indirect=True)
def test_who_opens_the_device_is_looked_at_and_no_others(
    proc: FakeProc, watched: SessionSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of its own process the kernel tells anybody.
    assert watched.by_process
    one = luo_sessions.LINK
    proc.process(7, "vmm", one + "web", one + "shared")
    watched.enumerate()
    me = os.getpid()
    proc.process(me, "mine", one + "shared", one + "new")
    proc.process(7, "vmm")
    with monkeypatch.context() as only:
        only.setattr(source, "open_files", lambda *_: pytest.fail("all are looked at"))
        os.close(os.open(tmp_path / "liveupdate", os.O_RDONLY))
        assert woken(watched)
        _, sessions = told(watched.drain())
    assert sessions == {
        "web": "held by vmm [7]",
        "shared": f"held by vmm [7], mine [{me}]" if me > 7 else f"held by mine [{me}], vmm [7]",
        "new": f"held by mine [{me}]",
    }
    # What they gave up without a word is found by the next look at all.
    monkeypatch.setattr(watched, "_looked", -1000.0)
    _, sessions = told(watched.drain())
    assert sessions == dict.fromkeys(("shared", "new"), f"held by mine [{me}]")


def event(mask: int, pid: int, version: int = 3) -> bytes:
    return struct.pack("=IBBHQii", 28, version, 0, 24, mask, -1, pid) + b"\1\0\4\0"


def test_events_of_the_device_are_parsed() -> None:
    opened, closed = fanotify.FAN_OPEN, fanotify.FAN_CLOSE_NOWRITE
    found = fanotify.parse(event(opened, 5) + event(opened | closed, 6) + event(closed, 5))
    assert found == fanotify.Opened(frozenset({5, 6}))
    more = fanotify.parse(event(fanotify.FAN_DELETE_SELF, 7), found)
    assert more == fanotify.Opened(frozenset({5, 6, 7}), known=True, deleted=True)
    for odd in (event(fanotify.FAN_Q_OVERFLOW, 0), event(opened, 0), event(opened, 5, version=4)):
        assert not fanotify.parse(odd).known
        assert not fanotify.parse(event(opened, 5), fanotify.parse(odd)).known


def test_a_holders_end_is_noticed(proc: FakeProc, watched: SessionSource) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    proc.process(child.pid, "vmm", luo_sessions.LINK + "web")
    assert told(watched.enumerate())[0] is State.PRESERVING
    assert not woken(watched, 0.05)
    child.kill()
    child.wait()
    proc.process(child.pid, "vmm")
    assert woken(watched)
    assert told(watched.drain()) == (State.NORMAL, {})
    assert not woken(watched, 0.05), "a pidfd of one that is gone keeps nobody awake"


def test_a_rare_look_finds_what_nothing_told(
    proc: FakeProc, watched: SessionSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.enumerate()
    proc.process(7, "luod", luo_sessions.LINK + "kept")
    monkeypatch.setattr(watched, "_looked", -1000.0)
    assert told(watched.drain()) == (State.PRESERVING, {"kept": "held by luod [7]"})


def test_many_processes_are_looked_at_more_rarely(
    proc: FakeProc, watched: SessionSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.enumerate()
    monkeypatch.setattr(watched, "_took", 1.0)
    now = time.monotonic()
    proc.process(7, "luod", luo_sessions.LINK + "kept")
    monkeypatch.setattr(watched, "_looked", now - 60)
    assert watched.drain() == ()
    monkeypatch.setattr(watched, "_looked", now - 101)
    assert told(watched.drain()) == (State.PRESERVING, {"kept": "held by luod [7]"})


def test_no_descriptors_left_is_no_empty_host(
    proc: FakeProc, watched: SessionSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: object) -> OpenFiles:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(source, "open_files", exhausted)
    with pytest.raises(OSError, match="Too many open files"):
        watched.enumerate()


def test_who_may_not_look_is_told_so(proc: FakeProc, watched: SessionSource) -> None:
    (proc.root / "1").rename(proc.root / "hidden")  # as hidepid= has it
    changes: object = watched.enumerate()
    assert told(changes) == (State.UNKNOWN, {})
    assert isinstance(changes, tuple)
    (done,) = [c for c in changes if isinstance(c, ReadingDone)]
    # In other words for root, who should have seen all.
    assert done.missing[0].startswith("who holds sessions is ")
    assert "known" in done.missing[0]


# -- which kind, and that nothing is acted on -----------------------------------------------


def test_the_kind_is_decided_without_opening_the_device(tmp_path: Path) -> None:
    folder, device, module = tmp_path / "sys", tmp_path / "liveupdate", tmp_path / "luo"
    assert isinstance(open_orchestrator(folder, device, module), StateMachine)
    # A file that somebody left there is no device.
    device.touch()
    assert isinstance(open_orchestrator(folder, device, module), StateMachine)
    device.unlink()
    # A fifo without a reader: whoever opened it for writing would wait or fail.
    os.mkfifo(device)
    assert isinstance(open_orchestrator(folder, device, module), Sessions)
    # luo.ko is loading: its device may be there before its folder.
    module.mkdir()
    assert isinstance(open_orchestrator(folder, device, module), StateMachine)
    module.rmdir()
    folder.mkdir()
    assert isinstance(open_orchestrator(folder, device, module), StateMachine)


def test_names_that_look_alike_stay_apart() -> None:
    found = source.sessions_of(holders("a\n", r"a\x0a", "\udcff"))
    assert len({p.id for p in found}) == 3
    assert all((p.id + p.name).isprintable() for p in found)


@pytest.mark.parametrize("move", [m for m in Move if m is not Move.FINISH])
def test_the_kernel_has_no_moves(move: Move) -> None:
    with pytest.raises(OSError) as refused:
        Sessions().move(move)
    assert refused.value.errno == errno.EOPNOTSUPP


def test_what_luod_has_is_not_touched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sessions, "LUOD", tmp_path / "luod.sock")
    (tmp_path / "luod.sock").touch()
    assert "does not speak with it" in Sessions().cannot()
    with pytest.raises(HolderError, match="busy") as refused:
        Sessions().make_ready()
    assert refused.value.said == Sessions().cannot()
    (tmp_path / "luod.sock").unlink()
    assert Sessions().cannot() == ""


def test_finished_is_what_was_finished_in_this_boot(tmp_path: Path) -> None:
    boot = tmp_path / "boot_id"
    boot.write_text("this boot\n")
    mark = tmp_path / "run" / source.FINISHED.name
    assert not source.is_finished(mark, boot)
    source.write_finished(tmp_path / "run", "an earlier boot")
    assert not source.is_finished(mark, boot)
    source.write_finished(tmp_path / "run", "this boot")
    assert source.is_finished(mark, boot)
    luo = derived(NOBODY, CAME, finished=True)
    assert luo.state is State.NORMAL
    assert any("was finished" in line for line in luo.evidence)
    assert derived(holders("a"), CAME, finished=True).state is State.PRESERVING


CANNOT = "Somebody else drives this kernel."


class Watched(SimulatedOrchestrator):
    """A simulated host that can only be watched, as one whose device luod has."""

    def cannot(self) -> str:
        return CANNOT


@pytest.fixture
def console(tmp_path: Path) -> Console:
    machine = host(tmp_path)
    made = Console(machine, ANN)
    made.orchestrator = Watched(machine)
    made.window.orchestrator = made.orchestrator
    made.window._reader._orchestrator = made.orchestrator
    return made


def test_what_can_only_be_watched_is_not_acted_on(console: Console) -> None:
    facts = console.window.facts(console.target)
    assert all(refusal(act, facts) is not None for act in Act)
    found = walk(facts)
    assert found.step is None
    assert found.actions == ()
    assert CANNOT in found.notes
    with pytest.raises(NotDone, match=CANNOT) as refused:
        console.load()
    assert refused.value.code is Exit.UNAVAILABLE
    assert not (console.host.folder / "windows").exists()
    (finding,) = [f for f in run_host_checks(facts, None) if f.code == "LUO-C-019"]
    assert finding.level == "blocker"


def test_status_tells_what_is_derived(console: Console) -> None:
    evidence = ("2 sessions held by processes here", COLD.evidence)
    luo = LuoState(State.PRESERVING, "", evidence)
    seen = Participant("session web", "session", "web", "held by vmm [7]")
    snapshot: Snapshot = console.look()._replace(luo=luo, participants={seen.id: seen})
    lines = list(status_text(console.orchestrator, snapshot, console.host.folder))
    assert lines[0] == "LUO state   preserving (derived)"
    assert any(
        "2 sessions held by processes here; the log tells of none." in line for line in lines
    )
    assert any("session" in line and "web" in line and "held by vmm [7]" in line for line in lines)
    found = status_json(console.orchestrator, snapshot, console.host.folder)
    assert found["state"] == "preserving"
    assert found["derived_from"] == list(evidence)


def test_a_jump_of_another_kind_of_kernel_is_not_judged(console: Console) -> None:
    window = WindowState("w", jumped_from="another boot")
    snapshot = console.look()
    assert arrival(snapshot, window) is Became.LOST
    for state in (State.NORMAL, State.UPDATED, State.PRESERVING):
        here = snapshot._replace(luo=LuoState(state, "", ("the log",)))
        assert arrival(here, window) is Became.UNKNOWN
