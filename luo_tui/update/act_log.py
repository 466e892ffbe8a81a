# SPDX-License-Identifier: MIT
"""The journal of the acts that need no window: hold, restore, unpreserve.

``acts.v1.jsonl`` in the journal's folder, with lines as in a window's journal
and the number of their format in its name: a newer version writes another file.
What has grown too long goes on in a new file, with one old one kept beside it.
Several acts may write at once, so each record is appended in one write.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from datetime import UTC, datetime
from pathlib import Path

from luo_tui.model import Snapshot
from luo_tui.update.durable import fsync_folder, make_folder, reserve
from luo_tui.update.journal import MOST, encode_record, read
from luo_tui.update.window_state import FORMAT, Record

_NAME, _OLD = f"acts.v{FORMAT}.jsonl", f"acts.v{FORMAT}.old.jsonl"
LONGEST = 1 << 20
"""Bytes of the file from which on a new one is begun: some three thousand acts."""
_RESERVED, _ENOUGH = 8 * MOST, 2 * MOST
"""Bytes that are set aside at a time, and those that an act's two records may need."""


def read_acts(folder: Path) -> list[Record]:
    """Return what is recorded, the oldest first; damaged lines are left out. OSError."""
    found = []
    for name in (_OLD, _NAME):
        try:
            found += read(folder / name)
        except FileNotFoundError:
            continue
    return found


def delivered_here(folder: Path, snapshot: Snapshot) -> frozenset[int]:
    """Return the tokens of held files that were given back as files in this boot.

    They are looked for only where it matters: where something was restored and no
    process has it. What cannot be read was not given back.
    """
    if not any(r.abandoned for r in snapshot.restored):
        return frozenset()
    try:
        records = read_acts(folder)
    except OSError:
        return frozenset()
    found = (
        r.data.get("token")
        for r in records
        if r.event == "done" and r.data.get("act") == "restore" and r.boot == snapshot.host.boot_id
    )
    return frozenset(t for t in found if isinstance(t, int) and not isinstance(t, bool))


class ActLog:
    """Writes the records of one boot. Every failure is an OSError with its errno."""

    def __init__(self, folder: Path, boot_id: str) -> None:
        """``folder`` is the journal's."""
        self._folder = folder
        self._boot = boot_id

    def begin(self, act: str, **data: object) -> None:
        """Write down that an act begins, and find room for its end: ENOSPC if there is none."""
        make_folder(self._folder)
        path = self._folder / _NAME
        # It may not be there yet, or another act may be as far with it.
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_size >= LONGEST:
                path.rename(self._folder / _OLD)
        self._append("begin", {"act": act, **data}, ahead=True)

    def end(self, event: str, act: str, **data: object) -> None:
        """Write down how it ended: ``done`` or ``failed``."""
        self._append(event, {"act": act, **data}, ahead=False)

    def _append(self, event: str, data: dict[str, object], *, ahead: bool) -> None:
        """Append one record; ``ahead``: with room for the next one too."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        up = round(time.clock_gettime(time.CLOCK_BOOTTIME), 3)
        line = encode_record(Record(event, now, self._boot, up, data))
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        path = self._folder / _NAME
        fd = os.open(path, flags, 0o644)
        try:
            about = os.fstat(fd)
            if not stat.S_ISREG(about.st_mode):
                raise OSError(errno.EPERM, "it is not a regular file", str(path))
            if stat.S_IMODE(about.st_mode) != 0o644:
                os.fchmod(fd, 0o644)
            if ahead and about.st_blocks * 512 - about.st_size < _ENOUGH:
                reserve(fd, about.st_size + _RESERVED)
            if about.st_size and os.pread(fd, 1, about.st_size - 1) != b"\n":
                line = b"\n" + line
            if os.write(fd, line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            os.fsync(fd)
        finally:
            os.close(fd)
        if not about.st_size:
            fsync_folder(self._folder)
