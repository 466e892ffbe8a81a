# SPDX-License-Identifier: MIT
"""Which kernel GRUB would start by itself, read from its files as it reads them. Pure.

Only what grub-mkconfig(8) writes is understood: ``set default=``, menus with
their ids, and ``linux`` lines. Whatever else decides is not known, and not guessed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

_DEFAULT = re.compile(r"^\s*set\s+default=(.*)$")
_ENTRY = re.compile(r"^\s*(menuentry|submenu)\s+(.*)\{\s*$")
_LINUX = re.compile(r"^\s*linux(?:16|efi)?\s+(\S+)")
_ID = re.compile(r"(?:\$\{?menuentry_id_option\}?|--id)[=\s]+(\"[^\"]*\"|'(?:[^']|'\\'')*'|\S+)")
_TITLE = re.compile(r"(\"[^\"]*\"|'(?:[^']|'\\'')*'|\S+)")
_VARIABLE = re.compile(r"^\$\{?(\w+)\}?$")


class NotUnderstood(Exception):
    """GRUB's files do not tell which kernel it is; says why, without a full stop."""


@dataclass
class Entry:
    """A menu entry, or a menu of its own with entries below."""

    title: str
    id: str = ""
    linux: str = ""
    """The kernel's path as the entry writes it."""
    below: list[Entry] = field(default_factory=list)


def environment(text: str) -> Mapping[str, str]:
    """Read the environment block of GRUB (``grubenv``)."""
    rows = (line.partition("=") for line in text.splitlines() if not line.startswith("#"))
    return {name: value for name, equals, value in rows if equals}


def entries(text: str) -> Sequence[Entry]:
    """Read the menu from ``grub.cfg``."""
    top = Entry("")
    open_: list[Entry | None] = [top]
    """Menus and entries that are open; None for a block of another kind, such as a function."""
    for line in text.splitlines():
        inside = next(e for e in reversed(open_) if e is not None)
        if match := _ENTRY.match(line):
            found = _entry(match[2])
            inside.below.append(found)
            open_.append(found)
        elif line.strip() == "}":
            if len(open_) > 1:
                open_.pop()
        elif line.rstrip().endswith("{"):
            open_.append(None)
        elif (match := _LINUX.match(line)) and not inside.linux:
            inside.linux = _bare(match[1])
    return top.below


def default(text: str, environment: Mapping[str, str]) -> str:
    """Return what names the entry that starts by itself, next time and ever after.

    NotUnderstood where the file does not say, or by a variable that is not known.
    """
    said = [
        _bare(match[1].strip()) for line in text.splitlines() if (match := _DEFAULT.match(line))
    ]
    # The next start alone goes by another one, where that was ordered.
    lasting = [value for value in said if _VARIABLE.sub(r"\1", value) != "next_entry"]
    if not lasting:
        raise NotUnderstood("it sets no default")
    value = lasting[-1]
    if match := _VARIABLE.match(value):
        if match[1] != "saved_entry":
            raise NotUnderstood(f"its default is that of the variable {match[1]}")
        value = environment.get("saved_entry", "")
    return value or "0"


def find(menu: Sequence[Entry], name: str) -> Entry:
    """Return the entry that is meant: by number, id or title, each menu's before a ``>``.

    NotUnderstood where there is none.
    """
    while True:
        part, more, name = name.partition(">")
        found = next((e for e in menu if part in (e.id, e.title)), None)
        if found is None and part.isdecimal() and int(part) < len(menu):
            found = menu[int(part)]
        if found is None:
            raise NotUnderstood(f"its menu has no entry {part!r}")
        if not more and (found.linux or not found.below):
            return found
        # A menu that is chosen by itself starts its first entry.
        menu, name = found.below, name if more else "0"


def _entry(words: str) -> Entry:
    title = _TITLE.match(words)
    id_ = _ID.search(words)
    return Entry(_bare(title[1]) if title else "", _bare(id_[1]) if id_ else "")


def _bare(word: str) -> str:
    """Take a word out of its quotes."""
    if len(word) > 1 and word[0] == word[-1] and word[0] in "\"'":
        return word[1:-1].replace("'\\''", "'")
    return word
