# SPDX-License-Identifier: MIT
"""What of a target is held against the running kernel: formats, scratch, line, signature. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from luo_tui.model import KernelImage, RunningKernel, Snapshot
from luo_tui.sources.clean import clean
from luo_tui.uapi.command_line import Parameter, parameters
from luo_tui.update.checks.check import TargetCheck
from luo_tui.update.facts import Finding, Level
from luo_tui.update.kernel_abi import KernelAbi, by_name
from luo_tui.update.wording import few, size_text


@dataclass(frozen=True, slots=True)
class Present:
    """What is known of the running kernel."""

    running: RunningKernel
    abi: KernelAbi
    command_line: str
    """What it would pass on if nothing were changed."""


class SameFormats:
    """The target's own code speaks the formats of the handover that the running kernel does."""

    code = "LUO-C-020"
    name = "target formats"
    evidence = (
        "the target's unpacked kernel; /sys/kernel/debug/kho/out/fdt, or the running kernel's image"
    )
    why = "What is handed over in another version is ignored by the target, or makes it panic."

    def __init__(self, running: KernelAbi) -> None:
        """Take what the ``running`` kernel speaks."""
        self._running = running

    def run(self, snapshot: Snapshot, image: KernelImage) -> Finding:
        """Block where a version differs that would be handed over; unknown where one is missing."""
        if image.abi_fault:
            return self._unknown(f"What the target speaks is not known: {image.abi_fault}.")
        if self._running.fault:
            return self._unknown(f"What this kernel speaks is not known: {self._running.fault}.")
        ours, theirs = by_name(self._running.versions), by_name(image.abi)
        # Mainline's own formats cross only where its sessions are in use.
        names = ["kho", *(sorted({*ours} - {"kho"}) if snapshot.luo.evidence else ())]
        for name in names:
            if name not in theirs:
                return self._unknown(f"The target's code names no version of {name}.")
            if name not in ours:
                return self._unknown(f"This kernel's code names no version of {name}.")
            if not ours[name] & theirs[name]:
                text = (
                    f"The target speaks {_those(theirs[name])}, this kernel {_those(ours[name])}."
                )
                return Finding(self.name, Level.BLOCKER, text, "Choose a kernel that speaks it.")
        both = ", ".join(_those(ours[name] & theirs[name]) for name in names)
        return Finding(self.name, Level.OK, f"Both speak {both}.")

    def _unknown(self, text: str) -> Finding:
        remedy = "Go on only if you know that an update into it works."
        return Finding(self.name, Level.UNKNOWN, text, remedy)


def _those(versions: Iterable[str]) -> str:
    return " and ".join(sorted(versions))


class ScratchIsLargeEnough:
    """KHO's scratch memory takes the target and its initrd."""

    code = "LUO-C-021"
    name = "scratch"
    evidence = "/sys/kernel/debug/kho/out/scratch_len, the image's init_size, the initrd's size"
    why = "Everything that is loaded lies in scratch memory: what does not fit is EADDRNOTAVAIL."

    def __init__(self, scratch: tuple[int, ...] | None) -> None:
        """Take the bytes of each area; None: not known."""
        self._scratch = scratch

    def run(self, snapshot: Snapshot, image: KernelImage) -> Finding:
        """Block where a part is larger than every area; warn where all of it is."""
        del snapshot
        kernel, initrd = max(image.memory, image.bytes), image.initrd_bytes
        needs = f"The kernel takes {size_text(kernel)}, its initrd {size_text(initrd)}"
        if not self._scratch:
            text = f"{needs}; how large scratch memory is, only root sees in KHO's debugfs."
            return Finding(self.name, Level.UNKNOWN, text, "Ask again as root.")
        largest, total = max(self._scratch), sum(self._scratch)
        has = f"the largest area of scratch memory has {size_text(largest)}"
        remedy = "Boot with a larger kho_scratch=, or make the initrd smaller."
        if max(kernel, initrd) > largest:
            return Finding(self.name, Level.BLOCKER, f"{needs}; {has}.", remedy)
        if kernel + initrd > largest:
            text = f"{needs}, together more than one area: {has}."
            return Finding(self.name, Level.WARNING, text, remedy)
        costs = f"scratch memory keeps {size_text(total)} of this host to itself"
        return Finding(self.name, Level.OK, f"{needs}; {has}, and {costs}.")


