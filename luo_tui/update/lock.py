# SPDX-License-Identifier: MIT
"""The two locks of a host: of the open window, and of the act that is under way.

Both lie where the host has its locks (``Orchestrator.lock_folder``), so that
there is one of each for a host and not for a journal's folder. They are
open-file-description locks (fcntl(2), F_OFD_SETLK), which the kernel drops by
itself when their holder dies or the machine jumps, on files that only root may
open (0600): who cannot open a file cannot lock it, and so no reader can stand
in the way of an act. Whether a lock is held, a reader without privilege finds
in /proc/locks by the file's device and inode.

Who holds a lock and what he is doing stands in a file beside it, for all to
read. It is written over in place while others read. A reader may therefore see
half of the old text and half of the new one. So the text always has the same
length, goes out in one write, and ends with a checksum of itself; a reader
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
import time
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from luo_tui.errors import Exit, NotDone
from luo_tui.update.lock_folder import UnsafeLock, check_file, open_file, open_folder
from luo_tui.update.person import Person

SIZE = 2048
"""Bytes of the text about the holder: half a page, so that it lies in one block."""
WAIT = 10.0
"""Seconds that an act waits for another one's end."""
LOCKS = Path("/proc/locks")
_SUM = 9
_TRIES = 20
_PAUSE = 0.05
_TORN_PAUSE = 0.002
_ONLY_ROOT, _EVERYBODY_READS = 0o600, 0o644
_WINDOW, _ACT, _COUNT = "window", "act", "act.count"
_FLOCK = "hhqqi4x"
"""struct flock with 64-bit offsets: type, whence, start, length, pid (0 for these locks)."""


class LockReading(NamedTuple):
    """Who holds a lock elsewhere, as far as that could be known."""

    person: Person | None = None
    """Without a :attr:`fault`, None is: nobody but perhaps the one who asks."""
    fault: str = ""
    """Why it could not be known; empty when it could."""


class Lock:
    """One lock of this host. Its methods may be called from any thread."""

    def __init__(self, folder: Path, name: str = _WINDOW) -> None:
        """``folder`` is that of the host's locks; it is made by :meth:`take` if need be."""
        self._folder = folder
        self._name = name
        self._fd = -1
        self._text = -1
        self._pid = 0
        self._shared = False
        self._who = Person()
        # Nobody may write through the descriptors while another thread closes them.
        self._guard = threading.Lock()

    @property
    def held(self) -> bool:
        """Whether this process holds the lock through this object."""
        return self._fd >= 0

    @property
    def lost(self) -> bool:
        """Whether it is held, but on a file that is no longer the one others look at."""
        with self._guard:
            return self.held and not self._is_seen()

    def _is_seen(self) -> bool:
        """Whether the locked file is the one that others look at."""
        try:
            seen = (self._folder / self._file).lstat()
        except OSError:
            return False
        return os.path.samestat(os.fstat(self._fd), seen)

    @property
    def _file(self) -> str:
        return f"{self._name}.lock"

    @property
    def _about(self) -> str:
        return f"{self._name}.holder"

    def take(self, who: Person, *, shared: bool = False) -> None:
        """Take the lock and write the holder down; ``shared``: beside others who do so too.

        OSError: EAGAIN (another one has it), EACCES (not permitted), ENOSPC,
        :class:`~luo_tui.update.lock_folder.UnsafeLock`.
        """
        with self._guard:
            if self.held:
                return
            for _ in range(_TRIES):
                with open_folder(self._folder, make=True) as folder:
                    if self._take(folder, who, shared=shared):
                        return
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    def _take(self, folder: int, who: Person, *, shared: bool) -> bool:
        """Return False where the file was replaced before it was locked."""
        flags = os.O_RDWR | os.O_CREAT
        fd = open_file(folder, self._file, flags, _ONLY_ROOT)
        text = -1
        try:
            _lock(fd, fcntl.F_RDLCK if shared else fcntl.F_WRLCK)
            with contextlib.suppress(FileNotFoundError):
                seen = os.stat(self._file, dir_fd=folder, follow_symlinks=False)
                if os.path.samestat(os.fstat(fd), seen):
                    text = open_file(folder, self._about, flags, _EVERYBODY_READS)
                    now = datetime.now(UTC).isoformat(timespec="milliseconds")
                    self._who = who._replace(since=now)
                    _write(text, self._who)
                    os.ftruncate(text, SIZE)
                    self._pid, self._shared = os.getpid(), shared
                    self._fd, self._text = fd, text
            return self.held
        finally:
            if not self.held:
                os.close(fd)
                if text >= 0:
                    os.close(text)

    def show_doing(self, doing: str) -> None:
        """Write down what is being done now; nothing where the lock is not held. Never fails."""
        with self._guard:
            if not self.held or self._who.doing == doing:
                return
            self._who = self._who._replace(doing=doing)
            if not self._is_seen():
                # What stands beside it is another one's by now.
                return
            # Whoever watches reads it or does not; the act must not suffer.
            with contextlib.suppress(OSError):
                _write(self._text, self._who)

    def release(self) -> None:
        """Give the lock back; harmless when it is not held, and in a child of its holder."""
        with self._guard:
            if not self.held:
                return
            if self._pid == os.getpid():
                if not self._shared and self._is_seen():
                    # So that the next one is never shown under this one's name.
                    with contextlib.suppress(OSError):
                        _write(self._text, Person())
                # Closing alone does not drop it while a child has the descriptor too.
                with contextlib.suppress(OSError):
                    _lock(self._fd, fcntl.F_UNLCK)
            os.close(self._text)
            os.close(self._fd)
            self._fd = self._text = -1

    def holder(self) -> Person | None:
        """Return who holds the lock elsewhere; None when it is free, or held by this object.

        OSError where that cannot be read.
        """
        found = self.reading()
        if found.fault:
            raise OSError(errno.EIO, found.fault, str(self._folder))
        return found.person

    def reading(self) -> LockReading:
        """Return who holds the lock elsewhere, or why that cannot be known. Never fails."""
        if self.held and not self.lost:
            return LockReading()
        try:
            with open_folder(self._folder, make=False) as folder:
                if not self._is_locked(folder):
                    return LockReading()
                return LockReading(self._read_holder(folder) or Person())
        except FileNotFoundError:
            # Nobody ever took it: neither the folder nor the file is ever removed.
            return LockReading()
        except OSError as error:
            return LockReading(fault=error.strerror or str(error))

    def _is_locked(self, folder: int) -> bool:
        try:
            fd = open_file(folder, self._file, os.O_RDONLY)
        except PermissionError:
            about = os.stat(self._file, dir_fd=folder, follow_symlinks=False)
            check_file(self._file, about)
            return _is_listed(about)
        try:
            ask = struct.pack(_FLOCK, fcntl.F_WRLCK, 0, 0, 0, 0)
            answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, ask)
            return bool(struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK)
        finally:
            os.close(fd)

    def _read_holder(self, folder: int) -> Person | None:
        """Return what stands beside the lock; None where it names nobody."""
        try:
            fd = open_file(folder, self._about, os.O_RDONLY)
        except OSError:
            return None
        try:
            for _ in range(_TRIES):
                if (who := decode(os.pread(fd, SIZE, 0))) is not None:
                    return who
                # Its writer may have lost the processor halfway, and needs it to go on.
                time.sleep(_TORN_PAUSE)
        except OSError:
            return None
        finally:
            os.close(fd)
        return None


