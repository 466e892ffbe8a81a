# SPDX-License-Identifier: MIT
"""The host's devices: PCI, virtio and mdev, with their drivers and those who would miss them.

Read from sysfs; the kernel's own events (netlink) tell when to look again, and
udev's database gives vendor and model their names. Mounts, links
and the processes behind vfio tell nobody: they are looked at every so often.
"""

from __future__ import annotations

import contextlib
import errno
import re
import select
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from luo_tui.model import Device
from luo_tui.sources.changes import Change, DeviceGone, DevicePut, DevicesRead, ReadingDone
from luo_tui.sources.clean import clean
from luo_tui.sources.device_users import Users
from luo_tui.sources.processes import OpenFiles, open_files
from luo_tui.sources.reading import ABSENT, Reading

UDEV = Path("/run/udev/data")
"""udev's database: a file for each device that it has looked at, with its properties."""
BUSES = ("pci", "virtio", "mdev")
_LISTENED = (*BUSES, "vfio", "net", "block")
_BUFFER = 1 << 20
_ASKED = 2
"""How often udev is asked for the name of a device that it has none for."""
_SCAN = 2.0
"""Seconds between two looks through the processes, at least."""
_AT_ONCE = 4096
"""Events after which the devices are looked at, though more are waiting."""
_ID = re.compile(
    r"[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]|virtio\d+"
    r"|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
)
"""A PCI address, a virtio device, the UUID of an mdev."""

# Base classes of PCI: include/linux/pci_ids.h.
_PCI_KINDS = {
    0x01: "storage",
    0x02: "network",
    0x03: "display",
    0x04: "multimedia",
    0x05: "memory",
    0x06: "bridge",
    0x07: "communication",
    0x08: "system",
    0x09: "input",
    0x0B: "processor",
    0x0C: "serial bus",
    0x0D: "wireless",
    0x10: "encryption",
    0x11: "signal processing",
    0x12: "accelerator",
}
_PCI_USB = 0x0C03
# Device ids of virtio: include/uapi/linux/virtio_ids.h.
_VIRTIO_KINDS = {
    1: "network",
    2: "storage",
    3: "console",
    4: "entropy",
    5: "balloon",
    8: "storage",
    9: "file system",
    16: "display",
    18: "input",
    19: "socket",
    26: "file system",
}


def read_devices(
    sys: Path = Path("/sys"),
    proc: Path = Path("/proc"),
    udev: Path = UDEV,
    reading: Reading | None = None,
) -> tuple[Device, ...]:
    """Enumerate the devices from sysfs alone; what vanishes meanwhile is left out.

    What could not be learned is noted in ``reading``. OSError where this process
    has no descriptor left.
    """
    reading = reading or Reading()
    users = Users(sys, proc, udev, open_files(proc, "/dev/"))
    found = [read_device(sys, bus, id_, users, reading) for bus, id_ in _listed(sys, reading)]
    for sentence in users.missing:
        reading.lacks(sentence)
    return tuple(d for d in found if d is not None)


def _listed(sys: Path, reading: Reading) -> Iterator[tuple[str, str]]:
    for bus in BUSES:
        for entry in reading.entries(sys / "bus" / bus / "devices"):
            if _ID.fullmatch(entry.name):
                yield bus, entry.name


def read_device(sys: Path, bus: str, id_: str, users: Users, reading: Reading) -> Device | None:
    """Read one device; None when it is not there. What it does not tell is in ``reading``."""
    folder = sys / "bus" / bus / "devices" / id_
    try:
        folder.stat()
    except OSError as error:
        reading.refused(error, "device {} could not be looked at", id_)
        return None if error.errno in ABSENT else Device(id_, bus)
    driver, group = (
        reading.link(folder / name, f"the {name} of {{}} could not be read", id_)
        for name in ("driver", "iommu_group")
    )
    return Device(
        id=id_,
        bus=bus,
        kind=_kind(bus, folder, reading),
        driver=driver,
        label=_numbers(folder, reading),
        users=users.of(id_, driver, group, folder),
        iommu_group=group,
    )


def details(id_: str, sys: Path = Path("/sys")) -> tuple[tuple[str, str], ...]:
    """Return what udev and sysfs know of a device, for a person who looks at that one."""
    found: dict[str, str] = {}
    for bus in BUSES:
        folder = sys / "bus" / bus / "devices" / id_
        if not (_ID.fullmatch(id_) and folder.exists()):
            continue
        for name in ("vendor", "device", "numa_node", "power_state", "reset_method", "mdev_type"):
            if text := _text(folder / name):
                found[name] = text
        with contextlib.suppress(Exception):  # Without udev there is less to say.
            found |= {
                clean(key): clean(value)
                for key, value in sorted(_udev(folder).properties.items())
                if key not in ("DEVPATH", "USEC_INITIALIZED")
            }
    return tuple(found.items())


def _udev(folder: Path) -> Any:
    import pyudev

    return pyudev.Devices.from_path(pyudev.Context(), str(folder.resolve()))


def _kind(bus: str, folder: Path, reading: Reading) -> str:
    if bus not in ("pci", "virtio"):
        return "mediated device"
    name = "class" if bus == "pci" else "device"
    text = reading.text(folder / name, f"the {name} of {{}} could not be read", folder.name)
    try:
        code = int(text, 16)
    except ValueError:
        return ""
    if bus == "virtio":
        return _VIRTIO_KINDS.get(code, "")
    return "usb" if code >> 8 == _PCI_USB else _PCI_KINDS.get(code >> 16, "")


def _numbers(folder: Path, reading: Reading) -> str:
    """Return vendor and device as numbers, the way lspci(8) writes them."""
    vendor, device = (
        clean(reading.text(folder / n, f"the {n} of {{}} could not be read", folder.name))
        for n in ("vendor", "device")
    )
    vendor, device = vendor.removeprefix("0x"), device.removeprefix("0x")
    return f"{vendor}:{device}" if vendor and device else ""


