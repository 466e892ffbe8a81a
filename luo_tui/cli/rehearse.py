# SPDX-License-Identifier: MIT
"""``luo-tui rehearse --here``: an update on this host up to the freeze, and back again.

For ``--machine`` see :mod:`luo_tui.cli.rehearse_machine`. ``--here`` is a window of its
own, done by the acts of ``luo_tui/update``, with their rules, lock and journal: load,
prepare, look, cancel, which unloads. Whatever fails between is followed by the way back;
where that fails too, both are said. Nothing is frozen, no hook of a plan is run, and
nothing that is preserved is given up.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luo_tui.cli import rehearse_machine
from luo_tui.errors import ActFailed, Exit, NotDone
from luo_tui.model import ResourceState, State
from luo_tui.monitor.reading import reader
from luo_tui.orchestrator import Orchestrator

# Loaded when it runs, by it alone: the other commands are to be quick.
if TYPE_CHECKING:
    from luo_tui.update.acts import Window
    from luo_tui.update.facts import Act, Facts

_ABOUT = """\
--here: load a target kernel, prepare, read what each participant took and
said, then cancel and unload. Guests run on. Meanwhile nothing can be preserved
or given up, and an ordinary reboot may kexec into the loaded kernel. A window
of its own, with its journal.

--machine: boot the running kernel in a virtual machine on this host, preserve
memfds there as they are preserved here, smaller where there is less room, kexec
into the target, restore, compare every byte, finish. As any user who may run
QEMU; this host is not touched. The blackout that is measured there is the
prediction, until an update was measured on this host. It tells nothing of
devices, drivers, firmware and this host's memory; for guests stand memfds."""
_CODES = """\
Exit codes: 0 all went well, 14 the kexec would be refused or the update would
fail, 15 something is to be looked at; 13 the machine was not through in time;
else that of what hindered it. No hook of a plan is run."""
SCHEMA = 1
"""Version of the object that --json prints; within one, fields are only added."""


def add_to(commands: Any) -> None:
    """Add the command to the parser's."""
    command = commands.add_parser(
        "rehearse",
        help="try an update: on this host all that can be undone, or all of it in a machine",
        description=_ABOUT,
        epilog=_CODES,
    )
    command.add_argument("target", nargs="?", default="", metavar="TARGET")
    command.add_argument(
        "--initrd", type=Path, metavar="FILE", help="not the one that lies beside it"
    )
    where = command.add_mutually_exclusive_group(required=True)
    where.add_argument("--here", action="store_true", help="on this very host; as root")
    where.add_argument("--machine", action="store_true", help="in a virtual machine, with QEMU")
    command.add_argument(
        "--yes", action="store_true", help="agree to what --here does; nothing is asked"
    )
    command.add_argument("--json", action="store_true", help="print one JSON object")
    rehearse_machine.add_to(command)


def run(orchestrator: Orchestrator, args: argparse.Namespace) -> Exit:
    """Rehearse. NotDone and ActFailed say why it was not done, or not to its end."""
    rehearse_machine.refuse(args)
    if args.machine:
        return rehearse_machine.run(orchestrator, args)
    from luo_tui.update.acts import Window

    look = reader(orchestrator, orchestrator.surroundings())
    window = Window(orchestrator, args.folder, look)
    if not args.yes:
        raise NotDone(
            "It loads a kernel and prepares, for a moment: say --yes to agree to that. "
            "Nothing was done.",
            Exit.USAGE,
        )
    told = _Rehearsal(orchestrator, window, args).run()
    print(json.dumps(told, indent=2) if args.json else "\n".join(_lines(told)))
    if told["kexec_refused"]:
        return Exit.BLOCKED
    return Exit.DOUBTFUL if told["warnings"] or told["unknown"] else Exit.OK


