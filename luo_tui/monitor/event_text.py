# SPDX-License-Identifier: MIT
"""What happened, told from what the sources said: the lines of the event log. Pure.

A burst is told change by change against the picture before it, so that what
came and went within one burst is told too. What was only read again and is as
it was is not told.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from luo_tui.model import (
    Device,
    KexecState,
    LuoState,
    Participant,
    Resource,
    ResourceState,
    Snapshot,
    SourceHealth,
    State,
    Vitals,
)
from luo_tui.monitor.sizes import change_text
from luo_tui.sources.changes import (
    Change,
    DeviceGone,
    DevicePut,
    DevicesRead,
    ImagesRead,
    KernelSaid,
    KexecChanged,
    LuoChanged,
    ParticipantGone,
    ParticipantPut,
    ParticipantsRead,
    ReadingDone,
    ResourceGone,
    ResourcePut,
    ResourcesRead,
    SourceAlive,
    SourceFailed,
    VitalsRead,
)

Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class EventDraft:
    """One thing that happened; see :class:`luo_tui.model.Event` for the fields."""

    kind: str
    text: str
    subject: str = ""
    grave: bool = False
    at: float = 0.0
    """CLOCK_REALTIME in seconds; 0: now."""


def events_of(before: Snapshot, changes: Iterable[Change]) -> Iterator[EventDraft]:
    """Yield what happened, in the order in which the sources told it."""
    running = _Running(before)
    for change in changes:
        yield from running.take(change)


class _Running:
    """The parts of the picture that a line has to be told against."""

    def __init__(self, before: Snapshot) -> None:
        self._luo = before.luo
        self._kexec = before.kexec
        self._vitals = before.vitals
        self._images = before.images
        self._resources = _Overlay(before.resources)
        self._participants = _Overlay(before.participants)
        self._devices = _Overlay(before.devices)
        self._health = dict(before.health)

    def take(self, change: Change) -> Iterator[EventDraft]:
        match change:
            case LuoChanged(luo):
                # What it was derived from has events of its own.
                if (luo.state, luo.detail) != (self._luo.state, self._luo.detail):
                    yield state_event(self._luo, luo)
                self._luo = luo
            case ResourcePut(resource):
                yield from _resource(self._resources.put(resource.token, resource), resource)
            case ResourceGone(token):
                yield from _resource(self._resources.put(token, None), None)
            case ResourcesRead(resources):
                for old, new in self._resources.read({r.token: r for r in resources}):
                    yield from _resource(old, new)
            case ParticipantPut(participant):
                old_p = self._participants.put(participant.id, participant)
                yield from _participant(old_p, participant)
            case ParticipantGone(id_):
                yield from _participant(self._participants.put(id_, None), None)
            case ParticipantsRead(participants):
                for old_q, new_q in self._participants.read({p.id: p for p in participants}):
                    yield from _participant(old_q, new_q)
            case DevicePut(device):
                yield from _device(self._devices.put(device.id, device), device)
            case DeviceGone(id_):
                yield from _device(self._devices.put(id_, None), None)
            case DevicesRead(devices):
                for old_d, new_d in self._devices.read({d.id: d for d in devices}):
                    yield from _device(old_d, new_d)
            case KexecChanged(kexec):
                yield from _kexec(self._kexec, kexec)
                self._kexec = kexec
            case VitalsRead(vitals):
                yield from _vitals(self._vitals, vitals)
                self._vitals = vitals
            case ImagesRead(images):
                yield from _images(self._images, images)
                self._images = images
            case KernelSaid(text, grave, at):
                yield EventDraft("kernel", text, grave=grave, at=at)
            case SourceFailed() | SourceAlive() | ReadingDone():
                yield from self._health_of(change)
            case _:
                pass

    def _health_of(self, change: SourceFailed | SourceAlive | ReadingDone) -> Iterator[EventDraft]:
        name = change.name
        known = self._health.get(name, SourceHealth(name))
        match change:
            case SourceFailed(_, fault, since):
                if known.fault != fault:
                    yield EventDraft("source", f"{name} is not live: {fault}", name, grave=True)
                new = known._replace(fault=fault, since=since)
            case SourceAlive():
                if known.fault:
                    yield EventDraft("source", f"{name} is live again", name)
                new = known._replace(fault="", since=0.0)
            case ReadingDone(_, missing):
                for sentence in missing:
                    if sentence not in known.missing:
                        yield EventDraft("source", f"{name}: {sentence}", name)
                if known.missing and not missing:
                    yield EventDraft("source", f"{name}: everything can be read again", name)
                new = known._replace(missing=missing)
        self._health[name] = new


class _Overlay:
    """A mapping with changes on top; what is under it is not copied."""

    def __init__(self, under: Mapping[Key, Value]) -> None:
        self._under: Mapping[object, object] = under  # type: ignore[assignment]
        self._top: dict[object, object] = {}

    def put(self, key: object, value: object) -> object:
        """Set ``key``, None is for gone; return what it was."""
        old = self._top[key] if key in self._top else self._under.get(key)
        self._top[key] = value
        return old

    def read(self, found: Mapping[object, object]) -> Iterator[tuple[object, object]]:
        """Replace everything by ``found``; yield each difference as (old, new)."""
        known = {**self._under, **self._top}
        self._under, self._top = found, {}
        for key, old in known.items():
            if old is not None and key not in found:
                yield old, None
        for key, new in found.items():
            if known.get(key) != new:
                yield known.get(key), new


def state_event(old: LuoState, new: LuoState) -> EventDraft:
    """Tell of a move of the orchestrator's state."""
    lost = new.state in (State.UNAVAILABLE, State.UNKNOWN)
    first = old.state is State.UNAVAILABLE and not new.detail
    text = f"state {new.state}" if first else f"state {old.state} -> {new.state}"
    return EventDraft(
        "state", f"{text}: {new.detail}" if new.detail else text, str(new.state), lost
    )


