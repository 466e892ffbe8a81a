# SPDX-License-Identifier: MIT
"""What a program of this host needs in order to run elsewhere, as its file says. Pure.

Source: elf(5). Of 64-bit little-endian files alone, which is what the hosts have that
are rehearsed.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_DYNAMIC = struct.Struct("<qQ")
_LOAD, _DYN, _INTERPRETER = 1, 2, 3
_END, _STRTAB, _SONAME = 0, 5, 14


class NotElf(ValueError):
    """It is no such file, or it is damaged."""


class Elf(NamedTuple):
    """What was read."""

    interpreter: str = ""
    """The program that loads it and its libraries; empty where it is a library."""
    soname: str = ""
    """The name by which others need it; empty where it has none."""


def parse(content: bytes) -> Elf:
    """Read a file. NotElf."""
    try:
        return _parse(content)
    except NotElf:
        raise
    except (struct.error, ValueError):
        raise NotElf("is cut short") from None


def loadable(content: bytes) -> bytes:
    """Return a file without what is never loaded, such as what debuggers read. NotElf."""
    parse(content)
    end = max((s[2] + s[5] for s in _segments(content)), default=_HEADER.size)
    kept = bytearray(content[:end])
    header = list(_HEADER.unpack_from(content))
    # Where its sections are told of, and how many there are.
    header[6] = header[11] = header[12] = header[13] = 0
    _HEADER.pack_into(kept, 0, *header)
    return bytes(kept)


def _segments(content: bytes) -> list[tuple[int, ...]]:
    header = _HEADER.unpack_from(content)
    at, size, count = header[5], header[9], header[10]
    return [_SEGMENT.unpack_from(content, at + n * size) for n in range(count)]


def _parse(content: bytes) -> Elf:
    if content[:6] != b"\x7fELF\x02\x01":
        raise NotElf("is no 64-bit little-endian ELF file")
    segments = _segments(content)
    loads = [s for s in segments if s[0] == _LOAD]
    interpreter = soname = ""
    for kind, _, offset, _, _, length, _, _ in segments:
        if kind == _INTERPRETER:
            interpreter = _text(content, offset)
        elif kind == _DYN:
            told = dict(_dynamic(content, offset, length))
            if _SONAME in told:
                soname = _text(content, _offset(told.get(_STRTAB, 0), loads) + told[_SONAME])
    return Elf(interpreter, soname)


def _dynamic(content: bytes, offset: int, length: int) -> list[tuple[int, int]]:
    found = []
    for at in range(offset, offset + length, _DYNAMIC.size):
        tag, value = _DYNAMIC.unpack_from(content, at)
        if tag == _END:
            break
        found.append((tag, value))
    return found


def _offset(address: int, loads: list[tuple[int, ...]]) -> int:
    """Return where in the file lies what is loaded at an address."""
    for _, _, offset, begin, _, length, _, _ in loads:
        if begin <= address < begin + length:
            return address - begin + offset
    raise NotElf("its names lie nowhere in it")


def _text(content: bytes, at: int) -> str:
    return content[at : content.index(b"\0", at)].decode(errors="surrogateescape")
