# SPDX-License-Identifier: MIT
"""The lock that makes one console the holder of the window.

The lock is an open-file-description lock (fcntl(2), F_OFD_SETLK), which the
kernel drops by itself when its holder dies or the machine jumps. The locked file
says who holds it and what he is doing now, for the consoles that watch.

What it says is written over in place while others read. A reader may therefore
see half of the old text and half of the new one. So the text always has the
same length, goes out in one write, and ends with a checksum of itself; a reader
whose checksum is wrong reads again. Its one block is kept, so that a full disk
stands in nobody's way.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import struct
import threading
import zlib
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from luo_tui.update.person import Person

SIZE = 2048
"""Bytes of the lock file's text: half a page, so that it lies in one block."""
_SUM = 9
_TRIES = 20
_FLOCK = "hhqqi4x"
"""struct flock with 64-bit offsets: type, whence, start, length, pid (0 for these locks)."""


class Lock:
    """The one open window of this host. Its methods may be called from any thread."""

    def __init__(self, folder: Path) -> None:
        """``folder`` is the journal's; it is made by :meth:`take` if need be."""
        self._path = folder / "lock"
        self._fd = -1
        self._who = Person()
        # Nobody may write through the descriptor while another thread closes it.
        self._guard = threading.Lock()

    @property
    def held(self) -> bool:
        """Whether this process holds the lock through this object."""
        return self._fd >= 0

    @property
    def lost(self) -> bool:
        """Whether it is held, but on a file that is no longer the one others look at."""
        with self._guard:
            if self._fd < 0:
                return False
            try:
                mine, seen = os.fstat(self._fd), self._path.stat()
            except OSError:
                return True
            return (mine.st_dev, mine.st_ino) != (seen.st_dev, seen.st_ino)

    def take(self, who: Person) -> None:
        """Take the lock and write the holder down. EAGAIN: another console has it."""
        with self._guard:
            if self.held:
                return
            self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.fcntl(fd, fcntl.F_OFD_SETLK, struct.pack(_FLOCK, fcntl.F_WRLCK, 0, 0, 0, 0))
                now = datetime.now(UTC).isoformat(timespec="milliseconds")
                self._who = replace(who, since=now, doing="")
                if os.pwrite(fd, encode(self._who), 0) != SIZE:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.ftruncate(fd, SIZE)
            except OSError as error:
                os.close(fd)
                if error.errno == errno.EACCES:
                    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from error
                raise
            self._fd = fd

    def show_doing(self, doing: str) -> None:
        """Write down what is being done now; nothing where the lock is not held. Never fails."""
        with self._guard:
            if not self.held or self._who.doing == doing:
                return
            self._who = replace(self._who, doing=doing)
            # Person watches reads it or does not; the act must not suffer.
            with contextlib.suppress(OSError):
                os.pwrite(self._fd, encode(self._who), 0)

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        with self._guard:
            if self.held:
                os.close(self._fd)
                self._fd = -1

    def holder(self) -> Person | None:
        """Return who holds the lock elsewhere; None when it is free, or held by this object."""
        if self.held and not self.lost:
            return None
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            ask = struct.pack(_FLOCK, fcntl.F_RDLCK, 0, 0, 0, 0)
            answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, ask)
            if struct.unpack(_FLOCK, answer)[0] == fcntl.F_UNLCK:
                return None
            for _ in range(_TRIES):
                if (who := decode(os.pread(fd, SIZE, 0))) is not None:
                    return who
            return Person()
        except OSError:
            return None
        finally:
            os.close(fd)


def encode(who: Person) -> bytes:
    """Write a person as :data:`SIZE` bytes: JSON, blanks, checksum."""
    harmless = asdict(Person.of(asdict(who)))
    text = json.dumps(harmless, ensure_ascii=False).encode(errors="replace")
    body = text.ljust(SIZE - _SUM)
    return body + b"%08x\n" % zlib.crc32(body)


def decode(data: bytes) -> Person | None:
    """Read what :func:`encode` wrote; None when it is torn or somebody else's."""
    body, stated = data[:-_SUM], data[-_SUM:]
    if len(data) != SIZE or stated != b"%08x\n" % zlib.crc32(body):
        return None
    try:
        return Person.of(json.loads(body))
    except (ValueError, KeyError, TypeError, OverflowError, AttributeError):
        return None
