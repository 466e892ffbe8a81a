# SPDX-License-Identifier: MIT
"""A rehearsal in a machine as its record tells of it, for whoever looks it up. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from luo_tui.update.rehearsal.record import Rehearsed
from luo_tui.update.report import WIDTH, Section, bars
from luo_tui.update.wording import count_text, local_time


def result(rehearsed: Rehearsed) -> str:
    """Say how it ended, in a few words."""
    where = f"in a machine ({rehearsed.accel.upper()})"
    if not rehearsed.passed:
        return f"rehearsal FAILED {where}: {rehearsed.why or 'why is not written down'}"
    dark = rehearsed.blackout
    took = f"; blackout {dark.total:,.0f} ms" if dark is not None else ""
    return f"rehearsal passed {where}{took}"


def sections(rehearsed: Rehearsed, width: int = WIDTH) -> tuple[Section, ...]:
    """Return its parts, in their order; ``width`` is the columns of the blackout's bars."""
    return (
        Section("Result", tuple(_about(rehearsed))),
        Section("Blackout", tuple(_blackout(rehearsed, width)), verbatim=True),
        Section("Kernel", rehearsed.lines or ("It said nothing of it.",)),
        Section("Not tried", rehearsed.not_rehearsed or ("It was not written down.",)),
    )


def _about(rehearsed: Rehearsed) -> Iterator[str]:
    yield result(rehearsed)
    yield f"ended: {local_time(rehearsed.at) or '?'}"
    by = f", by {rehearsed.interface}" if rehearsed.interface else ""
    yield f"kernel: {rehearsed.release} -> {rehearsed.target}{by}"
    if rehearsed.files is not None and rehearsed.bytes is not None:
        yield f"preserved: {count_text(rehearsed.files, 'memfd')}, {rehearsed.bytes:,} bytes"
    if rehearsed.memory is not None:
        yield f"memory of the machine: {rehearsed.memory:,} MiB"
    if rehearsed.steps:
        yield "took: " + ", ".join(f"{name} {took:,.3f} s" for name, took in rehearsed.steps)


def _blackout(rehearsed: Rehearsed, width: int) -> Iterator[str]:
    dark = rehearsed.blackout
    if dark is None:
        yield "None was measured."
        return
    yield f"{dark.total:,.1f} ms in the machine"
    yield from bars(dark.phases, width)
