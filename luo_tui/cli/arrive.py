# SPDX-License-Identifier: MIT
"""The command for the new kernel: writes down what became of the jump, and gives the verdict.

It waits for no operator, and may be run by any start-up script, again and again:
what is written once is not written again, and where no jump was made there is
nothing to do. What stands still comes first: saved guests, then held files that
are to be given back. The window stays its holder's, unless its plan says that the
update is finished without one.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luo_tui.errors import ActFailed, Exit, NotDone
from luo_tui.monitor.reading import reader
from luo_tui.orchestrator import CarriesGuests, Orchestrator

# Loaded when it runs, by it alone: the other commands are to be quick.
if TYPE_CHECKING:
    from luo_tui.update.open_window import OpenWindow
    from luo_tui.update.verdict import Verdict

SCHEMA = 1
"""Version of what --json prints; within one, fields are only added."""
WALL = "/usr/bin/wall"
_PATIENCE = 5.0
"""Seconds that wall(1) has."""
_LONGEST_WAIT = 86_400
_NONE = "No jump led into this boot: there is nothing to judge."


def add_to(commands: Any) -> None:
    """Add the command to the parser's."""
    command = commands.add_parser(
        "arrive",
        help="write down what became of the jump, and give the verdict",
        description="In the new kernel, as root: have the guests go on that were saved, give back "
        "what was held with --back-to, write down what became of the jump, once, and print the "
        "verdict with its reasons. Asks nothing; the window stays open for its holder, but where "
        "its plan says `finish = true` and the verdict is good: then the update is finished.",
        epilog=f"The exit code is {Exit.BAD_VERDICT:d} for a bad verdict, {Exit.DOUBTFUL:d} where "
        "something is not known, else 0: also for what is merely not yet restored, and where no "
        "jump was made.",
    )
    command.add_argument(
        "--wait",
        type=_seconds,
        metavar="SECONDS",
        help="judge only when all that was promised is restored, or after this time (default: as "
        "the window's plan says where it finishes the update, else 0)",
    )
    command.add_argument(
        "--wall",
        action="store_true",
        help="tell everybody who is logged in, where the update waits for its finish or is bad",
    )
    command.add_argument("--json", action="store_true", help="print one JSON object")


