# SPDX-License-Identifier: MIT
"""The sources of LUO v2, on folders and monitors that a test has made."""

from __future__ import annotations

import errno
import os
import select
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from luo_tui.model import (
    Host,
    LuoState,
    Participant,
    Resource,
    ResourceState,
    Snapshot,
    Stamps,
    State,
)
from luo_tui.monitor.fold import fold
from luo_tui.sources import sysfs
from luo_tui.sources.changes import (
    LuoChanged,
    ParticipantGone,
    ParticipantPut,
    ReadingDone,
    ResourceGone,
    ResourcePut,
    ResourcesRead,
)
from luo_tui.sources.clean import LIMIT, clean
from luo_tui.sources.reading import Reading
from luo_tui.sources.udev import (
    _AT_ONCE,
    ResourceSource,
    read_participants,
    read_resource,
    read_resources,
)

BLANK = Snapshot(Host("hv", "7.3", "b"), LuoState(State.NORMAL))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("guest-web1", "guest-web1"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\nb\tc\r", "a\\x0ab\\x09c\\x0d"),
        ("\x9b1m\x7f", "\\x9b1m\\x7f"),
        ("\u202eevil\u200b", "\\u202eevil\\u200b"),
        ("\udcff", "\\xff"),
        ("grün 東京", "grün 東京"),
    ],
)
def test_foreign_text_is_made_harmless(text: str, shown: str) -> None:
    assert clean(text) == shown
    assert clean(text).isprintable()


def test_foreign_text_has_a_limit() -> None:
    assert len(clean("x" * 5000)) == LIMIT
    assert len(clean("\x1b" * 5000)) == LIMIT


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "times").mkdir()
    for name, text in {
        "state": "updated\n",
        "compatible": "luo-ko-v3\n",
        "from_release": "7.3.4-luo-old\n",
        "veto": "kprobe-ftrace\n",
        "times/tsc_khz": "2600000\n",
        "times/jump": "18446744073709551615\n",
        "times/arrived": "nonsense\n",
    }.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_everything_beside_the_state_is_read_with_it(folder: Path) -> None:
    assert sysfs.read_luo(folder) == LuoChanged(
        LuoState(State.UPDATED),
        Stamps(tsc_khz=2_600_000, jump=2**64 - 1),
        "luo-ko-v3",
        "7.3.4-luo-old",
        "kprobe-ftrace",
    )
    (folder / "from_release").write_text("\n")
    assert sysfs.read_luo(folder).from_release == ""
    # A luo.ko of before does not say, which is neither armed nor not.
    (folder / "veto").unlink()
    assert sysfs.read_luo(folder).veto == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (b"thawed\n", LuoState(State.UNKNOWN, "thawed")),
        # These two are this program's words, not the kernel's.
        (b"unavailable\n", LuoState(State.UNKNOWN, "unavailable")),
        (b"unknown\n", LuoState(State.UNKNOWN, "unknown")),
        (b"", LuoState(State.UNKNOWN, "")),
        (b"\x1b[2J\xff\n", LuoState(State.UNKNOWN, "\\x1b[2J\\xff")),
    ],
)
def test_a_word_that_nobody_knows_is_shown_as_such(
    folder: Path, text: bytes, shown: LuoState
) -> None:
    (folder / "state").write_bytes(text)
    assert sysfs.read_state(folder) == shown


def test_a_missing_orchestrator_is_a_state_with_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sysfs.kho, "why_unavailable", lambda: "no module")
    monkeypatch.setattr(sysfs.luo_v2, "DEVICE", str(tmp_path / "device"))
    assert sysfs.read_luo(tmp_path) == LuoChanged(LuoState(State.UNAVAILABLE, "no module"))
    (tmp_path / "device").touch()
    assert "sessions interface" in sysfs.read_state(tmp_path).detail


