# SPDX-License-Identifier: MIT
"""Reads what /proc tells of a QEMU process (proc(5)); only root may read most of it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from luo_tui.guests.facts import Memfd, ProcessFacts
from luo_tui.guests.proc import started, words
from luo_tui.sources.processes import MEMFDS
from luo_tui.sources.reading import ABSENT

_NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
_UNIT = re.compile(r"(?:^|/)([^/]+\.service)(?:/|$)")
IN_MEMORY = ("devtmpfs", "hugetlbfs", "ramfs", "tmpfs")
"""File systems that a kexec empties."""


def read_process(proc: Path, pid: int) -> ProcessFacts:
    """Read it. OSError: ENOENT or ESRCH it has ended, EACCES not this user's to know."""
    folder = proc / str(pid)
    status = _status(folder)
    links = _links(folder)
    return ProcessFacts(
        pid=pid,
        started=started(folder),
        argv=words(folder / "cmdline"),
        exe=os.readlink(folder / "exe"),  # noqa: PTH115 - what follows the name belongs to it
        cwd=os.readlink(folder / "cwd"),  # noqa: PTH115
        uid=int(status["Uid"].split()[1]),
        gid=int(status["Gid"].split()[1]),
        links=links,
        memfds=_memfds(folder, links),
        namespaces=_foreign(proc, folder),
        root=os.readlink(folder / "root"),  # noqa: PTH115
        capabilities=int(status["CapEff"], 16),
        unit=_unit(folder),
    )


def _status(folder: Path) -> Mapping[str, str]:
    text = (folder / "status").read_text(errors="surrogateescape")
    lines = (line.partition(":") for line in text.splitlines())
    return {key: value.strip() for key, _, value in lines}


def _links(folder: Path) -> Mapping[int, str]:
    found = {}
    for entry in os.scandir(folder / "fd"):
        try:
            found[int(entry.name)] = os.readlink(entry.path)  # noqa: PTH115
        except OSError as error:
            if error.errno not in ABSENT:
                raise
    return dict(sorted(found.items()))


def _memfds(folder: Path, links: Mapping[int, str]) -> tuple[Memfd, ...]:
    found: dict[tuple[int, int], Memfd] = {}
    for fd, target in links.items():
        if target.startswith(MEMFDS):
            try:
                about = os.stat(folder / "fd" / str(fd))  # noqa: PTH116
                huge = os.statvfs(folder / "fd" / str(fd)).f_bsize > os.sysconf("SC_PAGESIZE")
            except OSError as error:
                if error.errno not in ABSENT:
                    raise
                continue
            file = about.st_dev, about.st_ino
            found.setdefault(file, Memfd(fd, file, about.st_size, huge))
    return tuple(found.values())


def _foreign(proc: Path, folder: Path) -> tuple[str, ...]:
    """Return the kinds of namespaces that are not this process's."""
    pairs = (
        (kind, proc / "self" / "ns" / kind, folder / "ns" / kind)
        for kind in _NAMESPACES
        if (proc / "self" / "ns" / kind).exists()
    )
    return tuple(kind for kind, ours, its in pairs if ours.readlink() != its.readlink())


def _unit(folder: Path) -> str:
    text = (folder / "cgroup").read_text(errors="surrogateescape")
    found = _UNIT.findall(text)
    return str(found[-1]) if found else ""


def file_system(path: Path, mounts: str) -> str:
    """Return the type of the file system that a path lies on; empty where it is not known.

    ``mounts`` is the text of /proc/PID/mountinfo.
    """
    best, kind = "", ""
    for line in mounts.splitlines():
        before, dash, after = line.partition(" - ")
        fields = before.split()
        if not dash or len(fields) < 5:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), fields[4])
        # A later mount on the same point hides the earlier one.
        if path.is_relative_to(point) and len(point) >= len(best):
            best, kind = point, after.split()[0]
    return kind
