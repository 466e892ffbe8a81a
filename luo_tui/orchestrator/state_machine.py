# SPDX-License-Identifier: MIT
"""LUO v2 on this host: the state machine behind ``/dev/liveupdate``.

The device is opened for each command and closed again: a watching console
holds nothing, and any number of tools may use it side by side.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from luo_tui.model import Condition, Host, KexecState, State, Work
from luo_tui.orchestrator import Move
from luo_tui.sources import Source, sysfs
from luo_tui.uapi import caps, kexec, kho, luo_v2
from luo_tui.uapi.command_line import without

_CALLS: Mapping[Move, Callable[[int], None]] = {
    Move.PREPARE: luo_v2.prepare,
    Move.FREEZE: luo_v2.freeze,
    Move.CANCEL: luo_v2.cancel,
    Move.FINISH: luo_v2.finish,
}
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


class StateMachine:
    """LUO v2 through luo.ko, or the reason why it is not there.

    It exists on any host: where there is no orchestrator, :meth:`state` says
    ENOENT, the sources tell of state ``unavailable``, and they notice when the
    module comes.
    """

    demo = False
    lock_folder = Path("/run/luo-tui")

    def __init__(self) -> None:
        """Nothing is opened before it is needed."""
        self.kexec = HostKexec()

    @property
    def title(self) -> str:
        """What stands behind it at this moment."""
        return "LUO v2 (luo.ko)" if sysfs.FOLDER.is_dir() else "no orchestrator"

    def may_act(self) -> bool:
        """Whether this process has CAP_SYS_ADMIN and CAP_SYS_BOOT."""
        return caps.may_act()

    def host(self) -> Host:
        """Return the machine as it is now."""
        name, release = os.uname().nodename, os.uname().release
        return Host(name or "(none)", release, boot_id(), name not in _NAMELESS)

    def state(self) -> State:
        """Ask the kernel: by GET_STATE where this process may, else by sysfs. ENOENT: no LUO."""
        if not self.may_act():
            luo = sysfs.read_state()
            if luo.state is State.UNAVAILABLE:
                raise OSError(errno.ENOENT, luo.detail, luo_v2.DEVICE)
            return luo.state
        with self._device() as device:
            return luo_v2.check(device)

    def move(self, move: Move) -> None:
        """Ask for a move; blocks until it is done."""
        with self._device() as device:
            _CALLS[move](device)

    def preserve(self, fd: int) -> int:
        """Have the kernel keep the file behind ``fd``."""
        with self._device() as device:
            return luo_v2.preserve(device, fd)

    def unpreserve(self, token: int) -> None:
        """Give a preserved file up."""
        with self._device() as device:
            luo_v2.unpreserve(device, token)

    def restore(self, token: int) -> int:
        """Return a new descriptor for what came over."""
        with self._device() as device:
            return luo_v2.restore(device, token)

    def sources(self) -> Sequence[Source]:
        """Return the sources of LUO v2: the state attribute and the class's events."""
        from luo_tui.sources.udev import ResourceSource

        return (sysfs.StateSource(), ResourceSource())

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

    @contextlib.contextmanager
    def _device(self) -> Iterator[int]:
        device = luo_v2.open_device()
        try:
            luo_v2.check(device)
            yield device
        finally:
            os.close(device)


def boot_id() -> str:
    """Return the id of this boot; empty where the kernel does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