def test_a_state_that_cannot_be_read_is_no_missing_orchestrator(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    with pytest.raises(IsADirectoryError):
        sysfs.read_state(tmp_path)
    with pytest.raises(IsADirectoryError):
        sysfs.StateSource(tmp_path).enumerate()


def test_what_stands_beside_the_state_may_be_missing(folder: Path) -> None:
    source = sysfs.StateSource(folder)
    luo, done = source.enumerate()
    assert isinstance(luo, LuoChanged)
    assert luo.stamps.arrived == 0
    assert done == ReadingDone("state", (f"{folder}/times/arrived is no number: nonsense",))
    (folder / "times" / "arrived").write_text("7\n")
    (folder / "from_release").unlink()  # An older module has none: nothing is missing.
    assert source.enumerate()[1] == ReadingDone("state")
    (folder / "compatible").unlink()
    (folder / "compatible").mkdir()
    (missing,) = source.enumerate()[1].missing  # type: ignore[union-attr]
    assert missing.endswith("compatible could not be read: Is a directory")


def test_a_state_that_is_not_there_is_waited_for_in_silence(folder: Path) -> None:
    source = sysfs.StateSource(folder)
    state = folder / "state"
    state.unlink()
    source.reopen()
    poll = select.poll()
    poll.register(source.fileno(), source.events)
    assert poll.poll(0) == []
    assert source.enumerate()[0].luo.state is State.UNAVAILABLE  # type: ignore[union-attr]
    state.write_text("normal\n")
    source.reopen()
    assert source.drain() == source.enumerate()
    source.close()
    source.close()
    assert source.fileno() == -1


def test_a_module_that_goes_asks_for_a_new_look(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = sysfs.StateSource(folder)
    source.reopen()
    code = errno.ENODEV

    def read(_fd: int, _size: int) -> bytes:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(sysfs.os, "read", read)
        assert source.drain() is None
        # Between the module's going and the folder's it can still be opened.
        source.reopen()
        assert source.fileno() >= 0
        code = errno.EIO
        with pytest.raises(OSError, match="Input/output error"):
            source.drain()
    source.close()


def put(folder: Path, token: int, **changed: str) -> Path:
    device = folder / f"token{token}"
    device.mkdir(exist_ok=True)
    attributes = {
        "token": str(token),
        "kind": "memfd",
        "bytes": "4096",
        "pages": "1",
        "pid": "71",
        "result": "0",
        "state": "preserved",
        "comm": "qemu",
        "name": "guest",
        "handler": "memfd-v2",
    }
    attributes |= changed
    for name in ("comm", "name", "handler", "pid"):
        (device / name).write_text(attributes.pop(name) + "\n")
    event = "".join(f"LUO_{name.upper()}={text}\n" for name, text in attributes.items())
    (device / "uevent").write_text("DEVTYPE=file\n" + event)
    return device


def test_devices_are_read_and_what_is_gone_is_passed_over(tmp_path: Path) -> None:
    reading = Reading()
    assert read_resources(tmp_path / "none", reading) == ()
    put(tmp_path, 0)
    put(tmp_path, 7, state="incoming", name=" \x1b]0;x\x07 ", bytes="34359738368", pid="0")
    put(tmp_path, 3, state="incoming", kind="unknown", handler="test-\x1b", result="-28", pages="0")
    (put(tmp_path, 8) / "comm").unlink()
    put(tmp_path, 9, state="restored", held="0")
    put(tmp_path, 10, state="restored", held="1")
    (tmp_path / "other").mkdir()
    assert sorted(read_resources(tmp_path, reading), key=lambda r: r.token) == [
        Resource(0, "memfd", ResourceState.PRESERVED, "guest", 4096, 71, "qemu", 1),
        Resource(
            3, "unknown", ResourceState.INCOMING, "guest", 4096, 71, "qemu", 0, "test-\\x1b", 28
        ),
        Resource(7, "memfd", ResourceState.INCOMING, " \\x1b]0;x\\x07 ", 32 << 30, 0, "qemu", 1),
        Resource(9, "memfd", ResourceState.RESTORED, "guest", 4096, 71, "qemu", 1, abandoned=True),
        Resource(10, "memfd", ResourceState.RESTORED, "guest", 4096, 71, "qemu", 1),
    ]
    assert read_resource(tmp_path / "token99", reading) is None
    assert reading.missing == ()


def test_who_may_not_see_names_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, 0)
    put(tmp_path, 1)
    read = Path.read_text

    def refused(path: Path, *args: object, **more: object) -> str:
        if path.name in ("name", "pid", "comm"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return read(path, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "read_text", refused)
    reading = Reading()
    first, second = sorted(read_resources(tmp_path, reading), key=lambda r: r.token)
    assert first == Resource(0, "memfd", ResourceState.PRESERVED, "", 4096, 0, "", 1)
    assert second.bytes == 4096
    assert reading.missing == ("only root sees who preserved what, and under which names",)
    reading.forget("token0")
    reading.forget("token1")
    assert reading.missing == ()


def test_what_cannot_be_understood_is_listed_and_told(tmp_path: Path) -> None:
    put(tmp_path, 9, state="mol\x1b[2Jten")
    put(tmp_path, 10, bytes="many")
    put(tmp_path, 11, state="unknown")  # This program's word, not the kernel's.
    (put(tmp_path, 12) / "uevent").unlink()
    (tmp_path / "token12" / "uevent").mkdir()
    made = ResourceSource(tmp_path)
    read, _, done = made.enumerate()
    assert isinstance(read, ResourcesRead)
    assert {r.token: (r.state, r.bytes) for r in read.resources} == {
        9: (ResourceState.UNKNOWN, 4096),
        10: (ResourceState.PRESERVED, 0),
        11: (ResourceState.UNKNOWN, 4096),
        12: (ResourceState.UNKNOWN, 0),
    }
    assert isinstance(done, ReadingDone)
    assert sorted(done.missing) == [
        "LUO_BYTES of token10 is no number: many",
        "the state of token11 is not known to this program: unknown",
        "the state of token9 is not known to this program: mol\\x1b[2Jten",
        "token12 could not be read: Is a directory",
    ]
    picture = fold(BLANK, (read, done))
    assert picture.doubts("resources") == tuple(f"resources: {m}" for m in done.missing)
    assert not picture.outgoing or [r.token for r in picture.outgoing] == [10]
    # Read anew, or gone, one after the other is known again.
    put(tmp_path, 9)
    made._monitor = Monitor(event("change", 9), event("remove", 10))
    *_, done = made.drain() or ()
    assert isinstance(done, ReadingDone)
    assert [m for m in done.missing if "token9" in m or "token10" in m] == []
    assert len(done.missing) == 2


@pytest.mark.parametrize("code", [errno.EMFILE, errno.EACCES, errno.EIO])
def test_a_class_that_cannot_be_listed_is_not_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    put(tmp_path, 1)

    def listed(_path: Path) -> Any:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "iterdir", listed)
    with pytest.raises(OSError, match=os.strerror(code)):
        ResourceSource(tmp_path).enumerate()


def test_a_process_without_descriptors_reads_nothing_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, 1)

    def read(_path: Path, **_more: object) -> str:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(Path, "read_text", read)
    with pytest.raises(OSError, match="Too many open files"):
        ResourceSource(tmp_path).enumerate()
    with pytest.raises(OSError, match="Too many open files"):
        source(tmp_path, event("change", 1)).drain()


