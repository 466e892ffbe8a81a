# SPDX-License-Identifier: MIT
"""Cuts what a terminal sends into whole things: characters, keys, replies, pastes.

A terminal's bytes are not only keys. Replies to what others asked it arrive
late, in halves, or without their end; taken for keys, one of them loads a
kernel image. So nothing is looked at before it is whole, a control string is
swallowed from its first byte to its last whatever stands in it, and what stays
unfinished is dropped. No clock is read here: the caller says when nothing came.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

from luo_tui.console.sequences import ESCAPE, NOTHING, PASTE_BEGINS, Kind, Token, classify

ESCAPE_WAIT = 0.1
"""Seconds after which an ESC byte that nothing follows is the Escape key."""
UNFINISHED_WAIT = 1.0
"""Seconds of silence after which an unfinished sequence or control string is dropped."""
PASTE_WAIT = 2.0
"""Seconds of silence after which a paste without an end is dropped."""
LONGEST = 60.0
"""Seconds after which whatever is unfinished is dropped, silence or not."""
SEQUENCE_MOST = 256
"""Bytes of a sequence that are looked at; a longer one is none that is known."""
PASTE_MOST = 64 << 10
"""Bytes of a paste that are kept; a longer one is dropped whole."""

_ESC, _BEL, _DEL, _ST = 0x1B, 0x07, 0x7F, 0x9C
_PASTE_ENDS = b"\x1b[201~"
_STRINGS = b"PX]^_"
"""What follows ESC where a control string begins: DCS, SOS, OSC, PM, APC."""
_EIGHT_BIT = {code: code - 0x40 for code in (0x8F, 0x90, 0x98, 0x9B, 0x9D, 0x9E, 0x9F)}
"""Controls of one byte that stand for ESC and another: SS3, DCS, SOS, CSI, OSC, PM, APC."""


class _In(Enum):
    """What is unfinished."""

    NOTHING = 0
    CHARACTER = 1
    """Of several bytes, in UTF-8."""
    ESCAPE = 2
    INTERMEDIATE = 3
    """ESC and punctuation, up to a letter or digit."""
    SEQUENCE = 4
    """CSI, up to its final byte."""
    SINGLE = 5
    """SS3 or SS2, up to its final byte."""
    COUNTED = 6
    """A known number of bytes, whatever they are."""
    STRING = 7
    STRING_ESCAPE = 8
    """In a control string, after an ESC that may begin its end."""
    PASTE = 9


_WAIT = {_In.ESCAPE: ESCAPE_WAIT, _In.PASTE: PASTE_WAIT}


class Scanner:
    """Holds what is unfinished between two reads."""

    def __init__(self) -> None:
        """Start between two things."""
        self._in = _In.NOTHING
        self._held = bytearray()
        self._wrong = False
        """Whether what is unfinished can only become nothing."""
        self._left = 0
        """Bytes that are still to come, where their number is known."""
        self._string = 0
        self._eight_bit = False
        self._began = self._latest = 0.0

    @property
    def is_idle(self) -> bool:
        """Whether nothing is unfinished."""
        return self._in is _In.NOTHING

    @property
    def deadline(self) -> float | None:
        """When :meth:`expire` is to be called unless more comes before; None while idle."""
        if self.is_idle:
            return None
        return self._latest + _WAIT.get(self._in, UNFINISHED_WAIT)

    def feed(self, data: bytes, now: float) -> list[Token]:
        """Take what was read at ``now`` (seconds of any clock); return what became whole."""
        tokens = []
        if not self.is_idle and now - self._began > LONGEST:
            tokens += self._give_up()
        for byte in data:
            if self.is_idle:
                self._began = now
            tokens += self._step(byte)
        self._latest = now
        return tokens

    def expire(self, now: float) -> list[Token]:
        """Say that nothing more was there to be read until ``now``; return what that decides."""
        deadline = self.deadline
        return self._give_up() if deadline is not None and now >= deadline else []

    def _give_up(self) -> list[Token]:
        state = self._in
        self._reset()
        if state is _In.ESCAPE:
            return [ESCAPE]
        # An empty paste fills nothing in, and whoever wants no paste says so.
        return [Token(Kind.PASTE) if state is _In.PASTE else NOTHING]

    def _reset(self) -> None:
        self._in = _In.NOTHING
        self._held.clear()
        self._wrong = self._eight_bit = False

    # -- byte by byte -----------------------------------------------------------------

    def _step(self, byte: int) -> Iterator[Token]:
        match self._in:
            case _In.NOTHING:
                yield from self._start(byte)
            case _In.CHARACTER:
                yield from self._character(byte)
            case _In.ESCAPE:
                yield from self._escape(byte)
            case _In.INTERMEDIATE:
                yield from self._until(byte, range(0x20, 0x30), range(0x30, 0x7F))
            case _In.SEQUENCE:
                yield from self._sequence(byte)
            case _In.SINGLE:
                yield from self._until(byte, range(0x30, 0x40), range(0x40, 0x7F))
            case _In.COUNTED:
                yield from self._counted(byte)
            case _In.STRING | _In.STRING_ESCAPE:
                yield from self._within_string(byte)
            case _In.PASTE:
                yield from self._within_paste(byte)

    def _start(self, byte: int) -> Iterator[Token]:
        """Take the first byte of something."""
        if byte == _ESC:
            self._in = _In.ESCAPE
            self._held.append(byte)
        elif byte < 0x80:
            yield Token(Kind.KEY, chr(byte))
        elif byte < 0xA0:
            yield from self._control(byte)
        elif 0xC2 <= byte <= 0xF4:
            self._begin_character(byte)
        else:
            yield NOTHING

    def _control(self, code: int, *, in_utf_8: bool = False) -> Iterator[Token]:
        """Take a control of the upper half, which some terminals send instead of ESC and a byte."""
        self._reset()
        if code not in _EIGHT_BIT:
            yield NOTHING
            return
        self._held.append(_ESC)
        yield from self._escape(_EIGHT_BIT[code])
        # Where text is UTF-8, the byte of an ST is also part of characters.
        self._eight_bit = not in_utf_8

    def _begin_character(self, byte: int) -> None:
        self._in = _In.CHARACTER
        self._held.append(byte)
        self._left = 1 if byte < 0xE0 else 2 if byte < 0xF0 else 3

    def _character(self, byte: int) -> Iterator[Token]:
        if not 0x80 <= byte < 0xC0:
            # Cut off: what comes now is another thing.
            self._reset()
            yield NOTHING
            yield from self._step(byte)
            return
        self._held.append(byte)
        self._left -= 1
        if self._left:
            return
        whole = bytes(self._held)
        self._reset()
        text = whole.decode(errors="ignore")
        if len(text) != 1:
            # No such character, or one together with Alt, which means nothing here.
            yield NOTHING
        elif ord(text) < 0xA0:
            yield from self._control(ord(text), in_utf_8=True)
        else:
            yield Token(Kind.KEY, text)

    def _escape(self, byte: int) -> Iterator[Token]:
        """Take what follows an ESC."""
        if byte == _ESC:
            yield ESCAPE
        elif byte >= 0x80:
            if 0xC2 <= byte <= 0xF4:
                self._begin_character(byte)
            else:
                self._reset()
                yield from self._start(byte)
        elif byte in _STRINGS:
            self._in, self._string = _In.STRING, byte
        elif byte == ord("["):
            self._in = _In.SEQUENCE
            self._held.append(byte)
        elif byte in b"NO":
            self._in = _In.SINGLE
            self._held.append(byte)
        elif 0x20 <= byte < 0x30:
            # No key sends such a sequence.
            self._in, self._wrong = _In.INTERMEDIATE, True
        else:
            yield from self._end(byte)

    def _until(self, byte: int, between: range, last: range) -> Iterator[Token]:
        """Take a byte of what ends with one of ``last``."""
        if byte == _ESC:
            yield from self._again()
        elif byte in last:
            yield from self._end(byte)
        else:
            self._wrong = self._wrong or byte not in between
            self._hold(byte)

    def _sequence(self, byte: int) -> Iterator[Token]:
        first = len(self._held) == 2 and not self._wrong
        if first and byte == ord("["):
            # A function key of the Linux console: one letter more.
            self._held.append(byte)
            self._in, self._left = _In.COUNTED, 1
        elif first and byte == ord("M"):
            # The old report of the mouse: three bytes more, any.
            self._held.append(byte)
            self._in, self._left = _In.COUNTED, 3
        else:
            yield from self._until(byte, range(0x20, 0x40), range(0x40, 0x7F))

    def _counted(self, byte: int) -> Iterator[Token]:
        if byte == _ESC:
            yield from self._again()
            return
        self._left -= 1
        if self._left:
            self._hold(byte)
        else:
            yield from self._end(byte)

    def _within_string(self, byte: int) -> Iterator[Token]:
        """Swallow everything up to the end."""
        if self._in is _In.STRING_ESCAPE and byte == ord("\\"):
            ended = True
        else:
            ended = (byte == _BEL and self._string == ord("]")) or (byte == _ST and self._eight_bit)
            self._in = _In.STRING_ESCAPE if byte == _ESC else _In.STRING
        if ended:
            self._reset()
            yield NOTHING

    def _within_paste(self, byte: int) -> Iterator[Token]:
        self._held.append(byte)
        if self._held.endswith(_PASTE_ENDS):
            text = "" if self._wrong else _pasted(bytes(self._held[: -len(_PASTE_ENDS)]))
            self._reset()
            yield Token(Kind.PASTE, text)
        elif len(self._held) > PASTE_MOST:
            self._wrong = True
            del self._held[: -len(_PASTE_ENDS)]

    # -- ends -------------------------------------------------------------------------

    def _hold(self, byte: int) -> None:
        if len(self._held) < SEQUENCE_MOST:
            self._held.append(byte)
        else:
            self._wrong = True

    def _again(self) -> Iterator[Token]:
        """Drop what was begun: an ESC begins something else."""
        self._reset()
        yield NOTHING
        self._in = _In.ESCAPE
        self._held.append(_ESC)

    def _end(self, byte: int) -> Iterator[Token]:
        """Say what a sequence is, of which this is the last byte."""
        self._hold(byte)
        whole, wrong = bytes(self._held), self._wrong
        self._reset()
        text = whole.decode("ascii", errors="replace")
        if text == PASTE_BEGINS and not wrong:
            self._in = _In.PASTE
        else:
            yield NOTHING if wrong else classify(text)


def _pasted(raw: bytes) -> str:
    """Return what can be written of a paste; controls in it are left out."""
    text = raw.decode(errors="ignore").replace("\r\n", "\n").replace("\r", "\n")
    return "".join(c for c in text if c == "\n" or c.isprintable())
