# SPDX-License-Identifier: MIT
"""Past windows, as their journals tell of them: who, when, from where to where, what came of it.

Each journal stands for itself: of one that cannot be read, or not whole, it is
said so, and the others are told all the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from luo_tui.sources.clean import clean
from luo_tui.update.clocks import ClockChange, clock_changes
from luo_tui.update.journal import number_of, read_lines, window_files
from luo_tui.update.record_values import LISTED, count, duration, texts
from luo_tui.update.window_state import FORMAT, Record, WindowState, window_state_of


@dataclass(frozen=True, slots=True)
class RecordedVerdict:
    """A verdict as the journal has it: what was known at that time."""

    at: str
    """UTC, ISO 8601, as in the record."""
    level: str
    line: str
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RecordedBlackout:
    """A blackout as the journal has it."""

    total: float
    """Milliseconds."""
    phases: tuple[tuple[str, float], ...] = ()
    """Names and milliseconds, in their order."""
    rehearsed: str = ""
    """Of one that was predicted by a rehearsal in a machine, what ran that; else empty."""


@dataclass(frozen=True)
class PastWindow:
    """One window, as far as its journal could be read."""

    window: str
    """Its id: the name of its file."""
    records: tuple[Record, ...] = ()
    unread: int = 0
    """Lines of the journal that are torn, damaged or foreign."""
    fault: str = ""
    """Why nothing of it could be read."""

    @property
    def number(self) -> int:
        """Counts the windows of this host; 0 for those from before they had a number."""
        return max(0, number_of(self.window))

    @cached_property
    def state(self) -> WindowState:
        """What its records add up to."""
        return window_state_of(self.window, self.records)

    @property
    def host(self) -> str:
        """The host's name; empty where no record tells it."""
        return next((t for t in self._texts("opened", "host") if t), "")

    @property
    def shutdown(self) -> str:
        """Whether an ordinary shutdown was held back meanwhile, as was last written; or empty."""
        for record in reversed(self.records):
            said = record.data.get("shutdown")
            if record.event in ("opened", "taken") and isinstance(said, str):
                return clean(said)
        return ""

    @property
    def ended_at(self) -> str:
        """When it was closed; empty while it is open."""
        return next((r.at for r in reversed(self.records) if r.event == "closed"), "")

    @property
    def result(self) -> str:
        """How it ended, in a few words."""
        if self.fault:
            return f"CANNOT BE READ: {self.fault}"
        state = self.state
        said = [state.closed or self._open()]
        if verdict := self.verdict:
            said.append(f"verdict: {verdict.level}")
        if self.unread:
            said.append(f"{self.unread:,} of its lines cannot be read")
        return "; ".join(said)

    def _open(self) -> str:
        state = self.state
        if state.under_way:
            return f"open, {state.under_way} began and its end is not written down"
        if state.arrived:
            return "arrived, not finished"
        return "open, the jump was made" if state.jumped_from else "open"

    @property
    def verdict(self) -> RecordedVerdict | None:
        """The latest verdict that was written down; None where none was."""
        for record in reversed(self.records):
            if found := _verdict(record):
                return found
        return None

    @property
    def blackout(self) -> RecordedBlackout | None:
        """How long the guests stood still; None where it was not written down."""
        for record in reversed(self.records):
            if found := recorded_blackout(_mapping(record, "blackout")):
                return found
        return None

    @property
    def by_systemd(self) -> RecordedBlackout | None:
        """How long a kexec by systemd took, by its own times; None where none was written down."""
        for record in reversed(self.records):
            if found := recorded_blackout(_mapping(record, "by_systemd")):
                return found
        return None

    @property
    def predicted(self) -> RecordedBlackout | None:
        """How long it was to be, as was said before the jump; None where nothing was."""
        for record in reversed(self.records):
            if record.event == "jump":
                return recorded_blackout(_mapping(record, "predicted"))
        return None

    @property
    def prepares(self) -> tuple[tuple[int, float], ...]:
        """The bytes that were preserved at each prepare, and its milliseconds; the newest first."""
        found = []
        for record in reversed(self.records):
            if (
                record.event != "done"
                or record.format > FORMAT
                or record.data.get("act") != "prepare"
            ):
                continue
            kept, took = count(record.data.get("bytes")), duration(record.data.get("took_ms"))
            if kept is not None and took is not None:
                found.append((kept, took))
        return tuple(found)

    @property
    def restores(self) -> tuple[tuple[str, float], ...]:
        """What was restored after the arrival, each with its milliseconds; as was last written."""
        for record in reversed(self.records):
            if record.event == "restored" and record.format <= FORMAT:
                return _times(record.data.get("each"))
        return ()

    @property
    def clock_changes(self) -> tuple[ClockChange, ...]:
        """When the host's clock was set meanwhile, as far as the records prove it."""
        return tuple(clock_changes(self.records))

    @property
    def outcomes(self) -> Mapping[str, Any]:
        """What became of what was promised, by the latest record that tells of it."""
        for record in reversed(self.records):
            if found := _mapping(record, "promises"):
                return found
        return {}

    def listed(self, event: str, key: str) -> tuple[str, ...]:
        """Return the texts of a list in the latest record of ``event``."""
        for record in reversed(self.records):
            if record.event == event and record.format <= FORMAT:
                return texts(record.data.get(key))
        return ()

    def number_in(self, event: str, key: str) -> int | None:
        """Return a count from the latest record of ``event``; None where it has none."""
        for record in reversed(self.records):
            if record.event == event and record.format <= FORMAT:
                return count(record.data.get(key))
        return None

    def _texts(self, event: str, key: str) -> Iterator[str]:
        for record in self.records:
            value = record.data.get(key)
            if record.event == event and record.format <= FORMAT and isinstance(value, str):
                yield clean(value)


