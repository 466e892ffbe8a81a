# SPDX-License-Identifier: MIT
"""Whether a guest can be carried through an update, and every reason why not, with its remedy.

Pure: it is decided on facts alone. What is told is made harmless here.
"""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from luo_tui.guests import arguments
from luo_tui.guests.arguments import Option, named
from luo_tui.guests.control import CAPABILITY
from luo_tui.guests.device_rules import device_reasons
from luo_tui.guests.facts import Disposition, GuestFacts, MachineFacts
from luo_tui.guests.reason import Reason
from luo_tui.guests.record import NAME
from luo_tui.sources.clean import clean

COPIED_SINCE = (8, 2)
"""QEMU from here on writes a memory-backend-memfd into the state all the same."""
STATES = ("running", "paused", "prelaunch")
"""States from which a guest can be saved; it comes back in the same one."""
_SETUP = "-object memory-backend-memfd,id=ram,size=SIZE,share=on -machine ...,memory-backend=ram"
_GIVEN = "-object memory-backend-file,id=ram,size=SIZE,share=on,mem-path=/proc/self/fd/NUMBER"
_MOVING = ("active", "setup", "device", "pre-switchover", "cancelling", "wait-unplug", "colo")


@dataclass(frozen=True, slots=True)
class Guest:
    """A guest, as it is told to people."""

    facts: GuestFacts
    name: str
    refusals: tuple[Reason, ...]
    warnings: tuple[Reason, ...]

    @property
    def disposition(self) -> Disposition:
        """What an update could do to it."""
        if any(not reason.unknown for reason in self.refusals):
            return Disposition.LOST
        return Disposition.UNKNOWN if self.refusals else Disposition.CARRIED

    @property
    def bytes(self) -> int:
        """Memory of the machine; 0: not known."""
        return self.facts.machine.memory_bytes if self.facts.machine is not None else 0

    @property
    def state(self) -> str:
        """Its state by QEMU's word; empty: not known."""
        return clean(self.facts.machine.status) if self.facts.machine is not None else ""


def judge(all_: Sequence[GuestFacts]) -> tuple[Guest, ...]:
    """Return the guests, those that would be lost first. Names have to be one guest's alone."""
    names = Counter(guest_name(facts) for facts in all_)
    found = []
    for facts in all_:
        name = guest_name(facts)
        reasons = list(refusals(facts))
        if names[name] > 1 and not _is_libvirts(arguments.options(facts.process.argv)):
            text = f"{names[name]} guests have the name {name}"
            reasons.append(Reason("same-name", text, "Give each a -name of its own."))
        if not NAME.fullmatch(name):
            text = f"no file can have its name, {name}"
            reasons.append(Reason("name", text, "Give it one of letters, digits, dots and dashes."))
        found.append(Guest(facts, name, tuple(reasons), tuple(warnings(facts))))
    return tuple(sorted(found, key=lambda g: (not g.refusals, g.name, g.facts.process.pid)))


def guest_name(facts: GuestFacts) -> str:
    """Return the name of a guest, made harmless; its process's number where it was given none."""
    told = facts.machine.name if facts.machine is not None else ""
    name = told or arguments.guest_name(arguments.options(facts.process.argv))
    return clean(name) or f"qemu-{facts.process.pid}"


def refusals(facts: GuestFacts) -> Iterator[Reason]:
    """Yield every reason for which a guest cannot be carried."""
    said = arguments.options(facts.process.argv)
    if _is_libvirts(said):
        yield Reason(
            "libvirt",
            "libvirt runs it, and would not take over a QEMU that it has not started itself",
            "Shut it down, or move it to another host, before the update.",
        )
        return
    yield from _about_process(facts, said)
    if facts.machine is None:
        yield from _unreachable(facts, said)
        return
    yield from _about_state(facts.machine)
    yield from _about_memory(facts, facts.machine)
    yield from _about_disks(facts, facts.machine, said)
    yield from device_reasons(facts, facts.machine, said)
    for sentence in facts.missing:
        yield Reason("not-read", clean(sentence), "Run it as root.", unknown=True)


