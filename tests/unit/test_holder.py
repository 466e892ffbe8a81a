# SPDX-License-Identifier: MIT
"""luo-tui-holder: what it keeps, what it refuses in words, and that nobody hostile is answered."""

from __future__ import annotations

import array
import contextlib
import errno
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from luo_tui.arrival import holder as holding
from luo_tui.arrival.headroom import Room, room_left
from luo_tui.arrival.holder import Holder, listen
from luo_tui.arrival.manifest import Manifest, packed, unpacked
from luo_tui.arrival.names import Names
from luo_tui.arrival.protocol import (
    LONGEST,
    BadMessage,
    Inbox,
    ask,
    connect,
    decoded,
    encoded,
    receive,
)
from luo_tui.arrival.store import Here, Phase, Refused, Store
from luo_tui.errors import HolderError, Op, explain
from luo_tui.guests.sessions import HeldSessions
from luo_tui.model import ResourceState, State
from luo_tui.sources.changes import Change, ReadingDone, ResourcesRead
from luo_tui.sources.holder import HolderSource
from tests.unit.sessions_kernel import SessionsKernel

ROOT = Path(__file__).parents[2]
ME = os.geteuid()


def memfd(content: bytes = b"bytes", name: str = "held") -> int:
    fd = os.memfd_create(name, os.MFD_CLOEXEC)
    os.write(fd, content)
    return fd


class Boots:
    """One host from kernel to kernel, with what lasts on its disk."""

    def __init__(self, folder: Path) -> None:
        self.names = Names(folder)
        self.kernel = SessionsKernel()
        self.number = 1
        self.room: Room | None = None

    def store(self) -> Store:
        here = Here(100 + self.number, "luo-tui-holder", f"boot {self.number}", "7.3.4")
        return Store(here, self.names, lambda: self.room, self.kernel)

    def kexec(self) -> Store:
        self.kernel, self.number = self.kernel.kexec(), self.number + 1
        store = self.store()
        store.arrive()
        return store


@pytest.fixture
def boots(tmp_path: Path) -> Boots:
    return Boots(tmp_path / "lib")


def phases(store: Store) -> dict[str, str]:
    return {one.manifest.name: str(one.phase) for one in store.kept()}


def hold(store: Store, name: str, content: bytes = b"bytes") -> int:
    fd = memfd(content)
    try:
        return store.hold(name, fd)
    finally:
        os.close(fd)


# -- what it keeps ---------------------------------------------------------------------------


def test_a_file_crosses_in_a_session_of_its_name(boots: Boots) -> None:
    store = boots.store()
    web, db = hold(store, "web", b"the web's"), hold(store, "db", b"the db's")
    assert web != db
    assert boots.kernel.names() == [b"db", b"web"]
    after = boots.kexec()
    assert phases(after) == {"db": "incoming", "web": "incoming"}
    (one,) = [k for k in after.kept() if k.manifest.name == "web"]
    assert one.manifest == Manifest("web", web, 9, 101, "luo-tui-holder", "boot 1", "7.3.4")
    fd = after.restore(web)
    assert os.pread(fd, 99, 0) == b"the web's"
    # Asked again, it is the same one: nobody but the holder has used it up.
    assert after.restore(web) == fd
    after.release(web)
    assert boots.kernel.finished == [b"web"]
    assert phases(after) == {"db": "incoming", "web": "finished"}
    # What is finished is not retrieved by whoever holds next.
    assert set(boots.names.read()) == {"db"}
    assert after.finish() == ("db", "web")
    assert boots.kernel.finished == [b"web", b"db"]
    assert after.kept() == ()
    assert boots.names.read() == {}


def test_a_holder_that_ends_before_the_kexec_has_dropped_all(boots: Boots) -> None:
    store = boots.store()
    hold(store, "web")
    store.close()
    assert boots.kernel.names() == []
    after = boots.kexec()
    (one,) = after.kept()
    assert one.phase is Phase.LOST
    assert "did not come over" in one.fault


def test_a_holder_that_ends_after_the_kexec_has_finished_all(boots: Boots) -> None:
    hold(boots.store(), "web")
    boots.kexec().close()
    again = boots.store()
    again.arrive()
    assert phases(again) == {"web": "lost"}
    # The name can be used again, and finish forgets what is lost.
    hold(again, "web")
    assert phases(again) == {"web": "outgoing"}