def _text(path: Path) -> str:
    try:
        return clean(path.read_text(errors="surrogateescape").strip())
    except (OSError, ValueError):
        return ""


class DeviceSource:
    """Blocks on a udev monitor; samples what no event tells of."""

    name = "devices"
    events = select.POLLIN
    every = 15.0

    def __init__(
        self, sys: Path = Path("/sys"), proc: Path = Path("/proc"), udev: Path = UDEV
    ) -> None:
        """``sys``, ``proc`` and ``udev`` are the kernel's and udev's, or a test's."""
        self._sys, self._proc, self._udev = sys, proc, udev
        self._monitor: Any = None
        self._known: dict[str, Device] = {}
        self._looked = 0.0
        """When all were looked at, by CLOCK_MONOTONIC."""
        self._labels: dict[str, tuple[str, int]] = {}
        """Names from udev's hardware database by id, and how often each was asked for."""
        self._reading = Reading()
        """What is not known of the devices themselves."""
        self._opened = OpenFiles()
        self._scanned = -_SCAN
        """When the processes were looked through, by CLOCK_MONOTONIC."""
        self._told: tuple[str, ...] = ()

    def fileno(self) -> int:
        """Return the netlink socket."""
        return self._monitor.fileno() if self._monitor is not None else -1

    def reopen(self) -> None:
        """Open the monitor before anything is enumerated, so that nothing falls in between."""
        import pyudev

        self.close()
        monitor = pyudev.Monitor.from_netlink(pyudev.Context(), source="kernel")
        for subsystem in _LISTENED:
            monitor.filter_by(subsystem)
        with contextlib.suppress(OSError):
            monitor.set_receive_buffer_size(_BUFFER)
        monitor.start()
        self._monitor = monitor

    def enumerate(self) -> Sequence[Change]:
        """Read them all. OSError where this process has no descriptor left."""
        self._scanned = -_SCAN
        *_, done = self._looked_at(self._all(), always=True)
        return (DevicesRead(tuple(self._known.values())), done)

    def drain(self) -> Sequence[Change] | None:
        """Take all events that wait and look at those devices; without events, at all of them."""
        stirred: dict[str, str] = {}
        heard = False
        for _ in range(_AT_ONCE):
            try:
                event = self._monitor.poll(timeout=0)
            except OSError as error:
                # pyudev tells of an overrun without an errno.
                if error.errno in (None, errno.ENOBUFS):
                    return None
                raise
            if event is None:
                break
            heard = True
            stirred |= dict(_touched(event.device_path))
            if event.action in ("remove", "unbind", "bind"):
                self._labels.pop(event.sys_name, None)
        now = time.monotonic()
        # Other subsystems' events wake the socket, too: they are no reason to look.
        if not heard and now - self._looked >= self.every * 0.9:
            stirred = self._all()
        return list(self._looked_at(stirred)) if stirred else ()

    def _all(self) -> dict[str, str]:
        """Return the bus of every device that is there or was."""
        self._looked, self._reading = time.monotonic(), Reading()
        listed = {id_: bus for bus, id_ in _listed(self._sys, self._reading)}
        return listed | {d.id: d.bus for d in self._known.values()}

    def _looked_at(self, stirred: Mapping[str, str], *, always: bool = False) -> Iterator[Change]:
        """Look at these devices; what is missing is told last, if it is news or ``always``."""
        users = Users(self._sys, self._proc, self._udev, self._scan())
        for id_, bus in stirred.items():
            self._reading.forget(id_)
            device = read_device(self._sys, bus, id_, users, self._reading)
            if device is None:
                if self._known.pop(id_, None):
                    yield DeviceGone(id_)
                continue
            device = self._named(device)
            if self._known.get(id_) != device:
                self._known[id_] = device
                yield DevicePut(device)
        missing = (*self._reading.missing, *users.missing)
        if always or missing != self._told:
            self._told = missing
            yield ReadingDone(self.name, missing)

    def _scan(self) -> OpenFiles:
        """Look through the processes; in a storm of events not for each of them."""
        now = time.monotonic()
        if now - self._scanned >= _SCAN:
            self._scanned, self._opened = now, open_files(self._proc, "/dev/")
        return self._opened

    def _named(self, device: Device) -> Device:
        """Give a device the name of the hardware database, where the monitor is open anyway."""
        if self._monitor is None:
            return device
        label, asked = self._labels.get(device.id, ("", 0))
        # The name of a new one comes a little after it, when udevd has seen it.
        if not label and asked < _ASKED:
            label = _label(self._sys, device)
            self._labels[device.id] = label, asked + 1
        return device._replace(label=label or device.label)

    def close(self) -> None:
        """Drop the monitor; its socket is closed with it."""
        self._monitor = None


def _touched(path: str) -> Iterator[tuple[str, str]]:
    """Yield id and bus of the device that an event is about, or whose part it is about."""
    nearest: dict[str, str] = {}
    for part in path.split("/"):
        if not _ID.fullmatch(part):
            continue
        bus = "virtio" if part.startswith("virtio") else "pci" if ":" in part else "mdev"
        nearest[bus] = part  # The deepest counts: above it there are bridges.
    yield from ((id_, bus) for bus, id_ in nearest.items())


def _label(sys: Path, device: Device) -> str:
    try:
        properties = _udev(sys / "bus" / device.bus / "devices" / device.id).properties
        words = [properties.get(f"ID_{part}_FROM_DATABASE", "") for part in ("VENDOR", "MODEL")]
    except Exception:
        return ""
    return clean(" ".join(w for w in words if w))
