# SPDX-License-Identifier: MIT
"""The report of a window: who, when, why, what was promised and what became of it. Pure.

Told from the journal alone, so that it says the same in a year. What the journal
does not tell is said to be unknown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from luo_tui.sources.clean import clean
from luo_tui.update.history import PastWindow, RecordedBlackout
from luo_tui.update.prediction import beside
from luo_tui.update.record_values import texts
from luo_tui.update.wording import count_text, local_time, timeline_line

SCHEMA = 1
"""Version of the report as an object; within one, fields are only added."""
WIDTH = 60
"""Columns of the longest bar of the blackout."""
_OUTCOMES = (
    ("kept", "kept"),
    ("lost", "LOST"),
    ("failed", "RESTORE FAILED"),
    ("not_known", "not known"),
    ("not_yet", "not yet restored"),
)


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the report."""

    title: str
    lines: tuple[str, ...]
    verbatim: bool = False
    """Whether the columns of the lines belong together."""


def sections(window: PastWindow, width: int = WIDTH) -> tuple[Section, ...]:
    """Return the report's parts, in their order; whatever a record has, each line is one.

    ``width`` is the columns of the blackout's bars.
    """
    dark = chain(
        _blackout(window.blackout, window.predicted, width),
        _by_systemd(window.by_systemd, width),
        _restores(window),
    )
    return (
        Section("Window", _clean(_window(window))),
        Section("Verdict", _clean(_verdict(window))),
        Section("Promises", _clean(_promises(window))),
        Section("Blackout", _clean(dark), verbatim=True),
        Section("Timeline", _clean(_timeline(window))),
    )


def _clean(lines: Iterator[str]) -> tuple[str, ...]:
    return tuple(map(clean, lines))


def report_text(window: PastWindow) -> Iterator[str]:
    """Yield the report as lines for a terminal."""
    yield f"Report of window {window.number or window.window} on {window.host or '?'}"
    for section in sections(window):
        yield ""
        yield section.title.upper()
        yield from (f"  {line}" for line in section.lines)


def report_markdown(window: PastWindow) -> Iterator[str]:
    """Yield the report as Markdown."""
    yield f"# Window {window.number or window.window} on {_escaped(window.host or '?')}"
    for section in sections(window):
        yield ""
        yield f"## {section.title}"
        yield ""
        if section.verbatim:
            yield from (f"    {line}" for line in section.lines)
        else:
            yield from (f"- {_escaped(line)}" for line in section.lines)


def report_json(window: PastWindow) -> dict[str, Any]:
    """Return the report as plain values."""
    state, verdict = window.state, window.verdict
    dark, told, by_init = window.blackout, window.predicted, window.by_systemd
    return {
        "schema": SCHEMA,
        "window": window.window,
        "number": window.number,
        "host": window.host,
        "opened_at": state.opened_at,
        "opened_by": state.opened_by,
        "ended_at": window.ended_at,
        "result": window.result,
        "from": state.jumped_release or state.release,
        "to": state.target,
        "image": state.image,
        "image_sha256": state.image_digest,
        "initrd": state.initrd,
        "initrd_sha256": state.initrd_digest,
        "command_line": state.command_line,
        "change": state.change,
        "reason": state.reason,
        "approved_by": state.approved_by,
        "plan_sha256": state.plan_digest,
        "promised": {"count": state.promised_count, "bytes": state.promised_bytes},
        "promises": dict(window.outcomes) or None,
        "verdict": (
            {"level": verdict.level, "line": verdict.line, "reasons": list(verdict.reasons)}
            if verdict
            else None
        ),
        "blackout_ms": (
            {"total": dark.total, "phases": [list(phase) for phase in dark.phases]}
            if dark
            else None
        ),
        "by_systemd_ms": (
            {"total": by_init.total, "phases": [list(phase) for phase in by_init.phases]}
            if by_init
            else None
        ),
        "predicted_ms": (
            {
                "total": told.total,
                "phases": [list(phase) for phase in told.phases],
                "rehearsed": told.rehearsed or None,
            }
            if told
            else None
        ),
        "restored_ms": [list(one) for one in window.restores],
        "ended_guests": list(window.listed("jump", "unpreserved")),
        "reset_devices": list(window.listed("jump", "endangered")),
        "shutdown": window.shutdown,
        "clock_changes": [
            {"before": change.before, "seconds": round(change.seconds)}
            for change in window.clock_changes
        ],
        "timeline": [timeline_line(done) for done in state.acts],
        "unread_lines": window.unread,
        "fault": window.fault,
    }


