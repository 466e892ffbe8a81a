# SPDX-License-Identifier: MIT
"""What is looked at around an update: limits, units, ways in and back, a shutdown. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from luo_tui.model import Condition, DescriptorStores, MemoryLimits
from luo_tui.update.checks.host import HostCheck
from luo_tui.update.checks.machine import ResetStartsWhatRuns, TargetHasTheDrivers
from luo_tui.update.facts import Facts, Finding, Level
from luo_tui.update.fallback import Fallback
from luo_tui.update.kernel_modules import TargetDrivers
from luo_tui.update.through_init import left
from luo_tui.update.wording import count_text, few, size_text


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What these checks rest on besides the facts."""

    limits: MemoryLimits
    """Of those who preserved something."""
    condition: Condition | None
    """None: it could not be looked at, as the next one says."""
    condition_fault: str = ""
    way_in: str = ""
    """How this host is reached without its network, as its settings say."""
    consoles: tuple[str, ...] = ()
    """The terminals that the kernel writes to."""
    drivers: TargetDrivers | None = None
    """None: there is no target."""
    drivers_missing: tuple[str, ...] = ()
    """What could not be learned of the drivers in use."""
    fallback: Fallback | None = None
    """None: nobody has looked."""
    shutdown_fault: str = ""
    """Why an ordinary shutdown could not be held back."""


class RestoreFitsItsLimit:
    """Whoever restores what he preserved has a memory limit that takes it."""

    code = "LUO-C-024"
    name = "memory limits"
    why = "What is restored is charged to the cgroup of its restorer: above its limit it is ENOMEM."
    evidence = "memory.max of the cgroups of those who preserved, and of their parents"

    def __init__(self, limits: MemoryLimits) -> None:
        """Take the limits of those who preserved something."""
        self._limits = limits

    def run(self, facts: Facts) -> Finding:
        """Name each cgroup that is too small for what its processes preserved."""
        sizes: dict[int, int] = {}
        for resource in facts.snapshot.outgoing:
            sizes[resource.pid] = sizes.get(resource.pid, 0) + resource.bytes
        groups: dict[str, tuple[int, int]] = {}
        for one in self._limits.limits:
            if one.bytes is not None and one.pid in sizes:
                taken, _ = groups.get(one.group, (0, 0))
                groups[one.group] = taken + sizes[one.pid], one.bytes
        small = [
            f"{group} has {size_text(limit)} for {size_text(taken)}"
            for group, (taken, limit) in sorted(groups.items())
            if taken > limit
        ]
        if small:
            text = f"Too small for what is preserved from there: {few(small, between='; ')}."
            remedy = "Raise memory.max, or restore from a larger cgroup."
            return Finding(self.name, Level.WARNING, text, remedy)
        if self._limits.missing:
            text = f"Not all are known: {self._limits.missing[0]}."
            return Finding(self.name, Level.UNKNOWN, text, "Look into their cgroups.")
        gone = len(sizes.keys() - {one.pid for one in self._limits.limits})
        if gone:
            text = f"{count_text(gone, 'owner')} of what is preserved ended since: who restores "
            text += "it, and within which limit, is not known."
            return Finding(self.name, Level.UNKNOWN, text, "See who will restore it.")
        return Finding(self.name, Level.OK, "None stands in the way of a restore.")


class NoUnitHasFailed:
    """No unit of systemd has failed already."""

    code = "LUO-C-025"
    name = "failed units"
    why = "What has failed before is easily taken for what the update broke."
    evidence = "systemctl list-units --failed"

    def __init__(self, condition: Condition | None, fault: str) -> None:
        """Take the host's condition; None with a ``fault`` where it could not be looked at."""
        self._condition, self._fault = condition, fault

    def run(self, facts: Facts) -> Finding:
        """Name them."""
        del facts
        units = self._condition.failed_units if self._condition is not None else None
        if units is None:
            missing = self._condition.missing if self._condition is not None else ()
            why = self._fault or next((m for m in missing if "units" in m), "nobody looked")
            return Finding(self.name, Level.UNKNOWN, f"Not known: {why}.", "Ask systemd.")
        if units:
            text = f"{count_text(len(units), 'unit')} failed: {few(units)}."
            return Finding(self.name, Level.WARNING, text, "Put them right, or note them.")
        return Finding(self.name, Level.OK, "None.")


