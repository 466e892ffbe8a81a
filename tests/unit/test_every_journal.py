# SPDX-License-Identifier: MIT
"""Whatever was written into a journal is read back, wherever its writer was stopped."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luo_tui.update.history import read_history
from luo_tui.update.journal import Journal, decode_record, encode_record, open_journal
from luo_tui.update.window_state import Record, window_state_of
from tests.unit.test_journal import EVENTS, KEYS, SETTINGS, VALUES

WRITE = st.tuples(st.just("write"), EVENTS, st.dictionaries(KEYS, VALUES, max_size=4))
STEPS = st.one_of(
    WRITE,
    WRITE,
    st.tuples(st.just("torn"), EVENTS, st.floats(0, 1)),
    st.tuples(st.just("full"), EVENTS, st.integers(0, 200)),
    st.tuples(st.just("killed")),
    st.tuples(st.just("other boot")),
)


class Disk:
    """A folder with journals, and what was written into them for good."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.boot = 0
        self.written: dict[str, list[Record]] = {}
        self.torn = 0
        self.journal: Journal | None = None

    def opened(self) -> Journal:
        if self.journal is None:
            self.journal, _ = open_journal(self.folder, f"boot-{self.boot}")
        return self.journal

    def write(self, event: str, data: dict[str, Any]) -> None:
        journal = self.opened()
        self.written.setdefault(journal.path.stem, []).append(journal.write(event, **data))
        if event == "closed":
            self.killed()

    def torn_(self, event: str, share: float) -> None:
        """Stop in the middle of a line: so it is on the disk where the power has failed."""
        journal = self.opened()
        line = encode_record(Record(event, "", "boot", 1.0, {"who": "x" * 300}))
        kept = line[: int(share * (len(line) - 2))]
        with journal.path.open("ab") as file:
            file.write(kept)
        self.torn += bool(kept)
        self.killed()

    def full(self, event: str, room: int) -> None:
        """Let the disk take so many bytes of a record and no more."""
        journal, system, left = self.opened(), os.pwrite, room

        def filling(fd: int, data: bytes, at: int) -> int:
            nonlocal left
            if not (part := data[:left]):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            left -= len(part)
            return system(fd, part, at)

        with patch.object(os, "pwrite", filling), pytest.raises(OSError, match="No space"):
            journal.write(event, who="y" * 300)

    def killed(self) -> None:
        """End the process: its descriptor is closed and nothing else is done."""
        if self.journal is not None:
            self.journal.close(trim=False)
            self.journal = None

    def other_boot(self) -> None:
        self.killed()
        self.boot += 1


@SETTINGS
@given(st.lists(STEPS, max_size=14))
def test_what_was_written_is_read_back_wherever_it_was_stopped(steps: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as name:
        disk = Disk(Path(name))
        calls = {"torn": disk.torn_, "other boot": disk.other_boot}
        for what, *arguments in steps:
            (calls.get(what) or getattr(disk, what))(*arguments)
        disk.killed()
        found = {w.window: w for w in read_history(disk.folder) if not w.fault}
        assert set(found) >= set(disk.written)
        for window, records in disk.written.items():
            past = found[window]
            expected = [decode_record(encode_record(r).rstrip(b"\n")) for r in records]
            assert list(past.records) == expected
            assert past.state == window_state_of(window, expected)  # type: ignore[arg-type]
            json.dumps(past.state._asdict())
        assert sum(w.unread for w in read_history(disk.folder)) == disk.torn
