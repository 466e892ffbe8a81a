# SPDX-License-Identifier: MIT
"""The memory limits of processes, by their cgroups (Documentation/admin-guide/cgroup-v2.rst).

Nobody notifies of them: they are read when somebody is to decide on them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from luo_tui.model import MemoryLimit, MemoryLimits
from luo_tui.sources.clean import clean
from luo_tui.sources.reading import Reading

_WHAT = "the memory limit of process {} is unknown"


def read_limits(
    pids: Iterable[int], proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")
) -> MemoryLimits:
    """Look up each process that lives. Never fails; what could not be learned is told."""
    reading = Reading()
    found = []
    try:
        for pid in sorted(set(pids)):
            if (limit := _limit(pid, proc, cgroups, reading)) is not None:
                found.append(limit)
    except OSError as error:
        # This process has no descriptor or memory left: the others would be refused, too.
        reading.lacks("the memory limits are unknown", error.strerror or str(error))
    return MemoryLimits(tuple(found), reading.missing)


def _limit(pid: int, proc: Path, cgroups: Path, reading: Reading) -> MemoryLimit | None:
    text = reading.text(proc / str(pid) / "cgroup", _WHAT, str(pid))
    if not text:
        return None  # It has ended.
    line = next((row for row in text.splitlines() if row.startswith("0::/")), None)
    if line is None:
        reading.lacks(_WHAT, "it is in no cgroup of version 2", str(pid))
        return None
    group = PurePosixPath(os.path.normpath(line.removeprefix("0::")))
    limits = []
    for one in (group, *group.parents):
        said = reading.text(cgroups / one.relative_to("/") / "memory.max", _WHAT, str(pid))
        # The root has none, and a group without the controller has its parent's.
        if said.isdecimal():
            limits.append(int(said))
    return MemoryLimit(pid, clean(str(group)), min(limits, default=None))