class ThereIsAWayIn:
    """Somebody has said how this host is reached when its network does not come back."""

    code = "LUO-C-026"
    name = "way in"
    why = "A kernel whose network does not come up can only be helped from its console."
    evidence = "way_in in /etc/luo-tui.toml; /sys/class/tty/console/active"

    def __init__(self, way_in: str, consoles: Sequence[str]) -> None:
        """Take what the settings say, and the kernel's consoles."""
        self._way_in, self._consoles = way_in, consoles

    def run(self, facts: Facts) -> Finding:
        """Warn where nobody has said it."""
        del facts
        if self._way_in:
            return Finding(self.name, Level.OK, f"Said to be: {self._way_in}.")
        consoles = f" The kernel's consoles are {few(self._consoles)}." if self._consoles else ""
        text = f"Nobody has said how this host is reached without its network.{consoles}"
        return Finding(
            self.name, Level.WARNING, text, 'Try it, then say so: way_in = "..." in the settings.'
        )


class ShutdownIsHeldBack:
    """An ordinary shutdown is held back while a window is open."""

    code = "LUO-C-029"
    name = "shutdown"
    why = "A shutdown that somebody or something orders meanwhile ends the window midway."
    evidence = "systemd-inhibit --list"

    def __init__(self, fault: str) -> None:
        """``fault`` says why not; empty: it will be."""
        self._fault = fault

    def run(self, facts: Facts) -> Finding:
        """Warn where logind does not do it."""
        del facts
        if self._fault:
            text = f"Nothing holds an ordinary shutdown back: {self._fault}."
            remedy = "See that nobody reboots, and no timer does."
            return Finding(self.name, Level.WARNING, text, remedy)
        text = "logind holds an ordinary one back while a window is open."
        return Finding(self.name, Level.OK, text)


class SystemdKeepsNothing:
    """No unit has left descriptors with systemd that are to outlive this kernel."""

    code = "LUO-C-030"
    name = "descriptor stores"
    why = (
        "systemd hands over what units have left with it in a shutdown of its own; a direct kexec "
        "goes past it."
    )
    evidence = "systemctl show -p NFileDescriptorStore,FileDescriptorStorePreserve,LUOSession"

    def __init__(self, condition: Condition | None, fault: str) -> None:
        """Take the host's condition; None with a ``fault`` where it could not be looked at."""
        unknown = DescriptorStores(missing=(fault or "nobody looked",))
        self._found = condition.stores if condition is not None else unknown

    def run(self, facts: Facts) -> Finding:
        """Name the units that would lose what they count on to get back."""
        # What systemd gives back to a restarted unit alone was not meant for another kernel.
        lost = [s for s in self._found.stores if s.promised]
        own = [s for s in self._found.stores if s.sessions]
        parts = [f"Gone after a direct kexec: {few([left(s) for s in lost])}."] if lost else []
        if own:
            sessions = few([f"{few(s.sessions)} of {s.unit}" for s in own], between="; ")
            parts.append(f"Its sessions systemd makes anew after one: {sessions}.")
        if parts:
            remedy = "See that the units can do without, or stop them before."
            if not facts.abilities.moves:
                remedy = "To hand them over: luo-tui kexec --through-init (systemd 261 or later)."
            return Finding(self.name, Level.WARNING, " ".join(parts), remedy)
        if self._found.missing:
            text = f"Not known: {self._found.missing[0]}."
            return Finding(self.name, Level.UNKNOWN, text, "Ask systemd.")
        return Finding(self.name, Level.OK, "No unit counts on systemd to hand anything over.")


def surrounding_checks(about: Surroundings) -> Sequence[HostCheck]:
    """Return these checks, in the order of their codes."""
    return (
        RestoreFitsItsLimit(about.limits),
        NoUnitHasFailed(about.condition, about.condition_fault),
        ThereIsAWayIn(about.way_in, about.consoles),
        TargetHasTheDrivers(about.drivers, about.drivers_missing),
        ResetStartsWhatRuns(about.fallback),
        ShutdownIsHeldBack(about.shutdown_fault),
        SystemdKeepsNothing(about.condition, about.condition_fault),
    )
