# SPDX-License-Identifier: MIT
"""The journal: what a console started after the kexec, or after a crash, resumes from.

One file a window, JSON lines, only ever appended to, fsynced at each record.
Its blocks are reserved beyond its end when it is opened, so that a disk that
fills up later cannot lose a record. A torn last line is left out when reading.
Anyone may read it; it holds no
secrets. One window may be open for a host, guarded by an open-file-description
lock (fcntl(2), F_OFD_SETLK), which the kernel drops by itself when the owner
dies or the machine jumps.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import getpass
import json
import os
import struct
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

DEFAULT_FOLDER = Path("/var/lib/luo-tui")
RESERVED = 128 * 1024
"""Bytes set aside for one window: some four hundred records; a window writes about twenty."""

_libc = ctypes.CDLL(None, use_errno=True)
_FLOCK = "hhqqi4x"
"""struct flock with 64-bit offsets: type, whence, start, length, pid (0 for these locks)."""


@dataclass(frozen=True, slots=True)
class Who:
    """A person at a terminal, as far as the system knows."""

    user: str = ""
    tty: str = ""
    origin: str = ""
    """Address that an ssh session came from; empty on the host itself."""
    pid: int = 0

    @classmethod
    def here(cls) -> Who:
        """Return the one who runs this process; never fails."""
        try:
            user = os.environ.get("SUDO_USER") or getpass.getuser()
        except (OSError, KeyError):
            user = f"uid {os.getuid()}"
        tty = ""
        for stream in (0, 1, 2):
            with contextlib.suppress(OSError):
                tty = os.ttyname(stream).removeprefix("/dev/")
                break
        origin = os.environ.get("SSH_CONNECTION", "").partition(" ")[0]
        return cls(user, tty, origin, os.getpid())

    def __str__(self) -> str:
        place = self.tty or "no terminal"
        where = f" from {self.origin}" if self.origin else ""
        return f"{self.user or 'somebody'} on {place}{where} (pid {self.pid})"


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the journal."""

    event: str
    at: str
    """UTC, ISO 8601, milliseconds. The clock may step at the kexec; ``up`` does not lie."""
    boot: str
    """Boot id in which it was written."""
    up: float
    """CLOCK_BOOTTIME in seconds."""
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Story:
    """What the records of one window add up to."""

    window: str
    opened_by: str = ""
    opened_at: str = ""
    boot: str = ""
    """Boot id in which the window was opened."""
    release: str = ""
    target: str = ""
    image: str = ""
    loaded_in: str = ""
    """Boot id in which our image is loaded; empty when we loaded none, or unloaded it."""
    under_way: str = ""
    """An act that began and of which no end was recorded."""
    prepared: bool = False
    jumped_from: str = ""
    """Boot id from which the jump was made; empty before, and again if the reboot returned."""
    jumped_at: str = ""
    tokens: tuple[int, ...] = ()
    arrived: bool = False
    lost_in: str = ""
    """Boot id of the kernel that should have taken the handover over and had not."""
    closed: str = ""
    """How the window ended; empty while it is open."""


def tell(window: str, records: Iterable[Record]) -> Story:
    """Fold the records of one window into its story. Unknown events are passed over."""
    story = Story(window)
    for r in records:
        match r.event:
            case "opened":
                story = replace(
                    story,
                    opened_by=story.opened_by or str(r.data.get("who", "")),
                    opened_at=story.opened_at or r.at,
                    boot=story.boot or r.boot,
                    release=story.release or str(r.data.get("release", "")),
                )
            case "begin":
                story = replace(story, under_way=str(r.data.get("act", "")))
            case "done" | "failed":
                story = replace(_ended(story, r), under_way="")
            case "jump":
                story = replace(
                    story,
                    under_way="",
                    jumped_from=r.boot,
                    jumped_at=r.at,
                    target=str(r.data.get("target", story.target)),
                    tokens=tuple(int(t) for t in r.data.get("tokens", ())),
                )
            case "returned":
                story = replace(
                    story,
                    jumped_from="",
                    jumped_at="",
                    # A jump that failed before the freeze leaves the host prepared, by us.
                    prepared=r.data.get("state") == "prepared",
                )
            case "lost":
                story = replace(story, lost_in=r.boot)
            case "arrived":
                story = replace(story, arrived=True)
            case "closed":
                story = replace(story, closed=str(r.data.get("how", "closed")))
    return story


def _ended(story: Story, r: Record) -> Story:
    if r.event != "done":
        return story
    match r.data.get("act"):
        case "load":
            return replace(
                story,
                loaded_in=r.boot,
                target=str(r.data.get("target", "")),
                image=str(r.data.get("image", "")),
            )
        case "unload":
            return replace(story, loaded_in="")
        case "prepare":
            return replace(story, prepared=True)
        case "cancel":
            return replace(story, prepared=False)
    return story


def read(path: Path) -> list[Record]:
    """Read one window's records; a torn or foreign line is left out. OSError if unreadable."""
    records = []
    for line in path.read_bytes().split(b"\n"):
        with contextlib.suppress(ValueError, TypeError, KeyError):
            raw = json.loads(line)
            records.append(
                Record(
                    event=str(raw["event"]),
                    at=str(raw["at"]),
                    boot=str(raw["boot"]),
                    up=float(raw["up"]),
                    data=dict(raw.get("data") or {}),
                )
            )
    return records


