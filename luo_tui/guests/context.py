# SPDX-License-Identifier: MIT
"""In what a guest's process runs, so that it can be started in the same again.

User, groups, environment, limits, priority, processors, control group (of version 2;
what groups of version 1 limit is not made again), and the folders of its sockets.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from luo_tui.guests.proc import words

CGROUPS = Path("/sys/fs/cgroup")
_GROUP_FILES = (
    *("memory.max", "memory.high", "memory.swap.max", "cpu.max", "cpu.weight"),
    *("cpuset.cpus", "cpuset.mems", "pids.max", "io.weight"),
)


class Folder(NamedTuple):
    """A folder that has to be there."""

    path: str
    mode: int
    uid: int
    gid: int


class Context(NamedTuple):
    """All that a process has from whoever started it, but descriptors and namespaces."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    umask: int
    environ: tuple[str, ...]
    limits: tuple[tuple[int, int, int], ...]
    """Each as number, soft and hard, as setrlimit(2) has them."""
    nice: int
    oom_score_adj: int
    cpus: tuple[int, ...]
    cgroup: str
    """Path below the mount of the control groups; empty: it is not known to be in any."""
    cgroup_files: Mapping[str, str]
    """What the group's files say that limit it."""
    folders: tuple[Folder, ...] = ()


def read_context(proc: Path, pid: int, sockets: Iterable[str]) -> Context:
    """Read it. OSError, KeyError, ValueError: not this user's to know, or the process has ended."""
    folder = proc / str(pid)
    text = (folder / "status").read_text(errors="surrogateescape")
    status = {k: v.split() for k, _, v in (line.partition(":") for line in text.splitlines())}
    group = _cgroup(folder)
    return Context(
        uid=int(status["Uid"][1]),
        gid=int(status["Gid"][1]),
        groups=tuple(map(int, status["Groups"])),
        umask=int(status["Umask"][0], 8),
        environ=words(folder / "environ"),
        limits=tuple(_limits((folder / "limits").read_text())),
        nice=os.getpriority(os.PRIO_PROCESS, pid),
        oom_score_adj=int((folder / "oom_score_adj").read_text()),
        cpus=tuple(sorted(os.sched_getaffinity(pid))),
        cgroup=group,
        cgroup_files=_group_files(group),
        folders=tuple(_folders(sockets)),
    )


def _limits(text: str) -> Iterable[tuple[int, int, int]]:
    """Read /proc/PID/limits, whose lines are in the order of the limits' numbers."""
    # By prlimit(2) only who has CAP_SYS_RESOURCE learns them of another user's process.
    for number, line in enumerate(text.splitlines()[1:]):
        soft, hard = line[26:].split()[:2]
        yield number, _limit(soft), _limit(hard)


def _limit(text: str) -> int:
    return resource.RLIM_INFINITY if text == "unlimited" else int(text)


def _cgroup(folder: Path) -> str:
    for line in (folder / "cgroup").read_text(errors="surrogateescape").splitlines():
        if line.startswith("0::"):
            return line.removeprefix("0::")
    return ""


def _group_files(group: str) -> dict[str, str]:
    found = {}
    for name in _GROUP_FILES if group.strip("/") else ():
        path = CGROUPS / group.strip("/") / name
        if path.exists():
            found[name] = path.read_text().strip()
    return found


def _folders(sockets: Iterable[str]) -> Iterable[Folder]:
    """Yield the folders of sockets, each after the one that it lies in."""
    wanted: dict[Path, None] = {}
    for path in sockets:
        above = [p for p in Path(path).parents if p != Path("/")]
        wanted |= dict.fromkeys(reversed(above))
    for one in wanted:
        about = one.stat()
        yield Folder(str(one), about.st_mode & 0o7777, about.st_uid, about.st_gid)
