# SPDX-License-Identifier: MIT
"""Which drivers a kernel has: its loadable modules and those built in, as depmod(8) lists them.

``modules.dep`` names the loadable ones and ``modules.builtin`` those built in;
``modules.alias`` and ``modules.builtin.modinfo`` have what a device's modalias is
matched against, as fnmatch(3) does. A driver that can't be a module is in none.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from luo_tui.model import BoundDriver
from luo_tui.sources.clean import clean
from luo_tui.update.regular_file import open_regular, why_unreadable

_LARGEST = 64 << 20
"""Bytes of a list that are read: those of a distribution's kernel have a few millions."""
_SUFFIX = re.compile(r"\.ko(\.(gz|xz|zst))?$")


class DriverChange(NamedTuple):
    """A device whose driver the target does not have."""

    device: str
    driver: str
    in_use: bool
    others: tuple[str, ...]
    """Modules of the target that take such a device; none: it stays without a driver."""


class TargetDrivers(NamedTuple):
    """How the drivers of this host's devices stand with the target."""

    same: int = 0
    """Devices whose driver the target has as well."""
    changes: tuple[DriverChange, ...] = ()
    unlisted: int = 0
    """Devices whose driver is in neither kernel's lists: built in, and never a module."""
    fault: str = ""
    """Why it is not known; empty where it is."""


def find_drivers(
    modules: Path, running: str, target: str, drivers: Iterable[BoundDriver]
) -> TargetDrivers:
    """Hold the drivers of devices against the lists of two kernels. Never fails.

    ``modules`` has a folder for each release, ``running`` and ``target``.
    """
    bound, there = tuple(drivers), modules / target
    try:
        names = _names(there)
        absent = [d for d in bound if _plain(d.module or d.driver) not in names]
        theirs = _matches(there, absent) if absent else {}
    except OSError as error:
        return TargetDrivers(fault=f"{error.filename or there} {why_unreadable(error)}")
    changes, unlisted = [], 0
    here = _Lists(modules / running, absent)
    for driver in absent:
        others = theirs.get(driver.alias, ())
        if driver.module or here.know(driver, others):
            changes.append(DriverChange(driver.device, driver.driver, driver.in_use, others))
        else:
            unlisted += 1
    return TargetDrivers(len(bound) - len(absent), tuple(changes), unlisted)


class _Lists:
    """The running kernel's lists, which name what can be a module; none where they cannot be read.

    A built-in driver may have a module's name as well, and stand in none of them.
    """

    def __init__(self, folder: Path, drivers: Sequence[BoundDriver]) -> None:
        self._names: frozenset[str] = frozenset()
        self._matched: Mapping[str, tuple[str, ...]] = {}
        if drivers:
            with contextlib.suppress(OSError):
                self._names = _names(folder)
                self._matched = _matches(folder, drivers)

    def know(self, driver: BoundDriver, others: Iterable[str]) -> bool:
        """Whether they know the driver, by its name; else by its device.

        A driver's name need not be its module's: one for the device is listed here
        that is not among ``others``, which the target has for it.
        """
        if _plain(driver.driver) in self._names:
            return True
        return not set(self._matched.get(driver.alias, ())).issubset(others)


def _names(folder: Path) -> frozenset[str]:
    """Return the names of a kernel's modules. OSError where a list cannot be read."""
    lines = [line.partition(":")[0] for line in _lines(folder / "modules.dep")]
    lines += _lines(folder / "modules.builtin")
    return frozenset(_plain(_SUFFIX.sub("", line.rpartition("/")[2])) for line in lines if line)


def _matches(folder: Path, drivers: Iterable[BoundDriver]) -> Mapping[str, tuple[str, ...]]:
    """Return by modalias which of a kernel's modules take such a device. OSError."""
    wanted: dict[str, list[str]] = {d.alias: [] for d in drivers if d.alias}
    buses = tuple({alias.partition(":")[0] + ":" for alias in wanted})
    for pattern, module in _aliases(folder):
        if not pattern.startswith(buses):
            continue
        # What stands before the first wildcard is sooner compared than a pattern is.
        begin = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
        for alias, found in wanted.items():
            if alias.startswith(begin) and module not in found and fnmatchcase(alias, pattern):
                found.append(module)
    return {alias: tuple(found) for alias, found in wanted.items() if found}


def _aliases(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield each pattern with its module."""
    for line in _lines(folder / "modules.alias"):
        words = line.split()
        if len(words) == 3 and words[0] == "alias":
            yield words[1], clean(words[2])
    # ``MODULE.alias=PATTERN``, each ended by a zero byte.
    for line in _lines(folder / "modules.builtin.modinfo", "\0", optional=True):
        key, equals, pattern = line.partition("=")
        if equals and key.endswith(".alias"):
            yield pattern, clean(key.removesuffix(".alias"))


def _lines(path: Path, end: str = "\n", *, optional: bool = False) -> list[str]:
    """Return the lines of a list; none of an ``optional`` one that is not there. OSError."""
    try:
        with open_regular(path) as fd:
            data = b""
            while piece := os.read(fd, 1 << 20):
                data += piece
                if len(data) > _LARGEST:
                    raise OSError(errno.EFBIG, f"is longer than {_LARGEST:,} bytes", str(path))
    except FileNotFoundError:
        if optional:
            return []
        raise
    return data.decode(errors="surrogateescape").split(end)


def _plain(name: str) -> str:
    """Return a module's name as the kernel writes it."""
    return name.replace("-", "_")
