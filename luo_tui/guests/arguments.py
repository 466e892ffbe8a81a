# SPDX-License-Identifier: MIT
"""What a QEMU's command line says of its guest, and how it is rewritten: nothing is opened."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from luo_tui.sources.qemu import Option as Option
from luo_tui.sources.qemu import flat
from luo_tui.sources.qemu import guest_name as guest_name
from luo_tui.sources.qemu import named as named
from luo_tui.sources.qemu import options as options

_DISKS = ("hda", "hdb", "hdc", "hdd", "cdrom", "fda", "fdb", "sd", "mtdblock", "pflash")
MEMORY_KINDS = ("memory-backend-memfd", "memory-backend-file", "memory-backend-ram")
_SAID_ANEW = ("qom-type", "id", "size", "share", "mem-path")
_AGENT = "org.qemu.guest_agent"
_NOT_OF_FILES = ("hugetlb", "hugetlbsize", "seal", "prealloc")
"""What a memory object for a file does not know; and to allocate beforehand would only cost."""


def qmp_sockets(found: Sequence[Option]) -> tuple[str, ...]:
    """Return the paths of the unix sockets on which QMP is served, as they are written there."""
    paths = []
    for option in named(found, "qmp", "qmp-pretty"):
        kind, _, rest = option.text.partition(":")
        if kind == "unix":
            paths.append(rest.partition(",")[0])
    served = _served(found)
    for option in named(found, "mon"):
        chardev = option.keys.get("chardev", "")
        if option.keys.get("mode") == "control" and chardev in served:
            paths.append(served[chardev])
    return tuple(p for p in dict.fromkeys(paths) if p)


def agent_sockets(found: Sequence[Option]) -> tuple[str, ...]:
    """Return the paths of the sockets that lead to an agent in the guest, as written there.

    The agent finds its port by the name (``org.qemu.guest_agent.0``), so it is the same for all.
    """
    served = _served(found)
    ports = [
        o.keys.get("chardev", "")
        for o in named(found, "device")
        if o.keys.get("driver") == "virtserialport" and o.keys.get("name", "").startswith(_AGENT)
    ]
    return tuple(dict.fromkeys(served[port] for port in ports if port in served))


def _served(found: Sequence[Option]) -> dict[str, str]:
    """Return the paths of the unix sockets among the character devices, by their ids."""
    return {
        o.keys["id"]: o.keys["path"]
        for o in named(found, "chardev")
        if o.keys.get("backend") == "socket" and {"id", "path"} <= set(o.keys)
    }


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
            found = dict(flat(json.loads(image.removeprefix("json:"))))
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
