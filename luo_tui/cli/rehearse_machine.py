# SPDX-License-Identifier: MIT
"""``luo-tui rehearse --machine``: an update in a virtual machine on this host, jump included.

Nothing of this host is touched but a folder for the machine's files, which goes with it,
and the record that a prediction is made of.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luo_tui.cli.progress import Progress, reading_kernels
from luo_tui.errors import Exit, NotDone
from luo_tui.model import ResourceState, Snapshot
from luo_tui.monitor.reading import reader
from luo_tui.orchestrator import Orchestrator

# Loaded when it runs, by it alone: the other commands are to be quick.
if TYPE_CHECKING:
    from luo_tui.update.rehearsal.guests import GuestsHere
    from luo_tui.update.rehearsal.kernels import Kernel
    from luo_tui.update.rehearsal.run import Order, Outcome

_LIMIT = 600
_ENDS = {signal.SIGTERM: Exit.TERMINATED, signal.SIGHUP: Exit.HUNG_UP}


def add_to(command: Any) -> None:
    """Add the options that belong to a machine alone."""
    only = command.add_argument_group("with --machine alone")
    only.add_argument(
        "--kernel",
        default="",
        metavar="KERNEL",
        help="what to boot in place of the running kernel: as TARGET is named",
    )
    only.add_argument(
        "--modules", type=Path, metavar="FOLDER", help="where luo.ko lies (/lib/modules)"
    )
    only.add_argument("--memory", type=_mib, default=0, metavar="MIB", help="of the machine")
    only.add_argument(
        "--scratch",
        default="",
        metavar="SIZES",
        help="KHO's scratch memory in it, as kho_scratch= has it (as much as the target takes)",
    )
    only.add_argument(
        "--append", default="", metavar="TEXT", help="more for the target's command line"
    )
    only.add_argument(
        "--accel", choices=("kvm", "tcg"), default="", help="KVM where it can be used, else TCG"
    )
    only.add_argument(
        "--timeout",
        type=_seconds,
        default=float(_LIMIT),
        metavar="SECONDS",
        help=f"for all that happens in the machine ({_LIMIT})",
    )


def refuse(args: argparse.Namespace) -> None:
    """Refuse the options of the one way beside the other. NotDone."""
    given = [
        name
        for name in ("kernel", "modules", "memory", "scratch", "append", "accel")
        if getattr(args, name)
    ]
    if args.here and given:
        raise NotDone(f"--{given[0]} is for --machine alone.", Exit.USAGE)
    if args.machine and args.yes:
        raise NotDone("--yes is for --here alone: a machine needs no consent.", Exit.USAGE)


def run(orchestrator: Orchestrator, args: argparse.Namespace) -> Exit:
    """Rehearse. NotDone says why it could not be begun, or was not gone through with."""
    from luo_tui.update.rehearsal.record import write_record

    snapshot = reader(orchestrator)()
    guests = _guests(orchestrator)
    order = _order(orchestrator, snapshot, guests, args)
    outcome = _rehearsed(order)
    told = _told(snapshot, guests, order, outcome)
    try:
        told["written"] = str(write_record(args.folder, told))
    except OSError as error:
        why = error.strerror or str(error)
        told["not_written"] = f"{args.folder}: {why} (--folder names another one)"
    print(json.dumps(told, indent=2) if args.json else "\n".join(_lines(told)))
    return outcome.verdict.code


def _guests(orchestrator: Orchestrator) -> GuestsHere:
    """Look for this host's guests."""
    from luo_tui.update.guest_facts import arms_guests
    from luo_tui.update.rehearsal.guests import guests_here
    from luo_tui.update.work import look_now

    return guests_here(look_now(orchestrator), arms=arms_guests(orchestrator))


def _order(
    orchestrator: Orchestrator, snapshot: Snapshot, guests: GuestsHere, args: argparse.Namespace
) -> Order:
    """Read both kernels and what is preserved, and see whether there is anything to rehearse."""
    from luo_tui.update.rehearsal.kernels import Folders, cannot_run, read_kernel
    from luo_tui.update.rehearsal.run import Order
    from luo_tui.update.rehearsal.sizes import STAND_IN

    if (machine := os.uname().machine) != "x86_64":
        raise NotDone(f"Machines are made for x86_64 alone, and this is {machine}.", Exit.USAGE)
    kexec = orchestrator.kexec
    folders = Folders(kexec.boot_folder, args.modules or kexec.modules_folder)
    here = snapshot.host.release
    with reading_kernels():
        running = read_kernel(folders, args.kernel, here, itself=True)
        target = read_kernel(folders, args.target, here, args.initrd)
    for kernel in (running, target):
        if fault := cannot_run(kernel):
            raise NotDone(f"{fault} Nothing was started.", Exit.BAD_IMAGE)
    sessions = _by_sessions(running, orchestrator.abilities.holders_must_live)
    _refuse_hopeless(target, sessions)
    return Order(
        running,
        target,
        (*_sizes(snapshot), *guests.memory) or STAND_IN,
        sessions,
        0 if sessions else guests.states,
        args.accel,
        args.memory,
        args.scratch,
        args.append,
        args.timeout,
    )


def _by_sessions(running: Kernel, sessions_here: bool) -> bool:
    """Whether the update goes by mainline's sessions; NotDone where there is nothing to go by."""
    release = running.image.release
    if running.lacks("CONFIG_KEXEC_HANDOVER"):
        raise NotDone(
            f"{release} was built without Kexec HandOver (CONFIG_KEXEC_HANDOVER): there is no live "
            "update to rehearse. Nothing was started.",
            Exit.UNAVAILABLE,
        )
    if running.module and not sessions_here:
        return False
    if running.lacks("CONFIG_LIVEUPDATE"):
        raise NotDone(
            f"{release} has no orchestrator: there is no luo.ko for it, and its config has no "
            "CONFIG_LIVEUPDATE. Nothing was started.",
            Exit.UNAVAILABLE,
        )
    return True


