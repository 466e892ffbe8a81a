# SPDX-License-Identifier: MIT
"""The journal: what a console started after the kexec, or after a crash, resumes from.

One file a window, JSON lines, only ever appended to, fsynced at each record.
Files are numbered: the newest window is the one with the highest number,
whatever the clock said. Each line carries the number of its format and ends
with its checksum; what is torn, damaged or foreign is passed over, and the rest
counts. Every format keeps that, with ``v``, ``event`` and the event ``closed``;
into a file of a newer format nothing is written.

Blocks are reserved beyond the end of an open window's file, so that a disk that
fills up later cannot lose a record; every record is short enough for it.
Anyone may read it, whatever the umask was; it holds no secrets. One window may
be open for a host: see :mod:`luo_tui.update.lock`.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import re
import stat
import time
import zlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from luo_tui.errors import NotDone
from luo_tui.model import Participant, Resource
from luo_tui.sources.clean import clean
from luo_tui.update.before import Before
from luo_tui.update.durable import fsync_folder, make_folder
from luo_tui.update.durable import reserve as _reserve
from luo_tui.update.resource_list import DISCARDED, PROMISED, write_list
from luo_tui.update.window_state import FORMAT, Record, WindowState, window_state_of

RESERVED = 128 * 1024
"""Bytes set aside for one window: some four hundred records; a window writes about twenty."""
MOST = 16 * 1024
"""Bytes of one record at most: what is longer is cut, and says so."""
_ENOUGH = 4 * MOST
"""Reserved bytes that must be there when an act begins: for its records up to the end."""
_BEGINS = frozenset({"opened", "taken", "begin", "jump"})
"""Events before anything is done: where there is no room for them, it is not done."""
_NAME = re.compile(r"(?:(\d{6,})-)?\d{8}T\d{6}\.\d{6}Z")
_SUM = re.compile(rb',"crc":"([0-9a-f]{8})"\}$')
_LONGEST = 200


class JournalReading(NamedTuple):
    """The newest window, as far as the journal could be read."""

    window_state: WindowState | None = None
    """Without a :attr:`fault`, None is: no window was ever opened here."""
    fault: str = ""
    """Why it, or a newer one, could not be read; empty when all could."""


def encode_record(record: Record) -> bytes:
    """Write a record as one line of at most :data:`MOST` bytes, its checksum last."""
    data = dict(record.data)
    cut: list[str] = []
    while len(body := _body(record, data, cut)) > MOST - 32 and len(cut) < len(record.data):
        longest = max((k for k in data if k not in cut), key=lambda k: len(_json(data[k])))
        value = data[longest]
        data[longest] = value[:_LONGEST] if isinstance(value, str) else None
        cut.append(longest)
    return body[:-1] + b',"crc":"%08x"}\n' % zlib.crc32(body)


def _body(record: Record, data: Mapping[str, Any], cut: list[str]) -> bytes:
    whole = {
        "v": record.format,
        "event": record.event,
        "at": record.at,
        "boot": record.boot,
        "up": record.up,
        "data": {**data, "cut": cut} if cut else data,
    }
    return _json(whole)


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")).encode()


def decode_record(line: bytes) -> Record | None:
    """Read one line; None where it is torn, damaged, or no record at all. Never fails."""
    checked = _SUM.search(line)
    if checked and zlib.crc32(line[: checked.start()] + b"}") != int(checked[1], 16):
        return None
    try:
        raw = json.loads(line)
        return _record(raw, checked=checked is not None) if isinstance(raw, dict) else None
    except (ValueError, OverflowError, RecursionError):
        return None


def _record(raw: Mapping[str, Any], *, checked: bool) -> Record | None:
    format_, data = raw.get("v", 0), raw.get("data") or {}
    if type(format_) is not int or not isinstance(data, dict):
        return None
    # Those before the first format had no checksum; what a newer one has is its own affair.
    if format_ < 0 or (format_ == FORMAT and not checked):
        return None
    event, at, boot, up = (raw.get(key) for key in ("event", "at", "boot", "up"))
    if not (isinstance(event, str) and isinstance(at, str) and isinstance(boot, str)):
        return None
    if isinstance(up, bool) or not isinstance(up, (int, float)) or not math.isfinite(float(up)):
        return None
    return Record(clean(event), clean(at), clean(boot), float(up), data, format_)


def read(path: Path) -> list[Record]:
    """Read one window's records; what is damaged or foreign is left out. OSError if unreadable."""
    return list(read_lines(path)[0])


def read_lines(path: Path) -> tuple[tuple[Record, ...], int]:
    """Read one window's records, and count the lines that are none. OSError if unreadable."""
    found = [decode_record(line) for line in path.read_bytes().split(b"\n") if line]
    records = tuple(record for record in found if record is not None)
    return records, len(found) - len(records)


def number_of(window: str) -> int:
    """Return a window's number; 0 for those from before they had one, -1 for a foreign name."""
    named = _NAME.fullmatch(window)
    return int(named[1] or 0) if named else -1


def latest(folder: Path) -> WindowState | None:
    """Return the newest window's state, open or closed; None: no window was ever opened here.

    A file without a single readable record is passed over. OSError where the
    journal cannot be read.
    """
    return _newest(folder).window_state


def read_latest(folder: Path) -> JournalReading:
    """Return the newest window's state, or why it cannot be known. Never fails."""
    try:
        return _newest(folder)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        return JournalReading(fault=f"{error.strerror or error}{where}")


