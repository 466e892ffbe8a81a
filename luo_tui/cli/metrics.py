# SPDX-License-Identifier: MIT
"""``luo-tui metrics``: how the host stands, for node_exporter's textfile collector.

What could not be read has no value, never a zero, and is counted in
``luo_faults``. Times are in seconds, sizes in bytes, as Prometheus has them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from luo_tui.errors import Exit, NotDone
from luo_tui.model import ResourceState, Snapshot, State
from luo_tui.monitor.reading import reader
from luo_tui.orchestrator import Orchestrator

# Loaded when it runs, by it alone: the other commands are to be quick.
if TYPE_CHECKING:
    from luo_tui.update.history import PastWindow

_STATES = (*(s for s in State if s.usable), State.UNAVAILABLE, State.UNKNOWN)
_RESOURCES = "resources"
"""The source that tells of them."""


class Sample(NamedTuple):
    """One value of a metric, told apart from others by a label."""

    value: float
    label: str = ""
    """As ``name="value"``; empty: there is one value alone."""


class Metric(NamedTuple):
    """One metric with its values; where there is none, nothing of it is printed."""

    name: str
    help: str
    samples: tuple[Sample, ...]


def add_to(commands: Any) -> None:
    """Add the command to the parser's."""
    command = commands.add_parser(
        "metrics",
        help="print figures for node_exporter's textfile collector",
        description="Print state, preserved bytes, the open window's age, and the last update's "
        "blackout and verdict as metrics. What could not be read is left out and counted in "
        "luo_faults.",
    )
    command.add_argument(
        "-o", "--out", type=Path, metavar="FILE", help="replace FILE, whole or not at all"
    )


def run(orchestrator: Orchestrator, args: argparse.Namespace) -> Exit:
    """Print them, or write them. NotDone: FILE cannot be written."""
    from luo_tui.update.durable import write_file
    from luo_tui.update.history import read_history

    snapshot = reader(orchestrator, orchestrator.surroundings())()
    try:
        windows: Sequence[PastWindow] | None = read_history(args.folder)
    except OSError:
        windows = None
    text = metrics_text(snapshot, windows, time.time())
    if args.out is None:
        print(text, end="")
        return Exit.OK
    try:
        write_file(args.out, text.encode())
    except OSError as error:
        raise NotDone(f"{args.out}: {error.strerror or error}", Exit.FAILED) from error
    return Exit.OK


def metrics_text(snapshot: Snapshot, windows: Sequence[PastWindow] | None, now: float) -> str:
    """Return all metrics in Prometheus' text format.

    ``windows`` are the past ones, the newest first, None where they could not be
    read; ``now`` is in seconds since the epoch, by the clock that the journal has.
    """
    return "".join(_lines(_metrics(snapshot, windows, now)))


def _lines(metrics: Iterable[Metric]) -> Iterator[str]:
    for metric in metrics:
        if not metric.samples:
            continue
        yield f"# HELP {metric.name} {metric.help}\n# TYPE {metric.name} gauge\n"
        for value, label in metric.samples:
            yield (
                f"{metric.name}{{{label}}} {value:.15g}\n"
                if label
                else (f"{metric.name} {value:.15g}\n")
            )


def _metrics(
    snapshot: Snapshot, windows: Sequence[PastWindow] | None, now: float
) -> Iterator[Metric]:
    state = snapshot.luo.state
    yield Metric(
        "luo_state",
        "1 for the state that the Live Update Orchestrator is in.",
        tuple(Sample(float(one is state), f'state="{one}"') for one in _STATES),
    )
    yield from _resources(snapshot)
    faults = [health.name for health in snapshot.health.values() if health.fault]
    if windows is None or any(window.fault for window in windows):
        faults.append("journal")
    yield Metric(
        "luo_faults",
        "What could not be read; its metrics are left out, or tell less than there is.",
        (Sample(len(faults)),),
    )
    if windows is not None:
        yield from _windows(windows, now)


def _resources(snapshot: Snapshot) -> Iterator[Metric]:
    health = snapshot.health.get(_RESOURCES)
    if not snapshot.luo.state.usable or (health is not None and health.fault):
        return
    counted = [(s, snapshot.resources.by_state[s]) for s in ResourceState]
    yield Metric(
        "luo_resources",
        "Preserved file descriptors.",
        tuple(Sample(len(found), f'state="{s}"') for s, found in counted),
    )
    yield Metric(
        "luo_resource_bytes",
        "Bytes of memory in preserved file descriptors.",
        tuple(Sample(snapshot.bytes_in(s), f'state="{s}"') for s, _ in counted),
    )


def _windows(windows: Sequence[PastWindow], now: float) -> Iterator[Metric]:
    read = [window for window in windows if not window.fault]
    newest = windows[0] if windows else None
    # Of a newest one that cannot be read it is not known whether it is open.
    if newest is None or not newest.fault:
        is_open = newest is not None and not newest.state.closed
        yield Metric(
            "luo_window_open",
            "Whether a maintenance window is open.",
            (Sample(float(is_open)),),
        )
        opened = _epoch(newest.state.opened_at) if newest is not None and is_open else None
        yield Metric(
            "luo_window_age_seconds",
            "How long ago the window that is open was opened.",
            () if opened is None else (Sample(max(0.0, now - opened)),),
        )
    dark = next(((w, w.blackout) for w in read if w.blackout is not None), None)
    yield Metric(
        "luo_last_blackout_seconds",
        "How long everything stood still in the last update whose blackout is known.",
        () if dark is None or dark[1] is None else (Sample(dark[1].total / 1000),),
    )
    judged = next((w.verdict for w in read if w.verdict is not None), None)
    if judged is not None and judged.level in _verdicts():
        yield Metric(
            "luo_last_verdict",
            "1 for the last verdict on an update.",
            tuple(Sample(float(one == judged.level), f'verdict="{one}"') for one in _verdicts()),
        )
        at = _epoch(judged.at)
        yield Metric(
            "luo_last_verdict_timestamp_seconds",
            "When it was given.",
            () if at is None else (Sample(at),),
        )


def _verdicts() -> tuple[str, ...]:
    from luo_tui.update.verdict import Grade

    return tuple(Grade)


def _epoch(at: str) -> float | None:
    """Return a record's time in seconds since the epoch; None where it is none."""
    try:
        return datetime.fromisoformat(at.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None
