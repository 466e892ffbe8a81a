# SPDX-License-Identifier: MIT
"""What units have left with systemd beyond their own end: descriptors, and sessions.

Source: systemd.service(5), ``FileDescriptorStorePreserve=`` (systemd 254) and
``LUOSession=`` (systemd 262), org.freedesktop.systemd1(5), ``KExecCount`` (262). An
older systemd does not know these properties, and leaves them out of its answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from luo_tui.model import DescriptorStore, DescriptorStores
from luo_tui.sources import systemctl
from luo_tui.sources.clean import clean
from luo_tui.sources.processes import MEMFDS
from luo_tui.sources.reading import Reading
from luo_tui.uapi import luo_sessions

_STATES = "active,reloading,activating,deactivating,failed,dead-resources-pinned"
"""In which a unit can have a store. One that is stopped and has one is not shown unless it is
asked for."""
_SHOW = (
    "show",
    "--no-pager",
    f"--state={_STATES}",
    "--property=Id,NFileDescriptorStore,FileDescriptorStorePreserve,LUOSession",
    "*.service",
)
_COUNT = ("show", "--no-pager", "--property=KExecCount")
_BUS = "org.freedesktop.systemd1"
_DUMP = (
    *("--json=short", "call", _BUS, "/org/freedesktop/systemd1", f"{_BUS}.Manager"),
    *("DumpUnitFileDescriptorStore", "s"),
)
_PATH = 7
"""Where the path stands in what systemd tells of one descriptor."""


def read_stores(systemd: Path = systemctl.RUNS, path: str = systemctl.PATH) -> DescriptorStores:
    """Ask systemd, where it runs; never fails."""
    if not systemd.is_dir():
        return DescriptorStores()
    reading = Reading()
    what = "what units keep with systemd could not be asked"
    found = sorted(_stores(systemctl.ask(_SHOW, what, reading, path) or ()))
    stores = tuple(_with_content(store, path) for store in found)
    count = systemctl.ask(_COUNT, what, reading, path) if stores else None
    return DescriptorStores(stores, reading.missing, _kexecs(count or ()))


def _stores(lines: Iterable[str]) -> Iterator[DescriptorStore]:
    """Yield those that have something; units are set apart by an empty line."""
    unit: dict[str, str] = {}
    for line in (*lines, ""):
        if line:
            name, _, value = line.partition("=")
            unit[name] = value
            continue
        number = unit.get("NFileDescriptorStore", "")
        store = DescriptorStore(
            clean(unit.get("Id", "?")),
            int(number) if number.isdigit() else 0,
            unit.get("FileDescriptorStorePreserve", ""),
            tuple(clean(name) for name in unit.get("LUOSession", "").split()),
        )
        if store.number or store.sessions:
            yield store
        unit.clear()


def _with_content(store: DescriptorStore, path: str) -> DescriptorStore:
    """Ask what is in one store, where it matters."""
    if not store.outlives:
        return store
    # An older one does not know the question, which says nothing of the store.
    lines = systemctl.ask((*_DUMP, store.unit), "", Reading(), path, "busctl")
    try:
        paths = [str(row[_PATH]) for row in json.loads("".join(lines or ()))["data"][0]]
    except (ValueError, TypeError, LookupError):
        return store
    link = luo_sessions.LINK
    held = tuple(clean(one.removeprefix(link)) for one in paths if one.startswith(link))
    carried = sum(one.startswith((*MEMFDS, link)) for one in paths)
    return store._replace(carried=carried, held=held)


def _kexecs(lines: Iterable[str]) -> int | None:
    for line in lines:
        name, _, value = line.partition("=")
        if name == "KExecCount" and value.isdigit():
            return int(value)
    return None
