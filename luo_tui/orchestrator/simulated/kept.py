# SPDX-License-Identifier: MIT
"""What the simulated kernel holds, and small things that its parts share."""

from __future__ import annotations

import os
import time
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

    def __post_init__(self) -> None:
        """Note which file it is."""
        about = os.fstat(self.fd)
        self.file = about.st_dev, about.st_ino

    def resource(self) -> Resource:
        """Return what the class shows of it."""
        size = os.fstat(self.fd).st_size
        return Resource(self.token, "memfd", self.state, self.name, size, self.pid, self.comm)


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
