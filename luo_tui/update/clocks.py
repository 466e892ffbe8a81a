# SPDX-License-Identifier: MIT
"""Whether the host's clock ran on: what is reckoned by it is told only where it did. Pure.

A host may have its clock set in the middle of a window, and a kernel begins with
what the hardware's clock says, which may be another time. Within one boot
CLOCK_BOOTTIME shows it; across a jump the TSC bounds the time that has passed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple

from luo_tui.model import Snapshot
from luo_tui.update.record_values import duration
from luo_tui.update.window_state import FORMAT, Record, WindowState

_FINE = 2.0
"""Seconds by which two clocks of one boot may differ: one that is slewed is not set."""
_EARLY, _LATE = 5.0, 20.0
"""Seconds by which a new kernel's clock may begin before the last record of the one before, as
hardware clocks have whole seconds, and after it, as the image is loaded again in between."""


class Moment(NamedTuple):
    """A moment by both clocks, in seconds."""

    at: float
    """CLOCK_REALTIME."""
    up: float
    """CLOCK_BOOTTIME."""


class ClockChange(NamedTuple):
    """The clock was set, or a kernel began with another time."""

    before: str
    """The first record after it; UTC, ISO 8601, as in the record."""
    seconds: float
    """About how far; negative where it was set back."""


def seconds_of(at: str) -> float | None:
    """Return a record's time as CLOCK_REALTIME in seconds; None where it is none."""
    try:
        return datetime.fromisoformat(at).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def ran_on(snapshot: Snapshot, window_state: WindowState | None) -> bool:
    """Whether the clock is known to have run on across the jump into this boot."""
    left = seconds_of(window_state.left_at) if window_state is not None else None
    booted = snapshot.vitals.booted_at
    if left is None or not booted:
        return False
    stamps = snapshot.stamps
    dark = stamps.milliseconds(stamps.freeze_begin, stamps.arrived) or 0.0
    return -_EARLY <= booted - left <= _LATE + dark / 1e3


def is_of(moment: Moment, snapshot: Snapshot) -> bool:
    """Whether the clock has not been set between this kernel's start and ``moment``."""
    return abs(moment.at - moment.up - snapshot.vitals.booted_at) <= _FINE


def clock_changes(records: Sequence[Record]) -> Iterator[ClockChange]:
    """Yield what a window's records prove of it.

    Of an ordinary boot in between it is not known how long it took.
    """
    known = [r for r in records if r.format <= FORMAT]
    for before, after in pairwise(known):
        then, now = seconds_of(before.at), seconds_of(after.at)
        if then is None or now is None:
            continue
        if before.boot == after.boot:
            step = now - then - (after.up - before.up)
            if abs(step) > _FINE:
                yield ClockChange(after.at, step)
        elif (dark := _dark(known, after.boot)) is not None:
            step = now - then - after.up
            if not -_EARLY <= step <= _LATE + dark:
                yield ClockChange(after.at, step - dark)


def _dark(records: Sequence[Record], boot: str) -> float | None:
    """Return the seconds of the blackout before ``boot``; None where no jump is known of."""
    for record in records:
        told = record.data.get("blackout")
        if record.boot == boot and record.event == "arrived" and isinstance(told, dict):
            total = duration(told.get("total_ms"))
            if total is not None:
                return total / 1e3
    return None
