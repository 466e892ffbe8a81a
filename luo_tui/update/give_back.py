# SPDX-License-Identifier: MIT
"""Held files that are given back without an operator, first thing in the new kernel."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from luo_tui.errors import ActFailed, NotDone
from luo_tui.model import ResourceState, Snapshot, State
from luo_tui.update.held import Held, resource_of
from luo_tui.update.hold import Holds


def give_back(
    holds: Holds, ready: Callable[[], None], look: Callable[[], Snapshot]
) -> tuple[tuple[tuple[str, float], ...], tuple[str, ...]]:
    """Restore each held file whose record says where to, and that came over.

    ``ready`` has what came over retrieved, where a process does that. Returns those that
    were given back, by the kernel's name with CLOCK_BOOTTIME in seconds, and in sentences
    why each of the others was not: they can be restored by hand. Never fails; harmless
    where none waits, and again.
    """
    given: list[tuple[str, float]] = []
    why: list[str] = []
    try:
        records = [held for held in holds.records() if held.out]
        if records:
            ready()
        now = look() if records else None
    except OSError as error:
        return (), (f"What is to be given back could not be read: {error.strerror or error}.",)
    if now is None or now.luo.state is not State.UPDATED:
        return (), ()
    for held in records:
        found, _ = resource_of(held, now)
        if found is None or found.state is not ResourceState.INCOMING:
            # Lost, or restored already: what was promised tells of it.
            continue
        if fault := _restore(holds, held):
            why.append(fault)
        else:
            given.append((found.label, time.clock_gettime(time.CLOCK_BOOTTIME)))
    return tuple(given), tuple(why)


def _restore(holds: Holds, held: Held) -> str:
    """Give one back; return why it could not be, as a sentence."""
    try:
        holds.restore(held.name, Path(held.out), force=True)
    except NotDone as refused:
        why = refused.reason
    except ActFailed as failed:
        why = " ".join(failed.lines())
    else:
        return ""
    return f"{held.name} was not given back to {held.out}: {why}"
