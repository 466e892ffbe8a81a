# SPDX-License-Identifier: MIT
"""The host that this runs on, whichever interface its kernel has: kexec, and what is around."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn

from luo_tui.model import (
    BoundDrivers,
    Condition,
    Device,
    FirmwareBoot,
    Host,
    InitSystem,
    KexecState,
    MemoryLimits,
    RunningKernel,
    Work,
)
from luo_tui.orchestrator import Inhibitor
from luo_tui.sources import Source
from luo_tui.sources.clean import clean
from luo_tui.uapi import caps, kexec, kho
from luo_tui.uapi.command_line import without

_CONSOLES = Path("/sys/class/tty/console/active")
_NAMELESS = ("", "(none)", "localhost", "localhost.localdomain")


class HostKexec:
    """Kexec on this host. See :mod:`luo_tui.uapi.kexec` for each errno."""

    boot_folder = Path("/boot")
    modules_folder = Path("/lib/modules")

    def command_line(self) -> str:
        """Return the running line without what the boot loader put on it; else byte for byte."""
        return without(kho.command_line(), "BOOT_IMAGE", "initrd")

    def load(self, image: int, initrd: int, command_line: str) -> None:
        """Load an image in place of whatever is loaded."""
        kexec.load(image, initrd, command_line)

    def unload(self) -> None:
        """Drop the loaded image."""
        kexec.unload()

    def state(self) -> KexecState:
        """Return what is loaded now."""
        return KexecState(kexec.loaded(), kexec.crash_loaded(), kexec.load_disabled())

    def sync(self) -> None:
        """Write all file systems out."""
        os.sync()

    def reboot(self) -> NoReturn:
        """Jump."""
        kexec.reboot()


class ThisHost:
    """What every kind of orchestrator on a real host has in common."""

    demo = False
    lock_folder = Path("/run/luo-tui")
    checks_folder = Path("/etc/luo-tui/checks.d")
    guests_proc = Path("/proc")
    guests_wanted = False

    def __init__(self) -> None:
        """Nothing is opened before it is needed."""
        self.kexec = HostKexec()

    def may_act(self) -> bool:
        """Whether this process has CAP_SYS_ADMIN and CAP_SYS_BOOT."""
        return caps.may_act()

    def shutdown_inhibitor(self) -> Inhibitor:
        """Return a lock of logind's, not yet taken."""
        from luo_tui.orchestrator.shutdown_inhibitor import ShutdownInhibitor

        return ShutdownInhibitor()

    def running_kernel(self) -> RunningKernel:
        """Ask KHO's debugfs, which only root reads, the lockdown and the config."""
        signed = kho.config("CONFIG_KEXEC_SIG_FORCE")
        return RunningKernel(kho.formats(), kho.scratch(), kho.lockdown(), signed)

    def consoles(self) -> tuple[str, ...]:
        """Read which terminals are consoles."""
        try:
            return tuple(map(clean, _CONSOLES.read_text().split()))
        except OSError:
            return ()

    def firmware(self) -> FirmwareBoot:
        """Read EFI's variables."""
        from luo_tui.sources.firmware import read_firmware

        return read_firmware()

    def drivers(self, devices: Iterable[Device]) -> BoundDrivers:
        """Look them up in sysfs."""
        from luo_tui.sources.drivers import read_drivers

        return read_drivers(devices)

    def memory_limits(self, pids: Iterable[int]) -> MemoryLimits:
        """Look up the cgroups of some processes."""
        from luo_tui.sources.memory_limits import read_limits

        return read_limits(pids)

    def init_system(self) -> InitSystem:
        """Ask this host's systemd."""
        from luo_tui.sources.init_system import read_init_system

        return read_init_system()

    def kexec_by_init(self) -> None:
        """Order this host's systemd."""
        from luo_tui.sources.init_system import order_kexec

        order_kexec()

    def host(self) -> Host:
        """Return the machine as it is now."""
        name, release = os.uname().nodename, os.uname().release
        return Host(name or "(none)", release, boot_id(), name not in _NAMELESS)

    def work(self) -> Work:
        """Look through this host's processes and services."""
        from luo_tui.sources.work import read_work

        return read_work()

    def condition(self) -> Condition:
        """Look at this host's links, units and kernel log."""
        from luo_tui.sources.condition import read_condition

        return read_condition()

    def surroundings(self) -> Sequence[Source]:
        """Return the sources of this machine: its devices, its vitals, its kernel's lines."""
        from luo_tui.sources.devices import DeviceSource
        from luo_tui.sources.host import HostSource
        from luo_tui.sources.kmsg import KmsgSource

        return (DeviceSource(), HostSource(), KmsgSource())


def boot_id() -> str:
    """Return the id of this boot; empty where the kernel does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
