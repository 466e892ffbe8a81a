# SPDX-License-Identifier: MIT
"""What a rehearsal's machine is given, and how it tells of what it does."""

from __future__ import annotations

from collections.abc import Callable

PAGE = 4096
"""Bytes of a page: machines are made for x86_64 alone."""
MARK = "luo-rehearsal: "
"""What stands before each line of JSON."""
LONGEST = 300
"""Characters of a text that are told: the kernel's log takes lines of at most 1,024 bytes."""
MODULE = "/luo/luo.ko"
"""The kernel's own luo.ko; it is not there where mainline's sessions are rehearsed."""
TASK, HANDED = "/luo/task.json", "/luo/handed.json"
"""What the first kernel is to do; what it leaves to the second one, in that one's initrd."""
TARGET, NEXT_INITRD = "/luo/target", "/luo/next-initrd"
STATE_BYTES, STATE_WRITTEN = 64 << 20, 512 << 10
"""Bytes of a memfd that stands for a guest's state, and how many of them are written."""
SESSIONS = "sessions"
"""The interface of mainline's kernels; any other is luo.ko's."""

Say = Callable[..., None]
"""Tells of an event by its name, with values."""


class Failed(Exception):
    """A step did not come to its end."""

    def __init__(self, step: str, text: str, number: int = 0) -> None:
        """Say which and why; ``number`` is an errno, where the kernel gave one."""
        super().__init__(text)
        self.step, self.text, self.number = step, text, number
