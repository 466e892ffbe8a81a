# SPDX-License-Identifier: MIT
"""From bytes to Textual's events: which key came alone, and what the driver's questions get."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from textual import events
from textual._xterm_parser import XTermParser
from textual.message import Message
from textual.messages import TerminalSupportsSynchronizedOutput

from luo_tui.console.input import ESCAPE_WAIT, PASTE_WAIT
from luo_tui.console.keyboard import QUIET, Key, Keyboard

SOON = QUIET / 2
LATER = QUIET * 1.1


class Hand:
    """Sends bytes to a keyboard, at times that it makes up."""

    def __init__(self, *, mouse: bool = False) -> None:
        self.got: list[Message] = []
        self.asked_for_sizes = 0
        self.now = 100.0
        self.keyboard = Keyboard(-1, self.got.append, mouse=mouse, ask_for_sizes=self._ask)
        self.wait(1.0)

    def _ask(self) -> None:
        self.asked_for_sizes += 1

    def send(self, *parts: bytes, gap: float = 0.0) -> None:
        for part in parts:
            self.keyboard.take(part, self.now)
            if gap:
                self.wait(gap)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.keyboard.nothing_until(self.now)

    @property
    def keys(self) -> list[Key]:
        return [m for m in self.got if isinstance(m, Key)]

    def alone(self) -> list[tuple[str, bool]]:
        """Wait for a quiet moment; return each key with whether it came alone."""
        self.wait(1.0)
        return [(k.key, k.alone.result(0)) for k in self.keys]


@pytest.fixture
def hand() -> Hand:
    return Hand()


def test_a_key_in_a_quiet_moment_came_alone_and_knows_it_only_then(hand: Hand) -> None:
    hand.send(b"l")
    assert [k.key for k in hand.keys] == ["l"], "it is handed on at once"
    hand.wait(SOON)
    assert not hand.keys[0].alone.done()
    hand.wait(QUIET)
    assert hand.keys[0].alone.result(0) is True


@pytest.mark.parametrize("raw", [b"\x1b[108u", b"\x1b[108;;108u", b"\x1b[108;1:1;108u"])
def test_a_key_of_many_bytes_is_one(hand: Hand, raw: bytes) -> None:
    hand.send(raw)
    assert hand.alone() == [("l", True)]


def test_a_key_that_comes_in_pieces_is_one(hand: Hand) -> None:
    hand.send(b"\x1b[108", b";;10", b"8u", gap=SOON)
    assert hand.alone() == [("l", True)]


def test_a_key_that_a_slow_line_tears_is_one(hand: Hand) -> None:
    hand.send(b"\x1b[108", b";;108u", gap=LATER)
    assert hand.alone() == [("l", True)]


@pytest.mark.parametrize(
    "other",
    [
        b"x",
        b"\r",
        b"\x1b[I",
        b"\x1b[?62;c",
        b"\x1bP1$r2 q\x1b\\",
        b"\x1b[112;1:3u",
        b"\x1b[200~x\x1b[201~",
        b"\x1b[<35;1;1M",
        b"\x80",
        b"\x1b[1",
        b"\x1b",
    ],
    ids=repr,
)
def test_a_key_with_anything_near_did_not_come_alone(other: bytes) -> None:
    for parts in ((other + b"l",), (other, b"l"), (b"l", other), (b"l" + other,)):
        hand = Hand(mouse=True)
        if other in (b"\x1b[1", b"\x1b") and parts[-1] != other and parts != (b"l" + other,):
            continue  # there the letter belongs to the sequence
        hand.send(*parts, gap=SOON)
        assert ("l", False) in hand.alone(), parts
        assert ("l", True) not in hand.alone(), parts


def test_after_a_quiet_moment_a_key_is_alone_again(hand: Hand) -> None:
    hand.send(b"xyz")
    hand.wait(LATER)
    hand.send(b"l")
    hand.wait(LATER)
    hand.send(b"x")
    assert hand.alone()[3:] == [("l", True), ("x", True)]


def test_a_key_held_down_is_no_key_alone(hand: Hand) -> None:
    hand.send(*[b"l"] * 20, gap=0.03)
    assert {alone for _, alone in hand.alone()} == {False}


def test_what_was_typed_before_anybody_looked_is_not_alone() -> None:
    got: list[Message] = []
    keyboard = Keyboard(-1, got.append, mouse=False, ask_for_sizes=lambda: None)
    keyboard.take(b"l", 100.0)
    keyboard.nothing_until(101.0)
    (key,) = got
    assert isinstance(key, Key)
    assert key.alone.result(0) is False


def test_a_modifier_pressed_shortly_before_does_not_count(hand: Hand) -> None:
    hand.send(b"\x1b[57442;5u", b"\x1b[113;5u", gap=SOON)
    assert hand.alone() == [("ctrl+q", True)]


def test_a_sequence_of_two_keys_is_no_key_alone(
    hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = [events.Key("escape", None), events.Key("l", "l")]
    monkeypatch.setattr(XTermParser, "_sequence_to_key_events", lambda self, text: iter(two))
    hand.send(b"\x1b[A")
    assert hand.alone() == [("escape", False), ("l", False)]


def test_an_escape_comes_late_and_is_escape(hand: Hand) -> None:
    hand.send(b"\x1b")
    hand.wait(ESCAPE_WAIT)
    assert [k.key for k in hand.keys] == ["escape"]


def test_whatever_textual_cannot_read_is_no_key(
    hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: XTermParser, sequence: str) -> Iterator[events.Key]:
        yield events.Key("up", None)
        raise ValueError("invalid literal")

    with monkeypatch.context() as patch:
        patch.setattr(XTermParser, "_sequence_to_key_events", broken)
        hand.send(b"\x1b[A")
    assert hand.got == []
    hand.wait(LATER)
    hand.send(b"\x1b[B")
    assert [k.key for k in hand.keys] == ["down"]


def test_pastes_and_focus(hand: Hand) -> None:
    hand.send(b"\x1b[200~ab\x1b[201~\x1b[I\x1b[O\x1b[0;;97:98u")
    paste, focus, blur, text = hand.got
    assert isinstance(paste, events.Paste)
    assert isinstance(text, events.Paste)
    assert paste.text == text.text == "ab"
    assert isinstance(focus, events.AppFocus)
    assert isinstance(blur, events.AppBlur)
    hand.send(b"\x1b[200~cd")
    hand.wait(PASTE_WAIT)
    dropped = hand.got[-1]
    assert isinstance(dropped, events.Paste)
    assert dropped.text == ""


def test_the_mouse_only_where_it_is_wanted(hand: Hand) -> None:
    hand.send(b"\x1b[<0;10;5M\x1b[M lq\x1b[32;1;1M")
    assert hand.got == []
    hand = Hand(mouse=True)
    hand.send(b"\x1b[<0;10;5M\x1b[<0;10;5m\x1b[M lq\x1b[32;1;1M")
    assert [type(m) for m in hand.got] == [events.MouseDown, events.MouseUp]


def test_answers_to_what_the_driver_asks(hand: Hand) -> None:
    hand.send(b"\x1b[48;30;100;600;1000t")
    assert hand.got == [], "nobody asked for sizes"
    hand.send(b"\x1b[?2026;2$y\x1b[?2026;0$y\x1b[?2026;4$y")
    assert [type(m) for m in hand.got] == [TerminalSupportsSynchronizedOutput]
    hand.send(b"\x1b[?2048;0$y")
    assert hand.asked_for_sizes == 0
    hand.send(b"\x1b[?2048;2$y\x1b[?2048;2$y")
    assert hand.asked_for_sizes == 1
    hand.send(b"\x1b[48;30;100;600;1000t\x1b[48;0;100;600;1000t\x1b[48;99999;100;1;1t")
    (size,) = [m for m in hand.got if isinstance(m, events.Resize)]
    assert (size.size.width, size.size.height) == (100, 30)


@dataclass
class Line:
    """A keyboard that reads a pipe in a thread."""

    write: int
    ending: threading.Event
    thread: threading.Thread
    got: list[Message]
    failed: list[BaseException]


@pytest.fixture
def line() -> Iterator[Line]:
    read, write = os.pipe()
    ending = threading.Event()
    got: list[Message] = []
    failed: list[BaseException] = []
    keyboard = Keyboard(read, got.append, mouse=False, ask_for_sizes=lambda: None)

    def run() -> None:
        try:
            keyboard.run(ending)
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    yield Line(write, ending, thread, got, failed)
    ending.set()
    thread.join(10)
    os.close(read)
    if write >= 0 and not failed:
        os.close(write)


def test_it_reads_and_ends_when_it_is_told(line: Line) -> None:
    os.write(line.write, b"\x1b[1")
    os.write(line.write, b";5Cq\x1b")
    for _ in range(200):
        if len(line.got) == 3:
            break
        line.thread.join(0.05)
    assert [m.key for m in line.got if isinstance(m, Key)] == ["ctrl+right", "q", "escape"]
    line.ending.set()
    line.thread.join(10)
    assert not line.thread.is_alive()
    assert not line.failed


def test_the_end_of_the_input_is_a_lost_terminal(line: Line) -> None:
    os.close(line.write)
    line.thread.join(10)
    (error,) = line.failed
    assert isinstance(error, OSError)
    assert error.errno == errno.EIO