def test_what_somebody_else_retrieved_is_told(boots: Boots) -> None:
    hold(boots.store(), "web")
    boots.kernel, boots.number = boots.kernel.kexec(), 2
    boots.kernel.retrieve_session(boots.kernel.open_device(), b"web")
    with contextlib.suppress(Refused):
        boots.store().arrive()
    boots.kernel._forget_closed()
    boots.kernel._open = {fd: s for fd, s in boots.kernel._open.items() if s is not None}
    store = boots.store()
    store.arrive()
    assert [one.fault for one in store.kept()] == ["Somebody else has retrieved it already."]


def test_given_up_it_does_not_cross(boots: Boots) -> None:
    store = boots.store()
    token = hold(store, "web")
    store.release(token)
    assert boots.kernel.names() == []
    assert boots.names.read() == {}
    with pytest.raises(Refused, match=f"nothing under token {token}"):
        store.release(token)
    assert boots.kexec().kept() == ()


# -- what it refuses -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("", errno.EINVAL, "this one 0"),
        ("x" * 64, errno.EINVAL, "1 to 63 bytes; this one 64"),
        ("\u00e4" * 32, errno.EINVAL, "this one 64"),
        ("a\0b", errno.EINVAL, "1 to 63 bytes"),
        ("systemd", errno.EPERM, "systemd's own"),
    ],
)
def test_names_are_refused_in_words(boots: Boots, name: str, code: int, said: str) -> None:
    store = boots.store()
    with pytest.raises(Refused, match=said) as refused:
        hold(store, name)
    assert (refused.value.op, refused.value.code) == (Op.CREATE, code)
    assert boots.names.read() == {}


def test_a_name_is_held_once(boots: Boots) -> None:
    store = boots.store()
    hold(store, "web")
    with pytest.raises(Refused, match="has a session named web"):
        hold(store, "web")
    # Of another process's session the kernel says so.
    boots.kernel.create_session(-1, b"luod's")
    with pytest.raises(Refused) as refused:
        hold(store, "luod's")
    assert (refused.value.op, refused.value.code) == (Op.CREATE, errno.EEXIST)
    assert set(boots.names.read()) == {"web"}


def test_the_kernels_refusals_leave_nothing_behind(boots: Boots) -> None:
    store = boots.store()
    boots.kernel.busy = True
    with pytest.raises(Refused) as refused:
        hold(store, "web")
    assert (refused.value.op, refused.value.code) == (Op.OPEN, errno.EBUSY)
    boots.kernel.busy = False
    reader, writer = os.pipe()
    with pytest.raises(Refused) as refused:
        store.hold("web", reader)
    assert (refused.value.op, refused.value.code) == (Op.KEEP, errno.ENOENT)
    os.close(reader)
    os.close(writer)
    fd = memfd()
    store.hold("one", fd)
    with pytest.raises(Refused) as refused:
        store.hold("two", fd)
    assert (refused.value.op, refused.value.code) == (Op.KEEP, errno.EBUSY)
    os.close(fd)
    assert phases(store) == {"one": "outgoing"}
    assert boots.kernel.names() == [b"one"]
    assert set(boots.names.read()) == {"one"}


def test_too_little_memory_is_seen_before_the_retrieve(boots: Boots) -> None:
    token = hold(boots.store(), "web", b"x" * 4096)
    after = boots.kexec()
    boots.room = Room(4096, "/small")
    with pytest.raises(Refused, match=r"memory\.max of cgroup /small leaves 4,096") as refused:
        after.restore(token)
    assert refused.value.code == errno.ENOMEM
    assert phases(after) == {"web": "incoming"}
    boots.room = None
    assert os.pread(after.restore(token), 9999, 0) == b"x" * 4096


def test_a_retrieve_that_the_kernel_refused_is_final(boots: Boots) -> None:
    token = hold(boots.store(), "web")
    after = boots.kexec()
    boots.kernel.fails["retrieve_fd"] = errno.ENOMEM
    with pytest.raises(Refused):
        after.restore(token)
    boots.kernel.fails.clear()
    with pytest.raises(Refused, match="final"):
        after.restore(token)
    assert phases(after) == {"web": "lost"}


def test_what_was_not_restored_is_not_released(boots: Boots) -> None:
    token = hold(boots.store(), "web")
    after = boots.kexec()
    with pytest.raises(Refused, match="incoming: restore it") as refused:
        after.release(token)
    assert refused.value.op is Op.END
    assert boots.kernel.finished == []


