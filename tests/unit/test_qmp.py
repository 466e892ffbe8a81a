# SPDX-License-Identifier: MIT
"""QMP against a peer that does everything that QEMU does not."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luo_tui.guests import json_stream
from luo_tui.guests.json_stream import JsonStream
from luo_tui.guests.qmp import Qmp, QmpError, QmpGone, QmpNonsense, QmpRefused, QmpSilent

GREETING = (
    b'{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}}}\r\n'
)
SETTINGS = settings(max_examples=60, deadline=None, database=None)
LONG = 60.0
"""Seconds of a limit that is not to be reached."""


class Peer:
    """The other side of a connection, which says what its script says."""

    def __init__(self, stream: socket.socket) -> None:
        self.stream = stream
        self.fds: list[int] = []
        self._unread = b""

    def say(self, *objects: object) -> None:
        for one in objects:
            self.stream.sendall(one if isinstance(one, bytes) else json.dumps(one).encode() + b"\n")

    def hear(self) -> dict[str, object]:
        while b"\n" not in self._unread:
            data, fds, _, _ = socket.recv_fds(self.stream, 1 << 16, 4)
            assert data, "the client has closed"
            self._unread += data
            self.fds += fds
        line, _, self._unread = self._unread.partition(b"\n")
        heard = json.loads(line)
        assert isinstance(heard, dict)
        return heard

    def answer(self, value: object) -> dict[str, object]:
        heard = self.hear()
        self.say({"return": value, "id": heard["id"]})
        return heard

    def begin(self) -> None:
        self.say(GREETING)
        assert self.answer({})["execute"] == "qmp_capabilities"


@contextlib.contextmanager
def talk(script: Callable[[Peer], object]) -> Iterator[socket.socket]:
    """Return the client's side; the script's own failure is raised at the end."""
    ours, theirs = socket.socketpair()
    faults: list[BaseException] = []

    def act() -> None:
        try:
            script(Peer(theirs))
        except BaseException as fault:
            faults.append(fault)
        finally:
            theirs.close()

    thread = threading.Thread(target=act)
    thread.start()
    try:
        yield ours
    finally:
        ours.close()
        thread.join()
    assert not faults, faults


def opened(more: Callable[[Peer], object]) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        peer.begin()
        more(peer)

    return script


def after_command(*said: object) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        peer.hear()
        peer.say(*said)

    return opened(script)


def test_events_are_kept_apart_from_answers() -> None:
    def script(peer: Peer) -> None:
        peer.say({"event": "STOP", "data": {}}, b"\r\n", {"event": "EARLY"})
        heard = peer.hear()
        assert heard["execute"] == "query-status"
        assert "arguments" not in heard
        peer.say({"event": "MIGRATION", "data": {"status": "active"}})
        peer.say({"return": {"status": "paused"}, "id": heard["id"]})
        assert peer.answer([1])["arguments"] == {"value": True}

    with talk(opened(script)) as stream, Qmp(JsonStream(stream), LONG) as monitor:
        assert monitor.version == (7, 2, 22)
        assert monitor.command("query-status") == {"status": "paused"}
        names = [(e.name, e.data) for e in monitor.events()]
        assert names == [("STOP", {}), ("EARLY", {}), ("MIGRATION", {"status": "active"})]
        assert monitor.events() == ()
        assert monitor.command("set", {"value": True}) == [1]


def test_a_flood_of_events_takes_no_memory_and_no_answer() -> None:
    def script(peer: Peer) -> None:
        peer.say(*({"event": f"E{n}"} for n in range(3000)))
        peer.answer("done")

    with talk(opened(script)) as stream, Qmp(JsonStream(stream), LONG) as monitor:
        assert monitor.command("x") == "done"
        names = [e.name for e in monitor.events()]
        assert len(names) == 1000
        assert names[-1] == "E2999"


def test_descriptors_go_along() -> None:
    read, write = os.pipe()

    def script(peer: Peer) -> None:
        peer.answer({})
        (fd,) = peer.fds
        os.write(fd, b"through")
        os.close(fd)

    with talk(opened(script)) as stream, Qmp(JsonStream(stream), LONG) as monitor:
        monitor.command("getfd", {"fdname": "x"}, fds=(write,))
    os.close(write)
    assert os.read(read, 100) == b"through"
    os.close(read)


def test_a_refusal_is_told_harmless_and_the_connection_goes_on() -> None:
    def script(peer: Peer) -> None:
        heard = peer.hear()
        error = {"class": "GenericError", "desc": "no \x1b[2J\u202edevice"}
        peer.say({"error": error, "id": heard["id"]})
        peer.answer("still there")

    with talk(opened(script)) as stream, Qmp(JsonStream(stream), LONG) as monitor:
        with pytest.raises(QmpRefused) as refused:
            monitor.command("device_del")
        assert str(refused.value) == "device_del: no \\x1b[2J\\u202edevice"
        assert refused.value.kind == "GenericError"
        assert monitor.command("x") == "still there"


@pytest.mark.parametrize(
    ("said", "kind", "why"),
    [
        ((b"hello\n",), QmpNonsense, "not JSON"),
        ((b"\xff\xfe{}\n",), QmpNonsense, "not JSON"),
        ((b"[" * 100_000 + b"\n",), QmpNonsense, "not JSON"),
        ((b"1" * 5000 + b"\n",), QmpNonsense, "not JSON"),
        ((b"[]\n",), QmpNonsense, "no JSON object"),
        (({"error": "a text", "id": 2},), QmpNonsense, "error that is no JSON object"),
        (({"error": {"class": 1}, "id": 2},), QmpNonsense, "error without words"),
        (({"id": 2},), QmpNonsense, "without return, error or event"),
        (({"return": {}, "id": 1},), QmpNonsense, "to another command"),
        (({"return": {}},), QmpNonsense, "to another command"),
        (({"event": 7},), QmpNonsense, "event without a name"),
        (({"event": "X", "data": 7},), QmpNonsense, "event without a name"),
        ((b'{"return": {',), QmpGone, "closed in the middle of an answer"),
        ((b'{"return": {}, "id": 2}',), QmpGone, "closed in the middle of an answer"),
        ((), QmpGone, "has closed"),
    ],
)
def test_what_is_no_answer_ends_the_use_of_the_connection(
    said: tuple[object, ...], kind: type[QmpError], why: str
) -> None:
    with talk(after_command(*said)) as stream, Qmp(JsonStream(stream), LONG) as monitor:
        with pytest.raises(kind, match=f"stop: .*{why}"):
            monitor.command("stop")
        with pytest.raises(QmpGone, match="cont: the connection is of no more use"):
            monitor.command("cont")


def test_a_line_without_end_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "LONGEST", 1 << 20)

    def script(peer: Peer) -> None:
        peer.hear()
        with contextlib.suppress(OSError):
            while True:
                peer.say(b"x" * 65536)

    with talk(opened(script)) as stream, Qmp(JsonStream(stream), LONG) as monitor:
        with pytest.raises(QmpNonsense, match="a line of more than 1,048,576 bytes"):
            monitor.command("stop")
        monitor.close()


@pytest.mark.parametrize(
    "greeting",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"{}\n",
        b'{"QMP": 7}\n',
        b'{"QMP": {"version": {"qemu": {"major": "7", "minor": 2, "micro": 0}}}}\n',
    ],
)
def test_whoever_greets_otherwise_is_no_qemu(greeting: bytes) -> None:
    with talk(lambda peer: peer.say(greeting)) as stream:
        with pytest.raises(QmpNonsense):
            Qmp(JsonStream(stream), LONG)
        assert stream.fileno() == -1


def test_who_hangs_is_not_waited_for() -> None:
    done = threading.Event()
    with talk(lambda peer: done.wait()) as stream:
        with pytest.raises(QmpSilent, match="no answer in time"):
            Qmp(JsonStream(stream), 0.05)
        done.set()


def test_the_limit_is_the_whole_answers_not_each_parts() -> None:
    stop = threading.Event()

    def script(peer: Peer) -> None:
        peer.begin()
        peer.hear()
        with contextlib.suppress(OSError):
            while not stop.wait(0.02):
                peer.say(b'{"event": "X"}\n')

    with talk(script) as stream, Qmp(JsonStream(stream), LONG) as monitor:
        began = time.monotonic()
        with pytest.raises(QmpSilent, match="query-status: no answer in time"):
            monitor.command("query-status", limit=0.2)
        assert time.monotonic() - began < LONG / 2
        stop.set()


def test_nothing_listens(tmp_path: Path) -> None:
    with pytest.raises(QmpGone, match="No such file"):
        Qmp.connect(tmp_path / "none")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "bound"))
        with pytest.raises(QmpGone, match="refused"):
            Qmp.connect(tmp_path / "bound")


def test_only_the_process_that_is_meant_is_spoken_to(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    here = os.open(folder, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"/proc/self/fd/{here}/s")
        listener.listen()
        os.close(here)
        with pytest.raises(QmpNonsense, match=f"process {os.getpid()} listens there, not 1"):
            Qmp.connect(folder / "s", pid=1, limit=LONG)
        accepted, _ = listener.accept()
        assert accepted.recv(100) == b"", "nothing was said to it"
        accepted.close()
        with pytest.raises(QmpSilent):
            Qmp.connect(folder / "s", pid=os.getpid(), limit=0.05)
        # Whoever gave up waiting stands in the queue all the same, and now fills it.
        listener.listen(0)
        with pytest.raises(QmpSilent, match="too many others wait"):
            Qmp.connect(folder / "s", limit=0.05)


@SETTINGS
@given(st.binary(max_size=200), st.integers(0, 2))
def test_no_bytes_lead_anywhere_but_to_an_error(data: bytes, when: int) -> None:
    scripts: list[Callable[[Peer], object]] = [
        lambda peer: peer.say(data),
        opened(lambda peer: peer.say(data)),
        after_command(data),
    ]
    with talk(scripts[when]) as stream, contextlib.suppress(QmpError):
        monitor = Qmp(JsonStream(stream), LONG)
        monitor.command("x")
        pytest.fail("that was no answer")
