# SPDX-License-Identifier: MIT
"""The class ``liveupdate``: one device for each preserved file and for each participant.

Events come by netlink, from the kernel itself: udevd adds nothing to them, and
may be stopped at any time.
Each carries what is needed but names and owners (kernel/luo_resource.c); those are
read from sysfs, where root alone sees them, with a device that has gone meanwhile
passed over. Events of ``/dev/liveupdate`` itself come through the same monitor, so
that the module's coming and going is noticed too.
"""

from __future__ import annotations

import contextlib
import errno
import select
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from luo_tui.model import Participant, Resource, ResourceState
from luo_tui.sources.changes import (
    Change,
    ParticipantGone,
    ParticipantPut,
    ParticipantsRead,
    ReadingDone,
    ResourceGone,
    ResourcePut,
    ResourcesRead,
)
from luo_tui.sources.clean import clean
from luo_tui.sources.reading import ABSENT, Reading

CLASS = Path("/sys/class/liveupdate")
_TOKEN = "token"  # noqa: S105 - a number that names a preserved file
_ROOTS = "only root sees who preserved what, and under which names"
_BUFFER = 8 << 20
"""Bytes of netlink receive buffer: sixteen thousand events were seen to fit."""
_AT_ONCE = 4096
"""Events after which what they came to is told, though more are waiting."""


def read_resources(folder: Path = CLASS, reading: Reading | None = None) -> tuple[Resource, ...]:
    """Enumerate the class from sysfs alone; no class is no resources.

    OSError where it cannot be listed. What cannot be read of one resource is
    noted in ``reading``; the resource is among them all the same.
    """
    reading = reading or Reading()
    found = (read_resource(e, reading) for e in _entries(folder) if e.name.startswith(_TOKEN))
    return tuple(r for r in found if r is not None)


def read_participants(
    folder: Path = CLASS, reading: Reading | None = None
) -> tuple[Participant, ...]:
    """Enumerate whatever of the class is no preserved file. OSError where it cannot be listed."""
    reading = reading or Reading()
    those = (e for e in _entries(folder) if not e.name.startswith(_TOKEN))
    found = (read_participant(e, reading) for e in those)
    return tuple(p for p in found if p is not None)


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        if error.errno in ABSENT:
            return []
        raise


def _text(folder: Path, name: str) -> str:
    return clean((folder / name).read_text(errors="surrogateescape").removesuffix("\n"))


def _may_lack(folder: Path, name: str, default: str = "") -> str:
    """Read what not every kind of device has, and not every version of the module."""
    try:
        return _text(folder, name)
    except FileNotFoundError:
        return default


def read_resource(folder: Path, reading: Reading | None = None) -> Resource | None:
    """Read one device's attributes; None when it has gone.

    One that is there and cannot be understood is returned with what is known of
    it, its state ``unknown`` where that is what is not; ``reading`` says why.
    OSError where this process has no descriptor left.
    """
    reading = reading or Reading()
    token = _token(folder.name)
    try:
        # All but the names stands in one attribute; there may be tens of thousands.
        lines = (folder / "uevent").read_text(errors="surrogateescape").splitlines()
        about = {key: value for key, _, value in (line.partition("=") for line in lines)}
        kind = clean(about.get("LUO_KIND", "?"))
        number = partial(_number, about, reading, folder.name)
        private = partial(_private, folder, reading)
        about["pid"] = private("pid") or "0"
        state = _state(about, reading, folder.name)
        return Resource(
            token=number("LUO_TOKEN", token),
            kind=kind,
            state=state,
            name=private("name"),
            bytes=number("LUO_BYTES", 0),
            pid=number("pid", 0),
            comm=private("comm"),
            pages=number("LUO_PAGES", 0),
            # Of interest only where nobody is there to handle it.
            handler=_may_lack(folder, "handler") if kind == "unknown" else "",
            result=-number("LUO_RESULT", 0),
            shortage=number("LUO_SHORTAGE", 0),
            lost=number("LUO_LOST", 0),
            abandoned=state is ResourceState.RESTORED and about.get("LUO_HELD") == "0",
        )
    except OSError as error:
        if error.errno in ABSENT:
            reading.forget(folder.name)
            return None
        reading.refused(error, "{} could not be read", folder.name)
        return Resource(token, "?", ResourceState.UNKNOWN) if token >= 0 else None


def _private(folder: Path, reading: Reading, name: str) -> str:
    """Read what luo.ko shows to root alone; empty for everybody else, and noted as a gap."""
    try:
        return _text(folder, name)
    except PermissionError:
        if name == "name":
            reading.lacks(_ROOTS, "", folder.name)
        return ""


def _token(name: str) -> int:
    """Return the number in ``token7``; -1 where that is none."""
    number = name.removeprefix(_TOKEN)
    return int(number) if number.isdecimal() else -1


