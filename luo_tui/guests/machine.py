# SPDX-License-Identifier: MIT
"""Asks QEMU what its machine is like, which its arguments do not tell: devices come and go.

Whatever is not as QEMU's schema (``qapi/``) has it is nonsense, never a default.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from luo_tui.guests.facts import Disk, MachineFacts, Memory
from luo_tui.guests.qmp import Qmp, QmpNonsense, QmpRefused

_T = TypeVar("_T")


def read_machine(qmp: Qmp) -> MachineFacts:
    """Return what QEMU tells of its machine. QmpError."""
    size = _dict(qmp.command("query-memory-size-summary"))
    migration = _dict(qmp.command("query-migrate"))
    capabilities = map(_dict, _list(qmp.command("query-migrate-capabilities")))
    return MachineFacts(
        version=qmp.version,
        name=_text(_dict(qmp.command("query-name")).get("name", "")),
        status=_text(_dict(qmp.command("query-status")).get("status")),
        memory_bytes=_number(size.get("base-memory")) + _number(size.get("plugged-memory", 0)),
        memories=tuple(_memories(qmp)),
        capabilities=frozenset(_text(c.get("capability")) for c in capabilities),
        blocked=tuple(_text(why) for why in _list(migration.get("blocked-reasons", []))),
        migration=_text(migration.get("status", "")),
        type=_text(_get(qmp, "/machine", "type")).removesuffix("-machine"),
        disks=tuple(read_disks(qmp)),
        devices=dict(_children(qmp, "/machine/peripheral")),
        anonymous=tuple(kind for _, kind in _children(qmp, "/machine/peripheral-anon")),
        objects=frozenset(
            name for name, kind in _children(qmp, "/objects") if not _is_of_qemu(name, kind)
        ),
        display=_text(_dict(qmp.command("query-display-options")).get("type")),
    )


def _is_of_qemu(name: str, kind: str) -> bool:
    """Whether it is what QEMU 11 makes by itself of ``-qmp`` and ``-monitor``."""
    return kind.startswith("monitor-") and name.startswith("compat_monitor")


def _memories(qmp: Qmp) -> Iterator[Memory]:
    kinds = dict(_children(qmp, "/objects"))
    for found in map(_dict, _list(qmp.command("query-memdev"))):
        id_ = _text(found.get("id", ""))
        kind, path, where = kinds.get(id_, ""), "", f"/objects/{id_}"
        if kind == "memory-backend-file":
            path = _text(_get(qmp, where, "mem-path"))
        huge = kind == "memory-backend-memfd" and _get(qmp, where, "hugetlb") is True
        shared = found.get("share") is True
        yield Memory(id_, _number(found.get("size")), shared, kind, path, huge)


def read_disks(qmp: Qmp) -> Iterator[Disk]:
    """Yield its disks, and its drives that have a medium. QmpError."""
    for found in map(_dict, _list(qmp.command("query-block"))):
        inserted = found.get("inserted")
        if inserted is not None:
            name = _text(found.get("device", "")) or _text(found.get("qdev", ""))
            images = _below(_dict(_dict(inserted).get("image")))
            yield Disk(name, _text(_dict(inserted).get("file")), tuple(images))


def _below(image: dict[str, Any]) -> Iterator[str]:
    while (below := image.get("backing-image")) is not None:
        image = _dict(below)
        yield _text(image.get("filename"))


def _children(qmp: Qmp, path: str) -> Iterator[tuple[str, str]]:
    """Yield the objects below one, with their types."""
    for found in map(_dict, _list(qmp.command("qom-list", {"path": path}))):
        kind = _text(found.get("type"))
        if kind.startswith("child<") and kind.endswith(">"):
            yield _text(found.get("name")), kind[6:-1]


def _get(qmp: Qmp, path: str, name: str) -> Any:
    try:
        return qmp.command("qom-get", {"path": path, "property": name})
    except QmpRefused as error:
        raise QmpNonsense(f"{path} has no {name} ({error})") from error


def _dict(value: object) -> dict[str, Any]:
    return _of(dict, value)


def _list(value: object) -> list[Any]:
    return _of(list, value)


def _text(value: object) -> str:
    return _of(str, value)


def _number(value: object) -> int:
    return _of(int, value)


def _of(kind: type[_T], value: object) -> _T:
    if not isinstance(value, kind):
        raise QmpNonsense("an answer of another shape than QEMU's")
    return value