def read_history(folder: Path) -> tuple[PastWindow, ...]:
    """Return all windows, the newest first; empty where none was ever opened here.

    OSError where it cannot be read which windows there are.
    """
    return tuple(p for p in map(read_window, window_files(folder)) if p is not None)


class HistoryReader:
    """Reads the windows again and again; of each journal only when its file has changed."""

    def __init__(self, folder: Path) -> None:
        """``folder`` is the journal's."""
        self._folder = folder
        self._known: dict[Path, tuple[tuple[int, int, int], PastWindow | None]] = {}
        self.fault = ""
        """Why it could not be read which windows there are, the last time."""

    def read(self) -> tuple[PastWindow, ...]:
        """Return all windows, the newest first. Never fails: see :attr:`fault`."""
        try:
            paths = window_files(self._folder)
        except OSError as error:
            self.fault = error.strerror or str(error)
            return ()
        self.fault = ""
        self._known = {path: self._one(path) for path in paths}
        return tuple(w for _, w in self._known.values() if w is not None)

    def _one(self, path: Path) -> tuple[tuple[int, int, int], PastWindow | None]:
        try:
            about = path.stat()
        except OSError:
            return (0, 0, 0), read_window(path)
        key = about.st_ino, about.st_size, about.st_mtime_ns
        known = self._known.get(path)
        return known if known is not None and known[0] == key else (key, read_window(path))


def read_window(path: Path) -> PastWindow | None:
    """Read one window's journal; None where it is gone or nothing was ever written into it."""
    try:
        records, unread = read_lines(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        return PastWindow(path.stem, fault=error.strerror or str(error))
    if not records and not unread:
        return None
    fault = "" if records else "no line of it is a record"
    return PastWindow(path.stem, records, unread, fault)


def _mapping(record: Record, key: str) -> Mapping[str, Any]:
    found = record.data.get(key) if record.format <= FORMAT else None
    return found if isinstance(found, dict) else {}


def _verdict(record: Record) -> RecordedVerdict | None:
    said = _mapping(record, "verdict")
    level, line = said.get("level"), said.get("line")
    if not (isinstance(level, str) and isinstance(line, str)):
        return None
    return RecordedVerdict(record.at, clean(level), clean(line), texts(said.get("reasons")))


def recorded_blackout(said: Mapping[str, Any]) -> RecordedBlackout | None:
    """Read a blackout as a record has it; None where that is none."""
    total, by = duration(said.get("total_ms")), said.get("rehearsed")
    rehearsed = clean(by) if isinstance(by, str) else ""
    if total is None:
        return None
    return RecordedBlackout(total, _times(said.get("phases")), rehearsed)


def _times(raw: object) -> tuple[tuple[str, float], ...]:
    """Return names with their milliseconds, as far as that is what stands there."""
    found = []
    for one in raw[:LISTED] if isinstance(raw, list) else ():
        if isinstance(one, list) and len(one) == 2 and isinstance(one[0], str):
            took = duration(one[1])
            found += [(clean(one[0]), took)] if took is not None else []
    return tuple(found)