def test_no_session_is_made_whose_name_is_not_on_the_disk(boots: Boots, tmp_path: Path) -> None:
    (tmp_path / "lib").write_text("no folder")
    store = boots.store()
    with pytest.raises((Refused, OSError)):
        hold(store, "web")
    assert boots.kernel.names() == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"v":2,"sessions":{}}', '{"v":1,"sessions":[1]}'])
def test_names_that_make_no_sense_are_said_to(boots: Boots, tmp_path: Path, text: str) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/sessions.json").write_text(text)
    with pytest.raises(ValueError, match="damaged"):
        boots.store().arrive()


MANIFEST = Manifest("web", 3, 4096, 7, "luo-tui-holder", "b", "7.3.4")


def test_a_manifest_comes_back_as_it_was() -> None:
    assert unpacked(packed(MANIFEST) + b"\0" * 100) == MANIFEST


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 4096,
        b"[" * 4096,
        b"[]",
        packed(MANIFEST).replace(b'"v":1', b'"v":2'),
        packed(MANIFEST).replace(b'"token":3', b'"token":0'),
        packed(MANIFEST).replace(b'"token":3', b'"token":true'),
        packed(MANIFEST).replace(b'"token":3', b'"token":99999999999999999999'),
        packed(MANIFEST).replace(b'"bytes":4096', b'"bytes":-1'),
        packed(MANIFEST).replace(b'"name":"web"', b'"name":["web"]'),
        packed(MANIFEST).replace(b'"pid"', b'"pad"'),
    ],
)
def test_a_damaged_manifest_is_said_to_be(data: bytes) -> None:
    with pytest.raises(ValueError, match="manifest"):
        unpacked(data)


def test_holding_takes_memory_for_the_holes_of_a_file(boots: Boots) -> None:
    store, fd = boots.store(), memfd(b"x" * 4096)
    try:
        os.ftruncate(fd, 64 << 20)
        boots.room = Room(32 << 20, "/small")
        with pytest.raises(Refused, match=r"memory\.max of cgroup /small .* nothing was held"):
            store.hold("web", fd)
        assert (store.kept(), boots.kernel.names(), boots.names.read()) == ((), [], {})
        boots.room = Room(80 << 20, "/small")
        store.hold("web", fd)
    finally:
        os.close(fd)


def test_the_room_is_the_smallest_on_the_way_up(tmp_path: Path) -> None:
    proc, groups = tmp_path / "cgroup", tmp_path / "fs"
    proc.write_text("0::/a/b\n")
    for path, most, taken, cached in (("a", 1000, 300, 100), ("a/b", 5000, 100, 0)):
        (groups / path).mkdir(parents=True)
        (groups / path / "memory.max").write_text(f"{most}\n")
        (groups / path / "memory.current").write_text(f"{taken}\n")
        (groups / path / "memory.stat").write_text(f"anon 5\ninactive_file {cached}\n")
    assert room_left(proc, groups) == Room(800, "/a")
    (groups / "a/memory.max").write_text("max\n")
    assert room_left(proc, groups) == Room(4900, "/a/b")
    proc.write_text("4:memory:/old\n")
    assert room_left(proc, groups) is None
    assert room_left(tmp_path / "none", groups) is None


# -- the protocol ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"17", "no object"),
        (b"{}", "version None"),
        (b'{"v":2,"call":"list"}', "version 2"),
        (b'{"v":"1","call":"list"}', "version '1'"),
        (b'{"v":true,"call":"list"}', "version True"),
    ],
)
def test_what_is_no_message_is_said_to_be_none(line: bytes, said: str) -> None:
    with pytest.raises(BadMessage, match=said):
        decoded(line)


def test_lines_come_in_any_pieces() -> None:
    whole = encoded({"call": "list"}) + encoded({"call": "finish"})
    for size in (1, 2, 7, len(whole)):
        inbox, found = Inbox(), []
        for at in range(0, len(whole), size):
            inbox.take(whole[at : at + size])
            while (one := inbox.next()) is not None:
                found.append(one)
        assert [(m["call"], fd) for m, fd in found] == [("list", -1), ("finish", -1)]
        assert not inbox.cut_short


