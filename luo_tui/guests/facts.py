# SPDX-License-Identifier: MIT
"""What is known of a guest, as values: of its process, and of the machine that QEMU has made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

STATE_NAME = "luo-state"
"""How the memfd for a guest's state is called, with the guest's name behind it."""


@dataclass(frozen=True, slots=True)
class Memfd:
    """A memfd that a process has open, once for all descriptors of it."""

    fd: int
    file: tuple[int, int]
    """Device and inode."""
    bytes: int
    huge: bool
    """Whether its pages are of hugetlbfs, which luo.ko does not preserve."""


@dataclass(frozen=True, slots=True)
class ProcessFacts:
    """What /proc tells of a QEMU process. Foreign text is as it is there, not made harmless."""

    pid: int
    started: int
    """Clock ticks since this kernel began; with the number it is one process alone."""
    argv: tuple[str, ...]
    exe: str
    """Path of the program; ends in `` (deleted)`` where it was replaced or removed."""
    cwd: str
    uid: int
    gid: int
    links: Mapping[int, str] = field(default_factory=dict)
    """What each descriptor leads to."""
    memfds: tuple[Memfd, ...] = ()
    """In the order of their descriptors."""
    namespaces: tuple[str, ...] = ()
    """Kinds of namespaces in which it is not where this process is."""
    root: str = "/"
    capabilities: int = 0
    """CapEff of proc(5)."""
    unit: str = ""
    """Service of systemd that it belongs to; empty: none."""


class Disposition(StrEnum):
    """What an update could do to a guest."""

    CARRIED = "can be carried"
    LOST = "would be lost"
    UNKNOWN = "not known"


@dataclass(frozen=True, slots=True)
class Memory:
    """A memory object of the machine."""

    id: str
    bytes: int
    shared: bool
    kind: str
    """Its type, such as ``memory-backend-memfd``; empty: not known."""
    path: str = ""
    """For ``memory-backend-file``."""
    huge: bool = False


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk, or a drive with a medium."""

    name: str
    image: str
    """The active image, as QEMU names it."""
    below: tuple[str, ...] = ()
    """The images that it lies upon, the nearest first: often named by it alone."""


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """What QEMU tells of its machine, by QMP. Text is as QEMU gave it."""

    version: tuple[int, int, int]
    name: str
    status: str
    """RunState: running, paused, ..."""
    memory_bytes: int
    memories: tuple[Memory, ...]
    capabilities: frozenset[str]
    """What migration can do here."""
    blocked: tuple[str, ...]
    """QEMU's own reasons why its state cannot be saved."""
    migration: str
    """Status of the last or current migration; empty: none."""
    type: str
    """Versioned type of the machine, as ``-machine`` takes it."""
    disks: tuple[Disk, ...]
    devices: Mapping[str, str]
    """Types of the devices with an id of their own."""
    anonymous: tuple[str, ...]
    """Types of devices that were added without one."""
    objects: frozenset[str]
    display: str


@dataclass(frozen=True, slots=True)
class GuestFacts:
    """All that is known of a guest."""

    process: ProcessFacts
    machine: MachineFacts | None = None
    socket: str = ""
    """Path on which QMP answered, from here."""
    fault: str = ""
    """Why there is no ``machine``, to follow on a colon."""
    volatile: tuple[str, ...] = ()
    """Files that the guest needs and that lie in memory: gone after a kexec."""
    absent: tuple[str, ...] = ()
    """Files that it would need to start, and that are not there any more."""
    descriptors: Mapping[str, int] = field(default_factory=dict)
    """The process's descriptor for each memory object that has one beyond doubt, by id."""
    missing: tuple[str, ...] = ()
    """What could not be read, as sentences without their ends."""
