# SPDX-License-Identifier: MIT
"""Who would miss a device: links that are up, disks in use, processes behind vfio."""

from __future__ import annotations

import re
from pathlib import Path

from luo_tui.sources.clean import clean
from luo_tui.sources.disks import Disks
from luo_tui.sources.processes import OpenFiles
from luo_tui.sources.reading import Reading

_PCI = re.compile(r"[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_VIRTIO = re.compile(r"virtio\d+")
_NVME = re.compile(r"nvme\d+")


class Users:
    """The users of all devices at one moment."""

    def __init__(self, sys: Path, proc: Path, udev: Path, opened: OpenFiles) -> None:
        """Look at interfaces and disks; ``opened`` are the open files below /dev.

        OSError where this process has no descriptor left; all else that cannot be
        read is told in :attr:`missing`.
        """
        self._opened = opened
        self._reading = Reading()
        self._by_device: dict[str, list[str]] = {}
        for link in self._reading.entries(sys / "class" / "net"):
            # Links without a state of their own, such as loopback, say "unknown".
            if self._reading.text(link / "operstate") in ("up", "unknown"):
                self._add(link, f"{clean(link.name)} (up)")
        disks = Disks(sys, proc, udev, opened, self._reading)
        for name, folder in disks.folders.items():
            for words in disks.users(name):
                self._add(folder, words)
        if opened.missing:
            self._reading.lacks("who has disks or vfio devices open is {}", "", opened.missing)

    @property
    def missing(self) -> tuple[str, ...]:
        """What could not be learned, as sentences."""
        return self._reading.missing

    def of(self, id_: str, driver: str, group: str, folder: Path) -> tuple[str, ...]:
        """Return the users of one device, in words."""
        found = list(self._by_device.get(id_, ()))
        if "vfio" in driver:
            names = [f"/dev/vfio/{group}"] if group else []
            nodes = self._reading.entries(folder / "vfio-dev")
            names += [f"/dev/vfio/devices/{e.name}" for e in nodes]
            found += [str(process) for name in names for process in self._opened.of(name)]
        return tuple(dict.fromkeys(found))

    def _add(self, link: Path, words: str) -> None:
        """Note a user at the nearest PCI device and the nearest virtio device above ``link``."""
        try:
            path = link.resolve()
        except OSError as error:
            self._reading.refused(error, "where {} stands could not be read", link.name)
            return
        # A multipath disk stands beside the links to its controllers.
        beside = (e for e in self._reading.entries(path.parent) if _NVME.fullmatch(e.name))
        for parts in (p.parts for p in (path, *(e.resolve() for e in beside))):
            for pattern in (_PCI, _VIRTIO):
                above = [p for p in parts if pattern.fullmatch(p)]
                if above and words not in self._by_device.setdefault(above[-1], []):
                    self._by_device[above[-1]].append(words)