class ActUnderWay:
    """The act lock as it is held: what was done on this host before, and that this act begins."""

    def __init__(self, folder: Path) -> None:
        """Count what was done. OSError where that cannot be read."""
        self._folder = folder
        self.count = act_count(folder)
        """How many acts were counted before this one: see :func:`act_count`."""

    def begin(self) -> None:
        """Count this act; call it directly before the kernel is asked. OSError: ENOSPC."""
        with open_folder(self._folder, make=True) as folder:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
            fd = open_file(folder, _COUNT, flags, _EVERYBODY_READS)
            try:
                # By its length: appending is one step, also beside others.
                os.write(fd, b".")
            finally:
                os.close(fd)


@contextlib.contextmanager
def act_lock(
    folder: Path, person: Person, doing: str, *, shared: bool = False, wait: float = WAIT
) -> Iterator[ActUnderWay]:
    """Hold the host's act lock: from reading the facts anew to the record of what was done.

    ``shared`` is for acts that may run beside each other and beside nothing
    else. NotDone (BUSY, and who has it) after ``wait`` seconds, or where the
    lock cannot be used safely. OSError: EACCES, ENOSPC.
    """
    lock = Lock(folder, _ACT)
    end = time.monotonic() + wait
    while not lock.held:
        try:
            lock.take(person._replace(doing=doing), shared=shared)
        except UnsafeLock as unsafe:
            raise NotDone(f"{unsafe.strerror} Nothing was done.") from unsafe
        except BlockingIOError as busy:
            if time.monotonic() >= end:
                raise NotDone(_busy(act_reading(folder).person), Exit.BUSY) from busy
            time.sleep(_PAUSE)
    try:
        yield ActUnderWay(folder)
    finally:
        lock.release()


def act_reading(folder: Path) -> LockReading:
    """Return who does an act that holds the act lock; see :meth:`Lock.reading`."""
    return Lock(folder, _ACT).reading()


def act_count(folder: Path) -> int:
    """Return how many acts were begun under this host's act lock since its boot.

    Where the number is another than before, somebody has acted in between.
    OSError where it cannot be read.
    """
    try:
        with open_folder(folder, make=False) as opened:
            about = os.stat(_COUNT, dir_fd=opened, follow_symlinks=False)
    except FileNotFoundError:
        return 0
    check_file(_COUNT, about)
    return about.st_size


def _busy(who: Person | None) -> str:
    doing = f" ({who.doing})" if who and who.doing else ""
    return (
        f"Another act is under way on this host: {who or 'nobody knows by whom'}{doing}. "
        "Nothing was done: try again when it has ended."
    )


def _lock(fd: int, kind: int) -> None:
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, struct.pack(_FLOCK, kind, 0, 0, 0, 0))
    except PermissionError as error:
        # fcntl(2) leaves open which of the two it is.
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from error


def _is_listed(about: os.stat_result) -> bool:
    """Whether anybody holds a lock like ours on this file, by the kernel's list of all locks.

    ``1: OFDLCK ADVISORY  WRITE -1 08:01:1234 0 EOF``; the device in hexadecimal
    digits. Who waits for a lock has ``->`` in the second place. OSError.
    """
    device = f"{os.major(about.st_dev):02x}:{os.minor(about.st_dev):02x}:{about.st_ino}"
    # The list comes in pieces; what changes meanwhile may hide a line once.
    for _ in range(2):
        try:
            lines = LOCKS.read_text().splitlines()
        except OSError as error:
            why = f"{LOCKS} cannot be read: {error.strerror}"
            raise OSError(errno.EIO, why, str(LOCKS)) from error
        for line in lines:
            words = line.split()
            if len(words) > 5 and words[1] == "OFDLCK" and words[5] == device:
                return True
    return False


def _write(fd: int, who: Person) -> None:
    if os.pwrite(fd, encode(who), 0) != SIZE:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def encode(who: Person) -> bytes:
    """Write a person as :data:`SIZE` bytes: JSON, blanks, checksum."""
    harmless = Person.of(who._asdict())._asdict()
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
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
