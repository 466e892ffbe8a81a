# SPDX-License-Identifier: MIT
"""Bytes of a terminal: what is a key, and what must never be one."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luo_tui.console.input import (
    ESCAPE_WAIT,
    LONGEST,
    PASTE_MOST,
    PASTE_WAIT,
    SEQUENCE_MOST,
    UNFINISHED_WAIT,
    Scanner,
)
from luo_tui.console.sequences import NOTHING, Kind, Token

LATER = 1e6


def read(*parts: bytes) -> list[Token]:
    """Scan what was read piece by piece, and then nothing for a long time."""
    scanner = Scanner()
    tokens = [t for part in parts for t in scanner.feed(part, 0.0)]
    tokens += scanner.expire(LATER)
    assert scanner.is_idle
    assert scanner.deadline is None
    return tokens


def keys(*parts: bytes) -> list[str]:
    """Return the keys among it."""
    return [t.text for t in read(*parts) if t.kind is Kind.KEY]


KEYS = {
    b"l": "l",
    b" ": " ",
    b"\r": "\r",
    b"\t": "\t",
    b"\x7f": "\x7f",
    b"\x00": "\x00",
    b"\x1c": "\x1c",
    "é".encode(): "é",
    "語".encode(): "語",
    "😀".encode(): "😀",
    b"\x1b[A": "\x1b[A",
    b"\x1b[1;5C": "\x1b[1;5C",
    b"\x1bOB": "\x1bOB",
    b"\x1bOq": "\x1bOq",
    b"\x1bOM": "\x1bOM",
    b"\x9bD": "\x1b[D",
    b"\xc2\x9bD": "\x1b[D",
    b"\x8fP": "\x1bOP",
    b"\x1b[Z": "\x1b[Z",
    b"\x1b[[A": "\x1b[[A",
    b"\x1b[5~": "\x1b[5~",
    b"\x1b[15;5~": "\x1b[15;5~",
    b"\x1b[3^": "\x1b[3^",
    b"\x1b[a": "\x1b[a",
    b"\x1bb": "\x1bb",
    b"\x1b\x7f": "\x1b\x7f",
    # The kitty protocol: with text, with modifiers, with what is not asked for.
    b"\x1b[112u": "\x1b[112u",
    b"\x1b[112;;112u": "\x1b[112;;112u",
    b"\x1b[112;1u": "\x1b[112u",
    b"\x1b[113;5u": "\x1b[113;5u",
    b"\x1b[112;1:1;112u": "\x1b[112;;112u",
    b"\x1b[112;1:2u": "\x1b[112u",
    b"\x1b[112:80;2u": "\x1b[112;2u",
    b"\x1b[112::112;2u": "\x1b[112;2u",
    b"\x1b[13u": "\x1b[13u",
    b"\x1b[27;5u": "\x1b[27;5u",
    b"\x1b[57414u": "\x1b[57414u",
    b"\x1b[1;1:1A": "\x1b[A",
    b"\x1b[1;3:2B": "\x1b[1;3B",
    b"\x1b[5;1:1~": "\x1b[5~",
    # xterm's modifyOtherKeys.
    b"\x1b[27;5;113~": "\x1b[113;5u",
}


@pytest.mark.parametrize("raw", KEYS, ids=repr)
def test_a_key_is_that_key_however_it_is_cut(raw: bytes) -> None:
    assert read(raw) == [Token(Kind.KEY, KEYS[raw])]
    for at in range(1, len(raw)):
        assert read(raw[:at], raw[at:]) == [Token(Kind.KEY, KEYS[raw])], at
    assert read(*(bytes([b]) for b in raw)) == [Token(Kind.KEY, KEYS[raw])]


REPLIES = {
    "XTVERSION of Konsole": b"\x1bP>|Konsole 24.08\x1b\\",
    "XTVERSION of tmux": b"\x1bP>|tmux 3.4\x1b\\",
    "DECRQSS, cursor style": b"\x1bP1$r2 q\x1b\\",
    "XTGETTCAP": b"\x1bP1+r544e=787465726d\x1b\\",
    "OSC 4": b"\x1b]4;1;rgb:cccc/0000/0000\x07",
    "OSC 10": b"\x1b]10;rgb:ffff/ffff/ffff\x1b\\",
    "OSC 11": b"\x1b]11;rgb:1414/1919/1f1f\x1b\\",
    "OSC 52": b"\x1b]52;c;cHVsbA==\x07",
    "title, in UTF-8": b"\x1b]l" + "朜lq".encode() + b"\x1b\\",
    "kitty graphics": b"\x1b_Gi=31;OK\x1b\\",
    "SOS": b"\x1bXlpkq\x1b\\",
    "PM": b"\x1b^lpkq\x1b\\",
    "DCS of eight bits": b"\x90>|lpkq\x9c",
    "DCS in UTF-8": b"\xc2\x90>|lpkq\x1b\\",
    "string with keys in it": b"\x1bPl\rq\x1b[Ap\x03k\x1b\\",
    "DCS with BEL in it": b"\x1bPl\x07q\x1b\\",
    "DA1": b"\x1b[?62;1;2;6;9;15;22;29c",
    "DA1 of a VT100": b"\x1b[?1;2c",
    "DA2": b"\x1b[>41;390;0c",
    "DA2 of eight bits": b"\x9b>41;390;0c",
    "DA3": b"\x1bP!|7E565445\x1b\\",
    "DSR": b"\x1b[0n",
    "theme": b"\x1b[?997;1n",
    "cursor position": b"\x1b[24;80R",
    "cursor position like F3": b"\x1b[1;5R",
    "DECXCPR": b"\x1b[?24;80;1R",
    "size in cells": b"\x1b[8;30;100t",
    "size in pixels": b"\x1b[4;600;800t",
    "mode that nobody asked for": b"\x1b[?1006;1$y",
    "ANSI mode": b"\x1b[4;2$y",
    "kitty keyboard flags": b"\x1b[?25u",
    "sixel": b"\x1b[?1;0;256S",
    "DECRPTUI": b"\x1bP!|00000000\x1b\\",
    "DECREQTPARM": b"\x1b[2;1;1;112;112;1;0x",
    "old mouse report": b"\x1b[M lq",
    "mouse report of urxvt": b"\x1b[32;10;5M",
    "highlight mouse": b"\x1b[t",
    "end of no paste": b"\x1b[201~",
    "designation": b"\x1b(B",
    "single shift": b"\x1bNl",
    "stray ST": b"\x1b\\",
    "modifyOtherKeys": b"\x1b[>4;2m",
    "cut off by ESC": b"\x1b[?62;\x1b[?62;c",
    "control inside": b"\x1b[?6\r2c",
    "wrong byte inside": b"\x1b[6\x80l",
    "upper control": b"\x85",
    # No key has these numbers, though a parser that guesses makes letters of them.
    "letter by tilde": b"\x1b[112~",
    "letter by arrow": b"\x1b[112A",
    "letter by F4": b"\x1b[108;1S",
    "several moves": b"\x1b[5A",
    # The kitty protocol, released or malformed.
    "p released": b"\x1b[112;1:3u",
    "arrow released": b"\x1b[1;1:3A",
    "page released": b"\x1b[5;1:3~",
    "event of no such number": b"\x1b[112;1:7u",
    "no such character": b"\x1b[1114112u",
    "half a character": b"\x1b[55296u",
    "text that is a control": b"\x1b[112;;13u",
    "a control by number": b"\x1b[3u",
    "an upper control by number": b"\x1b[155u",
    "no number": b"\x1b[u",
    "no modifiers of this number": b"\x1b[112;999u",
    "modifiers below one": b"\x1b[112;0u",
    "a control with other keys": b"\x1b[27;1;3~",
    "escape and enter": b"\x1b\r",
    "alt and a letter": b"\x1bl",
    "alt and a letter of two bytes": b"\x1b" + "é".encode(),
    "no character": b"\xff",
    "continuation alone": b"\xa9",
    "overlong": b"\xe0\x80\x80",
    "half a character in UTF-8": b"\xed\xa0\x80",
}


@pytest.mark.parametrize("name", REPLIES)
def test_what_no_key_sends_does_nothing_however_it_is_cut(name: str) -> None:
    raw = REPLIES[name]
    assert set(read(raw)) == {NOTHING}
    for at in range(1, len(raw)):
        assert set(read(raw[:at], raw[at:])) == {NOTHING}, at
    assert read(raw, b"x")[-1] == Token(Kind.KEY, "x"), "what comes next is heard"


@pytest.mark.parametrize("name", REPLIES)
def test_a_reply_that_breaks_off_is_no_key(name: str) -> None:
    raw = REPLIES[name]
    for at in range(1, len(raw)):
        # An ESC that nothing follows is the Escape key, which never does harm.
        assert keys(raw[:at]) in ([], ["\x1b"] if raw[:at].endswith(b"\x1b") else []), at


def test_other_things_that_are_expected() -> None:
    assert read(b"\x1b[<0;10;5M") == [Token(Kind.MOUSE, "\x1b[<0;10;5M")]
    assert read(b"\x1b[<35;-1;5m") == [Token(Kind.MOUSE, "\x1b[<35;-1;5m")]
    assert [t.kind for t in read(b"\x1b[I\x1b[O")] == [Kind.FOCUS] * 2
    assert [t.kind for t in read(b"\x1b[?2026;2$y\x1b[?2048;1$y")] == [Kind.REPORT] * 2
    assert [t.kind for t in read(b"\x1b[48;24;80;480;640t")] == [Kind.REPORT]
    assert [t.kind for t in read(b"\x1b[57442;5u\x1b[57441u")] == [Kind.MODIFIER] * 2


def test_text_of_several_characters_is_a_paste_and_no_key() -> None:
    assert read(b"\x1b[0;;100:101u") == [Token(Kind.PASTE, "de")]
    assert read(b"\x1b[0;;100u") == [Token(Kind.PASTE, "d")]
    assert read(b"\x1b[100;;100:101u") == [Token(Kind.PASTE, "de")]


# -- time -----------------------------------------------------------------------------


def test_an_escape_that_nothing_follows_is_the_key() -> None:
    scanner = Scanner()
    assert scanner.feed(b"\x1b", 5.0) == []
    assert scanner.deadline == 5.0 + ESCAPE_WAIT
    assert scanner.expire(5.0 + ESCAPE_WAIT / 2) == []
    assert scanner.expire(5.0 + ESCAPE_WAIT) == [Token(Kind.KEY, "\x1b")]
    assert scanner.expire(LATER) == []


def test_two_escapes_are_two() -> None:
    assert keys(b"\x1b\x1b") == ["\x1b"] * 2
    assert keys(b"\x1b\x1b[A") == ["\x1b", "\x1b[A"]


@pytest.mark.parametrize("begun", [b"\x1b[", b"\x1b[1;", b"\x1bO", b"\x1bP", b"\x1b]11;", b"\xe2"])
def test_what_stays_unfinished_is_dropped_whole_and_keys_are_heard_again(begun: bytes) -> None:
    scanner = Scanner()
    assert scanner.feed(begun, 1.0) == []
    assert scanner.expire(1.0 + UNFINISHED_WAIT - 0.01) == []
    assert scanner.expire(1.0 + UNFINISHED_WAIT) == [NOTHING]
    assert scanner.feed(b"l", LATER) == [Token(Kind.KEY, "l")]


def test_what_goes_on_and_on_ends_too() -> None:
    scanner = Scanner()
    scanner.feed(b"\x1bP", 0.0)
    now = 0.0
    while now < LONGEST:
        now += UNFINISHED_WAIT / 2
        assert scanner.expire(now) == []
        if now <= LONGEST:
            assert scanner.feed(b"l", now) == []
    assert scanner.feed(b"l", now + 0.1) == [NOTHING, Token(Kind.KEY, "l")]


# -- pastes ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pasted", "text"),
    [
        (b"demo-hv", "demo-hv"),
        (b"", ""),
        (b"a\r\nb\rc\nd", "a\nb\nc\nd"),
        (b"a\x1b[Ab\x00\x07\x9b\xc2\x9bc", "a[Abc"),
        (b"l\x1b[200~q", "l[200~q"),
        ("語é".encode(), "語é"),
    ],
)
def test_a_paste_is_its_text_and_no_key(pasted: bytes, text: str) -> None:
    raw = b"\x1b[200~" + pasted + b"\x1b[201~"
    for at in range(len(raw)):
        assert read(raw[:at], raw[at:], b"x") == [Token(Kind.PASTE, text), Token(Kind.KEY, "x")]


def test_a_paste_without_an_end_is_dropped_and_told_of() -> None:
    scanner = Scanner()
    assert scanner.feed(b"\x1b[200~demo-hv", 1.0) == []
    assert scanner.expire(1.0 + PASTE_WAIT - 0.01) == []
    assert scanner.expire(1.0 + PASTE_WAIT) == [Token(Kind.PASTE, "")]
    assert scanner.feed(b"l", LATER) == [Token(Kind.KEY, "l")]


def test_too_long_a_paste_is_dropped_whole() -> None:
    raw = b"\x1b[200~" + b"l" * (PASTE_MOST * 2) + b"\x1b[201~x"
    assert read(raw) == [Token(Kind.PASTE, ""), Token(Kind.KEY, "x")]


def test_too_long_a_sequence_is_none() -> None:
    assert read(b"\x1b[" + b"1" * SEQUENCE_MOST * 2 + b"u") == [NOTHING]
    scanner = Scanner()
    scanner.feed(b"\x1b[" + b"1" * 100_000, 0.0)
    assert len(scanner._held) <= SEQUENCE_MOST


# -- anything at all ------------------------------------------------------------------

whatever = settings(deadline=None, database=None)
garbage = st.binary(max_size=60) | st.lists(
    st.sampled_from([*KEYS, *REPLIES.values(), b"\x1b", b"\x1b[200~", b"\x1b[", b"\x1bP", b"l"]),
    max_size=6,
).map(b"".join)


@whatever
@given(garbage, st.lists(st.integers(0, 60), max_size=4))
def test_any_garbage_is_read_and_the_cuts_change_nothing(raw: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(min(c, len(raw)) for c in cuts), len(raw)]
    parts = [raw[a:b] for a, b in pairwise(places)]
    assert read(*parts) == read(raw)


@whatever
@given(garbage, st.sampled_from(list(KEYS)))
def test_after_any_garbage_and_a_silence_a_key_is_that_key(raw: bytes, key: bytes) -> None:
    scanner = Scanner()
    scanner.feed(raw, 0.0)
    scanner.expire(LATER)
    assert scanner.feed(key, LATER) == [Token(Kind.KEY, KEYS[key])]


introducers = st.sampled_from([b"\x1bP", b"\x1bX", b"\x1b^", b"\x1b_", b"\xc2\x90", b"\xc2\x9f"])


@whatever
@given(introducers, st.binary(max_size=200), st.booleans())
def test_no_key_comes_out_of_a_control_string(begin: bytes, inside: bytes, ended: bool) -> None:
    inside = inside.replace(b"\x1b\\", b"")
    assert keys(begin + inside + (b"\x1b\\" if ended else b"")) == []


@whatever
@given(st.binary(max_size=200))
def test_no_key_comes_out_of_an_osc(inside: bytes) -> None:
    assert keys(b"\x1b]" + inside.replace(b"\x1b\\", b"").replace(b"\x07", b"") + b"\x07") == []


@whatever
@given(st.text(st.sampled_from("0123456789;:<=>?"), max_size=30), st.sampled_from("lpkcfuoqtQ"))
def test_no_control_sequence_is_a_letter(parameters: str, last: str) -> None:
    for token in read(f"\x1b[{parameters}{last}".encode()):
        assert token.text != last
        assert len(token.text) != 1


@whatever
@given(st.text(max_size=30))
def test_text_is_text(text: str) -> None:
    characters = [c for c in text if c >= "\xa0" or " " <= c < "\x7f"]
    assert keys("".join(characters).encode()) == characters
