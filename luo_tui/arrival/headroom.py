# SPDX-License-Identifier: MIT
"""How much memory this process may still take: memory.max of cgroup v2, all the way up.

What a session gives back is charged to whoever retrieves it, and a retrieve that
fails has freed the pages: so the room is looked for before.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_RECLAIMED = ("inactive_file", "active_file")
"""Of ``memory.stat``: what the kernel drops for whoever needs the room."""


def holes(about: os.stat_result) -> int:
    """Return the bytes of a file for which there is no memory yet: preserving may take it."""
    return max(0, about.st_size - about.st_blocks * 512)


@dataclass(frozen=True, slots=True)
class Room:
    """The smallest room on the way up."""

    bytes: int
    group: str
    """The cgroup whose limit it is."""


def room_left(
    proc: Path = Path("/proc/self/cgroup"), cgroups: Path = Path("/sys/fs/cgroup")
) -> Room | None:
    """Return the room; None where nothing limits it, or no cgroup v2 says so. OSError."""
    try:
        rows = proc.read_text().splitlines()
    except FileNotFoundError:
        return None
    line = next((row for row in rows if row.startswith("0::/")), None)
    if line is None:
        return None
    group = PurePosixPath(line.removeprefix("0::"))
    found = [room for one in (group, *group.parents) if (room := _of(one, cgroups)) is not None]
    return min(found, key=lambda room: room.bytes, default=None)


def _of(group: PurePosixPath, cgroups: Path) -> Room | None:
    folder = cgroups / group.relative_to("/")
    try:
        most = (folder / "memory.max").read_text().strip()
        if not most.isdecimal():
            return None
        taken = int((folder / "memory.current").read_text())
        rows = (folder / "memory.stat").read_text().splitlines()
    except FileNotFoundError:
        # The root has none, and a group without the controller has its parent's.
        return None
    fields = dict(row.split(maxsplit=1) for row in rows if " " in row)
    dropped = sum(int(fields.get(name, 0)) for name in _RECLAIMED)
    return Room(max(0, int(most) - max(0, taken - dropped)), str(group))