def bars(phases: Sequence[tuple[str, float]], width: int = WIDTH) -> Iterator[str]:
    """Yield two lines a phase: its name with its milliseconds, and a bar from begin to end.

    ``width`` is the columns of all phases together. A phase that took any time
    has a mark, however short.
    """
    total = sum(took for _, took in phases)
    begun = 0.0
    for name, took in phases:
        left = min(width - 1, round(begun / total * width)) if total else 0
        begun += took
        right = round(begun / total * width) if total else 0
        marks = max(right - left, 1 if took else 0)
        bar = f"{' ' * left}{'#' * marks}"
        yield f"{name}: {took:,.1f} ms"
        yield f"|{bar:{width}}|"


def _window(window: PastWindow) -> Iterator[str]:
    if window.fault:
        yield f"Its journal cannot be read: {window.fault}."
        return
    state = window.state
    yield f"result: {window.result}"
    yield f"opened: {local_time(state.opened_at) or '?'}, by {state.opened_by or '?'}"
    if window.ended_at:
        yield f"ended: {local_time(window.ended_at)}"
    yield f"kernel: {state.jumped_release or state.release or '?'} -> {state.target or '?'}"
    for what, text in (
        ("image", state.image),
        ("image SHA-256", state.image_digest),
        ("initrd", state.initrd),
        ("initrd SHA-256", state.initrd_digest),
        ("command line", state.command_line),
        ("change", state.change),
        ("reason", state.reason),
        ("approved by", state.approved_by),
        ("plan SHA-256", state.plan_digest),
    ):
        if text:
            yield f"{what}: {text}"
    if window.shutdown:
        yield f"ordinary shutdown: {window.shutdown}"
    for change in window.clock_changes:
        way = "back" if change.seconds < 0 else "forward"
        yield (
            f"THE CLOCK WAS SET {way} by about {abs(change.seconds):,.0f} s before "
            f"{local_time(change.before)}: times before and after that do not compare"
        )
    if window.unread:
        lines = count_text(window.unread, "line")
        yield f"Of the journal {lines} cannot be read: this may not be all."


def _verdict(window: PastWindow) -> Iterator[str]:
    verdict = window.verdict
    if verdict is None:
        yield "None was written down."
        return
    yield f"{verdict.level.upper()} at {local_time(verdict.at)}: {verdict.line}"
    yield from verdict.reasons


def _promises(window: PastWindow) -> Iterator[str]:
    state, became = window.state, window.outcomes
    if state.promised_count:
        number = count_text(state.promised_count, "resource")
        yield f"promised: {number}, {state.promised_bytes:,} bytes"
    elif not state.jumped_from:
        yield "No jump was made: nothing was promised."
    counted = [(word, became.get(key)) for key, word in _OUTCOMES]
    numbers = [(word, n) for word, n in counted if isinstance(n, int) and not isinstance(n, bool)]
    known = [f"{word}: {n:,}" for word, n in numbers if n or word == "kept"]
    if known:
        yield "; ".join(known)
    elif state.jumped_from:
        yield "What became of what was promised was not written down."
    lost = became.get("lost_names")
    if isinstance(lost, list):
        yield from (f"LOST: {name}" for name in texts(lost))
    ended = window.number_in("jump", "unpreserved_count")
    if ended:
        names = ", ".join(window.listed("jump", "unpreserved"))
        yield f"ended by the jump, not preserved: {count_text(ended, 'guest')} ({names})"
    if reset := window.listed("jump", "endangered"):
        yield f"in use and reset: {', '.join(reset)}"


def _blackout(
    dark: RecordedBlackout | None, predicted: RecordedBlackout | None, width: int
) -> Iterator[str]:
    if dark is None:
        yield "It was not written down."
        return
    yield f"{dark.total:,.1f} ms, from the beginning of the freeze to the arrival"
    yield from bars(dark.phases, width)
    if predicted is None:
        return
    apart = (dark.total - predicted.total) / predicted.total if predicted.total else 0.0
    by = f" by a rehearsal in a machine ({predicted.rehearsed.upper()})"
    how = f"predicted{by if predicted.rehearsed else ''}"
    yield f"{how}: {predicted.total:,.1f} ms; measured is {apart:+.0%} of that"
    yield from bars(
        [(name, took) for name, took in beside(dark, predicted).items() if took is not None], width
    )


def _by_systemd(took: RecordedBlackout | None, width: int) -> Iterator[str]:
    if took is not None:
        yield f"by systemd {took.total:,.1f} ms, from its order to its start in the new kernel"
        yield from bars(took.phases, width)


def _restores(window: PastWindow) -> Iterator[str]:
    if window.restores:
        yield "restored after the arrival, as it was seen:"
        yield from (f"  {took:>8,.0f} ms  {name}" for name, took in window.restores)


def _timeline(window: PastWindow) -> Iterator[str]:
    yield from (timeline_line(done) for done in window.state.acts)
    if not window.state.acts:
        yield "Nothing was written down."


def _escaped(text: str) -> str:
    """Return text without a meaning for Markdown."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>#|!" else c for c in text)
