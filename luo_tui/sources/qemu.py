# SPDX-License-Identifier: MIT
"""A QEMU by its program and its command line: nothing is opened.

Syntax: qemu(1), and ``qapi/keyval`` of QEMU (``key=value,...``, a comma in a value
is doubled; or a JSON object where the option takes one).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

_QEMU = re.compile(r"\.?qemu-(system-\w+|kvm)(-wrapped)?")
_WITHOUT_VALUE = (
    "S s alt-grab async-teardown audio-help ctrl-grab curses daemonize enable-fips enable-kvm "
    "enable-sync-profile full-screen h help mem-prealloc no-acpi no-fd-bootchk no-frame no-hpet "
    "no-kvm no-quit no-reboot no-shutdown no-user-config nodefaults nodefconfig nographic "
    "old-param only-migratable portrait preconfig sdl semihosting singlestep snapshot usb version "
    "win2k-hack xen-attach xen-domid-restrict"
)
_ALONE = frozenset(_WITHOUT_VALUE.split())
"""Options without a value (QEMU 4.0 to 10.1); every other one has the next argument for its."""
_FIRST_KEY = {
    "M": "type", "accel": "accel", "audiodev": "driver", "blockdev": "driver",
    "chardev": "backend", "cpu": "model", "device": "driver", "display": "type",
    "drive": "file", "m": "size", "machine": "type", "mon": "chardev", "name": "guest",
    "netdev": "type", "nic": "model", "numa": "type", "object": "qom-type", "smp": "cpus",
    "tpmdev": "type",
}  # fmt: skip
"""The key that a first value without one has (the ``implied_opt_name`` of each option)."""


def is_qemu(program: str) -> bool:
    """Whether a program of this name is a QEMU that has a machine."""
    return _QEMU.fullmatch(program) is not None


class Option(NamedTuple):
    """One option with its value, by its place among the arguments."""

    at: int
    name: str
    """Without dashes; empty for a disk's image that is named without an option."""
    text: str = ""
    keys: Mapping[str, str] = MappingProxyType({})
    """The value's parts; a nested one of JSON has a name with dots."""
    is_json: bool = False


def options(argv: Sequence[str]) -> tuple[Option, ...]:
    """Read a command line, whose first part is the program."""
    return tuple(_options(argv))


def _options(argv: Sequence[str]) -> Iterator[Option]:
    at = 1
    while at < len(argv):
        word = argv[at]
        name = word.removeprefix("-").removeprefix("-")
        if not word.startswith("-"):
            yield Option(at, "", word)
        elif name in _ALONE or at + 1 == len(argv):
            yield Option(at, name)
        else:
            text = argv[at + 1]
            keys, is_json = _keys(name, text)
            yield Option(at, name, text, keys, is_json)
            at += 1
        at += 1


def _keys(name: str, text: str) -> tuple[dict[str, str], bool]:
    if text.startswith("{"):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return {}, False
        return (dict(flat(found)), True) if isinstance(found, dict) else ({}, False)
    keys: dict[str, str] = {}
    for number, part in enumerate(text.replace(",,", "\0").split(",")):
        key, equals, value = part.replace("\0", ",").partition("=")
        if not equals:
            first = number == 0 and name in _FIRST_KEY
            key, value = (_FIRST_KEY[name], key) if first else (key, "on")
        keys[key] = value
    return keys, False


def flat(found: Mapping[str, object], above: str = "") -> Iterator[tuple[str, str]]:
    """Yield the parts of a JSON object; a nested one's name has dots."""
    for key, value in found.items():
        if isinstance(value, dict):
            yield from flat(value, f"{above}{key}.")
        elif isinstance(value, bool):
            yield f"{above}{key}", "on" if value else "off"
        else:
            yield f"{above}{key}", str(value)


def named(found: Sequence[Option], *names: str) -> tuple[Option, ...]:
    """Return the options of these names."""
    return tuple(o for o in found if o.name in names)


def guest_name(found: Sequence[Option]) -> str:
    """Return the name that the guest was given; empty without one."""
    return next((o.keys.get("guest", "") for o in reversed(named(found, "name"))), "")
