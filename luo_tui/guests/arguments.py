# SPDX-License-Identifier: MIT
"""QEMU's command line, read and rewritten as text: nothing is opened.

Syntax: qemu(1), and ``qapi/keyval`` of QEMU (``key=value,...``, a comma in a value
is doubled; or a JSON object where the option takes one).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

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
_DISKS = ("hda", "hdb", "hdc", "hdd", "cdrom", "fda", "fdb", "sd", "mtdblock", "pflash")
MEMORY_KINDS = ("memory-backend-memfd", "memory-backend-file", "memory-backend-ram")
_SAID_ANEW = ("qom-type", "id", "size", "share", "mem-path")
_NOT_OF_FILES = ("hugetlb", "hugetlbsize", "seal", "prealloc")
"""What a memory object for a file does not know; and to allocate beforehand would only cost."""


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
        return (dict(_flat(found)), True) if isinstance(found, dict) else ({}, False)
    keys: dict[str, str] = {}
    for number, part in enumerate(text.replace(",,", "\0").split(",")):
        key, equals, value = part.replace("\0", ",").partition("=")
        if not equals:
            first = number == 0 and name in _FIRST_KEY
            key, value = (_FIRST_KEY[name], key) if first else (key, "on")
        keys[key] = value
    return keys, False


def _flat(found: Mapping[str, object], above: str = "") -> Iterator[tuple[str, str]]:
    for key, value in found.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{key}.")
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


def qmp_sockets(found: Sequence[Option]) -> tuple[str, ...]:
    """Return the paths of the unix sockets on which QMP is served, as they are written there."""
    paths = []
    for option in named(found, "qmp", "qmp-pretty"):
        kind, _, rest = option.text.partition(":")
        if kind == "unix":
            paths.append(rest.partition(",")[0])
    served = {
        o.keys["id"]: o.keys["path"]
        for o in named(found, "chardev")
        if o.keys.get("backend") == "socket" and {"id", "path"} <= set(o.keys)
    }
    for option in named(found, "mon"):
        chardev = option.keys.get("chardev", "")
        if option.keys.get("mode") == "control" and chardev in served:
            paths.append(served[chardev])
    return tuple(p for p in dict.fromkeys(paths) if p)


def socket_paths(found: Sequence[Option]) -> tuple[str, ...]:
    """Return the paths of all unix sockets and of the file with the process's number."""
    paths = [o.keys["path"] for o in named(found, "chardev") if o.keys.get("path")]
    paths += [o.text for o in named(found, "pidfile")]
    for option in found:
        if option.text.startswith("unix:"):
            paths.append(option.text.removeprefix("unix:").partition(",")[0])
    return tuple(dict.fromkeys(p for p in paths if p))


def disk_files(found: Sequence[Option]) -> tuple[str, ...]:
    """Return the images that the arguments name: of disks, and of what lies below them."""
    nodes = [v for o in named(found, "blockdev") for k, v in o.keys.items() if _is_name(k)]
    return tuple(dict.fromkeys(f for f in (*_drives(found), *nodes) if f))


def top_files(found: Sequence[Option]) -> tuple[str, ...]:
    """Return the images that the arguments put in front of the guest; of a chain the last one."""
    nodes = {o.keys.get("node-name", ""): o.keys for o in named(found, "blockdev")}
    tops = []
    for option in named(found, "device"):
        seen: set[str] = set()
        node = option.keys.get("drive", "")
        while node in nodes and node not in seen:
            seen.add(node)
            tops += [v for k, v in nodes[node].items() if _is_name(k) and "backing" not in k]
            node = nodes[node].get("file", "")
    return tuple(dict.fromkeys(f for f in (*_drives(found), *tops) if f))


def _drives(found: Sequence[Option]) -> Iterator[str]:
    for option in found:
        if option.name == "drive":
            keys = option.keys
            yield keys.get("file") or next((v for k, v in keys.items() if _is_name(k)), "")
        elif option.name in _DISKS or not option.name:
            yield option.text


def _is_name(key: str) -> bool:
    return key.rpartition(".")[2] == "filename"


def image_path(image: str) -> str:
    """Return the path of an image as QEMU names it; empty where it is no file by a path."""
    if image.startswith("json:"):
        try:
            found = dict(_flat(json.loads(image.removeprefix("json:"))))
        except (ValueError, AttributeError, RecursionError):
            return ""
        image = next((v for k, v in found.items() if _is_name(k) and "backing" not in k), "")
    image = image.removeprefix("file:")
    if ":" in image.partition("/")[0] or image.startswith("/dev/fdset/"):
        return ""
    return image


def read_at_start(found: Sequence[Option]) -> tuple[str, ...]:
    """Return further files that QEMU reads when it starts."""
    wanted = named(found, "kernel", "initrd", "dtb", "bios", "L", "option-rom")
    return tuple(dict.fromkeys(o.text for o in wanted if "/" in o.text))


def memory_objects(found: Sequence[Option]) -> tuple[Option, ...]:
    """Return the objects that guests' memory can be taken from."""
    return tuple(o for o in named(found, "object") if o.keys.get("qom-type") in MEMORY_KINDS)


def to_load(argv: Sequence[str], machine: str, memory: Mapping[str, tuple[int, int]]) -> list[str]:
    """Return the command line for a QEMU that waits for the state of one started by ``argv``.

    ``machine`` is the versioned type that it has; ``memory`` has the descriptor and
    the size in bytes of each memory object, by its id. The id gives the memory its
    name in the state, so it stays. KeyError: one of ``memory`` is not among ``argv``.
    """
    found = options(argv)
    objects = {o.keys.get("id", ""): o for o in memory_objects(found)}
    new = list(argv)
    for id_, (fd, size) in memory.items():
        option = objects[id_]
        new[option.at + 1] = _on_descriptor(option, id_, fd, size)
    gone = {n for o in named(found, "incoming", "loadvm") for n in (o.at, o.at + 1)}
    new = [word for at, word in enumerate(new) if at not in gone]
    if all(o.keys.get("type") != machine for o in named(found, "machine", "M")):
        # QEMU joins all of these; the last one's type counts.
        new += ["-machine", machine]
    return [*new, "-incoming", "defer"]


def _on_descriptor(option: Option, id_: str, fd: int, size: int) -> str:
    path = f"/proc/self/fd/{fd}"
    if option.is_json:
        kept = json.loads(option.text)
        kept = {k: v for k, v in kept.items() if k not in (*_SAID_ANEW, *_NOT_OF_FILES)}
        said = {"qom-type": "memory-backend-file", "id": id_, "size": size, "share": True}
        return json.dumps({**said, "mem-path": path, **kept})
    kept = {k: v for k, v in option.keys.items() if k not in (*_SAID_ANEW, *_NOT_OF_FILES)}
    parts = [f"memory-backend-file,id={id_}", f"size={size}", "share=on", f"mem-path={path}"]
    return ",".join([*parts, *(f"{k}={v.replace(',', ',,')}" for k, v in kept.items())])
