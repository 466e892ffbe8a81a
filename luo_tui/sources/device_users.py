# SPDX-License-Identifier: MIT
"""Person would miss a device: links that are up, mounted disks, processes behind vfio."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from luo_tui.sources.clean import clean

_PCI = re.compile(r"[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_VIRTIO = re.compile(r"virtio\d+")
_NVME = re.compile(r"nvme\d+")
_DEPTH = 8
"""How many devices may stand upon each other (partition, RAID, crypt, volume)."""


@dataclass(slots=True)
class Users:
    """The users of all devices at one moment."""

    proc: Path
    _by_device: dict[str, list[str]] = field(default_factory=dict)
    _holders: dict[str, list[str]] | None = None
    """Processes by the vfio file that they have open; looked for when one is asked for."""

    @classmethod
    def read(cls, sys: Path, proc: Path) -> Users:
        """Look at interfaces and disks; never fails."""
        users = cls(proc)
        for link in _entries(sys / "class" / "net"):
            # Links without a state of their own, such as loopback, say "unknown".
            if _text(link / "operstate") in ("up", "unknown"):
                users._add(link, f"{clean(link.name)} (up)")
        mounts = _mounts(proc)
        for disk in _entries(sys / "class" / "block"):
            places = sorted(set(_places(disk, mounts, _DEPTH)))
            for place in places:
                users._add(disk, f"{clean(disk.name)} on {place}")
        return users

    def of(self, id_: str, driver: str, group: str, folder: Path) -> tuple[str, ...]:
        """Return the users of one device, in words."""
        found = list(self._by_device.get(id_, ()))
        if "vfio" in driver:
            if self._holders is None:
                self._holders = _holders(self.proc)
            names = [f"/dev/vfio/{group}"] if group else []
            names += [f"/dev/vfio/devices/{e.name}" for e in _entries(folder / "vfio-dev")]
            for name in names:
                found += self._holders.get(name, ())
        return tuple(dict.fromkeys(found))

    def _add(self, link: Path, words: str) -> None:
        """Note a user at the nearest PCI device and the nearest virtio device above ``link``."""
        with contextlib.suppress(OSError):
            path = link.resolve()
            # A multipath disk stands beside the links to its controllers.
            paths = [path, *(e.resolve() for e in _entries(path.parent) if _NVME.fullmatch(e.name))]
            for parts in (p.parts for p in paths):
                for pattern in (_PCI, _VIRTIO):
                    above = [p for p in parts if pattern.fullmatch(p)]
                    if above and words not in self._by_device.setdefault(above[-1], []):
                        self._by_device[above[-1]].append(words)


def _places(disk: Path, mounts: dict[str, list[str]], depth: int) -> Iterator[str]:
    """Yield where a disk is mounted, itself or through what stands upon it."""
    yield from mounts.get(_text(disk / "dev"), ())
    if depth:
        for upon in _entries(disk / "holders"):
            yield from _places(upon, mounts, depth - 1)


def _mounts(proc: Path) -> dict[str, list[str]]:
    """Return mount points, and swap, by ``major:minor``."""
    found: dict[str, list[str]] = {}
    for line in _text(proc / "self" / "mountinfo", whole=True).splitlines():
        fields = line.split(" ")
        if len(fields) > 4:
            found.setdefault(fields[2], []).append(clean(_unescaped(fields[4])))
    for line in _text(proc / "swaps", whole=True).splitlines()[1:]:
        with contextlib.suppress(OSError, IndexError):
            number = Path(line.split()[0]).stat().st_rdev
            found.setdefault(f"{os.major(number)}:{os.minor(number)}", []).append("swap")
    return found


def _unescaped(text: str) -> str:
    """Undo proc(5)'s octal escapes of blanks."""
    return re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), text)


def _holders(proc: Path) -> dict[str, list[str]]:
    """Return which processes have files of vfio open; only root sees those of others."""
    found: dict[str, list[str]] = {}
    for process in _entries(proc):
        if not process.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            open_files = {str(Path(fd.path).readlink()) for fd in os.scandir(process / "fd")}
            for name in open_files:
                if name.startswith("/dev/vfio/"):
                    comm = clean(_text(process / "comm"))
                    found.setdefault(name, []).append(f"{comm} [{process.name}]")
    return found


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _text(path: Path, *, whole: bool = False) -> str:
    try:
        text = path.read_text(errors="surrogateescape")
    except (OSError, ValueError):
        return ""
    return text if whole else text.strip()