def participant(folder: Path, name: str, **changed: str) -> Path:
    device = folder / name
    device.mkdir(exist_ok=True)
    kind, _, what = name.partition("-")
    attributes = {"kind": kind, "name": what, "state": "registered", "result": "0"}
    for attribute, text in {**attributes, **changed}.items():
        (device / attribute).write_text(text + "\n")
    return device


def test_whatever_else_takes_part_is_read_too(tmp_path: Path) -> None:
    reading = Reading()
    assert read_participants(tmp_path / "none", reading) == ()
    put(tmp_path, 1)
    participant(tmp_path, "subsystem-a", result="-12", prepare_ns="7000", freeze_ns="3")
    participant(tmp_path, "pci-0000:00:04.0", driver_name="edu", state="refused", reason="bridge")
    (participant(tmp_path, "subsystem-b") / "state").unlink()
    participant(tmp_path, "subsystem-c", result="much")
    assert sorted(read_participants(tmp_path, reading), key=lambda p: p.id) == [
        Participant("pci-0000:00:04.0", "pci", "0000:00:04.0", "refused", 0, "edu", "bridge"),
        Participant("subsystem-a", "subsystem", "a", "registered", 12, "", "", 7000, 3),
    ]
    assert [r.token for r in read_resources(tmp_path)] == [1]
    # One that is going has lost its attributes already; one with nonsense is there.
    (missing,) = reading.missing
    assert missing.startswith("participant subsystem-c makes no sense: ")