_WENT = {
    ResourceState.INCOMING: "is gone without having been restored",
    ResourceState.RESTORED: "released: it had been restored",
}


def _resource(old: object, new: object) -> Iterator[EventDraft]:
    was = old if isinstance(old, Resource) else None
    now = new if isinstance(new, Resource) else None
    both = now or was
    if both is None or was == now:
        return
    subject = str(both.token)
    if now is None:
        word = _WENT.get(both.state, "is gone")
        lost = both.state is ResourceState.INCOMING
        yield EventDraft("resource", f"{both.label} {word}", subject, lost)
        return
    if was is None or was.state is not now.state:
        owner = f" by {now.comm or 'process'} [{now.pid}]" if now.pid else ""
        yield EventDraft("resource", f"{now.label} {now.state}{owner}", subject)
    elif was.bytes != now.bytes:
        grown = change_text(was.bytes, now.bytes)
        yield EventDraft("resource", f"{now.label}: {grown}", subject)
    if now.result and (was is None or was.result != now.result):
        yield _refused(now.label, now.result, "resource", subject)


def _participant(old: object, new: object) -> Iterator[EventDraft]:
    was = old if isinstance(old, Participant) else None
    now = new if isinstance(new, Participant) else None
    both = now or was
    if both is None or was == now:
        return
    if now is None:
        yield EventDraft("participant", f"{both.label} takes part no longer", both.id)
        return
    if was is None:
        if now.state == "refused":
            yield EventDraft(
                "participant", f"{now.label} cannot take part: {now.reason}", now.id, True
            )
        elif now.state == "lost":
            yield EventDraft("participant", f"{now.label} is lost: {now.reason}", now.id, True)
        else:
            yield EventDraft("participant", f"{now.label} takes part: {now.state}", now.id)
    elif was.state != now.state:
        lost = now.state in ("refused", "lost")
        why = f": {now.reason}" if lost and now.reason else ""
        yield EventDraft(
            "participant", f"{now.label} {was.state} -> {now.state}{why}", now.id, lost
        )
    if now.result and (was is None or was.result != now.result):
        yield _refused(now.label, now.result, "participant", now.id)


def _refused(label: str, result: int, kind: str, subject: str) -> EventDraft:
    code = errno.errorcode.get(result, str(result))
    return EventDraft(kind, f"{label} REFUSED ({code})", subject, grave=True)


def _device(old: object, new: object) -> Iterator[EventDraft]:
    was = old if isinstance(old, Device) else None
    now = new if isinstance(new, Device) else None
    both = now or was
    if both is None or was == now:
        return
    what = f"{both.bus} {both.id}"
    if both.label:
        what = f"{what} ({both.label})"
    if now is None:
        yield EventDraft("device", f"{what} is gone", both.id)
    elif was is None:
        yield EventDraft("device", f"{what} is there, {_driven(now)}", both.id)
    elif was.driver != now.driver:
        yield EventDraft("device", f"{what}: {_driven(now)}", both.id)
    else:
        users = ", ".join(now.users) or "nobody"
        yield EventDraft("device", f"{what}: used by {users}", both.id)


def _driven(device: Device) -> str:
    return f"driver {device.driver}" if device.driver else "no driver"


def _kexec(old: KexecState, new: KexecState) -> Iterator[EventDraft]:
    if old.loaded != new.loaded:
        word = "loaded for kexec" if new.loaded else "no longer loaded for kexec"
        yield EventDraft("image", f"a kernel image is {word}")
    if old.crash_loaded != new.crash_loaded:
        yield EventDraft("host", f"kdump is {'armed' if new.crash_loaded else 'not armed'}")


def _vitals(old: Vitals, new: Vitals) -> Iterator[EventDraft]:
    if not old.memory_total:
        return
    for what, was, now in (
        ("logged in", old.users, new.users),
        ("/dev/liveupdate is open in", old.holders, new.holders),
        ("watchdog", old.watchdogs, new.watchdogs),
    ):
        for name in now:
            if name not in was:
                yield EventDraft("host", f"{what}: {name}", name)
        for name in was:
            if name not in now:
                yield EventDraft("host", f"no longer {what}: {name}", name)


def _images(old: tuple[str, ...], new: tuple[str, ...]) -> Iterator[EventDraft]:
    if not old:
        return
    was, now = {_name(i) for i in old}, {_name(i) for i in new}
    for image in sorted(now - was):
        yield EventDraft("image", f"kernel image {image} is there", image)
    for image in sorted(was - now):
        yield EventDraft("image", f"kernel image {image} is gone", image)
    for image in sorted(_name(i) for i in set(new) - set(old) if _name(i) in was):
        yield EventDraft("image", f"kernel image {image} was replaced", image)


def _name(image: str) -> str:
    return image.partition("\t")[0]
