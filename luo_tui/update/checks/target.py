# SPDX-License-Identifier: MIT
"""What is looked at before a target kernel is loaded. Pure: facts in, findings out.

What a check is says :mod:`luo_tui.update.checks.check`. A blocker stops the walk
before anything is changed; a warning is shown and left to the operator. What
could not be found out is unknown, and never passes as good.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from luo_tui.model import KernelImage, Snapshot, State
from luo_tui.sources.clean import clean
from luo_tui.uapi.command_line import LONGEST, deciding, parameters, switch
from luo_tui.update.checks.check import TargetCheck, complete
from luo_tui.update.checks.handover import Present, handover_checks
from luo_tui.update.facts import Finding, Level
from luo_tui.update.luo_abi import unreadable_part


class ImageIsKernel:
    """The file is a kernel image, whole, with an initrd that exists."""

    code = "LUO-C-003"
    name = "image"
    evidence = "the image file itself"
    why = "It would be refused at load time, after the window was opened."

    def run(self, snapshot: Snapshot, image: KernelImage) -> Finding:
        """Block on any fault that reading the file has shown."""
        if image.fault:
            return Finding(
                self.name, Level.BLOCKER, f"{image.path} {image.fault}.", "Choose another image."
            )
        if image.release == snapshot.host.release:
            return Finding(
                self.name,
                Level.WARNING,
                f"The target {image.release} is what runs already.",
                why="The host would run the same release as before, at the cost of an update.",
            )
        return Finding(self.name, Level.OK, f"{image.path} is Linux {image.release}.")


class InitrdIsThere:
    """An initrd goes with the image, and can be loaded."""

    code = "LUO-C-004"
    name = "initrd"
    evidence = "the file beside the image, or the one that was chosen"
    why = "Without its initrd a distribution's kernel does not find its root file system."

    def run(self, snapshot: Snapshot, image: KernelImage) -> Finding:
        """Block where it cannot be loaded; warn where there is none."""
        del snapshot
        if image.initrd_fault:
            return Finding(
                self.name,
                Level.BLOCKER,
                f"{image.initrd} {image.initrd_fault}.",
                "Make it whole, or choose another one.",
            )
        if image.initrd:
            return Finding(self.name, Level.OK, f"{image.initrd} goes with it.")
        return Finding(
            self.name,
            Level.WARNING,
            "Beside the image lies no initrd that is named after it.",
            "Choose one, or go on only if that kernel boots without.",
        )


class TargetTakesHandover:
    """The target was built with Kexec HandOver."""

    code = "LUO-C-005"
    name = "target KHO"
    evidence = "the target's config: in the image, in /boot, or beside its modules"
    why = "A target without KHO boots as if cold: everything preserved is gone."

    def run(self, snapshot: Snapshot, image: KernelImage) -> Finding:
        """Block where its config says no; warn where no config could be read."""
        del snapshot
        if image.kexec_handover is None:
            why = image.config_fault or "no config was read"
            return Finding(
                self.name,
                Level.UNKNOWN,
                f"Whether the target has KHO is unknown: {why}.",
                f"Install config-{image.release} beside the image to be sure.",
            )
        if not image.kexec_handover:
            return Finding(
                self.name,
                Level.BLOCKER,
                f"{image.release} was built without CONFIG_KEXEC_HANDOVER: so says "
                f"{image.config_source}.",
                "Choose a kernel that has it.",
            )
        return Finding(
            self.name,
            Level.OK,
            f"The target was built with Kexec HandOver: so says {image.config_source}.",
        )


class TargetReadsOurs:
    """The target's luo.ko reads what the running one writes."""

    code = "LUO-C-006"
    name = "target LUO"
    evidence = "the luo.ko installed for the target's release"
    why = "A target that cannot read the handover refuses it, and everything preserved is gone."

    def run(self, snapshot: Snapshot, image: KernelImage) -> Finding:
        """Block where the target has no luo.ko that reads ours; warn where that is unknown."""
        if image.orchestrator_unread:
            return Finding(
                self.name,
                Level.UNKNOWN,
                f"Whether the target reads what this kernel writes is unknown: "
                f"{image.orchestrator_unread}",
                f"Go on only if you know that it reads {snapshot.compatible or 'that'}.",
            )
        if image.orchestrator_fault:
            return Finding(
                self.name,
                Level.BLOCKER,
                image.orchestrator_fault,
                f"Install the module for {image.release} anew.",
            )
        if not image.orchestrator:
            return Finding(
                self.name,
                Level.BLOCKER,
                f"No luo.ko is installed for {image.release}.",
                "Install the module for that release.",
            )
        if not snapshot.compatible:
            return Finding(
                self.name,
                Level.UNKNOWN,
                "The running orchestrator does not say what it writes.",
            )
        if image.orchestrator != snapshot.compatible:
            return Finding(
                self.name,
                Level.BLOCKER,
                f"The target reads {image.orchestrator}; this kernel writes {snapshot.compatible}.",
                "Install a matching luo.ko for the target.",
            )
        return self._parts(snapshot, image)

    def _parts(self, snapshot: Snapshot, image: KernelImage) -> Finding:
        both = f"Both speak {snapshot.compatible}"
        try:
            why = unreadable_part(snapshot.abi, image.orchestrator_abi)
        except ValueError as error:
            return Finding(self.name, Level.UNKNOWN, f"{both}; the versions of its parts: {error}.")
        if why:
            return Finding(
                self.name,
                Level.BLOCKER,
                f"{both}, but the target's luo.ko cannot read all of it: {why}.",
                "Install a matching luo.ko for the target.",
            )
        if bool(snapshot.abi) != bool(image.orchestrator_abi):
            silent = (
                "the target's luo.ko does not" if snapshot.abi else "the running luo.ko does not"
            )
            said = f"{both}; which versions of its parts, {silent} say."
            return Finding(self.name, Level.UNKNOWN, said)
        return Finding(self.name, Level.OK, f"{both}{', each part too' * bool(snapshot.abi)}.")


