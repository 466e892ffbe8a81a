# SPDX-License-Identifier: MIT
"""How long the next prepare and blackout will take, by those that were measured here. Pure.

Before the first blackout, by a rehearsal in a machine on this host's processor (KVM), where
there was one; and then it says so, since a machine has other devices, other memory, and
other programs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from luo_tui.update.history import PastWindow, RecordedBlackout
from luo_tui.update.rehearsal.record import Rehearsed
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
    rehearsed: str = ""
    """What ran the machine of the rehearsal that it rests on (``kvm``, ``tcg``); empty: none."""

    def record(self) -> dict[str, Any]:
        """Return what a record says of it, in the form of a blackout's."""
        phases = [[name, round(took, 3)] for name, took in self.phases]
        by = {"rehearsed": self.rehearsed} if self.rehearsed else {"windows": self.windows}
        return {"total_ms": round(self.total, 3), "phases": phases, **by}

    def text(self) -> str:
        """Say it in one clause."""
        if self.rehearsed:
            return f"{self.total:,.0f} ms, by a rehearsal in a machine ({self.rehearsed.upper()})"
        about = (
            f"{self.total:,.0f} ms, by {count_text(self.windows, 'earlier update')} of this host"
        )
        if self.windows == 1:
            return about
        return f"{about} ({self.shortest:,.0f} to {self.longest:,.0f})"


def predict(windows: Iterable[PastWindow], rehearsed: Rehearsed | None = None) -> Prediction | None:
    """Predict from the windows, which come the newest first; None where none has a blackout.

    Windows whose phases have other names were measured otherwise, and do not count.
    ``rehearsed`` counts where no window does.
    """
    measured: list[RecordedBlackout] = []
    for window in windows:
        dark = window.blackout
        if dark is None or (measured and _names(dark) != _names(measured[0])):
            continue
        measured.append(dark)
        if len(measured) == MOST:
            break
    if not measured and rehearsed is not None and rehearsed.blackout is not None:
        total = rehearsed.blackout.total
        return Prediction(total, total, total, 0, rehearsed.blackout.phases, rehearsed.accel)
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