def test_a_line_without_an_end_is_not_waited_for_forever() -> None:
    inbox = Inbox()
    for _ in range(LONGEST // 4096):
        inbox.take(b"x" * 4096)
    with pytest.raises(BadMessage, match="longer than"):
        inbox.take(b"x")


def test_descriptors_nobody_asked_for_are_closed() -> None:
    inbox = Inbox()
    one, two = memfd(), memfd()
    with pytest.raises(BadMessage, match="more descriptors"):
        inbox.take(b"", [one, two])
    inbox.close()
    for fd in (one, two):
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(fd)


class Running:
    """A holder that serves in a thread of this process, with a kernel of the test's."""

    def __init__(self, boots: Boots, path: Path, owner: int = ME) -> None:
        self.path, self.boots = path, boots
        listener, self.lock = listen(path)
        self.holder = Holder(boots.store(), listener, owner)
        self.holder.arrive()
        self._thread = threading.Thread(target=self.holder.serve)
        self._thread.start()

    def connect(self) -> socket.socket:
        return connect(self.path, owner=ME)

    def ask(self, fd: int = -1, **request: object) -> tuple[dict[str, Any], int]:
        with self.connect() as end:
            return ask(end, request, fd)

    def end(self) -> None:
        if self._thread.is_alive():
            self.holder.stop()
            self._thread.join()
            os.close(self.lock)

    def kexec(self) -> Running:
        """Jump: the process is gone without having closed anything."""
        self.boots.kernel, self.boots.number = self.boots.kernel.kexec(), self.boots.number + 1
        kernel, self.boots.kernel = self.boots.kernel, SessionsKernel()
        self.holder._store._kept.clear()
        self.end()
        self.boots.kernel = kernel
        return Running(self.boots, self.path)


@pytest.fixture
def running(boots: Boots, tmp_path: Path) -> Iterator[Running]:
    made = Running(boots, tmp_path / "run/holder.sock")
    yield made
    made.end()


@contextlib.contextmanager
def nothing_leaks(running: Running) -> Iterator[None]:
    """Have as many descriptors open afterwards as before, on both sides."""
    with running.connect() as end:
        ask(end, {"call": "list"})
        before = open_here()
        yield
        # In one turn it may answer before it hangs up on another; not in two.
        for _ in range(2):
            ask(end, {"call": "list"})
        assert open_here() == before


def test_guests_get_back_what_came_over(running: Running) -> None:
    held = HeldSessions(running.path, ME)
    assert held.state() is State.NORMAL, "nothing came over here"
    with pytest.raises(OSError, match="luo-tui-holder has nothing under token 99"):
        held.restore(99)
    fd = memfd(b"memory")
    token = running.ask(fd, call="hold", name="guest web1 ram")[0]["token"]
    os.close(fd)
    after = running.kexec()
    try:
        assert held.state() is State.UPDATED
        # As often as it takes until a guest runs.
        for _ in range(2):
            fd = held.restore(token)
            assert not os.get_inheritable(fd)
            assert os.read(fd, 99) == b"memory"
            os.close(fd)
        held.let_go(token)
        assert after.boots.kernel.finished == [b"guest web1 ram"]
        assert held.state() is State.UPDATED, "also when all of it is in use"
        with pytest.raises(OSError, match="finished"):
            held.restore(token)
    finally:
        after.end()


def open_here() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def is_alive(running: Running) -> bool:
    return running.ask(call="list")[0]["ok"] is True


def test_it_is_asked_over_its_socket(running: Running) -> None:
    assert running.path.stat().st_mode & 0o777 == 0o600
    fd = memfd(b"over the socket")
    held, _ = running.ask(fd, call="hold", name="web")
    os.close(fd)
    listed, _ = running.ask(call="list")
    assert [(s["name"], s["phase"], s["bytes"]) for s in listed["sessions"]] == [
        ("web", "outgoing", 15)
    ]
    after = running.kexec()
    try:
        answer, given = after.ask(call="restore", token=held["token"])
        assert answer["ok"]
        assert not os.get_inheritable(given)
        assert os.pread(given, 99, 0) == b"over the socket"
        os.close(given)
        assert after.ask(call="release", token=held["token"])[0]["ok"]
        assert after.ask(call="finish")[0]["finished"] == ["web"]
    finally:
        after.end()


def test_a_refusal_says_which_step_and_why(running: Running) -> None:
    fd = memfd()
    answer, given = running.ask(fd, call="hold", name="systemd")
    os.close(fd)
    assert given == -1
    told = HolderError(Op(answer["op"]), answer["errno"], answer["said"])
    lines = explain(Op.PRESERVE, told).lines()
    assert lines[0] == "Could not create the session: the name is reserved (EPERM)."
    assert "systemd's own" in lines[1]


@pytest.mark.parametrize(
    "sent",
    [
        b"\n",
        b"not json\n",
        b'{"v":2,"call":"list"}\n',
        b'{"call":"list"}\n',
        b"\0" * 100 + b"\n",
        b'["list"]\n',
    ],
)
def test_who_is_not_understood_is_told_so_and_dropped(running: Running, sent: bytes) -> None:
    with nothing_leaks(running), running.connect() as end:
        end.sendall(sent)
        inbox = Inbox()
        while receive(end, inbox):
            pass
        found = inbox.next()
        assert found is not None
        assert (found[0]["ok"], found[0]["errno"]) == (False, errno.EPROTO)


def test_a_line_that_is_cut_off_does_nothing(running: Running) -> None:
    with nothing_leaks(running):
        fd = memfd()
        with running.connect() as end:
            rights = array.array("i", [fd]).tobytes()
            end.sendmsg(
                [encoded({"call": "hold", "name": "web"})[:-1]],
                [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)],
            )
        os.close(fd)
    assert running.ask(call="list")[0]["sessions"] == []
    assert running.boots.kernel.names() == []