def _refuse_hopeless(target: Kernel, sessions: bool) -> None:
    """Refuse a target of which it is known that it takes nothing over."""
    release = target.image.release
    reason = ""
    if target.lacks("CONFIG_KEXEC_HANDOVER"):
        reason = "was built without Kexec HandOver (CONFIG_KEXEC_HANDOVER)"
    elif sessions and target.lacks("CONFIG_LIVEUPDATE"):
        reason = "was built without sessions (CONFIG_LIVEUPDATE)"
    elif not sessions and not target.module:
        reason = "has no luo.ko"
    if reason:
        raise NotDone(
            f"FAIL: the target {release} {reason}: all that is preserved would be lost. Nothing "
            "was started.",
            Exit.BLOCKED,
        )


def _sizes(snapshot: Snapshot) -> tuple[int, ...]:
    """Return the bytes of each memfd that goes along; holes take none."""
    from luo_tui.update.rehearsal.protocol import PAGE

    kept = [r for r in snapshot.outgoing if r.kind == "memfd"]
    return tuple(r.pages * PAGE if r.pages else r.bytes for r in kept)


def _rehearsed(order: Order) -> Outcome:
    """Do it, with what is done of how much; whatever ends this program ends the machine."""
    from luo_tui.update.rehearsal.run import rehearse

    progress = Progress(sys.stderr)
    try:
        with _ended_in_order():
            return rehearse(order, progress.tell)
    except KeyboardInterrupt:
        raise NotDone("Interrupted; its machine is ended.", Exit.INTERRUPTED) from None
    except _Ended as ended:
        raise NotDone("Told to end; its machine is ended.", ended.code) from None
    finally:
        progress.clear()


class _Ended(Exception):
    """A signal asks for the end."""

    def __init__(self, code: Exit) -> None:
        super().__init__()
        self.code = code


@contextlib.contextmanager
def _ended_in_order() -> Iterator[None]:
    """Have signals that end a program raise :class:`_Ended` meanwhile."""

    def end(number: int, _frame: object) -> None:
        raise _Ended(_ENDS[signal.Signals(number)])

    before = {number: signal.signal(number, end) for number in _ENDS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _told(snapshot: Snapshot, guests: GuestsHere, order: Order, outcome: Outcome) -> dict[str, Any]:
    from luo_tui.update.rehearsal.guests import not_rehearsed
    from luo_tui.update.rehearsal.kernels import not_read
    from luo_tui.update.rehearsal.verdict import BESIDE

    found, kept = outcome.verdict, outcome.preserved
    unread = []
    if snapshot.doubts("resources"):
        unread.append("what is preserved on this host could not be read")
    if left_out := not_read(order.target):
        unread.append(left_out)
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": snapshot.host.name,
        "release": order.running.image.release,
        "target": order.target.image.release,
        "interface": "sessions" if order.sessions else "luo.ko",
        "accel": outcome.accel,
        "memory_mib": outcome.memory,
        "initrd_bytes": outcome.initrd,
        "passed": found.passed,
        "why": found.why,
        "here": {
            "files": len(_sizes(snapshot)),
            "bytes": sum(_sizes(snapshot)),
            "of_all": len(snapshot.resources.by_state[ResourceState.PRESERVED]),
        },
        "files": len(kept.sizes),
        "bytes": sum(kept.sizes),
        "guests": {
            "stood_for": order.guests,
            "names": [g.label for g in (*guests.armed_by_prepare, *guests.others)],
        },
        "seconds": dict(found.seconds),
        "blackout": found.blackout.record() if found.blackout is not None else None,
        "lines": list(found.lines),
        "took": round(outcome.took, 1),
        "not_rehearsed": [*unread, *not_rehearsed(guests), *BESIDE],
    }


def _lines(told: dict[str, Any]) -> Iterator[str]:
    how = f"{told['accel'].upper()}, {told['memory_mib']:,} MiB"
    yield f"rehearsed   {told['release']} -> {told['target']} in a machine ({how})"
    here = told["here"]
    stand = f"for {here['files']:,} of this host, {here['bytes']:,} bytes"
    if not here["files"]:
        stand = "nothing is known to be preserved on this host"
    yield f"preserved   {told['files']:,} memfds, {told['bytes']:,} bytes; {stand}"
    if number := told["guests"]["stood_for"]:
        yield f"guests      memfds stand for the state of {number:,}: written after prepare"
    yield "took        " + ", ".join(f"{name} {s:,.3f} s" for name, s in told["seconds"].items())
    if dark := told["blackout"]:
        yield f"blackout    {dark['total_ms']:,.1f} ms in the machine"
        for name, took in dark["phases"]:
            yield f"            {took:>10,.1f} ms  {name}"
    for line in told["lines"]:
        yield f"kernel      {line}"
    for line in told["not_rehearsed"]:
        yield f"not tried   {line}"
    if told["passed"] and told["blackout"]:
        yield f"prediction  {_prediction(told)}"
    yield f"result      {'PASS' if told['passed'] else 'FAIL: ' + told['why']}"


def _prediction(told: dict[str, Any]) -> str:
    """Say what becomes of the blackout that was measured."""
    from luo_tui.update.rehearsal.record import TCG

    if told["accel"] == TCG:
        return "none is made of it: TCG emulates a processor, many times slower than this host's"
    if where := told.get("written"):
        return f"the window's, until an update was measured here: {where}"
    return f"none is made of it: not written down ({told['not_written']})"


def _mib(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of MiB")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is no time in seconds")
    return seconds
