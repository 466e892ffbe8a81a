# SPDX-License-Identifier: MIT
"""Finds the guests of this host, and reads all that has to be known to carry them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from luo_tui.guests import arguments
from luo_tui.guests.facts import STATE_NAME, GuestFacts, MachineFacts, ProcessFacts
from luo_tui.guests.machine import read_machine
from luo_tui.guests.process import IN_MEMORY, file_system, read_process
from luo_tui.guests.qmp import LIMIT, Qmp, QmpError, QmpSilent
from luo_tui.sources.processes import running
from luo_tui.sources.qemu import is_qemu
from luo_tui.sources.reading import ABSENT, EXHAUSTED

_OWN = ("/proc/self/fd/", "/dev/fd/")


@dataclass(frozen=True, slots=True)
class Found:
    """The guests of a host at one moment."""

    guests: tuple[GuestFacts, ...] = ()
    """In the order of their process ids."""
    missing: tuple[str, ...] = ()
    """What could not be learned, as sentences without their ends: there may be more guests."""


def find_guests(proc: Path = Path("/proc"), limit: float = LIMIT) -> Found:
    """Look for running QEMU processes, and ask each; a guest that hangs takes ``limit`` seconds.

    OSError where this process has no descriptor or memory left.
    """
    there = running(proc, is_qemu)
    missing = [f"which guests run is {there.missing}"] if there.missing else []
    found = []
    for pid in there.pids:
        try:
            found.append(read_guest(proc, pid, limit))
        except OSError as error:
            if error.errno in EXHAUSTED:
                raise
            if error.errno not in ABSENT:
                why = error.strerror or str(error)
                missing.append(f"what QEMU process {pid} is could not be read: {why}")
    return Found(tuple(found), tuple(missing))


def read_guest(proc: Path, pid: int, limit: float = LIMIT) -> GuestFacts:
    """Read one guest. OSError as :func:`read_process`; that QEMU does not answer is a fact."""
    process = read_process(proc, pid)
    said = arguments.options(process.argv)
    machine, socket, fault = _ask(process, arguments.qmp_sockets(said), limit)
    facts = GuestFacts(process, machine, socket, fault)
    files = [*arguments.read_at_start(said), process.exe.removesuffix(" (deleted)")]
    files += map(arguments.image_path, arguments.disk_files(said))
    if machine is not None:
        facts = replace(facts, descriptors=_descriptors(proc, process, machine))
        files += (arguments.image_path(below) for disk in machine.disks for below in disk.below)
    return _with_files(proc, facts, [f for f in dict.fromkeys(files) if f])


def _ask(
    process: ProcessFacts, paths: tuple[str, ...], limit: float
) -> tuple[MachineFacts | None, str, str]:
    """Return what QEMU tells, where it did, and why it told nothing."""
    faults = []
    for path in paths:
        # QEMU made it where it stands, and may have another idea of where that is.
        at = path if path.startswith("/") else f"{process.cwd}/{path}"
        try:
            with Qmp.connect(at, pid=process.pid, limit=limit) as qmp:
                return read_machine(qmp), at, ""
        except QmpSilent as error:
            faults.append(f"{path}: {error}; another program may have it")
        except QmpError as error:
            faults.append(f"{path}: {error}")
    return None, "", "; ".join(faults)


def _descriptors(proc: Path, process: ProcessFacts, machine: MachineFacts) -> Mapping[str, int]:
    """Match memory objects with the process's memfds, where there is no doubt.

    QEMU 7.2 does not tell which is whose. So a size that two of either have is
    matched by nothing: the wrong memory would be another guest's doom.
    """
    found: dict[str, int] = {}
    # What was made for its state is no memory, whatever its size is.
    states = {fd for fd, link in process.links.items() if link.startswith(f"/memfd:{STATE_NAME}-")}
    taken = {memfd.file for memfd in process.memfds if memfd.fd in states}
    for memory in machine.memories:
        prefix = next((p for p in _OWN if memory.path.startswith(p)), None)
        if prefix is not None and memory.path.removeprefix(prefix).isdecimal():
            file = _file(proc / str(process.pid) / "fd" / memory.path.removeprefix(prefix))
            for memfd in process.memfds:
                if memfd.file == file and memfd.bytes >= memory.bytes:
                    found[memory.id] = memfd.fd
                    taken.add(memfd.file)
    for memory in machine.memories:
        if memory.kind != "memory-backend-memfd":
            continue
        same = [m for m in process.memfds if m.bytes == memory.bytes and m.file not in taken]
        alike = [m for m in machine.memories if m.bytes == memory.bytes and m.id not in found]
        if len(same) == len(alike) == 1:
            found[memory.id] = same[0].fd
    return found


def _file(path: Path) -> tuple[int, int] | None:
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_dev, about.st_ino


def _with_files(proc: Path, facts: GuestFacts, files: Iterable[str]) -> GuestFacts:
    volatile, absent, missing = [], [], []
    try:
        mounts = (proc / str(facts.process.pid) / "mountinfo").read_text(errors="surrogateescape")
    except OSError as error:
        mounts = ""
        missing.append(f"its mounts could not be read: {error.strerror or error}")
    for file in files:
        path = Path(facts.process.cwd, file)
        try:
            about = path.stat()
            if stat.S_ISREG(about.st_mode):
                real = Path(os.path.realpath(path))
                if file_system(real, mounts) in IN_MEMORY:
                    volatile.append(file)
        except OSError as error:
            if error.errno in ABSENT:
                absent.append(file)
            else:
                missing.append(f"{file} could not be looked at: {error.strerror or error}")
    return replace(facts, volatile=tuple(volatile), absent=tuple(absent), missing=tuple(missing))
