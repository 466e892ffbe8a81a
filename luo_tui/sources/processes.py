# SPDX-License-Identifier: MIT
"""Which processes have which files open, or run which program: the one scanner of ``/proc``.

It costs some 35 microseconds a process: whoever scans does so when something
stirred, or once a sample. Only names are read, never what stands behind them:
a stat of a file on a dead server would not return.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from luo_tui.sources.clean import clean
from luo_tui.sources.reading import ABSENT, EXHAUSTED

MEMFDS = ("/memfd:", "/ (deleted)")
"""How the names of memfds begin. One that came over by a session of mainline has lost its own
(Linux 7.3, mm/memfd_luo.c)."""
_GONE = " (deleted)"
"""Written by the kernel behind the name of a file that has none any more (fs/d_path.c)."""
_DENIED = (errno.EACCES, errno.EPERM)
_UNSEEN = {
    False: "known to root alone",
    True: "not known: some processes could not be looked at",
}


class Process(NamedTuple):
    """A process, as far as it has to be named."""

    pid: int
    comm: str

    def __str__(self) -> str:
        """Return it as ``command [pid]``."""
        return f"{self.comm or '?'} [{self.pid}]"


class OpenFiles(NamedTuple):
    """Who has what open, at one moment."""

    by_path: Mapping[str, tuple[Process, ...]] = MappingProxyType({})
    """Processes by the name of the file, in the order of their ids."""
    missing: str = ""
    """Why not all are known, to follow on "who has it open is"; empty when they are."""

    @property
    def complete(self) -> bool:
        """Whether every process was looked at."""
        return not self.missing

    def of(self, path: str) -> tuple[Process, ...]:
        """Return the processes that have the file of this name open."""
        return self.by_path.get(path, ())


def open_files(proc: Path, under: str | tuple[str, ...]) -> OpenFiles:
    """Look through all processes for open files whose names begin with ``under``, or one of it.

    A process that ends meanwhile is none. OSError where this process has no
    descriptor or memory left; whatever else is refused makes it incomplete.
    """
    numbers, missing = _numbers(proc)
    if missing:
        return OpenFiles(missing=missing)
    found, refused = _opened(proc, numbers, under)
    # The first process never ends: without it /proc hides those of others (hidepid).
    missing = _UNSEEN[os.geteuid() == 0] if refused or 1 not in numbers else ""
    return OpenFiles({name: tuple(those) for name, those in found.items()}, missing)


def looked_again(before: OpenFiles, proc: Path, pids: Iterable[int], under: str) -> OpenFiles:
    """Return what was found ``before`` by :func:`open_files`, these processes looked at anew."""
    wanted = sorted(set(pids))
    found, refused = _opened(proc, wanted, under)
    for name, those in before.by_path.items():
        others = [process for process in those if process.pid not in wanted]
        if others:
            found[name] = sorted([*others, *found.get(name, ())])
    missing = before.missing or (_UNSEEN[os.geteuid() == 0] if refused else "")
    return OpenFiles({name: tuple(those) for name, those in found.items()}, missing)


def _opened(
    proc: Path, numbers: Iterable[int], under: str | tuple[str, ...]
) -> tuple[dict[str, list[Process]], bool]:
    """Return which of these processes have what open, and whether one could not be looked at."""
    found: dict[str, list[Process]] = {}
    refused = False
    for pid in numbers:
        try:
            # Text, since a Path for each would take longer than what is asked of the kernel.
            names = _names(f"{proc}/{pid}/fd", under)
            if names:
                process = Process(pid, _comm(proc / str(pid)))
                for name in names:
                    found.setdefault(name, []).append(process)
        except OSError as error:
            if error.errno in EXHAUSTED:
                raise
            refused = refused or error.errno not in ABSENT
    return found, refused


class Running(NamedTuple):
    """Which processes run one of some programs, at one moment."""

    pids: tuple[int, ...] = ()
    missing: str = ""
    """Why not all are known, to follow on "who runs it is"; empty when they are."""


def running(proc: Path, wanted: Callable[[str], bool]) -> Running:
    """Look through all processes for those whose program has a name that is ``wanted``.

    It is the name of its file, or else, where that may not be looked at, what the
    process says itself (its first argument). A process that ends meanwhile is none.
    OSError where this process has no descriptor or memory left.
    """
    numbers, missing = _numbers(proc)
    if missing:
        return Running(missing=missing)
    found, complete = [], 1 in numbers
    for pid in numbers:
        folder = proc / str(pid)
        try:
            try:
                name = (folder / "exe").readlink().name.removesuffix(_GONE)
            except PermissionError:
                complete = False
                first = (folder / "cmdline").read_bytes().partition(b"\0")[0]
                name = os.fsdecode(first).rpartition("/")[2]
            if wanted(name):
                found.append(pid)
        except OSError as error:
            if error.errno in EXHAUSTED:
                raise
            complete = complete and error.errno in ABSENT
    return Running(tuple(found), "" if complete else _UNSEEN[os.geteuid() == 0])


def _numbers(proc: Path) -> tuple[list[int], str]:
    """Return the ids of all processes, and why they are not known."""
    try:
        return sorted(int(name) for name in os.listdir(proc) if name.isdecimal()), ""  # noqa: PTH208
    except OSError as error:
        if error.errno in EXHAUSTED:
            raise
        return [], f"not known: {proc}: {error.strerror}"


def _names(folder: str, under: str | tuple[str, ...]) -> set[str]:
    found = set()
    with os.scandir(folder) as descriptors:
        for descriptor in descriptors:
            try:
                name = os.readlink(descriptor.path)  # noqa: PTH115 - of all that is done here the most often
            except OSError as error:
                if error.errno in ABSENT:
                    continue  # It was closed meanwhile.
                raise
            if name.startswith(under):
                # What is no file has a name of its own, which may end so.
                found.add(name.removesuffix(_GONE) if name.startswith("/") else name)
    return found


def _comm(process: Path) -> str:
    try:
        return clean((process / "comm").read_text(errors="surrogateescape").strip())
    except OSError as error:
        if error.errno in _DENIED:
            return ""
        raise