class _Rehearsal:
    """The acts of one rehearsal."""

    def __init__(
        self, orchestrator: Orchestrator, window: Window, args: argparse.Namespace
    ) -> None:
        self._orchestrator, self._window, self._args = orchestrator, window, args
        self._took: dict[str, float] = {}

    def run(self) -> dict[str, Any]:
        """Do it; return what was found."""
        from luo_tui.update.facts import Act

        self._refuse_open()
        try:
            self._act(Act.LOAD)
            self._act(Act.PREPARE)
            found = self._found()
        except BaseException:
            self._back()
            raise
        self._act(Act.CANCEL)
        return {**found, "seconds": {name: round(s, 3) for name, s in self._took.items()}}

    def _refuse_open(self) -> None:
        """Refuse where a window is open: what is done in that one is not this one's to undo."""
        facts = self._window.facts()
        state = facts.window_state
        if state is not None and not state.closed:
            by = f" by {state.opened_by}" if state.opened_by else ""
            raise NotDone(f"A window was left open{by}: end it first. Nothing was done.", Exit.BUSY)

    def _act(self, act: Act) -> None:
        """Do one act; signals wait for its end. NotDone where one came: it is to be taken back."""
        from luo_tui.cli.window import Command
        from luo_tui.update.agreement import Given
        from luo_tui.update.facts import Act as Acts

        line = argparse.Namespace(
            command=str(act),
            target=self._args.target,
            initrd=self._args.initrd,
            show=False,
            json=True,
        )
        began = time.monotonic()
        _, interrupted = Command(self._orchestrator, self._window, act, line).perform(
            Given(yes=True)
        )
        self._took[str(act)] = time.monotonic() - began
        if interrupted and act in (Acts.LOAD, Acts.PREPARE):
            raise NotDone(f"Interrupted after {act}; it is taken back.", Exit.INTERRUPTED)

    def _back(self) -> None:
        """Take the way back, from wherever it failed; what fails then is said beside it."""
        from luo_tui.update.facts import Act

        try:
            facts = self._window.facts()
            if facts.window_state is None or facts.window_state.closed:
                return  # Nothing was begun, or all is undone.
            prepared = facts.snapshot.luo.state in (State.PREPARED, State.FROZEN)
            if prepared or facts.ours_is_loaded:
                self._act(Act.CANCEL if prepared else Act.UNLOAD)
        except (NotDone, ActFailed, OSError) as failed:
            lines = failed.lines() if isinstance(failed, ActFailed) else (str(failed),)
            for line in ("The way back failed too; luo-tui status says how it stands:", *lines):
                print(f"luo-tui: {line}", file=sys.stderr)

    def _found(self) -> dict[str, Any]:
        """Read what the prepared kernel says, and whether the kexec would be done."""
        from luo_tui.update.facts import Act, Level
        from luo_tui.update.offers import planned
        from luo_tui.update.target import Target, read_loaded

        kexec = self._orchestrator.kexec
        facts = self._window.facts()
        target = read_loaded(
            facts.snapshot, facts.window_state, kexec.modules_folder, kexec.command_line()
        )
        if isinstance(target, Target):
            facts = self._window.facts(target)
        snapshot = facts.snapshot
        took = snapshot.stamps.milliseconds(
            snapshot.stamps.prepare_begin, snapshot.stamps.prepare_end
        )
        kept = snapshot.outgoing
        return {
            "schema": SCHEMA,
            "host": snapshot.host.name,
            "release": snapshot.host.release,
            "target": facts.image.release if facts.image is not None else "",
            "state": str(snapshot.luo.state),
            "prepare_ms": None if took is None else round(took, 3),
            "resources": len(kept),
            "bytes": snapshot.bytes_in(ResourceState.PRESERVED),
            "participants": [
                {"name": p.label, "state": p.state, "prepare_ms": p.prepare_ns / 1e6}
                for _, p in sorted(snapshot.participants.items())
            ],
            "kexec_refused": _refused(facts),
            "kexec_loses": list(planned(Act.KEXEC, facts).beyond),
            "warnings": [f.text for f in facts.findings if f.level is Level.WARNING],
            "unknown": [
                *(f.text for f in facts.findings if f.level is Level.UNKNOWN),
                *snapshot.doubts(),
            ],
        }


def _refused(facts: Facts) -> str:
    """Say why the kexec would be refused as things stand; empty where it would be done."""
    from luo_tui.update.facts import Act
    from luo_tui.update.rules import refusal

    if facts.snapshot.luo.state is not State.PREPARED:
        return f"The state is {facts.snapshot.luo.state}, and not prepared."
    # The commands let go of the lock between them: nobody holds the window now.
    found = refusal(Act.KEXEC, facts)
    return found.reason if found is not None else ""


def _lines(told: dict[str, Any]) -> Iterator[str]:
    seconds = told["seconds"]
    yield f"rehearsed   {told['release']} -> {told['target'] or '?'} on {told['host']}"
    yield "took        " + ", ".join(f"{name} {took:.2f} s" for name, took in seconds.items())
    if told["prepare_ms"] is not None:
        yield f"prepare     {told['prepare_ms']:,.1f} ms in the kernel"
    yield f"preserved   {told['resources']:,} resources, {told['bytes']:,} bytes"
    for one in told["participants"]:
        yield f"part        {one['name']}: {one['state']}, {one['prepare_ms']:,.3f} ms"
    for name, word in (
        ("kexec_loses", "WOULD LOSE"),
        ("warnings", "warning"),
        ("unknown", "unknown"),
    ):
        for line in told[name]:
            yield f"{word:<12}{line}"
    if told["kexec_refused"]:
        yield f"kexec       it would be refused: {told['kexec_refused']}"
    else:
        yield "kexec       it would be done as things stand now"
    yield "state       normal again; nothing is loaded"