class CommandLineKeepsHandover:
    """The next kernel is told, by a line that it takes whole, to turn Kexec HandOver on."""

    code = "LUO-C-007"
    name = "command line"
    evidence = "the command line that the target gets, and the image's setup header"
    why = "Without kho=on the next kernel ignores what it is handed, unless that is its default."

    def __init__(self, command_line: str) -> None:
        """``command_line`` is what the next kernel gets."""
        self._line = command_line

    def run(self, snapshot: Snapshot, image: KernelImage) -> Finding:
        """Block on an explicit no, and on what would be refused; warn where nothing is said."""
        del snapshot
        size, most = len(os.fsencode(self._line)), image.command_line_max or LONGEST
        if size > most:
            return Finding(
                self.name,
                Level.BLOCKER,
                f"It is too long: {size:,} bytes, and at most {most:,} go with this image.",
                "Boot with a shorter one.",
            )
        if not self._line.strip():
            return Finding(
                self.name,
                Level.BLOCKER,
                "There is none: this kernel's own is empty, or /proc/cmdline can't be read.",
                "See that /proc is mounted; the next kernel needs a line to find its root.",
            )
        on = switch(self._line, "kho")
        if on is None:
            return self._nothing_said(image.handover_default)
        said = f"kho={clean(deciding(self._line, 'kho') or '')}"
        if not on:
            return Finding(
                self.name,
                Level.BLOCKER,
                f"It says {said}, which turns Kexec HandOver off.",
                "Boot with kho=on.",
            )
        return Finding(self.name, Level.OK, f"It says {said}.")

    def _nothing_said(self, by_default: bool | None) -> Finding:
        if by_default:
            text = "It says nothing of kho, and the target turns KHO on by default."
            return Finding(self.name, Level.OK, text)
        if any(name == "kho" for name, _ in parameters(self._line)):
            text = "The kernel cannot read what its kho= says, and takes no notice of it."
        elif "kho=" in self._line:
            text = "It does not say kho=on where the kernel reads it: before -- and outside quotes."
        else:
            text = "It does not say kho=on."
        if by_default is not None:
            text += " The target's default is off."
            return Finding(self.name, Level.BLOCKER, text, "Boot with kho=on.")
        remedy = "Go on only if the target turns KHO on by default."
        return Finding(self.name, Level.UNKNOWN, text, remedy)


