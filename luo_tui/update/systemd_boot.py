# SPDX-License-Identifier: MIT
"""Which entry systemd-boot would start by itself, by its files and variables. Pure.

Its entries are those of the Boot Loader Specification: files of type 1, and
unified kernel images (type 2). What a unified image says of itself lies inside
it and is not read: where such an image could come first, the answer is not known.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import PurePath
from typing import Any, NamedTuple

from luo_tui.model import LoaderVariables

_SAVED = "@saved"
"""In place of a pattern: what was started last."""
_TRIES = re.compile(r"\+(\d+)(?:-(\d+))?$")
_IGNORED = re.compile(r"^[^a-zA-Z0-9~^.-]+")
_DIGITS, _LETTERS = re.compile("[0-9]*"), re.compile("[a-zA-Z]*")
_NATIVE = frozenset({"x64"})


class NotUnderstood(Exception):
    """The files do not tell which entry it is; says why, without a full stop."""


class MenuEntry(NamedTuple):
    """An entry as it stands in the menu."""

    id: str
    """Its file's name, in lower case and without the tries that are counted in it."""
    linux: str = ""
    """The kernel's path as the entry writes it; empty: it starts something else."""
    sort_key: str = ""
    machine_id: str = ""
    version: str = ""
    tries_left: int | None = None
    """How often it is still tried; None: that is not counted."""
    tries_done: int = 0
    unified: bool = False
    """Whether it is a unified kernel image."""


def keys(text: str) -> Mapping[str, Sequence[str]]:
    """Read lines ``key value``, of an entry or of loader.conf: the values of each, in order."""
    said: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, *rest = line.split(maxsplit=1) or [""]
        if rest and not key.startswith("#"):
            said.setdefault(key, []).append(rest[0].strip())
    return said


def menu_entry(name: str, text: str) -> MenuEntry | None:
    """Read an entry of type 1 by its file's ``name``; None where it would not be listed."""
    said = {key: values[-1] for key, values in keys(text).items()}
    if said.get("architecture", "x64").lower() not in _NATIVE:
        return None
    if not said.keys() & {"linux", "efi", "uki"}:
        return None
    return _by_name(name)._replace(
        linux=said.get("linux", ""),
        sort_key=said.get("sort-key", ""),
        machine_id=said.get("machine-id", ""),
        version=said.get("version", ""),
    )


def unified_entry(name: str) -> MenuEntry:
    """Return the entry of a unified kernel image, as far as its file's ``name`` tells it."""
    return _by_name(name)._replace(unified=True)


def _by_name(name: str) -> MenuEntry:
    path = PurePath(name.lower())
    if not (tries := _TRIES.search(path.stem)):
        return MenuEntry(path.name)
    stem = path.stem[: tries.start()]
    return MenuEntry(stem + path.suffix, tries_left=int(tries[1]), tries_done=int(tries[2] or 0))


def ordered(menu: Iterable[MenuEntry]) -> Sequence[MenuEntry]:
    """Return the entries in the order of the menu."""
    return sorted(menu, key=functools.cmp_to_key(_compare))


def starts(
    menu: Iterable[MenuEntry], said: Mapping[str, Sequence[str]], variables: LoaderVariables
) -> MenuEntry:
    """Return the entry that starts by itself, next time and ever after.

    ``said`` is what loader.conf says. NotUnderstood: that is not known, or there is none.
    """
    all_ = ordered(menu)
    if not all_:
        raise NotUnderstood("it has no entries")
    good = [one for one in all_ if one.tries_left != 0]
    # A variable, which bootctl(1) or a key in the menu has set, outranks the file.
    preferred = variables.preferred or _last(said, "preferred")
    for entries, pattern in (
        (good, preferred),
        (all_, variables.default),
        (all_, _last(said, "default")),
    ):
        wanted = variables.saved if pattern.lower() == _SAVED else pattern
        if (found := _matching(entries, wanted)) is not None:
            return found
    return _first(all_)


def once(menu: Iterable[MenuEntry], variables: LoaderVariables) -> str:
    """Return the id of the entry that starts the next time alone; empty: the same as ever."""
    wanted = variables.once.lower()
    named = [one.id for one in menu if wanted and fnmatchcase(one.id, wanted)]
    return named[0] if named else ""


def _last(said: Mapping[str, Sequence[str]], key: str) -> str:
    return said.get(key, [""])[-1]


def _matching(menu: Sequence[MenuEntry], pattern: str) -> MenuEntry | None:
    found = [one for one in menu if pattern and fnmatchcase(one.id, pattern.lower())]
    return _first(found) if found else None


def _first(menu: Sequence[MenuEntry]) -> MenuEntry:
    """Return the first of entries in their order; NotUnderstood where the order is not known."""
    if len(menu) > 1 and any(one.unified for one in menu):
        raise NotUnderstood(
            "where its unified kernel images stand among its entries is said inside of them"
        )
    return menu[0]


def _compare(a: MenuEntry, b: MenuEntry) -> int:
    """Say which comes first in the menu: negative for ``a``."""
    ranks = [
        _sign(a.tries_left == 0, b.tries_left == 0),
        # With a key before without.
        _sign(not a.sort_key, not b.sort_key),
    ]
    if a.sort_key and b.sort_key:
        ranks += [
            _sign(a.sort_key, b.sort_key),
            _sign(a.machine_id, b.machine_id),
            -compare_versions(a.version, b.version),
        ]
    ranks.append(-compare_versions(a.id, b.id))
    if a.tries_left is not None and b.tries_left is not None:
        ranks += [-_sign(a.tries_left, b.tries_left), _sign(a.tries_done, b.tries_done)]
    return next(filter(None, ranks), 0)


def compare_versions(a: str, b: str) -> int:
    """Compare by the UAPI group's version format: negative where ``a`` is the older one."""
    while True:
        a, b = _IGNORED.sub("", a), _IGNORED.sub("", b)
        if a[:1] == "~" or b[:1] == "~":
            if a[:1] != b[:1]:
                return -1 if a[:1] == "~" else 1
            a, b = a[1:], b[1:]
            continue
        if not a or not b:
            return _sign(bool(a), bool(b))
        mark = next((c for c in "-^." if c in (a[0], b[0])), "")
        if mark:
            if a[0] != b[0]:
                return -1 if a[0] == mark else 1
            a, b = a[1:], b[1:]
            continue
        # A number is newer than a word.
        one, other = _beginning(_DIGITS, a), _beginning(_DIGITS, b)
        if one or other:
            order = _sign(bool(one), bool(other)) or _sign(_number(one), _number(other))
        else:
            one, other = _beginning(_LETTERS, a), _beginning(_LETTERS, b)
            order = _sign(one, other)
        if order:
            return order
        a, b = a[len(one) :], b[len(other) :]


def _beginning(what: re.Pattern[str], text: str) -> str:
    found = what.match(text)
    return found[0] if found else ""


def _number(digits: str) -> tuple[int, str]:
    """Return what orders numbers, however long they are."""
    bare = digits.lstrip("0")
    return len(bare), bare


def _sign(a: Any, b: Any) -> int:
    return bool(a > b) - bool(a < b)
