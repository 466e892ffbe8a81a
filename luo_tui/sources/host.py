# SPDX-License-Identifier: MIT
"""How the machine is: memory, load, users, watchdog timers, and who has /dev/liveupdate open.

Memory, load and users (by psutil) notify nobody: they are sampled, and told so
coarsely that an idle machine stays the same. Person has the device open is looked
for only after inotify said that somebody opened or closed it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import time
from collections.abc import Sequence
from pathlib import Path

from luo_tui.model import Vitals
from luo_tui.sources.changes import Change, VitalsRead
from luo_tui.sources.clean import clean
from luo_tui.uapi import luo_v2

_STEPS = 100
"""Memory is told in this many parts of the whole."""
_STUBBORN = 0.75
"""A figure is told anew when it is off by this part of its step: on an edge it does not flap."""
_LOAD_STEP = 0.5
_UTMP = Path("/run/utmp")
# inotify(7): include/uapi/linux/inotify.h.
_IN_OPEN, _IN_CLOSE = 0x20, 0x08 | 0x10
_IN_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC


class HostSource:
    """Sampled; its descriptor is an inotify one on the orchestrator's device."""

    name = "vitals"
    events = select.POLLIN
    every = 2.0

    def __init__(
        self,
        device: str = luo_v2.DEVICE,
        proc: Path = Path("/proc"),
        sys: Path = Path("/sys"),
    ) -> None:
        """Take the kernel's files, or a test's."""
        self._device, self._proc, self._sys = device, proc, sys
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = -1
        self._inode = 0
        """Inode of the device node that is watched; 0 while there is none."""
        self._stirred = True
        self._looked = 0.0
        self._vitals = Vitals()

    def fileno(self) -> int:
        """Return the inotify descriptor."""
        return self._fd

    def reopen(self) -> None:
        """Begin to watch the device, if it is there."""
        self.close()
        self._fd = self._libc.inotify_init1(_IN_FLAGS)
        if self._fd < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        self._inode, self._stirred = 0, True
        self._watch()

    def enumerate(self) -> Sequence[Change]:
        """Read everything."""
        self._stirred, self._looked = True, 0.0
        self._vitals = self._read()
        return (VitalsRead(self._vitals),)

    def drain(self) -> Sequence[Change] | None:
        """Sample; nothing when all is as it was told."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self._fd, 65_536):
                self._stirred = True
        self._watch()
        new = self._read()
        if new == self._vitals:
            return ()
        self._vitals = new
        return (VitalsRead(new),)

    def close(self) -> None:
        """Release the descriptor."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _watch(self) -> None:
        """Watch the device's node; it comes and goes with the module."""
        try:
            inode = Path(self._device).stat().st_ino
        except OSError:
            inode = 0
        if inode == self._inode:
            return
        self._inode, self._stirred = inode, True
        if inode:
            name = os.fsencode(self._device)
            if self._libc.inotify_add_watch(self._fd, name, _IN_OPEN | _IN_CLOSE) < 0:
                self._inode = 0  # None left: the next sample tries again.

    def _read(self) -> Vitals:
        old = self._vitals
        total, available = (_memory(self._proc, n) for n in ("MemTotal", "MemAvailable"))
        return Vitals(
            memory_total=total,
            memory_available=int(_coarse(available, old.memory_available, max(1, total // _STEPS))),
            load=_coarse(os.getloadavg()[0], old.load, _LOAD_STEP),
            cpus=os.cpu_count() or 0,
            users=_users(),
            booted_at=old.booted_at or _booted_at(self._proc),
            holders=self._holders(),
            watchdogs=_watchdogs(self._sys),
        )

    def _holders(self) -> tuple[str, ...]:
        """Look through all processes, when there is reason to, and not more often than sampled."""
        now = time.monotonic()
        if not self._stirred or now - self._looked < self.every * 0.9:
            return self._vitals.holders
        self._stirred, self._looked = False, now
        return _holders(self._device, self._proc) if self._inode else ()


def _coarse(value: float, told: float, step: float) -> float:
    """Return what to tell: what was told before, unless it is off by enough."""
    return told if told and abs(value - told) < _STUBBORN * step else round(value / step) * step


def _memory(proc: Path, name: str) -> int:
    """Return one line of the kernel's account of memory, in bytes; 0 when it does not tell."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in (proc / "meminfo").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return 0


def _booted_at(proc: Path) -> float:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in (proc / "stat").read_text().splitlines():
            if line.startswith("btime "):
                return float(line.split()[1])
    return 0.0


def _users() -> tuple[str, ...]:
    # Slow to import; a system without the file has nobody in it either.
    if not _UTMP.exists():
        return ()
    import psutil

    found = []
    with contextlib.suppress(OSError, RuntimeError):
        for user in psutil.users():
            where = f" from {user.host}" if user.host else ""
            found.append(clean(f"{user.name} on {user.terminal or 'no terminal'}{where}"))
    return tuple(sorted(found))


def _watchdogs(sys: Path) -> tuple[str, ...]:
    found = []
    with contextlib.suppress(OSError):
        for entry in sorted((sys / "class" / "watchdog").iterdir()):
            with contextlib.suppress(OSError):
                if (entry / "state").read_text().strip() == "active":
                    name = (entry / "identity").read_text(errors="surrogateescape").strip()
                    seconds = (entry / "timeout").read_text().strip()
                    found.append(clean(f"{name or entry.name}, {seconds} s"))
    return tuple(found)


def _holders(device: str, proc: Path) -> tuple[str, ...]:
    """Return the processes that have the device open, but this one."""
    found = []
    with contextlib.suppress(OSError):
        for process in proc.iterdir():
            if not process.name.isdigit() or int(process.name) == os.getpid():
                continue
            with contextlib.suppress(OSError):
                links = (Path(fd.path).readlink() for fd in os.scandir(process / "fd"))
                if any(str(link) == device for link in links):
                    comm = (process / "comm").read_text(errors="surrogateescape").strip()
                    found.append(f"{clean(comm)} [{process.name}]")
    return tuple(sorted(found))
