# SPDX-License-Identifier: MIT
"""Who uses each block device: mounts, swap, file systems, pools, exports, processes.

The number that mountinfo tells is that of the file system: btrfs, bcachefs and ZFS
have one of their own, by which no disk is found. So the mount's source is looked at
as well, and what each file system tells of its members (``/sys/fs``). A file system
that is mounted in another mount namespace alone is found there, too. What
none of these tells, and may be so all the same, is a gap.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from luo_tui.sources.clean import clean
from luo_tui.sources.processes import OpenFiles
from luo_tui.sources.reading import Reading

_DEPTH = 8
"""How many devices may stand upon each other (partition, RAID, crypt, volume)."""
_BY_NAME = ("ext4", "xfs", "f2fs", "nilfs2", "erofs")
"""File systems with a folder in /sys/fs/TYPE for each device that they have mounted."""
_MANY = {"btrfs": "btrfs", "bcachefs": "bcachefs", "zfs_member": "ZFS"}
"""File systems of several devices, by udev's name for a member (ID_FS_TYPE)."""
_MODULE = {"zfs_member": "zfs"}
"""Name in /proc/filesystems, where it is not udev's."""
_PROBERS = frozenset({"systemd-udevd", "(udev-worker)", "udevadm", "blkid", "lsblk"})
"""Programs that open every disk for an instant, to see what is on it, and use none."""
_EXPORTS = (
    (("target", "core", "*", "*", "udev_path"), "exported by LIO"),
    (("nvmet", "subsystems", "*", "namespaces", "*", "device_path"), "exported over NVMe"),
)
"""Kernel threads that hand a disk to others: drivers/target, drivers/nvme/target."""


class Mount(NamedTuple):
    """One line of proc_pid_mountinfo(5)."""

    number: str
    """``major:minor`` of the file system; a major of 0 is no block device's."""
    place: str
    kind: str
    source: str

    @property
    def of_disk(self) -> bool:
        """Whether it stands on a block device, by all that this line tells."""
        if self.number.startswith("0:"):
            return self.source.startswith("/dev/") and not self.kind.startswith("fuse")
        return True


