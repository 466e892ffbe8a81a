# SPDX-License-Identifier: MIT
"""A fault that comes and goes fills no log: said a few times, then that it does so. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from luo_tui.monitor.event_text import EventDraft

QUIET = 600.0
"""Seconds without a line about a source after which its lines are told again."""
MOST = 4
"""Lines about one source that are told before that."""


@dataclass(slots=True)
class _Told:
    lines: int = 0
    last: float = 0.0


class Repeats:
    """Passes events on, but no more than a few in a row of one source's health."""

    def __init__(self) -> None:
        """Nothing was told yet."""
        self._told: dict[str, _Told] = {}

    def filtered(self, drafts: Iterable[EventDraft], now: float) -> Iterator[EventDraft]:
        """Yield what is to be told at ``now``, CLOCK_MONOTONIC in seconds.

        The last line that is told says that others will not be: a log must not
        end with "live again" where that is not so any more.
        """
        for draft in drafts:
            if draft.kind != "source":
                yield draft
                continue
            told = self._told.setdefault(draft.subject, _Told())
            if now - told.last >= QUIET:
                told.lines = 0
            told.last = now
            told.lines += 1
            if told.lines < MOST:
                yield draft
            elif told.lines == MOST:
                more = (
                    f"; this comes and goes, and is told again after {QUIET / 60:.0f} quiet minutes"
                )
                yield replace(draft, text=draft.text + more)
