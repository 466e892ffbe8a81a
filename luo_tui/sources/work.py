# SPDX-License-Identifier: MIT
"""What runs on this host that a kexec ends: guests, what holds much memory, and services.

Nobody notifies of it, and to look through all processes costs: it is read when
somebody is to decide on it, not watched. Guests have /dev/kvm open, or are QEMU's,
which does without; a memfd that is large may be a guest's memory all the same
(kernel/lab/vmm keeps it so).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from luo_tui.model import Guest, Work
from luo_tui.sources.clean import clean
from luo_tui.sources.processes import MEMFDS, Process, open_files, running
from luo_tui.sources.qemu import guest_name, is_qemu, options
from luo_tui.sources.reading import ABSENT, Reading

LARGE = 256 << 20
"""Bytes from which on memfds count that are nobody's guest."""
_KVM = "/dev/kvm"
_SLICE = "system.slice"


def read_work(
    proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup"), *, me: int = 0
) -> Work:
    """Look through all processes and services, but the process ``me`` (0: this one).

    OSError where this process has no descriptor or memory left; what else could
    not be learned is told in ``missing``.
    """
    me = me or os.getpid()
    reading = Reading()
    numbers = [int(p.name) for p in reading.entries(proc) if p.name.isdecimal()]
    # The first process never ends: without it /proc hides those of others (hidepid).
    names = frozenset(_comm(proc / str(n)) for n in numbers) if 1 in numbers else None
    opened = open_files(proc, (_KVM, *MEMFDS))
    if opened.missing:
        reading.lacks("which guests run is {}", "", opened.missing)
    guests = {p.pid for p in opened.of(_KVM)}
    qemus = frozenset(running(proc, is_qemu).pids)
    there = {p.pid: p for those in opened.by_path.values() for p in those}
    there |= {pid: Process(pid, _comm(proc / str(pid))) for pid in qemus}
    found = []
    for pid, process in sorted(there.items()):
        if pid == me:
            continue
        memory = _memory(proc / str(pid))
        if pid in guests or pid in qemus or sum(memory.values()) >= LARGE:
            found.append(_guest(proc / str(pid), process, memory, is_qemu=pid in qemus))
    return Work(names, tuple(found), _services(cgroups, reading), reading.missing)


def _guest(folder: Path, process: Process, memory: Mapping[str, int], *, is_qemu: bool) -> Guest:
    return Guest(
        process.pid,
        process.comm,
        tuple(sorted(memory, key=lambda name: -memory[name])),
        sum(memory.values()),
        _started(folder),
        _given_name(folder) if is_qemu else "",
        is_qemu,
    )


def _given_name(folder: Path) -> str:
    """Return what a QEMU calls its guest; empty where it was not told, or may not be read."""
    try:
        words = (folder / "cmdline").read_bytes().removesuffix(b"\0").split(b"\0")
    except OSError as error:
        Reading().refused(error, "")
        return ""
    return clean(guest_name(options([os.fsdecode(word) for word in words])))


def _comm(process: Path) -> str:
    try:
        return clean((process / "comm").read_text(errors="surrogateescape").removesuffix("\n"))
    except OSError as error:
        Reading().refused(error, "")
        return ""


def _memory(process: Path) -> dict[str, int]:
    """Return the bytes of a process's memfds by their names; of one that ends meanwhile none."""
    found: dict[tuple[int, int], tuple[str, int]] = {}
    try:
        descriptors = list(os.scandir(process / "fd"))
    except OSError as error:
        Reading().refused(error, "")
        return {}
    for descriptor in descriptors:
        try:
            target = str(Path(descriptor.path).readlink())
            if target.startswith(MEMFDS):
                about = Path(descriptor.path).stat()
                name = clean(target.removesuffix(" (deleted)").partition(":")[2])
                found[about.st_dev, about.st_ino] = (name, about.st_size)
        except OSError as error:
            Reading().refused(error, "")
    sizes: dict[str, int] = {}
    for name, size in found.values():
        sizes[name] = sizes.get(name, 0) + size
    return sizes


def _started(process: Path) -> float:
    """Return when a process began, in seconds of CLOCK_BOOTTIME (proc(5)); 0: not known."""
    try:
        text = (process / "stat").read_text(errors="surrogateescape")
        # Its name may have blanks and brackets; what follows the last bracket has none.
        return int(text.rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError) as error:
        if isinstance(error, OSError):
            Reading().refused(error, "")
        return 0.0


def _services(cgroups: Path, reading: Reading) -> tuple[str, ...]:
    """Return the units below system.slice that have processes; empty without systemd."""
    for root in (cgroups / _SLICE, cgroups / "systemd" / _SLICE):
        folders = reading.entries(root)
        for folder in [f for f in folders if f.suffix == ".slice"]:
            folders += reading.entries(folder)
        found = [f for f in folders if f.suffix == ".service" and _populated(f)]
        if found:
            return tuple(sorted(clean(f.name.removesuffix(".service")) for f in found))
    return ()


def _populated(folder: Path) -> bool:
    """Whether processes are in a control group (Documentation/admin-guide/cgroup-v2.rst)."""
    try:
        return "populated 0" not in (folder / "cgroup.events").read_text()
    except OSError as error:
        # The first version of control groups has no such file.
        return error.errno in ABSENT and folder.is_dir()