def warnings(facts: GuestFacts) -> Iterator[Reason]:
    """Yield what an operator should know of a guest, which is carried all the same."""
    said = arguments.options(facts.process.argv)
    kinds = (
        set(facts.machine.devices.values()) | set(facts.machine.anonymous) if facts.machine else ()
    )
    if any("balloon" in kind or "virtio-mem" in kind for kind in kinds):
        yield Reason(
            "balloon",
            "it cannot give memory back from prepare until the update is through or cancelled",
            "Leave balloon, free page reporting and virtio-mem alone meanwhile.",
        )
    if facts.process.exe.endswith(" (deleted)"):
        yield Reason(
            "program-replaced",
            f"its program was replaced since it began; {_program(facts)} as it is now will load it",
            "Try it with a guest of the same kind first: migrate it to itself on another host.",
        )
    if facts.process.unit:
        yield Reason(
            "service",
            f"{clean(facts.process.unit)} would start it anew in the new kernel, beside the one "
            "that goes on",
            "Give the unit ConditionPathExists=! with the path of the guest's record.",
        )
    if any(o.name != "netdev" and "stdio" in o.text for o in named(said, "serial", "monitor")):
        yield Reason(
            "terminal", "what it has on its terminal goes nowhere afterwards", "Use a socket."
        )
    for option in named(said, "netdev", "nic"):
        if option.keys.get("type", option.keys.get("model")) == "tap":
            yield Reason(
                "tap",
                f"its interface {clean(option.keys.get('ifname', 'tap'))} has to be there again",
                "Have the network set up before luo-tui loads guests.",
            )


def _is_libvirts(said: Sequence[Option]) -> bool:
    """Whether libvirt has written these arguments (qemuBuildMasterKeyCommandLine, its monitor)."""
    for option in said:
        path = option.keys.get("file", "")
        if option.name == "object" and path.endswith("/master-key.aes"):
            return True
        if option.name == "mon" and option.keys.get("chardev") == "charmonitor":
            return True
    return False


def _program(facts: GuestFacts) -> str:
    return clean(facts.process.exe.removesuffix(" (deleted)"))


def _about_process(facts: GuestFacts, said: Sequence[Option]) -> Iterator[Reason]:
    process = facts.process
    if process.namespaces or process.root != "/":
        what = ", ".join(process.namespaces) or f"root folder {clean(process.root)}"
        yield Reason(
            "container",
            f"it runs in a container of its own ({what}), which is not made again",
            "Run it on the host itself.",
        )
    if process.uid and process.capabilities:
        yield Reason(
            "capabilities",
            f"user {process.uid} has capabilities there ({process.capabilities:#x}), which are "
            "not given again",
            "Run it without, or as root.",
        )
    for option in said:
        if option.name in ("runas", "chroot", "run-with"):
            yield Reason(
                "becomes-another",
                f"it gives up privileges while it starts (-{clean(option.name)}), and could not "
                "do so again",
                "Start it as that user.",
            )
        if option.name == "readconfig":
            yield Reason(
                "arguments-in-file",
                f"a part of its arguments stands in a file, {clean(option.text)}",
                "Write them on its command line.",
            )
    for file in facts.absent:
        yield Reason(
            "file-gone",
            f"it needs {clean(file)} to start, which is not there any more",
            "Put it back, or shut the guest down before the update.",
        )
    for file in facts.volatile:
        yield Reason(
            "file-in-memory",
            f"{clean(file)} lies on a file system in memory, which a kexec empties",
            "Keep it on a disk.",
        )


def _unreachable(facts: GuestFacts, said: Sequence[Option]) -> Iterator[Reason]:
    if not arguments.qmp_sockets(said):
        yield Reason(
            "no-qmp",
            "it has no QMP socket by a path",
            "Start it with -qmp unix:/run/NAME.qmp,server=on,wait=off.",
        )
        return
    yield Reason(
        "qmp-silent",
        f"QEMU does not answer: {clean(facts.fault)}",
        "Give it a second -qmp socket for luo-tui alone, or end what has this one.",
        unknown=True,
    )


