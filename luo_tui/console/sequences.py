# SPDX-License-Identifier: MIT
"""What one whole sequence from a terminal is: a key, something else that is expected, or nothing.

A list of what is known, not of what is not: a terminal also sends the replies
to what others asked it (its version, its colours, its size), and many of them
look like keys to a parser that guesses. Forms and numbers are those of xterm's
ctlseqs, of rxvt and the Linux console, and of the kitty keyboard protocol.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What came from the terminal."""

    KEY = "key"
    """A key, as text or as a whole sequence in the form that Textual's tables know."""
    MODIFIER = "modifier"
    """Shift, Ctrl and the like, pressed by itself: some terminals tell of it."""
    MOUSE = "mouse"
    """A report of the mouse, in the one form that is asked for (SGR)."""
    FOCUS = "focus"
    """The terminal's window got the focus, or lost it."""
    PASTE = "paste"
    """Text that no single key made."""
    REPORT = "report"
    """An answer to a question that the driver itself asks, or a new size."""
    NOTHING = "nothing"
    """Anything else; it does nothing."""


@dataclass(frozen=True, slots=True)
class Token:
    """Something whole."""

    kind: Kind
    text: str = ""
    """The sequence, or the text that was pasted; empty for nothing."""


NOTHING = Token(Kind.NOTHING)
ESCAPE = Token(Kind.KEY, "\x1b")
PASTE_BEGINS = "\x1b[200~"

_TILDE = {*range(1, 9), *range(11, 16), *range(17, 22), *range(23, 27), 28, 29, *range(31, 35)}
"""Numbers of keys whose sequence ends with a tilde."""
_CONTROLS = {9, 13, 27, 127}
"""Tab, Enter, Escape and Backspace: the only keys whose number is that of a control."""
_MODIFIERS = range(57441, 57455)
_HIGHEST_MODIFIERS = 256
_RELEASED = 3

_BARE = re.compile(r"\x1b\[(?:\[[A-E]|[ABCDFHPQRSZabcd])")
_FOCUS = re.compile(r"\x1b\[[IO]")
_LETTER = re.compile(r"\x1b\[1;(\d{1,3})(?::(\d))?([ABCDFHPQS])")
_NUMBER = re.compile(r"\x1b\[(\d{1,2})(?:;(\d{1,3})(?::(\d))?)?~")
_RXVT = re.compile(r"\x1b\[(\d{1,2})[\^@]")
_OTHER_KEY = re.compile(r"\x1b\[27;(\d{1,3});(\d{1,7})~")
_UNICODE = re.compile(
    r"\x1b\[(\d{1,7})(?::\d{0,7}){0,2}(?:;(\d{0,3})(?::(\d))?(?:;(\d{1,7}(?::\d{1,7})*)?)?)?u"
)
_MOUSE = re.compile(r"\x1b\[<\d{1,4};-?\d{1,5};-?\d{1,5}[Mm]")
_REPORT = re.compile(r"\x1b\[\?(?:2026|2048);[0-4]\$y|\x1b\[48(?:;\d{1,5}(?::\d{0,5})*){4}t")
_SS3 = re.compile(r"\x1bO[ABCDFHMPQRSabcdj-y]")
_ALT = re.compile(r"\x1b[\tbf\x7f]")
"""Shift+Tab on the Linux console; Alt with b, f and Backspace, which move and delete by words."""


def classify(sequence: str) -> Token:
    """Return what a whole control sequence is: one that begins with CSI, SS3, or ESC and a byte.

    CSI is written as ESC and a bracket, SS3 as ESC and O. A key comes back in the
    form that Textual can read, without what the kitty protocol adds to it.
    """
    if any(form.fullmatch(sequence) for form in (_BARE, _SS3, _ALT)):
        return Token(Kind.KEY, sequence)
    if _FOCUS.fullmatch(sequence):
        return Token(Kind.FOCUS, sequence)
    if _MOUSE.fullmatch(sequence):
        return Token(Kind.MOUSE, sequence)
    if _REPORT.fullmatch(sequence):
        return Token(Kind.REPORT, sequence)
    if match := _RXVT.fullmatch(sequence):
        return Token(Kind.KEY, sequence) if int(match[1]) in _TILDE else NOTHING
    if match := _LETTER.fullmatch(sequence):
        return _functional("1", match[2], match[1], match[3])
    if match := _NUMBER.fullmatch(sequence):
        if int(match[1]) not in _TILDE:
            return NOTHING
        return _functional(match[1], match[3], match[2] or "", "~")
    if match := _OTHER_KEY.fullmatch(sequence):
        return _unicode(match[2], match[1], "", "")
    if match := _UNICODE.fullmatch(sequence):
        return _unicode(match[1], match[2] or "", match[3] or "", match[4] or "")
    return NOTHING


def _functional(number: str, event: str | None, modifiers: str, last: str) -> Token:
    with_them = _modifiers(modifiers)
    if with_them is None or not _pressed(event or ""):
        return NOTHING
    if not with_them:
        return Token(Kind.KEY, f"\x1b[{number}~" if last == "~" else f"\x1b[{last}")
    return Token(Kind.KEY, f"\x1b[{number};{with_them}{last}")


def _unicode(code: str, modifiers: str, event: str, text: str) -> Token:
    """Return a key by its code point, with the text that it makes if the terminal said so."""
    number, with_them = int(code), _modifiers(modifiers)
    if with_them is None or not _pressed(event):
        return NOTHING
    if number in _MODIFIERS:
        return Token(Kind.MODIFIER)
    made = [int(point) for point in text.split(":")] if text else []
    if not all(map(_is_character, made)):
        return NOTHING
    if len(made) > 1 or (made and number == 0):
        # What an input method puts together, or something that no key made.
        return Token(Kind.PASTE, "".join(map(chr, made)))
    if number not in _CONTROLS and not _is_character(number):
        return NOTHING
    if made:
        return Token(Kind.KEY, f"\x1b[{number};{with_them};{made[0]}u")
    return Token(Kind.KEY, f"\x1b[{number};{with_them}u" if with_them else f"\x1b[{number}u")


def _modifiers(text: str) -> str | None:
    """Return the number of the modifiers, '' for none of them, None for what is no such number."""
    number = int(text or "1")
    if not 1 <= number <= _HIGHEST_MODIFIERS:
        return None
    return str(number) if number > 1 else ""


def _pressed(event: str) -> bool:
    """Whether a key went down or repeats; that it goes up is nothing."""
    return 1 <= int(event or "1") < _RELEASED


def _is_character(number: int) -> bool:
    """Whether it is a code point that is neither a control nor half of another one."""
    return (
        0x20 <= number <= 0x10FFFF and not 0x7F <= number <= 0x9F and not 0xD800 <= number <= 0xDFFF
    )