def _seconds(text: str) -> float:
    """Return a time to wait. ArgumentTypeError: it is none."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= _LONGEST_WAIT:
        raise argparse.ArgumentTypeError(f"must be 0 to {_LONGEST_WAIT:,} seconds")
    return seconds


def run(orchestrator: Orchestrator, args: argparse.Namespace) -> Exit:
    """Write it down and judge. NotDone: not as this user; else what fails is told beside it."""
    # First of all: they stand still until then.
    tried = getattr(args, "not_on", None)
    not_on = _guests_go_on(orchestrator, args.folder) if tried is None else tried
    given, kept = _give_back(orchestrator, args.folder)
    from luo_tui.cli.planned_finish import finish_by_plan, planned_wait, wait_for_restores
    from luo_tui.cli.progress import Progress
    from luo_tui.update.accounting import Accounting
    from luo_tui.update.before import condition_of
    from luo_tui.update.open_window import OpenWindow
    from luo_tui.update.verdict import verdict

    look = reader(orchestrator, orchestrator.surroundings())
    window = OpenWindow(orchestrator, args.folder, look)
    fault: NotDone | ActFailed | None = None
    written = False
    told: tuple[str, ...] = ()
    try:
        if orchestrator.may_act():
            _make_ready(orchestrator)
        written = Accounting(window).arrive_unattended()
        wait = planned_wait(window.planned.plan()) if args.wait is None else args.wait
        if wait:
            show = Progress(sys.stderr)
            restored = wait_for_restores(orchestrator, window, wait, show.tell)
            show.end()
            # The hook that waits for the restores is due only now; it may have guests go on.
            Accounting(window).arrive_unattended()
            given += tuple((one.label, one.up) for one in restored)
        told = _write_restores(window, given)
    except NotDone as refused:
        if refused.code is Exit.NOT_PERMITTED:
            raise
        fault = refused
    except ActFailed as failed:
        fault = failed
    judged = verdict(window.facts(), condition_of(orchestrator))
    finished = False
    if fault is None and not not_on and not kept:
        finished, more = finish_by_plan(orchestrator, args.folder, judged)
        told += more
    if args.wall and judged is not None and not finished:
        told += _tell_all(judged)
    said = (*not_on, *kept, *_complaints(fault), *told)
    if args.json:
        print(json.dumps(arrive_json(judged, said, written=written, finished=finished), indent=2))
    else:
        print("\n".join(arrive_text(judged, args.folder, written=written, finished=finished)))
    for line in said:
        print(f"luo-tui: {line}", file=sys.stderr)
    code = _code(judged, fault)
    return Exit.FAILED if (not_on or kept) and code is Exit.OK else code


def _guests_go_on(orchestrator: Orchestrator, folder: Path) -> tuple[str, ...]:
    """Load the guests that the kernel before has saved; return why each of the others is not."""
    if not isinstance(orchestrator, CarriesGuests) or not orchestrator.may_act():
        return ()
    from luo_tui.guests.arrival import go_on

    return go_on(folder, orchestrator, orchestrator.host().boot_id)


def _give_back(
    orchestrator: Orchestrator, folder: Path
) -> tuple[tuple[tuple[str, float], ...], tuple[str, ...]]:
    """Give back what was held for that; return each with its time, and why others were not."""
    from luo_tui.update.held import HOLDS

    if not (folder / HOLDS).is_dir() or not orchestrator.may_act():
        return (), ()
    from luo_tui.monitor.hub import Hub
    from luo_tui.update.give_back import give_back
    from luo_tui.update.hold import Holds

    look = Hub(orchestrator, lambda: None).read_now
    return give_back(Holds(orchestrator, folder, look), orchestrator.make_ready, look)


def _make_ready(orchestrator: Orchestrator) -> None:
    """Have retrieved what came over, where a process does that. ActFailed: it cannot be."""
    from luo_tui.errors import Op

    try:
        orchestrator.make_ready()
    except OSError as error:
        raise ActFailed.of(Op.HOLDER, error, None) from error


def _write_restores(window: OpenWindow, each: Sequence[tuple[str, float]]) -> tuple[str, ...]:
    """Write down when each was restored; return why it could not be. It hinders nothing else."""
    from luo_tui.update.accounting import Accounting

    try:
        Accounting(window).restored(each)
    except ActFailed as failed:
        return ("When each was restored was not written down.", *failed.lines())
    return ()


def _tell_all(judged: Verdict) -> tuple[str, ...]:
    """Have wall(1) tell who is logged in; return why it could not."""
    import subprocess

    text = f"luo-tui: {judged.line}\nThe update waits for its finish: sudo luo-tui\n"
    try:
        done = subprocess.run(
            (WALL,), input=text.encode(), capture_output=True, timeout=_PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return (f"Who is logged in was not told: {error}.",)
    if done.returncode:
        return (f"Who is logged in was not told: {WALL} ended with {done.returncode}.",)
    return ()


def _complaints(fault: NotDone | ActFailed | None) -> tuple[str, ...]:
    if fault is None:
        return ()
    lines = (fault.reason,) if isinstance(fault, NotDone) else fault.lines()
    return ("What became of the jump was not written down.", *lines)


def _code(judged: Verdict | None, fault: NotDone | ActFailed | None) -> Exit:
    """Return the worst: a bad verdict is never hidden behind what could not be written."""
    from luo_tui.update.verdict import Grade

    if judged is not None and judged.grade is Grade.BAD:
        return Exit.BAD_VERDICT
    if fault is not None:
        return fault.code if isinstance(fault, NotDone) else fault.explanation.code
    if judged is not None and judged.grade is Grade.UNKNOWN:
        return Exit.DOUBTFUL
    return Exit.OK


def arrive_json(
    judged: Verdict | None, said: tuple[str, ...], *, written: bool, finished: bool
) -> dict[str, Any]:
    """Return it as plain values."""
    return {
        "schema": SCHEMA,
        "verdict": str(judged.grade) if judged else None,
        "line": judged.line if judged else _NONE,
        "reasons": [
            {"level": str(r.grade), "about": r.about, "text": r.text} for r in judged.reasons
        ]
        if judged
        else [],
        "written": written,
        "finished": finished,
        "faults": list(said),
    }


def arrive_text(
    judged: Verdict | None, folder: Path, *, written: bool, finished: bool
) -> Iterator[str]:
    """Yield it as lines, the verdict first."""
    from luo_tui.update.verdict import told

    if judged is None:
        yield _NONE
        if written:
            yield "The window that was left open is closed: this host was started anew meanwhile."
        return
    yield judged.line
    yield from (f"  {line}" for line in told(judged.reasons))
    if written:
        yield f"Written down in {folder}."
    if finished:
        yield "The update is finished, as its plan says."