def _about_state(machine: MachineFacts) -> Iterator[Reason]:
    if machine.migration in _MOVING:
        yield Reason(
            "migrating", "it is being migrated or saved already", "Let that end, or cancel it."
        )
    if machine.status == "postmigrate":
        yield Reason(
            "saved", "it was saved and not continued", "Have it go on: cont, by its monitor."
        )
    elif machine.status not in STATES:
        yield Reason(
            "state",
            f"its state is {clean(machine.status)}: only a guest that runs or is paused is saved",
            "Bring it there by its monitor, or shut it down.",
        )
    if CAPABILITY not in machine.capabilities:
        yield Reason(
            "old-qemu",
            f"its QEMU cannot leave shared memory where it is (no {CAPABILITY})",
            "Use QEMU 7.2 or later.",
        )
    for why in machine.blocked:
        yield Reason(
            "unmigratable",
            f"QEMU cannot save it: {clean(why)}",
            "Run it without that device, or shut it down before the update.",
        )


def _about_memory(facts: GuestFacts, machine: MachineFacts) -> Iterator[Reason]:
    covered = sum(memory.bytes for memory in machine.memories)
    if covered < machine.memory_bytes:
        yield Reason(
            "private-memory",
            "its memory is QEMU's own, and ends with it",
            f"Start it with {_SETUP}.",
        )
    for memory in machine.memories:
        id_ = clean(memory.id)
        if memory.huge or any(
            m.huge and m.fd == facts.descriptors.get(memory.id) for m in facts.process.memfds
        ):
            yield Reason(
                "huge-pages",
                f"its memory {id_} is of hugetlbfs, which is not preserved",
                "Leave hugetlb out; transparent huge pages serve memfds as well.",
            )
        elif not memory.shared or memory.kind == "memory-backend-ram":
            yield Reason(
                "private-memory",
                f"its memory {id_} is not shared, and ends with QEMU",
                f"Start it with {_SETUP}.",
            )
        elif memory.id not in facts.descriptors:
            yield _unmatched(facts, id_, memory.kind, memory.path)
        elif memory.kind == "memory-backend-memfd" and machine.version[:2] >= COPIED_SINCE:
            version = ".".join(map(str, machine.version))
            yield Reason(
                "memory-copied",
                f"QEMU {version} writes a memfd's memory into the state",
                f"Start it with its memory in a memfd that it is given: {_GIVEN}.",
            )


def _unmatched(facts: GuestFacts, id_: str, kind: str, path: str) -> Reason:
    if kind == "memory-backend-file":
        return Reason(
            "memory-in-file",
            f"its memory {id_} is the file {clean(path)}, and only memfds are preserved",
            f"Start it with {_SETUP}.",
        )
    if not facts.process.memfds:
        text = f"there is no memfd for its memory {id_}"
        return Reason("no-memfd", text, f"Start it with {_SETUP}.")
    return Reason(
        "memory-alike",
        f"which memfd is its memory {id_} is not certain: there are several of that size",
        "Give each memory object a size of its own.",
    )


def _about_disks(
    facts: GuestFacts, machine: MachineFacts, said: Sequence[Option]
) -> Iterator[Reason]:
    for option in said:
        if option.name == "snapshot" or option.keys.get("snapshot") == "on":
            yield Reason(
                "temporary-disk",
                "what it writes to a disk goes to a temporary file (snapshot)",
                "Start it without snapshot.",
            )
            return
    images = {disk.name: arguments.image_path(disk.image) for disk in machine.disks}
    for disk in machine.disks:
        if not images[disk.name]:
            yield Reason(
                "disk-without-path",
                f"its disk {clean(disk.name)} is no file by a path, but {clean(disk.image)}",
                "Use a file or a block device.",
            )
    known = set(_whole(facts, arguments.disk_files(said)))
    for name, image in images.items():
        if image and not known & set(_whole(facts, [image])):
            yield Reason(
                "active-image",
                f"its disk {clean(name)} is in {clean(image)}, which its arguments do not name: "
                "there was a snapshot, a mirror, or a change of medium",
                "Commit it back (block-commit), or restart the guest on that image.",
            )
    active = set(_whole(facts, images.values()))
    for file in _whole(facts, map(arguments.image_path, arguments.top_files(said))):
        if file not in active:
            yield Reason(
                "active-image",
                f"its arguments name the image {clean(file)}, which it does not use any more",
                "Restart the guest on what it uses now.",
            )


def _whole(facts: GuestFacts, files: Iterable[str]) -> Iterator[str]:
    """Yield paths as they are from the root."""
    yield from (posixpath.normpath(posixpath.join(facts.process.cwd, f)) for f in files if f)
