# SPDX-License-Identifier: MIT
"""Values of a record, each of which may be anything: another program may have written it. Pure."""

from __future__ import annotations

import math

from luo_tui.sources.clean import clean

LISTED = 64
"""Entries of one list in a record that are shown: more than this program ever writes."""


def texts(raw: object) -> tuple[str, ...]:
    """Return the texts of a list from a record, made harmless; empty where it is none."""
    if not isinstance(raw, list):
        return ()
    return tuple(clean(t) for t in raw[:LISTED] if isinstance(t, str))


def count(raw: object) -> int | None:
    """Return a count from a record; None where it is none."""
    if isinstance(raw, int) and not isinstance(raw, bool) and 0 <= raw < 1 << 64:
        return raw
    return None


def duration(raw: object) -> float | None:
    """Return a time from a record, in whatever unit it has there; None where it is none."""
    if isinstance(raw, bool) or not isinstance(raw, (int, float)):
        return None
    try:
        value = float(raw)
    except OverflowError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