@pytest.mark.parametrize("number", [2, 3, 200])
def test_too_many_descriptors_are_refused_and_closed(running: Running, number: int) -> None:
    with nothing_leaks(running):
        fds = [memfd() for _ in range(number)]
        with running.connect() as end:
            rights = array.array("i", fds).tobytes()
            end.sendmsg(
                [encoded({"call": "hold", "name": "web"})],
                [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)],
            )
            inbox = Inbox()
            while receive(end, inbox):
                pass
            found = inbox.next()
            assert found is not None
            assert "more descriptors" in found[0]["said"]
        for fd in fds:
            os.close(fd)
    assert running.boots.kernel.names() == []
    assert is_alive(running)


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"call": 17},
        {"call": "freeze"},
        {"call": "hold", "name": "web"},
        {"call": "hold", "name": 17},
        {"call": "restore"},
        {"call": "restore", "token": "1"},
        {"call": "release", "token": None},
        {"call": "restore", "token": 1 << 70},
    ],
)
def test_what_cannot_be_asked_is_refused(running: Running, request_: dict[str, object]) -> None:
    answer, given = running.ask(**request_)
    assert answer["ok"] is False
    assert given == -1
    assert is_alive(running)


def test_a_descriptor_that_no_call_wants_is_closed(running: Running) -> None:
    with nothing_leaks(running):
        fd = memfd()
        assert running.ask(fd, call="list")[0]["ok"]
        os.close(fd)


def test_another_users_process_is_not_answered(boots: Boots, tmp_path: Path) -> None:
    made = Running(boots, tmp_path / "run/holder.sock", owner=ME + 1)
    try:
        with pytest.raises(OSError) as refused:
            made.ask(call="list")
        assert refused.value.errno in (errno.ECONNRESET, errno.EPIPE)
    finally:
        made.end()


def test_another_users_holder_is_not_asked(running: Running) -> None:
    with pytest.raises(PermissionError, match="another user's process"):
        connect(running.path, owner=ME + 1)


def test_there_is_one_holder(running: Running) -> None:
    with pytest.raises(OSError, match="another luo-tui-holder runs") as refused:
        listen(running.path)
    assert refused.value.errno == errno.EADDRINUSE
    assert is_alive(running)
    running.end()
    # What it left is in nobody's way.
    listener, lock = listen(running.path)
    listener.close()
    os.close(lock)


def test_a_folder_that_others_may_write_to_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run").chmod(0o777)
    with pytest.raises(PermissionError, match="others may write"):
        listen(tmp_path / "run/holder.sock")


def test_a_busy_device_is_tried_again_when_somebody_asks(boots: Boots, tmp_path: Path) -> None:
    token = hold(boots.store(), "web")
    boots.kernel, boots.number = boots.kernel.kexec(), 2
    boots.kernel.busy = True
    made = Running(boots, tmp_path / "run/holder.sock")
    try:
        assert "could not be retrieved" in made.ask(call="list")[0]["fault"]
        answer, _ = made.ask(call="restore", token=token)
        assert (answer["op"], answer["errno"]) == (Op.OPEN, errno.EBUSY)
        boots.kernel.busy = False
        answer, given = made.ask(call="restore", token=token)
        assert answer["ok"]
        os.close(given)
    finally:
        made.end()


