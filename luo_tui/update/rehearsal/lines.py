# SPDX-License-Identifier: MIT
"""What a rehearsal's machine prints on its serial console, read as it comes. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from luo_tui.sources.clean import clean
from luo_tui.sources.kmsg import OURS
from luo_tui.update.rehearsal.protocol import MARK

_STAMP = re.compile(r"^\[ *\d+\.\d+\](?:\[[^\]]*\])? ?")
_PANIC = re.compile(r"Kernel panic - not syncing")
_GRAVE = re.compile(
    r"Kernel panic|^BUG:|^WARNING:|Oops|^VFS: (?:Unable|Cannot)|Out of memory|Failed to execute"
    r"|Cannot allocate|error while loading shared libraries|^(?:\w+: )?Traceback|Fatal Python error"
)
_OF_NO_USE = re.compile(r"^Linux version |^Run /|command line|^Memory: ", re.IGNORECASE)
_BOOT = re.compile(r"Linux version \S+")
_LONGEST = 4096
_KEPT = 12
"""Lines of a kernel that say why."""


class Told(NamedTuple):
    """An event that the machine's program has told of."""

    event: str
    data: Mapping[str, Any]
    at: float
    """When its line was read here, in seconds of this host's CLOCK_MONOTONIC."""


class Lines:
    """Everything that was printed."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.told: list[Told] = []
        self.boots = 0
        """Kernels that have said which they are."""
        self.panic = ""
        """The line with which a kernel gave up; empty: none did."""
        self._rest = ""
        self._of_this_boot: list[str] = []

    @property
    def anything(self) -> bool:
        """Whether a kernel has said anything at all."""
        return bool(self.boots or self.told or self._of_this_boot)

    def feed(self, text: str, at: float) -> list[Told]:
        """Take what was printed since; return the events in it."""
        *whole, self._rest = (self._rest + text).split("\n")
        before = len(self.told)
        for line in whole:
            self._line(line.rstrip("\r"), at)
        # Firmware may print without end of line, and a kernel that hangs may do so too.
        self._rest = self._rest[-_LONGEST:]
        return self.told[before:]

    def event(self, name: str) -> Told | None:
        """Return the latest event of this name; None: there was none."""
        return next((t for t in reversed(self.told) if t.event == name), None)

    def why(self) -> tuple[str, ...]:
        """Return the latest kernel's own lines on updates and on what went wrong."""
        found = [s for s in self._of_this_boot if OURS.search(s) or _GRAVE.search(s)]
        found = [s for s in found if not _OF_NO_USE.search(s)]
        kept = list(dict.fromkeys(found))[-_KEPT:]
        if self.panic and self.panic not in kept:
            kept.append(self.panic)
        return tuple(kept)

    def last(self, count: int) -> tuple[str, ...]:
        """Return the last lines, whatever they say."""
        return tuple(self._of_this_boot[-count:])

    def _line(self, line: str, at: float) -> None:
        before, mark, rest = line.partition(MARK)
        if mark and not _STAMP.sub("", before).strip():
            if told := _event(rest, at):
                self.told.append(told)
            return
        text = clean(_STAMP.sub("", line)).strip()
        if not text:
            return
        if _BOOT.match(text):
            self.boots += 1
            self._of_this_boot = []
        if _PANIC.search(text) and not self.panic:
            self.panic = text
        self._of_this_boot.append(text)


def _event(text: str, at: float) -> Told | None:
    try:
        data = json.loads(text)
    except ValueError:
        return None
    name = data.pop("event", None) if isinstance(data, dict) else None
    return Told(name, data, at) if isinstance(name, str) else None
