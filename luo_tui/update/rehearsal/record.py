# SPDX-License-Identifier: MIT
"""What is written down of a rehearsal in a machine, and the prediction that is made of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luo_tui.sources.clean import clean
from luo_tui.update.durable import make_folder, write_file
from luo_tui.update.history import RecordedBlackout, recorded_blackout

FORMAT = 1
"""Version of the record; within one, values are only added."""
NAME = "rehearsal.json"
_LARGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """The latest rehearsal, if it went well."""

    host: str
    release: str
    target: str
    accel: str
    """``kvm`` or ``tcg``, which is many times slower than the host itself."""
    blackout: RecordedBlackout


def write_record(folder: Path, told: Mapping[str, Any]) -> Path:
    """Put a rehearsal in the place of the one before. OSError."""
    make_folder(folder)
    path = folder / NAME
    write_file(path, json.dumps({"format": FORMAT, **told}, indent=2).encode() + b"\n")
    return path


def read_record(folder: Path) -> Rehearsed | None:
    """Return the latest rehearsal; None where there is none, or it tells of no blackout.

    Never fails: nothing but a prediction rests on it.
    """
    try:
        with (folder / NAME).open("rb") as file:
            told = json.loads(file.read(_LARGEST))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(told, dict) or told.get("format") != FORMAT or told.get("passed") is not True:
        return None
    dark = told.get("blackout")
    blackout = recorded_blackout(dark) if isinstance(dark, dict) else None
    words = [told.get(name) for name in ("host", "release", "target", "accel")]
    if blackout is None or not all(isinstance(word, str) for word in words):
        return None
    host, release, target, accel = (clean(str(word)) for word in words)
    return Rehearsed(host, release, target, accel, blackout)
