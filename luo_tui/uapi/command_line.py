# SPDX-License-Identifier: MIT
"""The kernel's command line, by the kernel's own grammar. Pure.

It stands among the codecs, not beside the checks of ``update/``, since it is
the kernel's format and is wanted on each floor: for the running kernel's line
(:mod:`luo_tui.uapi.kho`), for what is taken off before it is passed on, and for
the check of what the next kernel gets.

Mirrors Linux 7.3: ``next_arg()`` (lib/cmdline.c), ``parse_args()`` and
``parameq()`` (kernel/params.c), ``do_early_param()`` (init/main.c),
``isspace()`` (lib/ctype.c) and ``kstrtobool()`` (lib/kstrtox.c):

- White space parts the parameters, also the byte 0xA0, which may be the half of
  a UTF-8 character. Quotes keep white space together and cannot be escaped;
  a parameter or its value may be quoted as a whole, and then loses its quotes.
- A bare ``--`` ends what the kernel reads; the rest is for init.
- In names a dash is an underscore. A name may begin with ``=``.
- Each occurrence of an early parameter (``kho=`` is one) is called for, in
  order; one that cannot be read changes nothing.

Not seen here: what a boot configuration attached to the initrd or built into
the kernel adds (Documentation/admin-guide/bootconfig.rst), and CONFIG_CMDLINE,
which the kernel puts before its line, or in its place.

Lines are strings made by ``os.fsdecode``, so that any byte passes through.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_SPACES = b"\t\n\v\f\r \xa0"
_QUOTE, _EQUALS = b'"'[0], b"="[0]

_FOR_ELFCOREHDR = 30
"""MAX_ELFCOREHDR_STR_LEN (arch/x86/kernel/kexec-bzimage64.c)."""

Parameter = tuple[str, str | None]
"""A name, and its value; None where there is no ``=``."""


class _Found(NamedTuple):
    """A parameter with its place in the line, and the white space after it."""

    name: bytes
    value: bytes | None
    begin: int
    end: int
    """Where the next one begins."""


def longest(header_size: int) -> int:
    """Return how many bytes, without the NUL, a line may have to be loaded with an x86 image.

    ``header_size`` is ``cmdline_size`` of the image's header. kexec_file_load
    counts the NUL, keeps 30 bytes for an elfcorehdr= which it adds for a crash
    kernel alone, and refuses (EINVAL) what then exceeds that size. Without that
    the line would be cut where the kernel copies it.
    """
    return max(0, header_size - _FOR_ELFCOREHDR - 1)


LONGEST = longest(2047)
"""With any image of today: COMMAND_LINE_SIZE - 1 (arch/x86/boot/header.S)."""


def parameters(line: str) -> Iterator[Parameter]:
    """Yield what the kernel reads, in order, without what stands after ``--``."""
    for found in _found(os.fsencode(line)):
        yield os.fsdecode(found.name), None if found.value is None else os.fsdecode(found.value)


def truth(value: str | None) -> bool | None:
    """Read a switch as kstrtobool() does; None: the kernel refuses it and changes nothing."""
    start = (value or "")[:2].lower()
    if start[:1] in ("e", "y", "t", "1") or start == "on":
        return True
    if start[:1] in ("d", "n", "f", "0") or start == "of":
        return False
    return None


def deciding(line: str, name: str) -> str | None:
    """Return the value that decides an early switch: the last that can be read; None without."""
    wanted = _plain(os.fsencode(name))
    values = [f.value for f in _found(os.fsencode(line)) if _plain(f.name) == wanted]
    readable = [v for v in map(_text, values) if v is not None and truth(v) is not None]
    return readable[-1] if readable else None


def switch(line: str, name: str) -> bool | None:
    """Whether an early switch is turned on or off by the line; None where it says nothing."""
    return truth(deciding(line, name))


def without(line: str, *names: str) -> str:
    """Return the line without these parameters; all else is as it was, byte for byte.

    With a parameter the white space after it goes, or, at the end of the line,
    the white space before it. What stands after ``--`` is not the kernel's and
    stays.
    """
    raw = os.fsencode(line)
    unwanted = {_plain(os.fsencode(name)) for name in names}
    kept, at = b"", 0
    for found in _found(raw):
        if _plain(found.name) in unwanted:
            kept += raw[at : found.begin]
            at = found.end
    if at and at == len(raw):
        kept = kept.rstrip(_SPACES)
    return os.fsdecode(kept + raw[at:])


def with_added(line: str, parameters_: Iterable[str]) -> str:
    """Return the line with these parameters behind the kernel's own, before a bare ``--``.

    Each stands there as it is given, quotes too. All else is as it was, byte for byte.
    """
    added = b" ".join(os.fsencode(one) for one in parameters_)
    if not added:
        return line
    raw = os.fsencode(line)
    end = max((found.end for found in _found(raw)), default=_past_spaces(raw, 0))
    before, after = raw[:end].rstrip(_SPACES), raw[end:]
    return os.fsdecode(b" ".join(part for part in (before, added, after) if part))


def _text(value: bytes | None) -> str | None:
    return None if value is None else os.fsdecode(value)


def _plain(name: bytes) -> bytes:
    """Write a name so that those which the kernel takes for the same are equal."""
    return name.replace(b"-", b"_")


def _found(raw: bytes) -> Iterator[_Found]:
    """Do what parse_args() does up to the call of a parameter's own function."""
    raw = raw.partition(b"\0")[0]
    at = _past_spaces(raw, 0)
    while at < len(raw):
        found = _next(raw, at)
        if found.value is None and found.name == b"--":
            return
        yield found
        at = found.end


def _next(raw: bytes, begin: int) -> _Found:
    """Do what next_arg() does; ``begin`` is at no white space and before the end."""
    quoted = in_quotes = raw[begin] == _QUOTE
    first = begin + quoted
    equals = 0
    end = first
    while end < len(raw) and (in_quotes or raw[end] not in _SPACES):
        # One at the very start is no sign: a zero says that none was seen yet.
        if raw[end] == _EQUALS and not equals:
            equals = end - first
        if raw[end] == _QUOTE:
            in_quotes = not in_quotes
        end += 1
    name, value = raw[first:end], None
    if equals:
        name, value = name[:equals], name[equals + 1 :]
        if value.startswith(b'"'):
            value = value[1:].removesuffix(b'"')
        elif quoted:
            value = value.removesuffix(b'"')
    elif quoted:
        name = name.removesuffix(b'"')
    return _Found(name, value, begin, _past_spaces(raw, end))


def _past_spaces(raw: bytes, at: int) -> int:
    while at < len(raw) and raw[at] in _SPACES:
        at += 1
    return at
