# SPDX-License-Identifier: MIT
"""An agent in a guest: what it may answer, and what is made of it; a guest is not trusted."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from luo_tui.guests.agent import set_time
from luo_tui.guests.arguments import agent_sockets, options
from luo_tui.guests.json_stream import QmpError

LONG = 60.0
"""Seconds of a limit that is not to be reached."""
Answers = Callable[[dict[str, Any]], object]


class Agent:
    """Listens on a socket as QEMU does, and answers as a guest's agent would."""

    def __init__(self, path: Path, answers: Answers) -> None:
        self.path = path
        self.heard: list[dict[str, Any]] = []
        self._answers = answers
        self._listens = socket.socket(socket.AF_UNIX)
        self._listens.bind(str(path))
        self._listens.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        stream, _ = self._listens.accept()
        with stream, stream.makefile("rwb") as file:
            for line in file:
                asked = json.loads(line.lstrip(b"\xff"))
                self.heard.append(asked)
                answer = self._answers(asked)
                if answer is None:
                    continue
                file.write(answer if isinstance(answer, bytes) else json.dumps(answer).encode())
                file.write(b"\n")
                file.flush()

    def end(self) -> None:
        # One that nobody has spoken to still waits.
        with socket.socket(socket.AF_UNIX) as stream:
            stream.connect(str(self.path))
        self._thread.join()
        self._listens.close()


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Callable[[Answers], Agent]]:
    made: list[Agent] = []

    def make(answers: Answers) -> Agent:
        made.append(Agent(tmp_path / "agent.sock", answers))
        return made[-1]

    yield make
    for one in made:
        one.end()


def synced(asked: dict[str, Any]) -> bytes:
    return b"\xff" + json.dumps({"return": asked["arguments"]["id"]}).encode()


class Clock:
    """A guest's clock, and the agent that tells and sets it."""

    def __init__(self, behind: float, *, set_says: object = None, moves: bool = True) -> None:
        self.ahead = -behind
        self.set_says = {"return": {}} if set_says is None else set_says
        self.moves = moves

    def __call__(self, asked: dict[str, Any]) -> object:
        match asked["execute"]:
            case "guest-sync-delimited":
                return synced(asked)
            case "guest-set-time":
                if self.moves:
                    self.ahead = asked["arguments"]["time"] / 1e9 - time.time()
                return self.set_says
        return {"return": time.time_ns() + int(self.ahead * 1e9)}


REFUSED = {"error": {"class": "GenericError", "desc": "hwclock failed"}}


def test_the_clock_is_set_to_this_hosts(agent: Callable[[Answers], Agent]) -> None:
    clock = Clock(behind=40)
    one = agent(clock)
    set_time(one.path, pid=os.getpid(), limit=LONG)
    assert abs(clock.ahead) < 1
    asked = [request["execute"] for request in one.heard]
    assert asked == ["guest-sync-delimited", "guest-set-time", "guest-get-time"]
    assert not any("id" in request for request in one.heard), "old agents refuse it"


def test_what_was_meant_for_another_is_skipped(agent: Callable[[Answers], Agent]) -> None:
    clock = Clock(behind=40)

    def answers(asked: dict[str, Any]) -> object:
        if asked["execute"] == "guest-sync-delimited":
            late = b'{"return": "of an earlier"}\n\xff{"return": 7}\n'
            return late + synced(asked)
        return clock(asked)

    set_time(agent(answers).path, pid=os.getpid(), limit=LONG)
    assert abs(clock.ahead) < 1


def test_one_that_failed_after_it_set_the_clock_has_set_it(
    agent: Callable[[Answers], Agent],
) -> None:
    clock = Clock(behind=40, set_says=REFUSED)
    set_time(agent(clock).path, pid=os.getpid(), limit=LONG)
    assert abs(clock.ahead) < 1


@pytest.mark.parametrize(
    ("clock", "words"),
    [
        (Clock(40, set_says=REFUSED, moves=False), "guest-set-time: hwclock failed"),
        (Clock(40, moves=False), r"its clock shows -40\.0 s"),
        (Clock(-7200, moves=False), r"its clock shows \+7,200\.0 s"),
        (Clock(40, set_says={"hello": 1}), "guest-set-time: an answer without return or error"),
        (Clock(40, set_says=b"[]"), "it is no JSON object"),
        (Clock(40, set_says={"error": 3}), "an error that is no JSON object"),
    ],
)
def test_a_clock_that_is_not_right_is_not_called_set(
    agent: Callable[[Answers], Agent], clock: Clock, words: str
) -> None:
    with pytest.raises(QmpError, match=words):
        set_time(agent(clock).path, pid=os.getpid(), limit=LONG)


def test_one_that_tells_nonsense_for_the_time(agent: Callable[[Answers], Agent]) -> None:
    def answers(asked: dict[str, Any]) -> object:
        return (
            synced(asked)
            if "arguments" in asked and "id" in asked["arguments"]
            else {"return": "now"}
        )

    with pytest.raises(QmpError, match="the agent tells no time"):
        set_time(agent(answers).path, pid=os.getpid(), limit=LONG)


def test_one_that_does_not_answer_has_its_time(agent: Callable[[Answers], Agent]) -> None:
    with pytest.raises(QmpError, match="no answer in time"):
        set_time(agent(lambda _: None).path, pid=os.getpid(), limit=0.05)


def test_whoever_else_listens_is_not_spoken_to(agent: Callable[[Answers], Agent]) -> None:
    one = agent(lambda _: None)
    with pytest.raises(QmpError, match="listens there"):
        set_time(one.path, pid=1, limit=LONG)
    assert one.heard == []


def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(QmpError, match="No such file"):
        set_time(tmp_path / "none.sock", pid=1, limit=LONG)


PORT = "virtserialport,chardev=ga,name=org.qemu.guest_agent.0"
SOCKET = "socket,id=ga,path=/run/ga.sock,server=on,wait=off"


@pytest.mark.parametrize(
    ("argv", "found"),
    [
        (["-chardev", SOCKET, "-device", PORT], ("/run/ga.sock",)),
        (["-device", PORT, "-chardev", SOCKET], ("/run/ga.sock",)),
        (["-chardev", SOCKET], ()),
        (["-device", PORT], ()),
        (["-chardev", "pty,id=ga", "-device", PORT], ()),
        (["-chardev", SOCKET, "-device", "virtserialport,chardev=ga,name=com.redhat.spice.0"], ()),
        (
            ["-chardev", SOCKET, "-device",
             '{"driver":"virtserialport","chardev":"ga","name":"org.qemu.guest_agent.0"}'],
            ("/run/ga.sock",),
        ),
    ],
)  # fmt: skip
def test_where_the_agent_is(argv: list[str], found: tuple[str, ...]) -> None:
    assert agent_sockets(options(["qemu-system-x86_64", *argv])) == found
