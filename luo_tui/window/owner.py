# SPDX-License-Identifier: MIT
"""Who acts: a person at a terminal, and the lock that makes one console the owner of the window.

The lock is an open-file-description lock (fcntl(2), F_OFD_SETLK), which the
kernel drops by itself when its owner dies or the machine jumps. The locked file
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
import pwd
import struct
import threading
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from luo_tui.sources.clean import clean

SIZE = 2048
"""Bytes of the lock file's text: half a page, so that it lies in one block."""
_SUM = 9
_TRIES = 20
_FLOCK = "hhqqi4x"
"""struct flock with 64-bit offsets: type, whence, start, length, pid (0 for these locks)."""
_ANCESTORS = 16
_ENVIRON = 256 * 1024
_NOBODY = 0xFFFFFFFF
_INSIDE = {"TMUX": "tmux", "STY": "screen"}


@dataclass(frozen=True, slots=True)
class Who:
    """A person at a terminal, as far as the system knows."""

    user: str = ""
    tty: str = ""
    origin: str = ""
    """Address that an ssh session came from; empty on the host itself."""
    pid: int = 0
    inside: str = ""
    """``tmux`` or ``screen``: there the origin is unknown, people attach from anywhere."""
    since: str = ""
    """UTC, ISO 8601: since when the lock is held; for the owner alone."""
    doing: str = ""
    """What the owner is doing now; empty when nothing is under way and nothing is asked."""

    @classmethod
    def here(cls) -> Who:
        """Return the one who runs this process; never fails."""
        tty = ""
        for stream in (0, 1, 2):
            with contextlib.suppress(OSError):
                tty = os.ttyname(stream).removeprefix("/dev/")
                break
        origin, inside = _came_from()
        return cls(_short(_user()), _short(tty), _short(origin), os.getpid(), inside)

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Who:
        """Build from what was written down; foreign text is made harmless.

        KeyError, TypeError, ValueError, OverflowError: this is no person.
        """
        return cls(
            _short(str(raw["user"])),
            _short(str(raw["tty"])),
            _short(str(raw["origin"])),
            int(raw["pid"]),
            _short(str(raw.get("inside", "")), 32),
            _short(str(raw.get("since", "")), 32),
            _short(str(raw.get("doing", "")), 160),
        )

    def is_at_the_same_place(self, other: Who) -> bool:
        """Whether both are the same person at the same terminal, be it in two processes."""
        mine, theirs = (self.user, self.tty, self.origin), (other.user, other.tty, other.origin)
        return mine == theirs

    @property
    def place(self) -> str:
        """User, terminal and origin, in words."""
        inside = f" in {self.inside}" if self.inside else ""
        where = f" from {self.origin}" if self.origin else ""
        return f"{self.user or 'somebody'} on {self.tty or 'no terminal'}{inside}{where}"

    def __str__(self) -> str:
        return f"{self.place} (pid {self.pid})"


def _short(text: str, limit: int = 64) -> str:
    return clean(text)[:limit]


def _user() -> str:
    """Return the login's user; behind su and sudo that is the person, not the privilege."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        uid = int(Path("/proc/self/loginuid").read_text())
        if uid != _NOBODY:
            return pwd.getpwuid(uid).pw_name
    if name := os.environ.get("SUDO_USER"):
        return name
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(os.getuid()).pw_name
    return f"uid {os.getuid()}"


def _came_from() -> tuple[str, str]:
    """Return ssh origin, and tmux or screen where it is one; sudo drops both, the parents know."""
    for environ in _environments():
        for name, inside in _INSIDE.items():
            if environ.get(name):
                return "", inside
        if origin := environ.get("SSH_CONNECTION", "").partition(" ")[0]:
            return origin, ""
    return "", ""


def _environments() -> Iterator[Mapping[str, str]]:
    """Yield the environment of this process and of its parents, as far as they may be read."""
    yield os.environ
    pid = os.getppid()
    for _ in range(_ANCESTORS):
        if pid <= 1:
            return
        folder = Path(f"/proc/{pid}")
        found: dict[str, str] = {}
        try:
            with (folder / "environ").open("rb") as file:
                for entry in file.read(_ENVIRON).split(b"\0"):
                    name, _, value = entry.decode(errors="replace").partition("=")
                    found[name] = value
        except OSError:
            pass
        yield found
        try:
            stat = (folder / "stat").read_bytes()
            pid = int(stat.rpartition(b")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            return


class Lock:
    """The one open window of this host. Its methods may be called from any thread."""

    def __init__(self, folder: Path) -> None:
        """``folder`` is the journal's; it is made by :meth:`take` if need be."""
        self._path = folder / "lock"
        self._fd = -1
        self._who = Who()
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

    def take(self, who: Who) -> None:
        """Take the lock and write the owner down. EAGAIN: another console has it."""
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

    def tell(self, doing: str) -> None:
        """Write down what is being done now; nothing where the lock is not held. Never fails."""
        with self._guard:
            if not self.held or self._who.doing == doing:
                return
            self._who = replace(self._who, doing=doing)
            # Who watches reads it or does not; the act must not suffer.
            with contextlib.suppress(OSError):
                os.pwrite(self._fd, encode(self._who), 0)

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        with self._guard:
            if self.held:
                os.close(self._fd)
                self._fd = -1

    def owner(self) -> Who | None:
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
            return Who()
        except OSError:
            return None
        finally:
            os.close(fd)


def encode(who: Who) -> bytes:
    """Write a person as :data:`SIZE` bytes: JSON, blanks, checksum."""
    harmless = asdict(Who.of(asdict(who)))
    text = json.dumps(harmless, ensure_ascii=False).encode(errors="replace")
    body = text.ljust(SIZE - _SUM)
    return body + b"%08x\n" % zlib.crc32(body)


def decode(data: bytes) -> Who | None:
    """Read what :func:`encode` wrote; None when it is torn or somebody else's."""
    body, stated = data[:-_SUM], data[-_SUM:]
    if len(data) != SIZE or stated != b"%08x\n" % zlib.crc32(body):
        return None
    try:
        return Who.of(json.loads(body))
    except (ValueError, KeyError, TypeError, OverflowError, AttributeError):
        return None
