# SPDX-License-Identifier: MIT
"""What is written down of rehearsals in a machine, and which of them a prediction is made of.

The latest ones, one line of JSON each, the newest last. A line that is damaged, foreign or
of a newer format is passed over, and stays.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luo_tui.sources.clean import clean
from luo_tui.update.durable import make_folder, write_file
from luo_tui.update.history import RecordedBlackout, recorded_blackout
from luo_tui.update.record_values import count, duration, texts

KVM, TCG = "kvm", "tcg"
"""What runs a machine: the host's own processor, or a program that emulates one."""
FORMAT = 1
"""Version of a line; within one, values are only added."""
NAME = "rehearsals.jsonl"
KEPT = 20
"""Rehearsals that are kept."""
_LARGEST = 4 << 20
_LONGEST = 500


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """One rehearsal, as its record tells of it."""

    at: str
    """When it ended: UTC, ISO 8601, as in the record."""
    host: str
    release: str
    target: str
    accel: str
    """:data:`KVM` or :data:`TCG`."""
    passed: bool
    why: str = ""
    """Why it did not pass, in a sentence."""
    interface: str = ""
    blackout: RecordedBlackout | None = None
    steps: tuple[tuple[str, float], ...] = ()
    """What took how many seconds."""
    memory: int | None = None
    """MiB of the machine."""
    files: int | None = None
    bytes: int | None = None
    lines: tuple[str, ...] = ()
    """The latest kernel's own."""
    not_rehearsed: tuple[str, ...] = ()


def write_record(folder: Path, told: Mapping[str, Any]) -> Path:
    """Add a rehearsal to those that are kept. OSError."""
    make_folder(folder)
    path = folder / NAME
    try:
        before = _lines(path)
    except FileNotFoundError:
        before = []
    line = json.dumps({"format": FORMAT, **told}).encode()
    write_file(path, b"".join(one + b"\n" for one in (*before[1 - KEPT :], line)))
    return path


class RehearsalReader:
    """Reads the rehearsals again and again; the file only when it has changed."""

    def __init__(self, folder: Path) -> None:
        """``folder`` is the journal's."""
        self._path = folder / NAME
        self._known: tuple[tuple[int, int, int], tuple[Rehearsed, ...]] = ((0, 0, 0), ())
        self.fault = ""
        """Why they could not be read, the last time."""

    def read(self) -> tuple[Rehearsed, ...]:
        """Return them, the newest first. Never fails: see :attr:`fault`."""
        try:
            about = self._path.stat()
            key = about.st_ino, about.st_size, about.st_mtime_ns
            if self._known[0] != key or self.fault:
                self._known = key, tuple(filter(None, map(_rehearsed, _lines(self._path)[::-1])))
        except FileNotFoundError:
            self._known = (0, 0, 0), ()
        except OSError as error:
            self.fault = error.strerror or str(error)
            return ()
        self.fault = ""
        return self._known[1]


def fitting(
    rehearsals: Iterable[Rehearsed], host: str, release: str, target: str = ""
) -> Rehearsed | None:
    """Return the newest rehearsal of this that tells how long this host's blackout is. Pure.

    None where a newer one did not pass. With TCG the jump takes many times as long as here:
    a watchdog would be disarmed, or an update put off, for a processor that is emulated.
    ``rehearsals`` come the newest first; without a ``target`` it is of any.
    """
    for one in rehearsals:
        if (one.host, one.release) != (host, release) or target not in ("", one.target):
            continue
        if not one.passed or one.blackout is None:
            return None
        if one.accel != TCG:
            return one
    return None


def _lines(path: Path) -> list[bytes]:
    with path.open("rb") as file:
        return file.read(_LARGEST).splitlines()


def _rehearsed(line: bytes) -> Rehearsed | None:
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(told, dict) or told.get("format") != FORMAT:
        return None
    words = [told.get(name) for name in ("at", "host", "release", "target", "accel")]
    if not all(isinstance(word, str) for word in words):
        return None
    at, host, release, target, accel = (clean(str(word))[:_LONGEST] for word in words)
    dark, steps = told.get("blackout"), told.get("seconds")
    seconds = steps.items() if isinstance(steps, dict) else ()
    return Rehearsed(
        at,
        host,
        release,
        target,
        accel,
        passed=told.get("passed") is True,
        why=_text(told.get("why")),
        interface=_text(told.get("interface")),
        blackout=recorded_blackout(dark) if isinstance(dark, dict) else None,
        steps=tuple((clean(n), s) for n, raw in seconds if (s := duration(raw)) is not None),
        memory=count(told.get("memory_mib")),
        files=count(told.get("files")),
        bytes=count(told.get("bytes")),
        lines=texts(told.get("lines")),
        not_rehearsed=texts(told.get("not_rehearsed")),
    )


def _text(raw: object) -> str:
    return clean(raw)[:_LONGEST] if isinstance(raw, str) else ""