def _number(about: Mapping[str, str], reading: Reading, name: str, key: str, default: int) -> int:
    try:
        return int(about.get(key, default))
    except ValueError:
        reading.lacks(f"{key} of {{}} is no number", about[key], name)
        return default


def _state(about: Mapping[str, str], reading: Reading, name: str) -> ResourceState:
    word = about.get("LUO_STATE", "")
    with contextlib.suppress(ValueError):
        if (state := ResourceState(word)) is not ResourceState.UNKNOWN:
            return state
    reading.lacks("the state of {} is not known to this program", word or "none is told", name)
    return ResourceState.UNKNOWN


def read_participant(folder: Path, reading: Reading | None = None) -> Participant | None:
    """Read one device's attributes; None when it has gone, or cannot be understood.

    ``reading`` tells the one from the other. OSError where this process has no
    descriptor left.
    """
    reading = reading or Reading()
    try:
        return Participant(
            id=clean(folder.name),
            kind=_text(folder, "kind"),
            name=_text(folder, "name"),
            state=_text(folder, "state"),
            result=-int(_text(folder, "result")),
            driver=_may_lack(folder, "driver_name"),
            reason=_may_lack(folder, "reason"),
            prepare_ns=int(_may_lack(folder, "prepare_ns", "0")),
            freeze_ns=int(_may_lack(folder, "freeze_ns", "0")),
        )
    except OSError as error:
        reading.refused(error, "participant {} could not be read", folder.name)
    except ValueError as error:
        reading.lacks("participant {} makes no sense", str(error), folder.name)
    return None


class ResourceSource:
    """Blocks on the netlink socket of a udev monitor."""

    name = "resources"
    events = select.POLLIN

    def __init__(self, folder: Path = CLASS) -> None:
        """``folder`` is the kernel's, or a test's."""
        self._folder = folder
        self._monitor: Any = None
        self._reading = Reading()
        """What is not known of the devices that are there."""

    def fileno(self) -> int:
        """Return the netlink socket."""
        return self._monitor.fileno() if self._monitor is not None else -1

    def reopen(self) -> None:
        """Open the monitor, before anything is enumerated, so that nothing falls in between."""
        # Slow to import, and of no use to a command that only enumerates.
        import pyudev

        self.close()
        monitor = pyudev.Monitor.from_netlink(pyudev.Context(), source="kernel")
        monitor.filter_by("liveupdate")
        monitor.filter_by("misc")
        # Only root may have a large one; an overrun is noticed all the same.
        with contextlib.suppress(OSError):
            monitor.set_receive_buffer_size(_BUFFER)
        monitor.start()
        self._monitor = monitor

    def enumerate(self) -> Sequence[Change]:
        """Read the class. OSError where it cannot be listed."""
        self._reading = Reading()
        return (
            ResourcesRead(read_resources(self._folder, self._reading)),
            ParticipantsRead(read_participants(self._folder, self._reading)),
            ReadingDone(self.name, self._reading.missing),
        )

    def drain(self) -> Sequence[Change] | None:
        """Take the events that wait; None after an overrun, or when the module came or went.

        Of many about one device only the last counts: it is read once.
        """
        stirred: dict[str, Any] = {}
        for _ in range(_AT_ONCE):
            try:
                device = self._monitor.poll(timeout=0)
            except OSError as error:
                # The socket's own poll(2) tells of an overrun by POLLERR, which
                # pyudev raises without an errno.
                if error.errno in (None, errno.ENOBUFS):
                    return None
                raise
            if device is None:
                break
            if device.subsystem == "misc":
                if device.sys_name == "liveupdate" and device.action in ("add", "remove"):
                    return None
                continue
            stirred.pop(device.sys_name, None)
            stirred[device.sys_name] = device
        before = self._reading.missing
        changes = [change for device in stirred.values() for change in self._change(device)]
        if (missing := self._reading.missing) != before:
            changes.append(ReadingDone(self.name, missing))
        return changes

    def _change(self, device: Any) -> Iterable[Change]:
        self._reading.forget(str(device.sys_name))
        if "LUO_TOKEN" not in device.properties:
            return self._participant_change(device)
        try:
            token = int(device.properties["LUO_TOKEN"])
        except ValueError:
            return ()
        if device.action == "remove":
            return (ResourceGone(token),)
        resource = read_resource(self._folder / f"{_TOKEN}{token}", self._reading)
        return (ResourcePut(resource),) if resource is not None else ()

    def _participant_change(self, device: Any) -> Iterable[Change]:
        name = str(device.sys_name)
        # The name becomes part of a path; the kernel's own have no such thing.
        if "/" in name or name.startswith("."):
            return ()
        if device.action == "remove":
            return (ParticipantGone(clean(name)),)
        participant = read_participant(self._folder / name, self._reading)
        return (ParticipantPut(participant),) if participant is not None else ()

    def close(self) -> None:
        """Drop the monitor; its socket is closed with it."""
        self._monitor = None