class LoadingIsAllowed:
    """The kernel still lets images be loaded."""

    code = "LUO-C-002"
    name = "kexec"
    evidence = "/proc/sys/kernel/kexec_load_disabled, /sys/kernel/kexec_crash_loaded"
    why = "Without loading a kernel there is no live update."

    def run(self, snapshot: Snapshot, image: KernelImage) -> Finding:
        """Block where the sysctl is set; warn where kdump would be lost."""
        del image
        if snapshot.kexec.load_disabled:
            return Finding(
                self.name,
                Level.BLOCKER,
                "kernel.kexec_load_disabled is set.",
                "Nothing can be loaded before the next ordinary reboot.",
            )
        if snapshot.kexec.crash_loaded:
            return Finding(
                self.name,
                Level.WARNING,
                "kdump is armed now and will not be after the update, until a cold boot.",
                why="If the new kernel panics, no dump of it is written.",
            )
        return Finding(self.name, Level.OK, "Images can be loaded.")


class SomethingIsPreserved:
    """There is something to carry across."""

    code = "LUO-C-008"
    name = "resources"
    evidence = "/sys/class/liveupdate"
    why = "An update that preserves nothing is a plain kexec: every guest is lost."

    def run(self, snapshot: Snapshot, image: KernelImage) -> Finding:
        """Warn where nothing is preserved."""
        del image
        count = len(snapshot.outgoing)
        if not count:
            return Finding(
                self.name,
                Level.WARNING,
                "Nothing is preserved: nothing would survive.",
                "Let its owners preserve what must survive, before prepare.",
            )
        return Finding(self.name, Level.OK, f"{count} preserved.")


class StateIsKnown:
    """The orchestrator is there and in a state from which a window can go on."""

    code = "LUO-C-001"
    name = "state"
    evidence = (
        "/sys/kernel/liveupdate/state; where there is none, the running kernel's config, "
        "its command line and its log"
    )
    why = "An update begins in state normal, with an orchestrator that answers."

    def run(self, snapshot: Snapshot, image: KernelImage) -> Finding:
        """Block where there is no orchestrator, or an update waits for its finish."""
        del image
        state = snapshot.luo.state
        if not state.usable:
            return Finding(
                self.name,
                Level.BLOCKER,
                f"LUO is {state}: {snapshot.luo.detail or 'nothing says why'}.",
                "Put that right. A kernel with Kexec HandOver is started with kho=on, and luo.ko "
                "is loaded.",
            )
        if doubts := snapshot.doubts("state"):
            text = f"Not all of it could be read: {doubts[0]}."
            return Finding(self.name, Level.UNKNOWN, text, "Put that right, then ask again.")
        if state is State.UPDATED:
            return Finding(
                self.name, Level.BLOCKER, "The last update is not finished.", "Finish it first."
            )
        return Finding(self.name, Level.OK, f"LUO is {state}.")


class NoTarget:
    """Which kernel is meant is known."""

    code = ImageIsKernel.code
    name = ImageIsKernel.name
    why = "What depends on the target was not checked."
    evidence = "/boot"


def no_target(snapshot: Snapshot, reason: str) -> tuple[Finding, ...]:
    """Run what can be checked without a target; ``reason`` says why there is none."""
    image = KernelImage("")
    checks: Sequence[TargetCheck] = (StateIsKnown(), LoadingIsAllowed(), SomethingIsPreserved())
    found = Finding(NoTarget.name, Level.UNKNOWN, reason, "Name the target.")
    return (
        *(complete(check, check.run(snapshot, image)) for check in checks),
        complete(NoTarget(), found),
    )


def run_checks(
    snapshot: Snapshot, image: KernelImage, command_line: str, present: Present
) -> tuple[Finding, ...]:
    """Run every check on ``image`` as the target; what depends on a broken image is not asked."""
    first: Sequence[TargetCheck] = (StateIsKnown(), LoadingIsAllowed(), ImageIsKernel())
    rest: Sequence[TargetCheck] = (
        InitrdIsThere(),
        TargetTakesHandover(),
        TargetReadsOurs(),
        CommandLineKeepsHandover(command_line),
        SomethingIsPreserved(),
        *handover_checks(present, command_line),
    )
    asked = first if image.fault else (*first, *rest)
    return tuple(complete(check, check.run(snapshot, image)) for check in asked)
