# SPDX-License-Identifier: MIT
"""How things stand, once: as lines for a person and as JSON for a program.

The JSON's shape has a version of its own; within one version fields are added
and never renamed or removed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from luo_tui.model import Snapshot
from luo_tui.orchestrator import Orchestrator
from luo_tui.window.journal import Lock, latest
from luo_tui.window.report import blackout
from luo_tui.window.walk import Facts, size_text, walk

SCHEMA = 1


def status_json(orchestrator: Orchestrator, snapshot: Snapshot, folder: Path) -> dict[str, Any]:
    """Return the picture as plain values."""
    facts = _facts(orchestrator, snapshot, folder)
    standing = walk(facts)
    dark = blackout(snapshot.stamps)
    return {
        "schema": SCHEMA,
        "demo": orchestrator.demo,
        "orchestrator": orchestrator.title,
        "compatible": snapshot.compatible,
        "host": asdict(snapshot.host),
        "state": str(snapshot.luo.state),
        "detail": snapshot.luo.detail,
        "from_release": snapshot.from_release,
        "headline": standing.headline,
        "notes": list(standing.notes),
        "step": standing.step,
        "kexec": asdict(snapshot.kexec),
        "resources": [asdict(r) for _, r in sorted(snapshot.resources.items())],
        "participants": [asdict(p) for _, p in sorted(snapshot.participants.items())],
        "preserved_bytes": sum(r.bytes for r in snapshot.outgoing),
        "blackout_ms": asdict(dark) if dark else None,
        "window": asdict(facts.story) if facts.story else None,
        "owner": asdict(facts.owner) if facts.owner else None,
        "may_act": facts.may_act,
        "faults": {h.name: h.fault for h in snapshot.health.values() if h.fault},
    }


def status_text(orchestrator: Orchestrator, snapshot: Snapshot, folder: Path) -> Iterator[str]:
    """Yield the picture as lines, the state first."""
    standing = walk(_facts(orchestrator, snapshot, folder))
    host = snapshot.host
    yield f"LUO state   {snapshot.luo.state}"
    yield f"host        {host.name}, Linux {host.release}"
    yield f"driven by   {orchestrator.title}"
    yield f"            {standing.headline}"
    for note in standing.notes:
        yield f"note        {note}"
    loaded = "an image is loaded for kexec" if snapshot.kexec.loaded else "no image is loaded"
    yield f"kexec       {loaded}"
    if (dark := blackout(snapshot.stamps)) is not None:
        parts = ", ".join(f"{p.name} {p.milliseconds:.0f} ms" for p in dark.phases)
        yield f"blackout    {dark.total:.0f} ms ({parts})"
    for health in snapshot.health.values():
        if health.fault:
            yield f"fault       {health.name}: {health.fault}"
    resources = [r for _, r in sorted(snapshot.resources.items())]
    yield f"resources   {len(resources)}"
    if resources:
        yield f"  {'token':>6} {'kind':8} {'state':10} {'size':>9}  {'owner':22} name"
    for r in resources:
        owner = f"{r.comm or '?'} [{r.pid}]" if r.pid else "?"
        yield (
            f"  {r.token:>6} {r.kind:8} {r.state:10} {size_text(r.bytes):>9}  {owner:22} {r.name}"
        )
    yield from _participants(snapshot)


def _participants(snapshot: Snapshot) -> Iterator[str]:
    found = [p for _, p in sorted(snapshot.participants.items())]
    yield f"participants {len(found)}"
    for p in found:
        more = [f"driver {p.driver}"] if p.driver else []
        more += [f"prepare {p.prepare_ns / 1e6:.1f} ms"] if p.prepare_ns else []
        more += [f"freeze {p.freeze_ns / 1e6:.1f} ms"] if p.freeze_ns else []
        more += [f"REFUSED with errno {p.result}"] if p.result else []
        more += [p.reason] if p.reason else []
        yield f"  {p.label:32} {p.state:10} {', '.join(more)}".rstrip()


def _facts(orchestrator: Orchestrator, snapshot: Snapshot, folder: Path) -> Facts:
    return Facts(
        snapshot,
        orchestrator.may_act(),
        story=latest(folder),
        owner=Lock(folder).owner(),
    )
