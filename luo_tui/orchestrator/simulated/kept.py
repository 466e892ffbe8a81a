# SPDX-License-Identifier: MIT
"""What the simulated kernel holds, and small things that its parts share."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping, Set
from dataclasses import dataclass

from luo_tui.model import Resource, ResourceState


@dataclass(slots=True)
class Kept:
    """A descriptor that the simulated kernel holds."""

    token: int
    fd: int
    name: str
    pid: int
    comm: str
    state: ResourceState = ResourceState.PRESERVED
    file: tuple[int, int] = (0, 0)
    """Device and inode."""
    by_agent: bool = False
    """Whether it was restored for a guest's process, which there is none of: it has it for good."""

    def __post_init__(self) -> None:
        """Note which file it is."""
        about = os.fstat(self.fd)
        self.file = about.st_dev, about.st_ino

    def resource(self) -> Resource:
        """Return what the class shows of it, but for whether it is abandoned."""
        size = os.fstat(self.fd).st_size
        return Resource(self.token, "memfd", self.state, self.name, size, self.pid, self.comm)


def who_holds(wanted: Set[tuple[int, int]]) -> Mapping[tuple[int, int], int]:
    """Count this process's descriptors of each of these files, by device and inode."""
    found: dict[tuple[int, int], int] = {}
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names alone are wanted
        with contextlib.suppress(OSError):
            about = os.fstat(int(name))
            file = about.st_dev, about.st_ino
            if file in wanted:
                found[file] = found.get(file, 0) + 1
    return found


def tsc() -> int:
    """Return the time that a jump does not stop."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def error(code: int) -> OSError:
    """Make the kernel's answer."""
    return OSError(code, os.strerror(code))


def is_open(fd: int) -> bool:
    """Whether this is a descriptor of the process."""
    try:
        os.fstat(fd)
    except (OSError, OverflowError):
        return False
    return True
