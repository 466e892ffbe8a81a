# SPDX-License-Identifier: MIT
"""How the machine is: memory, load, users, watchdog timers, and who has /dev/liveupdate open.

Memory, load and users notify nobody: they are sampled, and told so coarsely that
an idle machine stays the same. Who has the device open is looked for only after
inotify said that somebody opened or closed it.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Sequence
from pathlib import Path

from luo_tui.model import Vitals
from luo_tui.sources.changes import Change, ReadingDone, VitalsRead
from luo_tui.sources.clean import clean
from luo_tui.sources.inotify import OPENED, Watcher
from luo_tui.sources.logins import Logins
from luo_tui.sources.memory import read_memory
from luo_tui.sources.processes import OpenFiles, open_files
from luo_tui.sources.reading import ABSENT, Reading
from luo_tui.uapi import luo_v2

_STEPS = 100
"""Memory is told in this many parts of the whole."""
_STUBBORN = 0.75
"""A figure is told anew when it is off by this part of its step: on an edge it does not flap."""
_LOAD_STEP = 0.5


class HostSource:
    """Sampled; its descriptor rings when somebody opens or closes the orchestrator's device."""

    name = "host activity"
    events = select.POLLIN
    every = 2.0

    def __init__(
        self,
        device: str = luo_v2.DEVICE,
        proc: Path = Path("/proc"),
        sys: Path = Path("/sys"),
        logins: Logins | None = None,
    ) -> None:
        """Take the kernel's files and this system's logins, or a test's."""
        self._device, self._proc, self._sys = device, proc, sys
        self._logins = logins or Logins()
        self._watcher = Watcher(OPENED, self._opened)
        self._inode = -1
        """Inode of the device node that is watched; 0: there is none, -1: not looked yet."""
        self._stirred = True
        self._looked = 0.0
        self._holders = OpenFiles()
        self._vitals = Vitals()
        self._missing: tuple[str, ...] = ()

    def fileno(self) -> int:
        """Return the descriptor that rings."""
        return self._watcher.fileno()

    def reopen(self) -> None:
        """Begin to watch the device, if it is there. OSError where that cannot be."""
        self._watcher.open()
        self._inode = -1
        self._watch()

    def enumerate(self) -> Sequence[Change]:
        """Read everything. OSError where this process has no descriptor left."""
        self._stirred, self._looked = True, 0.0
        self._read()
        return (VitalsRead(self._vitals), ReadingDone(self.name, self._missing))

    def drain(self) -> Sequence[Change] | None:
        """Sample; nothing when all is as it was told."""
        self._watcher.silence()
        self._watch()
        vitals, missing = self._vitals, self._missing
        self._read()
        changes: list[Change] = []
        if self._vitals != vitals:
            changes.append(VitalsRead(self._vitals))
        if self._missing != missing:
            changes.append(ReadingDone(self.name, self._missing))
        return changes

    def close(self) -> None:
        """Release the descriptor."""
        self._watcher.close()

    def _opened(self, kind: str, path: Path, is_folder: bool) -> bool:
        """In a thread of watchdog's: note that somebody opened or closed the device."""
        del kind, path, is_folder
        self._stirred = True
        return True

    def _watch(self) -> None:
        """Watch the device's node; it comes and goes with the module."""
        inode = self._device_inode()
        if inode == self._inode and self._watcher.whole:
            return
        self._stirred = True
        # Whoever may not open it may not watch it either, nor see who has it open.
        readable = inode and os.access(self._device, os.R_OK)
        self._watcher.watch([Path(self._device)] if readable else [])
        self._inode = inode

    def _device_inode(self) -> int:
        try:
            return Path(self._device).stat().st_ino
        except OSError as error:
            if error.errno in ABSENT:
                return 0
            raise

    def _read(self) -> None:
        old, reading = self._vitals, Reading()
        total, available = read_memory(reading, self._proc)
        try:
            load = _coarse(os.getloadavg()[0], old.load, _LOAD_STEP)
        except OSError as error:
            load = old.load
            reading.refused(error, "the load could not be read")
        users, unknown = self._logins.read()
        for sentence in unknown:
            reading.lacks(sentence)
        self._vitals = Vitals(
            memory_total=total,
            memory_available=int(_coarse(available, old.memory_available, max(1, total // _STEPS))),
            load=load,
            cpus=os.cpu_count() or 0,
            users=users,
            booted_at=old.booted_at or _booted_at(self._proc, reading),
            holders=self._held(reading),
            watchdogs=_watchdogs(self._sys, reading),
        )
        self._missing = reading.missing

    def _held(self, reading: Reading) -> tuple[str, ...]:
        """Return the processes that have the device open, but this one.

        All processes are looked through when there is reason to, and not more
        often than sampled.
        """
        now = time.monotonic()
        if self._stirred and now - self._looked >= self.every * 0.9:
            self._stirred, self._looked = False, now
            there = bool(self._device_inode())
            self._holders = open_files(self._proc, self._device) if there else OpenFiles()
        if self._holders.missing:
            what = f"who has {self._device} open is {{}}"
            reading.lacks(what, "", self._holders.missing)
        holders = self._holders.of(self._device)
        return tuple(str(p) for p in holders if p.pid != os.getpid())


def _coarse(value: float, told: float, step: float) -> float:
    """Return what to tell: what was told before, unless it is off by enough."""
    return told if told and abs(value - told) < _STUBBORN * step else round(value / step) * step


def _booted_at(proc: Path, reading: Reading) -> float:
    for line in reading.text(proc / "stat").splitlines():
        word, _, number = line.partition(" ")
        if word == "btime" and number.isdecimal():
            return float(number)
    reading.lacks("when this kernel started is not told")
    return 0.0


def _watchdogs(sys: Path, reading: Reading) -> tuple[str, ...]:
    found = []
    for entry in reading.entries(sys / "class" / "watchdog"):
        state = reading.text(entry / "state")
        if not state:
            reading.lacks("whether {} is armed is not told by this kernel", "", entry.name)
        if state == "active":
            name = reading.text(entry / "identity") or entry.name
            seconds = reading.text(entry / "timeout") or "?"
            found.append(clean(f"{name}, {seconds} s"))
    return tuple(found)