class CommandLineIsComplete:
    """What the target's command line has otherwise than the running kernel's is known."""

    code = "LUO-C-022"
    name = "command line change"
    evidence = "both command lines, read as the kernel reads them"
    why = "A kernel that is not told its root or its console does not come up where it is seen."

    def __init__(self, present: str, planned: str) -> None:
        """Take the running kernel's line, and the one that the target gets."""
        self._present, self._planned = present, planned

    def run(self, snapshot: Snapshot, image: KernelImage) -> Finding:
        """Tell the difference; warn where what finds the root or the console is missing."""
        del snapshot, image
        now, then = list(parameters(self._present)), list(parameters(self._planned))
        lost = [p for p in now if p not in then]
        new = [p for p in then if p not in now]
        parts = [f"without {_listed(lost)}"] if lost else []
        parts += [f"with {_listed(new)}"] if new else []
        if not parts:
            return Finding(self.name, Level.OK, "None: it is this kernel's.")
        text = f"Other than this kernel's: {', '.join(parts)}."
        names = Counter(name for name, _ in then)
        if gone := sorted({n for n, _ in lost if n in _NEEDED and not names[n]}):
            text = f"{text} It has no {' and no '.join(gone)}."
            return Finding(self.name, Level.WARNING, text, "See that the target needs none.")
        return Finding(self.name, Level.OK, text)


_NEEDED = frozenset({"root", "console"})


_CONFIG = "Lay its config beside it: /boot/config-RELEASE, or config in its modules' folder."


class SignatureIsAccepted:
    """The image has the signature that this kernel asks for, if it asks for one."""

    code = "LUO-C-023"
    name = "signature"
    evidence = "/sys/kernel/security/lockdown, the running kernel's config, the image's PE header"
    why = "A kernel that loads signed images alone refuses any other when the window is open."

    def __init__(self, running: RunningKernel) -> None:
        """Take what the ``running`` kernel tells."""
        self._running = running

    def run(self, snapshot: Snapshot, image: KernelImage) -> Finding:
        """Block where a signature is asked for and there is none."""
        del snapshot
        lockdown, forced = self._running.lockdown, self._running.signatures_only
        locked = lockdown not in (None, "none")
        if not locked and forced is False and lockdown is not None:
            return Finding(self.name, Level.OK, "This kernel asks for none.")
        if not locked and not forced:
            unknown = "its lockdown" if lockdown is None else "its config"
            text = f"Whether this kernel asks for one is not known: {unknown} could not be read."
            remedy = "Ask again as root, with securityfs mounted." if lockdown is None else _CONFIG
            return Finding(self.name, Level.UNKNOWN, text, remedy)
        why = f"lockdown is {lockdown}" if locked else "CONFIG_KEXEC_SIG_FORCE is set"
        if not image.signed:
            text = f"This kernel loads signed images alone ({why}), and this one has no signature."
            return Finding(self.name, Level.BLOCKER, text, "Choose a signed kernel.")
        text = f"The image is signed, as it must be ({why}); whether with a key that this kernel "
        text += "trusts shows when it is loaded."
        return Finding(self.name, Level.UNKNOWN, text, "Try it before: luo-tui rehearse --here.")


def handover_checks(present: Present, command_line: str) -> Sequence[TargetCheck]:
    """Return these checks, in the order of their codes."""
    return (
        SameFormats(present.abi),
        ScratchIsLargeEnough(present.running.scratch),
        CommandLineIsComplete(present.command_line, command_line),
        SignatureIsAccepted(present.running),
    )


def _listed(those: Iterable[Parameter]) -> str:
    return few([clean(n if v is None else f"{n}={v}") for n, v in those], 6)