class Disks:
    """The users of all block devices at one moment."""

    def __init__(
        self, sys: Path, proc: Path, udev: Path, opened: OpenFiles, reading: Reading
    ) -> None:
        """Read them; what cannot be read is noted in ``reading``."""
        self._sys, self._proc, self._udev, self._reading = sys, proc, udev, reading
        self.folders = {e.name: e for e in reading.entries(sys / "class" / "block")}
        self._numbers = {name: reading.text(e / "dev") for name, e in self.folders.items()}
        self._by_number = {number: name for name, number in self._numbers.items()}
        self._mapped = {
            reading.text(e / "dm" / "name"): name
            for name, e in self.folders.items()
            if name.startswith("dm-")
        }
        self._holders = {
            name: [h.name for h in reading.entries(e / "holders")]
            for name, e in self.folders.items()
        }
        self._own: dict[str, list[str]] = {}
        """Users in words, such as ``on /srv``, by the disk's name."""
        self._mounts = list(_mounts(proc, reading))
        self._shared: set[str] = set()
        """Kinds of file systems that have told of their members."""
        self._read_file_systems()
        self._read_mounts()
        self._read_swaps()
        self._read_exports()
        for path, processes in opened.by_path.items():
            if name := self._named(path):
                for process in processes:
                    if process.comm not in _PROBERS:
                        self._use(name, f"open in {process}")
        self._read_pools()

    def users(self, name: str) -> tuple[str, ...]:
        """Return the users of one disk, its own and those of what stands upon it."""
        return tuple(f"{clean(name)} {use}" for use in sorted(set(self._uses(name, _DEPTH))))

    def _uses(self, name: str, depth: int) -> Iterator[str]:
        yield from self._own.get(name, ())
        for upon in self._holders.get(name, ()) if depth else ():
            yield from self._uses(upon, depth - 1)

    def _use(self, name: str, words: str) -> None:
        known = self._own.setdefault(name, [])
        if words not in known:
            known.append(words)

    def _named(self, path: str) -> str:
        """Return the disk behind a name in /dev; empty where it is none."""
        if not path.startswith("/dev/"):
            return ""
        short = path.removeprefix("/dev/")
        if short.startswith("mapper/") and (name := self._mapped.get(short[7:])):
            return name
        # In sysfs a slash in a name is an exclamation mark.
        name = short.replace("/", "!")
        return name if name in self.folders else ""

    def _sourced(self, source: str) -> list[str]:
        """Return the disks that a mount's source names; bcachefs names several."""
        parts = source.split(":") if source.startswith("/dev/") else []
        found = [self._named(p) or self._named(os.path.realpath(p)) for p in parts]
        return [name for name in found if name]

    def _read_mounts(self) -> None:
        for mount in self._mounts:
            name = self._by_number.get(mount.number)
            found = [name] if name else self._sourced(mount.source)
            for one in found:
                self._use(one, f"on {mount.place}")
            if not found and mount.of_disk and mount.kind not in self._shared:
                self._reading.lacks("which disk carries {} is not known", "", mount.place)
        for kind in _BY_NAME:
            for entry in self._reading.entries(self._sys / "fs" / kind):
                if entry.name in self.folders and not self._own.get(entry.name):
                    self._use(entry.name, f"in use by {kind}")

    def _read_swaps(self) -> None:
        for line in self._reading.text(self._proc / "swaps").splitlines()[1:]:
            words = line.split()
            path = _unescaped(words[0]) if words else ""
            if len(words) < 2 or words[1] != "partition":
                continue  # A file lies on a disk that is mounted.
            if found := self._sourced(path):
                self._use(found[0], "swap")
            else:
                self._reading.lacks("which disk is swap at {} is not known", "", path)

    def _read_file_systems(self) -> None:
        entries = self._reading.entries
        for one in entries(self._sys / "fs" / "btrfs"):
            self._share("btrfs", [e.name for e in entries(one / "devices")])
        for one in entries(self._sys / "fs" / "bcachefs"):
            links = [e / "block" for e in entries(one) if e.name.startswith("dev-")]
            self._share("bcachefs", [n for e in links if (n := self._reading.link(e))])

    def _share(self, kind: str, members: list[str]) -> None:
        """Note that each member is used wherever one of them is mounted."""
        places = [
            f"on {mount.place}"
            for mount in self._mounts
            if mount.kind == kind and set(self._sourced(mount.source)) & set(members)
        ]
        for member in members:
            self._shared.add(kind)
            for words in places or [f"in use by {kind}"]:
                self._use(member, words)

    def _read_exports(self) -> None:
        for pattern, words in _EXPORTS:
            for path in self._matching(self._sys / "kernel" / "config", pattern):
                for name in self._sourced(self._reading.text(path)):
                    self._use(name, words)

    def _matching(self, folder: Path, pattern: tuple[str, ...]) -> Iterator[Path]:
        if not pattern:
            yield folder
        elif pattern[0] != "*":
            yield from self._matching(folder / pattern[0], pattern[1:])
        else:
            for entry in self._reading.entries(folder):
                yield from self._matching(entry, pattern[1:])

    def _read_pools(self) -> None:
        """Look for what only the disk itself tells: that it belongs to a pool.

        Sources: udev's properties of the disk, as blkid(8) has found them; and
        /proc/spl/kstat/zfs, which has a folder for each imported pool.
        """
        told = self._reading.entries(self._proc / "spl" / "kstat" / "zfs")
        pending = {entry.name for entry in told if entry.is_dir()}
        pending |= {m.source.partition("/")[0] for m in self._mounts if m.kind == "zfs"}
        imported = frozenset(pending)
        for name in self.folders:
            if not any(self._uses(name, _DEPTH)):
                properties = self._properties(name)
                pending.discard(self._pool(name, properties, imported, all_told=bool(told)))
        for pool in sorted(pending):
            self._reading.lacks("which disks carry ZFS pool {} is not known", "", pool)

    def _pool(
        self, name: str, properties: dict[str, str], imported: frozenset[str], *, all_told: bool
    ) -> str:
        """Note whether a disk without users belongs to a pool; return the pool's name."""
        kind = properties.get("ID_FS_TYPE", "")
        if kind not in _MANY or not self._may_be_mounted(kind):
            return ""
        pool = properties.get("ID_FS_LABEL", "")
        if kind == "zfs_member" and pool in imported:
            places = sorted(
                m.place
                for m in self._mounts
                if m.kind == "zfs" and m.source.partition("/")[0] == pool
            )
            for words in [f"on {place}" for place in places] or [f"in ZFS pool {clean(pool)}"]:
                self._use(name, words)
            return pool
        if kind == "zfs_member" and pool and all_told:
            return ""  # It carries a pool that is not imported.
        self._reading.lacks(f"{{}} may be in use by {_MANY[kind]}", "", name)
        return ""

    def _may_be_mounted(self, kind: str) -> bool:
        """Whether a member that no mount names may be in use: not where the kernel told of all."""
        folder = self._sys / "fs" / kind
        if kind != "zfs_member" and folder.is_dir() and os.access(folder, os.R_OK):
            return False
        known = self._reading.text(self._proc / "filesystems")
        return not known or _MODULE.get(kind, kind) in known.split()

    def _properties(self, name: str) -> dict[str, str]:
        """Return what udev knows of a disk; nothing where no udev has looked at it."""
        text = self._reading.text(self._udev / f"b{self._numbers.get(name, '')}")
        lines = (line[2:] for line in text.splitlines() if line.startswith("E:"))
        return {key: value for key, _, value in (line.partition("=") for line in lines)}


def _mounts(proc: Path, reading: Reading) -> Iterator[Mount]:
    text = reading.text(proc / "self" / "mountinfo")
    if not text:
        reading.lacks("what is mounted is not known", f"{proc} does not tell")
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        fields, more = left.split(" "), right.split(" ")
        if len(fields) > 4 and len(more) > 1:
            place, source = clean(_unescaped(fields[4])), _unescaped(more[1])
            yield Mount(fields[2], place, more[0], source)


def _unescaped(text: str) -> str:
    """Undo proc(5)'s octal escapes of blanks."""
    return re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), text)
