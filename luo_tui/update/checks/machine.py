# SPDX-License-Identifier: MIT
"""What of the machine is held against the target: its drivers, and its way back. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from luo_tui.update.facts import Facts, Finding, Level
from luo_tui.update.fallback import Fallback
from luo_tui.update.kernel_modules import DriverChange, TargetDrivers
from luo_tui.update.wording import count_text, few


class TargetHasTheDrivers:
    """The target has the drivers of this host's devices."""

    code = "LUO-C-027"
    name = "drivers"
    why = "A device without its driver is gone in the new kernel, with disks and links behind it."
    evidence = (
        "/sys/bus/*/devices; the target's modules.dep, modules.alias, modules.builtin and "
        "modules.builtin.modinfo"
    )

    def __init__(self, found: TargetDrivers | None, missing: Sequence[str] = ()) -> None:
        """Take what was ``found``, None without a target; ``missing`` is of this host's devices."""
        self._found, self._missing = found, missing

    def run(self, facts: Facts) -> Finding:
        """Block where a device in use would have none; warn where it would have another one."""
        found = self._found
        if found is None or facts.image is None:
            return Finding(self.name, Level.UNKNOWN, "There is no target.", "Name the target.")
        release = facts.image.release
        if found.fault:
            text = f"Which drivers the target has is not known: {found.fault}."
            return Finding(self.name, Level.UNKNOWN, text, f"Install the modules of {release}.")
        none = [c for c in found.changes if not c.others]
        other = [c for c in found.changes if c.others]
        parts = [f"{release} has no driver for {_told(none)}."] if none else []
        parts += [f"It has another driver for {_told(other)}."] if other else []
        text = " ".join(parts)
        if any(c.in_use for c in none):
            remedy = f"Install the driver for {release}, or free the device."
            return Finding(self.name, Level.BLOCKER, text, remedy)
        if parts:
            remedy = "See that it takes over what the present driver does."
            return Finding(self.name, Level.WARNING, text, remedy)
        if doubts := facts.snapshot.doubts("devices") or self._missing:
            text = f"Not all devices could be read: {doubts[0]}."
            return Finding(self.name, Level.UNKNOWN, text, "Put that right, then ask again.")
        text = f"{release} has those of {count_text(found.same, 'device')}."
        if found.unlisted:
            number = count_text(found.unlisted, "device")
            text += f" Of {number} the driver is built in here, and no list tells of it."
        return Finding(self.name, Level.OK, text)


def _told(changes: Sequence[DriverChange]) -> str:
    # What is in use comes first: a long list is cut.
    first = sorted(changes, key=lambda change: not change.in_use)
    return few([_words(change) for change in first], between="; ")


def _words(change: DriverChange) -> str:
    about = [change.driver, *(["in use"] if change.in_use else [])]
    if change.others:
        about.append(f"there {few(change.others, 2)}")
    return f"{change.device} ({', '.join(about)})"


class ResetStartsWhatRuns:
    """What a reset of the machine starts is known, and is the kernel that runs."""

    code = "LUO-C-028"
    name = "fallback"
    why = "A reset is the way back where the new kernel does not come up."
    evidence = (
        "EFI's BootOrder and BootNext; grub.cfg and grubenv; loader.conf, loader/entries and EFI's "
        "LoaderEntry variables"
    )

    def __init__(self, fallback: Fallback | None) -> None:
        """Take what was read; None: nobody has looked."""
        self._found = fallback

    def run(self, facts: Facts) -> Finding:
        """Warn where a reset starts something else; unknown where that cannot be read."""
        found = self._found
        if found is None:
            return Finding(self.name, Level.UNKNOWN, "Nobody has looked.", "Ask again.")
        firmware = found.firmware
        before = f"Firmware starts {firmware.first}. " if firmware.first else ""
        if fault := firmware.fault or found.fault:
            text = f"{before}Which kernel a reset starts is not known: {fault}."
            return Finding(self.name, Level.UNKNOWN, text, "Look into the boot loader's menu.")
        starts = f"{before}A reset starts {found.release}, by {found.read}"
        if once := firmware.once or found.once:
            text = f"{starts}; but the next one alone starts {once}."
            return Finding(self.name, Level.WARNING, text, "See that this is what you want.")
        if not found.is_there:
            text = f"{starts}, and {found.kernel} is not there."
            return Finding(self.name, Level.WARNING, text, "Write that configuration anew.")
        running = facts.snapshot.host.release
        if found.release == running:
            return Finding(self.name, Level.OK, f"{starts}: it is what runs now.")
        target = facts.image is not None and facts.image.release == found.release
        what = "it is the target itself" if target else "it is another one than what runs now"
        remedy = f"Have the boot loader start {running}: {found.setter}."
        return Finding(self.name, Level.WARNING, f"{starts}: {what}.", remedy)
