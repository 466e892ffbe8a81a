# SPDX-License-Identifier: MIT
"""What units have left with systemd beyond their own end: descriptors, and sessions.

Source: systemd.service(5), ``FileDescriptorStorePreserve=`` (systemd 254) and
``LUOSession=`` (systemd 262). An older systemd does not know these properties, and
leaves them out of its answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from luo_tui.model import DescriptorStore, DescriptorStores
from luo_tui.sources import systemctl
from luo_tui.sources.clean import clean
from luo_tui.sources.reading import Reading

_SHOW = (
    "show",
    "--no-pager",
    "--property=Id,NFileDescriptorStore,FileDescriptorStorePreserve,LUOSession",
    "*.service",
)


def read_stores(systemd: Path = systemctl.RUNS, path: str = systemctl.PATH) -> DescriptorStores:
    """Ask systemd, where it runs; never fails."""
    if not systemd.is_dir():
        return DescriptorStores()
    reading = Reading()
    lines = systemctl.ask(_SHOW, "what units keep with systemd could not be asked", reading, path)
    return DescriptorStores(tuple(sorted(_stores(lines or ()))), reading.missing)


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