def _newest(folder: Path) -> JournalReading:
    fault = ""
    for path in window_files(folder):
        # One may have been moved away meanwhile.
        with contextlib.suppress(FileNotFoundError):
            if records := read(path):
                return JournalReading(window_state_of(path.stem, records), fault)
            if path.stat().st_size and not fault:
                fault = f"no record of windows/{path.name} can be read"
    return JournalReading(fault=fault)


def window_files(folder: Path) -> list[Path]:
    """Return the journals, the newest first; what has another name, or is no file, is foreign.

    Empty where no window was ever opened. OSError: the folder cannot be read.
    """
    try:
        with os.scandir(folder / "windows") as entries:
            found = [Path(e.path) for e in entries if e.is_file(follow_symlinks=False)]
    except FileNotFoundError:
        return []
    ours = [p for p in found if p.suffix == ".jsonl" and number_of(p.stem) >= 0]
    return sorted(ours, key=lambda p: (number_of(p.stem), p.stem), reverse=True)


class Journal:
    """One window's journal, open for appending. Every failure is an OSError with its errno."""

    def __init__(self, path: Path, boot_id: str) -> None:
        """Open ``path``, making it if need be, and reserve its blocks (ENOSPC if there are none).

        A file that could not be reserved is removed again, so that no empty
        window is left behind. ELOOP: it is a symbolic link.
        """
        self.path = path
        self._boot = boot_id
        self._fd, fresh = _open(path)
        try:
            about = os.fstat(self._fd)
            if not stat.S_ISREG(about.st_mode):
                raise OSError(errno.EPERM, "it is not a regular file", str(path))
            # For all to read, whatever the umask is or was.
            if stat.S_IMODE(about.st_mode) != 0o644:
                os.fchmod(self._fd, 0o644)
            if about.st_size and os.pread(self._fd, 1, about.st_size - 1) != b"\n":
                # A torn line stays as it is, and must not swallow the next one.
                os.pwrite(self._fd, b"\n", about.st_size)
            self._reserved = 0
            self._make_room(RESERVED)
            os.fsync(self._fd)
            fsync_folder(path.parent)
        except BaseException:
            os.close(self._fd)
            self._fd = -1
            if fresh:
                with contextlib.suppress(OSError):
                    path.unlink()
            raise

    def write(self, event: str, **data: object) -> Record:
        """Append one record and wait until it is on the disk.

        What begins an act finds room for all of the act's records, or fails
        (ENOSPC). A record that cannot be written whole is not written.
        """
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        up = round(time.clock_gettime(time.CLOCK_BOOTTIME), 3)
        record = Record(event, now, self._boot, up, data)
        line = encode_record(record)
        end = self._make_room(_ENOUGH if event in _BEGINS else len(line))
        done = 0
        try:
            while done < len(line):
                done += os.pwrite(self._fd, line[done:], end + done)
        except BaseException:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, end)
            # What was reserved behind it has gone with it.
            self._reserved = end
            raise
        os.fsync(self._fd)
        return record

    def write_promised(
        self,
        resources: Iterable[Resource],
        participants: Iterable[Participant] = (),
        before: Before | None = None,
    ) -> dict[str, Any]:
        """Write down by name what the jump is to carry; return what its record says of it.

        And how the host is ``before`` it. For ``write("jump", promised=...)``.
        OSError: ENOSPC; then do not jump.
        """
        return self._write_list(PROMISED, resources, participants, before)

    def write_discarded(self, resources: Iterable[Resource]) -> dict[str, Any]:
        """Write down by name what finish is to discard; return what its record says of it."""
        return self._write_list(DISCARDED, resources)

    def _write_list(
        self,
        kind: str,
        resources: Iterable[Resource],
        participants: Iterable[Participant] = (),
        before: Before | None = None,
    ) -> dict[str, Any]:
        path = self.path.with_name(f"{self.path.stem}.{kind}.json")
        return write_list(path, resources, participants, before)

    def window_state(self) -> WindowState:
        """Return what has been written so far, read back from the file."""
        return window_state_of(self.path.stem, read(self.path))

    def close(self, *, trim: bool) -> None:
        """Release the file; ``trim`` gives the reserved blocks back, when nothing is to follow."""
        if self._fd < 0:
            return
        if trim:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, os.fstat(self._fd).st_size)
                os.fsync(self._fd)
        os.close(self._fd)
        self._fd = -1

    def _make_room(self, wanted: int) -> int:
        """Have so many bytes reserved behind the file's end; return where that is."""
        end = os.fstat(self._fd).st_size
        if end + wanted > self._reserved:
            _reserve(self._fd, end + RESERVED)
            self._reserved = end + RESERVED
        return end


def open_journal(folder: Path, boot_id: str) -> tuple[Journal, WindowState]:
    """Open the newest window's journal if that window is still open, else begin a new one.

    Call it with the lock held: the new one's number is taken here. NotDone: the
    open window is a newer version's. OSError: ENOSPC, EROFS, EACCES, EIO.
    """
    windows = folder / "windows"
    make_folder(windows)
    if stat.S_IMODE(windows.stat().st_mode) != 0o755:
        # Made by an earlier version, under another umask.
        windows.chmod(0o755)
    window_state = latest(folder)
    if window_state is not None and not window_state.closed:
        if window_state.unwritable:
            raise NotDone(window_state.unwritable)
        return Journal(windows / f"{window_state.window}.jsonl", boot_id), window_state
    number = max((number_of(path.stem) for path in window_files(folder)), default=0) + 1
    window = f"{number:06d}-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
    return Journal(windows / f"{window}.jsonl", boot_id), WindowState(window)


def _open(path: Path) -> tuple[int, bool]:
    """Open for writing; return whether the file was made by this."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        return os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o644), True
    except FileExistsError:
        return os.open(path, flags), False