# -- what tells of it ------------------------------------------------------------------------


def source_of(running: Running) -> HolderSource:
    return HolderSource(running.path, running.boots.names, lambda: "boot 1", ME)


def told(changes: object) -> tuple[dict[str, ResourceState] | None, tuple[str, ...] | None]:
    assert isinstance(changes, (list, tuple))
    resources, missing = None, None
    change: Change
    for change in changes:
        if isinstance(change, ResourcesRead):
            resources = {r.name: r.state for r in change.resources}
        if isinstance(change, ReadingDone):
            missing = change.missing
    return resources, missing


def woken(source: HolderSource) -> bool:
    import select

    poll = select.poll()
    poll.register(source.fileno(), source.events)
    return bool(poll.poll(5000))


def test_it_tells_of_each_change(running: Running) -> None:
    source = source_of(running)
    source.reopen()
    try:
        assert told(source.enumerate()) == ({}, ())
        assert source.drain() == ()
        fd = memfd()
        token = running.ask(fd, call="hold", name="web")[0]["token"]
        os.close(fd)
        assert woken(source)
        # The state follows from sessions: all is read anew.
        assert source.drain() is None
        assert told(source.enumerate()) == ({"web": ResourceState.PRESERVED}, ())
        assert source.drain() == ()
        running.ask(call="release", token=token)
        assert woken(source)
        assert source.drain() is None
        assert told(source.enumerate()) == ({}, ())
        running.end()
        assert woken(source)
        assert source.drain() is None
        assert told(source.enumerate()) == ({}, ())
    finally:
        source.close()


def test_a_holder_that_comes_is_found(boots: Boots, tmp_path: Path) -> None:
    path = tmp_path / "run/holder.sock"
    source = HolderSource(path, boots.names, lambda: "boot 1", ME)
    source.reopen()
    assert told(source.enumerate()) == ({}, ())
    assert source.drain() == ()
    hold(store := boots.store(), "left over")
    store.close()
    made = Running(boots, path)
    try:
        assert source.drain() is None
        source.reopen()
        assert told(source.enumerate()) == ({}, ())
    finally:
        source.close()
        made.end()


def test_what_nobody_has_retrieved_yet_is_not_none(boots: Boots, tmp_path: Path) -> None:
    hold(boots.store(), "web")
    source = HolderSource(tmp_path / "none", boots.names, lambda: "boot 2", ME)
    resources, missing = told(source.enumerate())
    assert resources == {}
    assert missing is not None
    assert "does not run, which is to retrieve web" in missing[0]
    # Who may not ask does not know either.
    stranger = HolderSource(tmp_path / "none", boots.names, lambda: "boot 2", ME + 1)
    assert told(stranger.enumerate()) == ({}, ("what luo-tui-holder has is known to root alone",))


def test_a_holder_that_talks_nonsense_is_a_fault(tmp_path: Path, boots: Boots) -> None:
    listener, lock = listen(tmp_path / "run/holder.sock")
    answers = (b"nonsense\n", encoded({"sessions": [{"phase": "outgoing"}]}), b"")

    def serve() -> None:
        for answer in answers:
            end, _ = listener.accept()
            with end:
                end.recv(4096)
                end.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    source = HolderSource(tmp_path / "run/holder.sock", boots.names, lambda: "b", ME)
    for _ in answers:
        with pytest.raises(OSError):
            source.enumerate()
    thread.join()
    listener.close()
    os.close(lock)


# -- its process -----------------------------------------------------------------------------


def test_it_imports_little() -> None:
    code = (
        "import sys, luo_tui.arrival.__main__\n"
        "print(sorted({'textual', 'pyudev', 'watchdog', 'psutil', 'hashlib', 'subprocess',"
        " 'luo_tui.cli', 'luo_tui.console', 'luo_tui.update', 'luo_tui.monitor',"
        " 'luo_tui.sources'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("asked", [b"@luo-tui-test-notify", b"path"])
def test_systemd_is_told_that_it_is_up(
    asked: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"@luo-tui-test-{os.getpid()}" if asked.startswith(b"@") else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(name.replace("@", "\0"))
        end.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        holding._notify()
        assert end.recv(100) == b"READY=1"
    assert "NOTIFY_SOCKET" not in os.environ


def test_a_message_is_one_line(running: Running) -> None:
    assert encoded({"name": "a\nb"}).count(b"\n") == 1
    assert json.loads(encoded({"name": "a\nb"}))["name"] == "a\nb"