def latest(folder: Path) -> Story | None:
    """Return the story of the newest window, open or closed; None when there is none to read."""
    for path in _windows(folder):
        with contextlib.suppress(OSError):
            if records := read(path):
                return tell(path.stem, records)
    return None


def _windows(folder: Path) -> Iterator[Path]:
    try:
        yield from sorted((folder / "windows").glob("*.jsonl"), reverse=True)
    except OSError:
        return


class Journal:
    """One window's journal, open for appending. Every failure is an OSError with its errno."""

    def __init__(self, path: Path, boot_id: str) -> None:
        """Open ``path``, making it if need be, and reserve its blocks (ENOSPC if there are none).

        A file that could not be reserved is removed again, so that no empty
        window is left behind.
        """
        self.path = path
        self._boot = boot_id
        fresh = not path.exists()
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            written = path.read_bytes()
            if written and not written.endswith(b"\n"):
                # A torn line stays as it is, and must not swallow the next one.
                os.pwrite(self._fd, b"\n", len(written))
                written += b"\n"
            self._end = len(written)
            _reserve(self._fd, self._end + RESERVED)
            os.fsync(self._fd)
            fsync_folder(path.parent)
        except OSError:
            os.close(self._fd)
            self._fd = -1
            if fresh:
                with contextlib.suppress(OSError):
                    path.unlink()
            raise

    def write(self, event: str, **data: object) -> Record:
        """Append one record and wait until it is on the disk."""
        record = Record(
            event=event,
            at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            boot=self._boot,
            up=round(time.clock_gettime(time.CLOCK_BOOTTIME), 3),
            data=data,
        )
        line = json.dumps(asdict(record), ensure_ascii=True, separators=(",", ":")).encode()
        line += b"\n"
        done = 0
        while done < len(line):
            done += os.pwrite(self._fd, line[done:], self._end + done)
        self._end += len(line)
        os.fsync(self._fd)
        return record

    def story(self) -> Story:
        """Return what has been written so far, read back from the file."""
        return tell(self.path.stem, read(self.path))

    def close(self, *, trim: bool) -> None:
        """Release the file; ``trim`` gives the reserved blocks back, when nothing is to follow."""
        if self._fd < 0:
            return
        if trim:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._end)
                os.fsync(self._fd)
        os.close(self._fd)
        self._fd = -1


def open_journal(folder: Path, boot_id: str) -> tuple[Journal, Story]:
    """Open the newest window's journal if that window is still open, else begin a new one.

    Call it with the :class:`Lock` held. OSError: ENOSPC, EROFS, EACCES.
    """
    windows = folder / "windows"
    windows.mkdir(mode=0o755, parents=True, exist_ok=True)
    story = latest(folder)
    if story is not None and not story.closed:
        return Journal(windows / f"{story.window}.jsonl", boot_id), story
    stem = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    journal = Journal(windows / f"{stem}.jsonl", boot_id)
    return journal, Story(stem)


class Lock:
    """The one open window of this host."""

    def __init__(self, folder: Path) -> None:
        """``folder`` is the journal's; it is made by :meth:`take` if need be."""
        self._path = folder / "lock"
        self._fd = -1

    @property
    def held(self) -> bool:
        """Whether this process holds the lock through this object."""
        return self._fd >= 0

    def take(self, who: Who) -> None:
        """Take the lock and write the owner down. EAGAIN: another console has it."""
        if self.held:
            return
        self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, struct.pack(_FLOCK, fcntl.F_WRLCK, 0, 0, 0, 0))
            text = json.dumps(asdict(who)).encode()
            os.ftruncate(fd, 0)
            os.pwrite(fd, text, 0)
        except OSError as error:
            os.close(fd)
            if error.errno == errno.EACCES:
                raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from error
            raise
        self._fd = fd

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        if self.held:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = -1

    def owner(self) -> Who | None:
        """Return who holds the lock elsewhere; None when it is free, or held by this object."""
        if self.held:
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
            try:
                raw = json.loads(os.pread(fd, 4096, 0))
                return Who(str(raw["user"]), str(raw["tty"]), str(raw["origin"]), int(raw["pid"]))
            except (ValueError, KeyError, TypeError):
                return Who()
        finally:
            os.close(fd)


def _reserve(fd: int, end: int) -> None:
    """Take blocks up to ``end`` without moving the file's end: fallocate(2), KEEP_SIZE.

    ENOSPC if there are none. A file system that cannot reserve is written to
    without; Python has no call for this flag.
    """
    keep_size = 1
    if _libc.fallocate(
        ctypes.c_int(fd), ctypes.c_int(keep_size), ctypes.c_longlong(0), ctypes.c_longlong(end)
    ):
        code = ctypes.get_errno()
        if code not in (errno.EOPNOTSUPP, errno.ENOSYS):
            raise OSError(code, os.strerror(code))


def fsync_folder(folder: Path) -> None:
    """Wait until the names in ``folder`` are on the disk, not only what they lead to."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
