# SPDX-License-Identifier: MIT
"""How things stand, once: as lines for a person and as JSON for a program.

The JSON's shape has a version of its own, and a JSON Schema beside this
package, which says what each field is. Within one version fields are added
and never renamed or removed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from luo_tui.model import KernelImage, Participant, Resource, ResourceState, Snapshot, State
from luo_tui.orchestrator import Orchestrator
from luo_tui.update.act_log import delivered_here
from luo_tui.update.blackout import blackout
from luo_tui.update.device_outcome import DeviceOutcome, device_outcomes, outlook, summary
from luo_tui.update.facts import Facts
from luo_tui.update.images import scan
from luo_tui.update.journal import read_latest
from luo_tui.update.lock import Lock
from luo_tui.update.resource_list import promised, promised_here
from luo_tui.update.walk import walk
from luo_tui.update.wording import local_time, milliseconds, size_text
from luo_tui.update.work import look

SCHEMA = 2
MOST = 20
"""Lines of one list that are shown to a person who has not asked for all."""


def schema_text() -> str:
    """Return the JSON Schema of :func:`status_json`."""
    return (Path(__file__).parent / "status.schema.json").read_text(encoding="utf-8")


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
        "abi": snapshot.abi,
        "host": _object(snapshot.host),
        "state": str(snapshot.luo.state),
        "detail": snapshot.luo.detail,
        "derived_from": list(snapshot.luo.evidence),
        "from_release": snapshot.from_release,
        "veto": snapshot.veto,
        "headline": standing.headline,
        "notes": list(standing.notes),
        "step": str(standing.step) if standing.step else None,
        "kexec": _object(snapshot.kexec),
        "resources": [{**_object(r), "fate": outlook(r, snapshot)} for r in _resources(snapshot)],
        "participants": [_object(p) for p in _participants(snapshot)],
        "devices": [_device(f) for f in device_outcomes(snapshot)],
        "vitals": _object(snapshot.vitals),
        "images": [_image_json(i) for i in _images(orchestrator, snapshot)],
        "preserved_bytes": snapshot.bytes_in(ResourceState.PRESERVED),
        "blackout_ms": _object(dark) if dark else None,
        "window": _window_json(facts, folder),
        "promises": _promises(facts),
        "owner": _object(facts.lock_holder) if facts.lock_holder else None,
        "may_act": facts.may_act,
        "faults": dict(_faults(facts)),
        "missing": {h.name: list(h.missing) for h in snapshot.health.values() if h.missing},
    }


def status_text(
    orchestrator: Orchestrator, snapshot: Snapshot, folder: Path, *, whole: bool = False
) -> Iterator[str]:
    """Yield the picture as lines, the state first; long lists are cut unless it is ``whole``."""
    facts = _facts(orchestrator, snapshot, folder)
    most = None if whole else MOST
    yield from _standing(orchestrator, facts)
    yield from _window(facts)
    yield from _machine(snapshot)
    for name, fault in _faults(facts):
        yield f"fault       {name}: {fault}"
    for health in snapshot.health.values():
        for sentence in health.missing:
            yield f"unknown     {health.name}: {sentence}"
    resources = list(snapshot.resources.lost_first.values())
    size = sum(r.bytes for r in resources)
    yield _heading("resources", len(resources), [size_text(size)] if size else [])
    if resources:
        yield f"  {'token':>6} {'kind':8} {'state':10} {'size':>9}  {'owner':22} name"
    yield from _cut((_resource(r, snapshot) for r in resources), len(resources), most)
    participants = sorted(_participants(snapshot), key=lambda p: not p.endangered)
    yield _heading("participants", len(participants), [])
    yield from _cut((_participant(p) for p in participants), len(participants), most)
    devices = device_outcomes(snapshot)
    yield _heading("devices", len(devices), summary(devices))
    yield from _cut((_fated(d) for d in devices), len(devices), most)
    images = _images(orchestrator, snapshot)
    yield _heading(f"images in {orchestrator.kexec.boot_folder}", len(images), [])
    yield from _cut((_image(i) for i in images), len(images), most)


def _standing(orchestrator: Orchestrator, facts: Facts) -> Iterator[str]:
    snapshot, standing = facts.snapshot, walk(facts)
    yield f"LUO state   {snapshot.luo.state}{' (derived)' if snapshot.luo.evidence else ''}"
    yield f"host        {snapshot.host.name}, Linux {snapshot.host.release}"
    yield f"driven by   {orchestrator.title}"
    if orchestrator.demo:
        yield "            DEMO: nothing real is touched"
    yield f"            {standing.headline}"
    for note in standing.notes:
        yield f"note        {note}"
    if standing.step is not None:
        yield f"step        {standing.step} is next"
    loaded = "an image is loaded for kexec" if snapshot.kexec.loaded else "no image is loaded"
    if snapshot.kexec.load_disabled:
        loaded += "; loading is disabled until a reboot (kernel.kexec_load_disabled)"
    yield f"kexec       {loaded}"
    yield f"kdump       {'armed' if snapshot.kexec.crash_loaded else 'not armed'}"
    if (dark := blackout(snapshot.stamps)) is not None:
        parts = "; ".join(f"{p.name}: {milliseconds(p.milliseconds)}" for p in dark.phases)
        yield f"blackout    {milliseconds(dark.total)} ({parts})"


def _faults(facts: Facts) -> Iterator[tuple[str, str]]:
    for health in facts.snapshot.health.values():
        if health.fault:
            yield health.name, health.fault
    if facts.lock_fault:
        yield "lock", facts.lock_fault
    if facts.journal_fault:
        yield "journal", facts.journal_fault


def _window_json(facts: Facts, folder: Path) -> dict[str, Any] | None:
    if facts.window_state is None:
        return None
    found = _object(facts.window_state)
    # The schema's name from when they all stood in the journal; unreadable ones are counted.
    with contextlib.suppress(OSError):
        found["tokens"] = [r.token for r in promised(folder, facts.window_state).resources]
    return found


def _promises(facts: Facts) -> dict[str, Any] | None:
    if facts.snapshot.luo.state is not State.UPDATED:
        return None
    found = facts.promises
    return {
        "recorded": found.recorded,
        "fault": found.fault,
        "kept": found.kept,
        "open": [
            {"label": o.label, "outcome": str(o.became), "reason": o.reason} for o in found.open
        ],
    }


def _window(facts: Facts) -> Iterator[str]:
    if facts.lock_holder is not None:
        yield f"window      open: {facts.lock_holder}"
    elif facts.lock_fault:
        yield f"window      whether it is open cannot be read: {facts.lock_fault}"
    elif facts.journal_fault:
        yield f"window      cannot be read: {facts.journal_fault}"
    elif facts.window_state is None:
        yield "window      none was ever opened here"
    elif facts.window_state.closed:
        window = facts.window_state
        yield f"window      closed ({window.closed}), opened by {window.opened_by}"
    else:
        window = facts.window_state
        yield f"window      left open by {window.opened_by} at {local_time(window.opened_at)}"


def _machine(snapshot: Snapshot) -> Iterator[str]:
    vitals = snapshot.vitals
    if vitals.memory_total:
        free, total = size_text(vitals.memory_available), size_text(vitals.memory_total)
        yield f"memory      {free} available of {total}"
    if vitals.cpus:
        yield f"load        {vitals.load:.1f} on {vitals.cpus} CPUs"
    for label, found in (
        ("logged in", vitals.users),
        ("holder", vitals.holders),
        ("watchdog", vitals.watchdogs),
    ):
        for one in found:
            yield f"{label:11} {one}"


def _heading(name: str, number: int, more: Iterable[str]) -> str:
    return f"{name:11} {', '.join((f'{number:,}', *more))}"


def _cut(lines: Iterator[str], number: int, most: int | None) -> Iterator[str]:
    if most is None or number <= most:
        yield from lines
        return
    for _ in range(most):
        yield next(lines)
    yield f"  and {number - most:,} more: --all"


def _resource(r: Resource, snapshot: Snapshot) -> str:
    owner = f"{r.comm or '?'} [{r.pid}]" if r.pid else "?"
    return (
        f"  {r.token:>6} {r.kind:8} {r.state:10} {size_text(r.bytes):>9}  {owner:22} "
        f"{r.name or '-'}: {outlook(r, snapshot)}"
    )


def _participant(p: Participant) -> str:
    more = [f"driver {p.driver}"] if p.driver else []
    more += [f"prepare {p.prepare_ns / 1e6:.1f} ms"] if p.prepare_ns else []
    more += [f"freeze {p.freeze_ns / 1e6:.1f} ms"] if p.freeze_ns else []
    more += [f"REFUSED with errno {p.result}"] if p.result else []
    more += [p.reason] if p.reason else []
    return f"  {p.label:32} {p.state:10} {', '.join(more)}".rstrip()


def _fated(found: DeviceOutcome) -> str:
    mark = "!" if found.dangerous else " "
    return f"{mark} {found.device.id:16} {found.outcome:17} {found.reason}"


def _image(image: KernelImage) -> str:
    name = Path(image.path).name
    if image.fault:
        return f"  {name:32} {image.fault}"
    handover = {True: "yes", False: "NO", None: "unknown"}[image.kexec_handover]
    return (
        f"  {name:32} {size_text(image.bytes):>9}  Kexec HandOver {handover}, "
        f"luo.ko {_module(image)}"
    )


def _module(image: KernelImage) -> str:
    if image.orchestrator_unread:
        return "unknown"
    return image.orchestrator or ("BROKEN" if image.orchestrator_fault else "none")


def _device(found: DeviceOutcome) -> dict[str, Any]:
    return {
        **_object(found.device),
        "fate": str(found.outcome),
        "reason": found.reason,
        "dangerous": found.dangerous,
    }


def _object(value: Any) -> dict[str, Any]:
    """Return a named tuple as an object of JSON, and all that is in it."""
    return {name: _plain(inner) for name, inner in value._asdict().items()}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return _object(value) if hasattr(value, "_fields") else [_plain(v) for v in value]
    return value


def _resources(snapshot: Snapshot) -> list[Resource]:
    return list(snapshot.resources.values())


def _participants(snapshot: Snapshot) -> list[Participant]:
    return [p for _, p in sorted(snapshot.participants.items())]


_FOR_CHECKS = ("abi", "abi_fault", "memory", "initrd_bytes", "signed")


def _image_json(image: KernelImage) -> dict[str, Any]:
    """Leave out what only a check looks for: a status unpacks nothing."""
    return {name: value for name, value in _object(image).items() if name not in _FOR_CHECKS}


def _images(orchestrator: Orchestrator, snapshot: Snapshot) -> list[KernelImage]:
    kexec = orchestrator.kexec
    return list(scan(kexec.boot_folder, kexec.modules_folder, snapshot.host.release))


def _facts(orchestrator: Orchestrator, snapshot: Snapshot, folder: Path) -> Facts:
    lock, journal = Lock(orchestrator.lock_folder).reading(), read_latest(folder)
    known, fault = promised_here(folder, journal.window_state, snapshot.host.boot_id)
    return Facts(
        snapshot,
        orchestrator.may_act(),
        orchestrator.cannot(),
        window_state=journal.window_state,
        lock_holder=lock.person,
        lock_fault=lock.fault,
        journal_fault=journal.fault,
        promised=known,
        promised_fault=fault,
        work=look(orchestrator, snapshot),
        delivered=delivered_here(folder, snapshot),
    )
