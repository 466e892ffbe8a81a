# SPDX-License-Identifier: MIT
"""Takes a guest's state from QEMU through a pipe, and writes it where it is preserved.

QEMU from 11 on writes to no file that it is given as a descriptor, and truncates one
that it opens by a path, which a file that is preserved does not allow.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select

from luo_tui.guests.failed import GuestFailed

_ROOM = 1 << 20
"""Bytes that the pipe has room for: most states, so that QEMU waits for nobody."""


class StatePipe:
    """One pipe, whose writing end is QEMU's. Not thread-safe."""

    def __init__(self, file: int, most: int) -> None:
        """Write to ``file`` from its beginning, ``most`` bytes at the most. OSError."""
        self._file, self._most, self._at = file, most, 0
        self._out, self.end = os.pipe2(os.O_CLOEXEC)
        with contextlib.suppress(OSError):
            # Without privilege only as far as the host allows it.
            fcntl.fcntl(self.end, fcntl.F_SETPIPE_SZ, _ROOM)
        self._poll = select.poll()
        self._poll.register(self._out, select.POLLIN)

    def give_away(self) -> None:
        """Close the writing end here: QEMU has it, and its closing is the end of the state."""
        os.close(self.end)
        self.end = -1

    def take(self, seconds: float) -> bool:
        """Write what comes within this time; True once all has come.

        GuestFailed: it is more than there is room for. OSError: it cannot be written.
        """
        if not self._poll.poll(seconds * 1000):
            return False
        data = os.read(self._out, _ROOM)
        if self._at + len(data) > self._most:
            raise GuestFailed(f"its state is larger than {self._most:,} bytes")
        left = memoryview(data)
        while left:
            done = os.pwrite(self._file, left, self._at)
            left, self._at = left[done:], self._at + done
        return not data

    def close(self) -> None:
        """Close both ends; QEMU cannot write any more. Harmless twice."""
        for fd in (self._out, self.end):
            if fd >= 0:
                os.close(fd)
        self._out = self.end = -1