def test_events_of_participants_become_changes(tmp_path: Path) -> None:
    participant(tmp_path, "subsystem-a")
    changes = source(
        tmp_path,
        event("change", name="subsystem-a"),
        event("change", name="subsystem-gone"),
        event("remove", name="subsystem-gone"),
        event("add", name="../../etc"),
        event("add", name=".."),
    ).drain()
    one = Participant("subsystem-a", "subsystem", "a", "registered")
    assert changes == [ParticipantPut(one), ParticipantGone("subsystem-gone")]
    # Named tuples of two kinds are equal where their values are.
    assert [type(change) for change in changes] == [ParticipantPut, ParticipantGone]
    picture = fold(BLANK, changes)
    assert picture.participants == {"subsystem-a": one}
    assert fold(picture, [ParticipantGone("subsystem-a")]).participants == {}


class Monitor:
    """Stands in for pyudev's; an exception in the queue is raised."""

    def __init__(self, *queue: Any) -> None:
        self._queue = list(queue)

    def poll(self, timeout: int) -> Any:
        assert timeout == 0
        news = self._queue.pop(0) if self._queue else None
        if isinstance(news, Exception):
            raise news
        return news


def event(action: str, token: object = None, subsystem: str = "liveupdate", name: str = "") -> Any:
    properties = {} if token is None else {"LUO_TOKEN": str(token)}
    name = name or f"token{token}"
    return SimpleNamespace(action=action, subsystem=subsystem, sys_name=name, properties=properties)


def source(folder: Path, *queue: Any) -> ResourceSource:
    made = ResourceSource(folder)
    made._monitor = Monitor(*queue)
    return made


def test_events_become_changes(tmp_path: Path) -> None:
    put(tmp_path, 1)
    put(tmp_path, 2, state="restored")
    changes = source(
        tmp_path,
        event("add", 1),
        event("change", 2),
        event("remove", 3),
        # It came and has gone already: the event that says so is on its way.
        event("add", 4),
        event("add", "../../etc"),
        event("add"),
        event("bind", 1),
    ).drain()
    assert changes is not None
    one = Resource(1, "memfd", ResourceState.PRESERVED, "guest", 4096, 71, "qemu", 1)
    two = Resource(2, "memfd", ResourceState.RESTORED, "guest", 4096, 71, "qemu", 1)
    # Of two events about one device the last counts.
    assert list(changes) == [ResourcePut(two), ResourceGone(3), ResourcePut(one)]
    assert [type(change) for change in changes] == [ResourcePut, ResourceGone, ResourcePut]


def test_a_burst_is_told_in_parts_and_each_device_is_read_once(tmp_path: Path) -> None:
    for token in range(3):
        put(tmp_path, token)
    made = source(tmp_path, *(event("change", n % 3) for n in range(_AT_ONCE + 2)))
    first, second, third = made.drain(), made.drain(), made.drain()
    assert first is not None
    assert second is not None
    assert (len(first), len(second), third) == (3, 2, [])


@pytest.mark.parametrize(
    "overrun",
    [
        OSError(errno.ENOBUFS, "No buffer space available"),
        # As pyudev tells of POLLERR, by which poll(2) shows the same thing.
        OSError("Error while polling fd: 7"),
    ],
)
def test_an_overrun_asks_for_everything_anew(tmp_path: Path, overrun: OSError) -> None:
    put(tmp_path, 1)
    made = source(tmp_path, event("remove", 1), overrun)
    assert made.drain() is None
    read, _, _ = made.enumerate()
    assert isinstance(read, ResourcesRead)
    assert [r.token for r in read.resources] == [1]


def test_another_failure_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        source(tmp_path, OSError(errno.EBADF, "Bad file descriptor")).drain()


def test_the_module_is_seen_to_come_and_go(tmp_path: Path) -> None:
    def misc(action: str, name: str) -> Any:
        return event(action, subsystem="misc", name=name)

    assert source(tmp_path, misc("add", "liveupdate")).drain() is None
    assert source(tmp_path, misc("remove", "liveupdate")).drain() is None
    # The state attribute tells of these.
    assert source(tmp_path, misc("change", "liveupdate")).drain() == []
    assert source(tmp_path, misc("add", "fuse")).drain() == []


def test_a_source_that_was_never_opened_has_no_descriptor(tmp_path: Path) -> None:
    made = ResourceSource(tmp_path)
    assert made.fileno() == -1
    made.close()
