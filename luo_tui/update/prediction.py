# SPDX-License-Identifier: MIT
"""How long the next prepare and blackout will take, by those that were measured here. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from luo_tui.update.history import PastWindow, RecordedBlackout
from luo_tui.update.wording import count_text

MOST = 5
"""Earlier windows that count: the latest ones, since hosts change."""
_LIKE = 10


@dataclass(frozen=True, slots=True)
class Prediction:
    """The median of earlier blackouts, phase by phase. All in milliseconds."""

    total: float
    shortest: float
    longest: float
    windows: int
    """How many it rests on."""
    phases: tuple[tuple[str, float], ...]

    def record(self) -> dict[str, Any]:
        """Return what a record says of it, in the form of a blackout's."""
        phases = [[name, round(took, 3)] for name, took in self.phases]
        return {"total_ms": round(self.total, 3), "phases": phases, "windows": self.windows}

    def text(self) -> str:
        """Say it in one clause."""
        about = (
            f"{self.total:,.0f} ms, by {count_text(self.windows, 'earlier update')} of this host"
        )
        if self.windows == 1:
            return about
        return f"{about} ({self.shortest:,.0f} to {self.longest:,.0f})"


def predict(windows: Iterable[PastWindow]) -> Prediction | None:
    """Predict from the windows, which come the newest first; None where none has a blackout.

    Windows whose phases have other names were measured otherwise, and do not count.
    """
    measured: list[RecordedBlackout] = []
    for window in windows:
        dark = window.blackout
        if dark is None or (measured and _names(dark) != _names(measured[0])):
            continue
        measured.append(dark)
        if len(measured) == MOST:
            break
    if not measured:
        return None
    totals = [dark.total for dark in measured]
    columns = zip(*(dark.phases for dark in measured), strict=True)
    phases = tuple((column[0][0], _median([took for _, took in column])) for column in columns)
    return Prediction(_median(totals), min(totals), max(totals), len(totals), phases)


class PrepareTime(NamedTuple):
    """How long a prepare should take."""

    seconds: float
    prepares: int
    """How many it rests on."""

    def text(self) -> str:
        """Say it in one clause."""
        by = f"by {count_text(self.prepares, 'earlier prepare')} of this host"
        return (
            f"{'less than a second' if self.seconds < 1 else f'about {self.seconds:,.0f} s'}, {by}"
        )


def predict_prepare(windows: Iterable[PastWindow], kept: int) -> PrepareTime | None:
    """Predict from the windows, which come the newest first, with ``kept`` bytes preserved.

    What it does is done page by page. None where no prepare of so many bytes was
    measured: one of a tenth tells of other work, which it has with nothing preserved, too.
    """
    rates = [
        took / size
        for window in windows
        for size, took in window.prepares
        if size and size * _LIKE >= kept
    ][:MOST]
    if not rates or not kept:
        return None
    return PrepareTime(_median(rates) * kept / 1e3, len(rates))


def beside(
    measured: RecordedBlackout, predicted: RecordedBlackout | None
) -> Mapping[str, float | None]:
    """Return what was predicted for each measured phase; None where nothing was."""
    known = dict(predicted.phases) if predicted is not None else {}
    return {name: known.get(name) for name, _ in measured.phases}


def _median(numbers: Sequence[float]) -> float:
    # Not that of ``statistics``: to import it takes as long as a status may.
    middle, odd = divmod(len(numbers), 2)
    ordered = sorted(numbers)
    return ordered[middle] if odd else (ordered[middle - 1] + ordered[middle]) / 2


def _names(dark: RecordedBlackout) -> tuple[str, ...]:
    return tuple(name for name, _ in dark.phases)
