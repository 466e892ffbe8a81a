# SPDX-License-Identifier: MIT
"""Looks for what runs on the host, where a decision rests on it: it takes its time."""

from __future__ import annotations

from luo_tui.model import Snapshot, State, Work
from luo_tui.orchestrator import Abilities, Orchestrator


def wanted(snapshot: Snapshot, abilities: Abilities) -> bool:
    """Whether a decision rests on it: on a kexec, which ends it, or on a restore that failed."""
    if snapshot.luo.state in (State.PREPARED, State.FROZEN):
        return True
    if not abilities.moves and snapshot.luo.state.at_rest and snapshot.kexec.loaded:
        return True
    return any(r.token in snapshot.failed_restores for r in snapshot.incoming)


def look(orchestrator: Orchestrator, snapshot: Snapshot) -> Work | None:
    """Return what runs; None where nothing rests on it. Never fails: what is missing is told."""
    return look_now(orchestrator) if wanted(snapshot, orchestrator.abilities) else None


def look_now(orchestrator: Orchestrator) -> Work:
    """Return what runs, whether or not a decision rests on it. Never fails."""
    try:
        return orchestrator.work()
    except OSError as error:
        return Work(missing=(f"what runs here could not be read: {error.strerror or error}",))
