# SPDX-License-Identifier: MIT
"""How a snapshot changes: :func:`fold` is the only way in which it does. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from luo_tui.model import LuoState, Resource, Resources, Snapshot, SourceHealth, State
from luo_tui.sources.changes import (
    Change,
    DeviceGone,
    DevicePut,
    DevicesRead,
    ImagesRead,
    KernelPrinted,
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
    RestoreFailed,
    SourceAlive,
    SourceFailed,
    VitalsRead,
    WindowsWritten,
)


def fold(snapshot: Snapshot, changes: Iterable[Change]) -> Snapshot:
    """Return the picture after ``changes``; the very same object if nothing differs."""
    picture = _Picture(snapshot)
    for change in changes:
        picture.take(change)
    new = picture.snapshot()
    return snapshot if new == snapshot else new._replace(seq=snapshot.seq + 1)


class _Picture:
    """A snapshot in the making: what does not change is not copied."""

    def __init__(self, before: Snapshot) -> None:
        self._before = before
        self._resources: dict[int, Resource | None] = {}
        """What changed since :attr:`_base`; None is for one that has gone."""
        self._base = before.resources
        self._participants = dict(before.participants)
        self._devices = dict(before.devices)
        self._health = dict(before.health)
        self._failed = dict(before.failed_restores)
        self._other: dict[str, object] = {}
        self._printed, self._windows = before.printed, before.windows

    def take(self, change: Change) -> None:
        match change:
            case LuoChanged(luo, stamps, compatible, from_release, veto, abi):
                self._other |= {
                    "luo": luo,
                    "stamps": stamps,
                    "compatible": compatible,
                    "from_release": from_release,
                    "veto": veto,
                    "abi": abi,
                }
            case ResourcePut(resource):
                self._resources[resource.token] = resource
            case ResourceGone(token):
                self._resources[token] = None
            case ResourcesRead(resources):
                self._base, self._resources = Resources(resources), {}
            case ParticipantPut(participant):
                self._participants[participant.id] = participant
            case ParticipantGone(id_):
                self._participants.pop(id_, None)
            case ParticipantsRead(participants):
                self._participants = {p.id: p for p in participants}
            case DevicePut(device):
                self._devices[device.id] = device
            case DeviceGone(id_):
                self._devices.pop(id_, None)
            case DevicesRead(devices):
                self._devices = {d.id: d for d in devices}
            case KexecChanged(kexec):
                self._other["kexec"] = kexec
            case VitalsRead(vitals):
                self._other["vitals"] = vitals
            case ImagesRead(images):
                self._other["images"] = images
            case WindowsWritten():
                self._windows += 1
            case KernelPrinted():
                self._printed += 1
            case RestoreFailed(token, failure):
                self._failed[token] = failure
            case KernelSaid():
                pass
            case SourceFailed(name, fault, since):
                known = self._health.get(name, SourceHealth(name))
                began = known.since if known.fault else since
                self._health[name] = SourceHealth(name, fault, began, known.missing)
            case SourceAlive(name):
                known = self._health.get(name, SourceHealth(name))
                self._health[name] = SourceHealth(name, missing=known.missing)
            case ReadingDone(name, missing):
                known = self._health.get(name, SourceHealth(name))
                self._health[name] = known._replace(missing=missing)

    def snapshot(self) -> Snapshot:
        base = self._base
        luo = self._other.get("luo", self._before.luo)
        # Tokens begin anew with the next kernel, and lines of the kernel are never taken back.
        updated = isinstance(luo, LuoState) and luo.state is State.UPDATED
        return self._before._replace(
            resources=base.changed(self._resources) if self._resources else base,
            participants=self._participants,
            devices=self._devices,
            health=self._health,
            failed_restores=self._failed if updated else {},
            printed=self._printed,
            windows=self._windows,
            **self._other,  # type: ignore[arg-type]
        )
