# SPDX-License-Identifier: MIT
"""A rehearsal from its kernels to its verdict: packs, starts the machine, reads what it prints.

Written are files of a folder of its own, which goes with it, and of this host nothing is
touched. Whatever ends it, the machine ends as well.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from luo_tui.errors import Exit, NotDone
from luo_tui.machine import cpio, python
from luo_tui.machine.qemu import CPU, PROGRAM, Qemu, QemuError
from luo_tui.sources.memory import read_memory
from luo_tui.sources.reading import Reading
from luo_tui.update.rehearsal import init, protocol, sizes, steps, verdict
from luo_tui.update.rehearsal.kernels import Kernel
from luo_tui.update.rehearsal.lines import Lines
from luo_tui.update.rehearsal.record import KVM, TCG
from luo_tui.update.rehearsal.sizes import MIB
from luo_tui.update.rehearsal.verdict import End, Verdict

LIMIT = 600
"""Seconds for all of it, where none are given."""
_MOST = {KVM: 2048 * MIB, TCG: 256 * MIB}
"""Bytes that are preserved without it taking minutes."""
_CPUS = {KVM: "host", TCG: CPU}
_SILENT = 90.0
"""Seconds in which a kernel has to have said something."""
_LAST_WORDS = 2.0
"""Seconds that a kernel has for its lines after it gave up."""
_PAUSE = 0.1
"""Seconds between two looks. Who reads the serial line instead holds QEMU up, which then drops the
end of what a machine says that switches itself off."""
_ROOM = 64 * MIB
"""Bytes on the disk for what a machine prints."""
_LINE = (
    "console=ttyS0 earlycon=uart8250,io,0x3f8,115200 panic=-1 loglevel=7 printk.time=1 "
    f"printk.devkmsg=on rdinit={python.INIT} kho=on"
)

Tell = Callable[[str], None]
"""Is told how far it is."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be rehearsed."""

    running: Kernel
    target: Kernel
    preserved: Sequence[int]
    """Bytes of each memfd that stands for what is preserved on this host."""
    sessions: bool
    """Whether by mainline's sessions; else by luo.ko."""
    guests: int = 0
    """Guests that would be armed: for the state of each stands a memfd. By luo.ko alone."""
    accel: str = ""
    """``KVM`` or ``TCG``; empty: KVM where it can be used."""
    memory: int = 0
    """MiB of the machine; 0: as much as it takes."""
    scratch: str = ""
    """As ``kho_scratch=`` has it; empty: as much as the target takes."""
    append: str = ""
    """More for the target's command line."""
    limit: float = LIMIT


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was rehearsed, and what came of it."""

    verdict: Verdict
    accel: str
    memory: int
    """MiB of the machine."""
    initrd: int
    """Bytes of the first initrd."""
    preserved: sizes.Scaled
    took: float
    """Seconds, from the first byte that was packed."""


@dataclass
class _Machine(Qemu):
    folder: Path
    memory: int
    accel: str
    cpu: str
    name: str = "rehearsal"
    lives_on: bool = False


def rehearse(order: Order, tell: Tell) -> Outcome:
    """Do it. NotDone where it could not be begun: no QEMU, no room, nothing to pack."""
    began = time.monotonic()
    if shutil.which(PROGRAM) is None:
        raise NotDone(
            f"QEMU ({PROGRAM}) is not installed; Debian and Ubuntu: apt install qemu-system-x86. "
            "Nothing was done.",
            Exit.NOT_FOUND,
        )
    accel = order.accel or (KVM if _kvm_works() else TCG)
    tell("packing the initial RAM disks")
    packed = _pack(order, accel)
    machine = packed.machine
    with _folder({"initrd": packed.initrd, "kernel": order.running.content}) as folder:
        qemu = _Machine(folder, machine.memory, accel, _CPUS[accel])
        try:
            found = _watched(qemu, packed.command_line, order, tell)
        finally:
            qemu.stop()
    took = time.monotonic() - began
    return Outcome(found, accel, machine.memory, len(packed.initrd), packed.preserved, took)


class _Packed(NamedTuple):
    """What the machine is started with."""

    initrd: bytes
    command_line: str
    machine: sizes.Machine
    preserved: sizes.Scaled


def _pack(order: Order, accel: str) -> _Packed:
    """Pack both initial RAM disks, the second one into the first, and size the machine. NotDone."""
    try:
        programs = list(python.program(init.__name__, steps.__name__))
    except (python.NotPackable, OSError) as error:
        raise NotDone(f"No initial RAM disk can be made: {error}", Exit.FAILED) from None
    second = _initrd(programs, order.target, order.target.initrd)
    besides = (
        cpio.file(protocol.TARGET[1:], order.target.content),
        cpio.file(protocol.NEXT_INITRD[1:], second),
    )
    first = len(_initrd([*programs, *besides], order.running))
    machine = _sized(order, sizes.Loads(first, len(second), order.target.image.memory), accel)
    preserved = sizes.scaled(order.preserved, machine.room - _states(order))
    interface = f"liveupdate={'on' if order.sessions else 'off'}"
    line = " ".join((_LINE, interface, *(f"{k}={v}" for k, v in python.ENVIRONMENT.items())))
    task = {
        "interface": protocol.SESSIONS if order.sessions else "luo.ko",
        "sizes": preserved.sizes,
        "guests": order.guests,
        "command_line": f"{line} {order.append}".strip(),
    }
    told = cpio.file(protocol.TASK[1:], json.dumps(task).encode())
    whole = _initrd([*programs, *besides, told], order.running)
    return _Packed(whole, f"{line} kho_scratch={machine.scratch}", machine, preserved)


def _sized(order: Order, loads: sizes.Loads, accel: str) -> sizes.Machine:
    try:
        return sizes.machine(
            loads,
            sum(order.preserved) + _states(order),
            memory=order.memory,
            most=_MOST[accel],
            available=read_memory(Reading()).available,
            scratch=order.scratch,
        )
    except ValueError as error:
        raise NotDone(f"{error} Nothing was done.", Exit.NO_SPACE) from None


def _states(order: Order) -> int:
    """Return the bytes that stand for the state of guests."""
    return order.guests * protocol.STATE_WRITTEN


def _kvm_works() -> bool:
    """Whether a machine starts with KVM: to be there and open to this user is not enough."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    with tempfile.TemporaryDirectory(prefix="luo-tui-") as folder:
        qemu = _Machine(Path(folder), 16, KVM, _CPUS[KVM])
        try:
            qemu.launch("-S")
        except QemuError:
            return False
        finally:
            qemu.stop()
    return True


