# SPDX-License-Identifier: MIT
"""Which module drives each device, and what a kernel finds a device's module by.

Nobody notifies of a change that matters here: it is read when somebody is to decide on it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from luo_tui.model import BoundDriver, BoundDrivers, Device
from luo_tui.sources.reading import Reading


def read_drivers(devices: Iterable[Device], sys: Path = Path("/sys")) -> BoundDrivers:
    """Look up the driver of each device that has one. Never fails; what is missing is told."""
    reading = Reading()
    found = []
    try:
        for device in devices:
            if device.driver:
                found.append(_read(device, sys / "bus" / device.bus / "devices", reading))
    except OSError as error:
        # This process has no descriptor or memory left: the others would be refused, too.
        reading.lacks("which modules drive the devices is unknown", error.strerror or str(error))
    return BoundDrivers(tuple(found), reading.missing)


def _read(device: Device, folder: Path, reading: Reading) -> BoundDriver:
    """Read one; only a module that was loaded has a state (kernel/module/sysfs.c)."""
    one = folder / device.id
    module = reading.link(one / "driver/module", "the module that drives {} is unknown", device.id)
    if module and not (one / "driver/module/initstate").exists():
        module = ""
    alias = reading.text(one / "modalias", "the modalias of {} is unknown", device.id)
    return BoundDriver(device.id, device.driver, module, alias, bool(device.users))
