# SPDX-License-Identifier: MIT
"""The journal: what a console started after the kexec, or after a crash, resumes from.

One file a window, JSON lines, only ever appended to, fsynced at each record.
Its blocks are reserved beyond its end when it is opened, so that a disk that
fills up later cannot lose a record. A torn last line is left out when reading.
Anyone may read it; it holds no
secrets. One window may be open for a host: see :mod:`luo_tui.update.lock`.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from luo_tui.update.window_state import Record, WindowState, window_state_of

DEFAULT_FOLDER = Path("/var/lib/luo-tui")
RESERVED = 128 * 1024
"""Bytes set aside for one window: some four hundred records; a window writes about twenty."""

_libc = ctypes.CDLL(None, use_errno=True)


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


def latest(folder: Path) -> WindowState | None:
    """Return the newest window's state, open or closed; None when there is none to read."""
    for path in _windows(folder):
        with contextlib.suppress(OSError):
            if records := read(path):
                return window_state_of(path.stem, records)
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

    def window_state(self) -> WindowState:
        """Return what has been written so far, read back from the file."""
        return window_state_of(self.path.stem, read(self.path))

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


def open_journal(folder: Path, boot_id: str) -> tuple[Journal, WindowState]:
    """Open the newest window's journal if that window is still open, else begin a new one.

    Call it with the lock held. OSError: ENOSPC, EROFS, EACCES.
    """
    windows = folder / "windows"
    windows.mkdir(mode=0o755, parents=True, exist_ok=True)
    window_state = latest(folder)
    if window_state is not None and not window_state.closed:
        return Journal(windows / f"{window_state.window}.jsonl", boot_id), window_state
    stem = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    journal = Journal(windows / f"{stem}.jsonl", boot_id)
    return journal, WindowState(stem)


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