def _watched(qemu: _Machine, line: str, order: Order, tell: Tell) -> Verdict:
    """Start the machine, and read to its end."""
    began = time.monotonic()
    tell(f"starting a machine ({qemu.accel.upper()}, {qemu.memory:,} MiB)")
    try:
        qemu.launch(
            "-kernel", qemu.folder / "kernel", "-initrd", qemu.folder / "initrd",
            "-append", line, "-no-reboot",
        )  # fmt: skip
    except QemuError as error:
        raise NotDone(f"{error} Nothing was rehearsed.".strip(), Exit.FAILED) from None
    lines = Lines()
    with (qemu.folder / "ttyS0.log").open("rb") as log:
        end = _end(qemu, log.read, lines, began, order.limit, tell)
    limit = min(order.limit, _SILENT) if end is End.SILENT else order.limit
    return verdict.judge(lines, end, began, limit, order.sessions)


def _end(
    qemu: Qemu,
    read: Callable[[], bytes],
    lines: Lines,
    began: float,
    limit: float,
    tell: Tell,
) -> End:
    """Read what the machine prints until it has come to its end, or must be taken to it."""
    gave_up = 0.0
    while True:
        runs = bool(qemu.running())
        now = time.monotonic()
        lines.feed(read().decode(errors="replace"), now)
        tell(verdict.where(lines))
        for event, end in (("done", End.DONE), ("failed", End.FAILED)):
            if lines.event(event) is not None:
                return end
        if lines.panic:
            gave_up = gave_up or now
            if not runs or now - gave_up > _LAST_WORDS:
                return End.PANIC
        elif not runs:
            return End.STOPPED
        elif now - began > limit:
            return End.TIMED_OUT if lines.anything else End.SILENT
        elif now - began > _SILENT and not lines.anything:
            return End.SILENT
        time.sleep(_PAUSE)


def _initrd(programs: Sequence[cpio.Entry], kernel: Kernel, before: bytes = b"") -> bytes:
    """Return an initial RAM disk with a kernel's module, behind ``before``, which it outranks."""
    module = [cpio.file(protocol.MODULE[1:], kernel.module)] if kernel.module else []
    try:
        packed = b"".join(cpio.archive(cpio.with_folders([*programs, *module])))
    except ValueError as error:
        raise NotDone(f"{error}.", Exit.NO_SPACE) from None
    return before + bytes(-len(before) % 4) + packed


@contextlib.contextmanager
def _folder(files: Mapping[str, bytes]) -> Iterator[Path]:
    """Lend a folder with the machine's files, and with room for what it writes. NotDone."""
    with contextlib.ExitStack() as until_the_end:
        try:
            place = tempfile.gettempdir()
            free, wanted = shutil.disk_usage(place).free, sum(map(len, files.values())) + _ROOM
            if free < wanted:
                raise NotDone(
                    f"{place} has {free // MIB:,} MiB left, and {wanted // MIB:,} are needed "
                    "(TMPDIR names another folder). Nothing was done.",
                    Exit.NO_SPACE,
                )
            made = tempfile.TemporaryDirectory(prefix="luo-tui-")
            folder = Path(until_the_end.enter_context(made))
            for name, content in files.items():
                (folder / name).write_bytes(content)
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise NotDone(
                f"The machine's files cannot be written: {error.strerror} (TMPDIR names another "
                "folder). Nothing was done.",
                Exit.NO_SPACE if full else Exit.FAILED,
            ) from None
        yield folder
