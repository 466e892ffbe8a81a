# SPDX-License-Identifier: MIT
"""The commands that tell of what was done here: history, and the journal it is told from.

They only read, as any user. What cannot be read is said, and is never the same
as what is not there.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luo_tui.cli.printing import print_lines
from luo_tui.errors import Exit, NotDone

# Loaded when one of them runs, by it alone: the other commands are to be quick.
if TYPE_CHECKING:
    from luo_tui.update.history import PastWindow
    from luo_tui.update.rehearsal.record import Rehearsed

SCHEMA = 1
"""Version of what `history --json` prints; within one, fields are only added."""
_ROW = "{:>4}  {:19}  {:34}  {:32}  {}"


def add_to(commands: Any) -> None:
    """Add the commands to the parser's."""
    history = commands.add_parser(
        "history", help="tell of past windows and rehearsals, the newest first"
    )
    history.add_argument("--json", action="store_true", help="for programs")
    journal = commands.add_parser("journal", help="print the records of a window")
    journal.add_argument("window", nargs="?", default="", metavar="WINDOW", help=WINDOW)
    journal.add_argument(
        "--schema", action="store_true", help="print the JSON Schema of a record instead"
    )


WINDOW = "its number in `luo-tui history`, or its name; the newest one where none is said"


def run(args: argparse.Namespace) -> Exit:
    """Run one of them. OSError: it cannot be read which windows there are."""
    if args.command == "history":
        return _history(args)
    if args.schema:
        print(schema_text(), end="")
        return Exit.OK
    return _journal(args)


def schema_text() -> str:
    """Return the JSON Schema of a line of the journal."""
    return (Path(__file__).parent / "journal.schema.json").read_text(encoding="utf-8")


def chosen(folder: Path, named: str) -> PastWindow:
    """Return the window that was named, or the newest. NotDone: there is none, or not such a one.

    Of the newest one that cannot be read, that is said; an older one is never told in its place.
    """
    from luo_tui.update.history import read_history

    windows = read_history(folder)
    if not windows:
        raise NotDone(f"No window was ever opened here ({folder}).", Exit.NOT_FOUND)
    found = [w for w in windows if named in ("", w.window, str(w.number))]
    if not found:
        raise NotDone(f"There is no window {named!r}: see `luo-tui history`.", Exit.NOT_FOUND)
    if named and len(found) > 1:
        names = ", ".join(w.window for w in found)
        raise NotDone(f"More than one window has that number: {names}.", Exit.USAGE)
    return found[0]


def _history(args: argparse.Namespace) -> Exit:
    from luo_tui.update.history import read_history
    from luo_tui.update.rehearsal.record import RehearsalReader

    windows = read_history(args.folder)
    reader = RehearsalReader(args.folder)
    rehearsals = reader.read()
    if args.json:
        print(json.dumps(history_json(args.folder, windows, rehearsals, reader.fault), indent=2))
    else:
        print_lines(history_text(args.folder, windows, rehearsals))
        if reader.fault:
            print(f"luo-tui: rehearsals could not be read: {reader.fault}", file=sys.stderr)
    return Exit.FAILED if reader.fault or any(w.fault for w in windows) else Exit.OK


def history_json(
    folder: Path, windows: Sequence[PastWindow], rehearsals: Sequence[Rehearsed], fault: str
) -> dict[str, Any]:
    """Return all windows as plain values; ``fault`` is why rehearsals could not be read."""
    return {
        "schema": SCHEMA,
        "folder": str(folder),
        "windows": [_plain(w) for w in windows],
        "rehearsals": None if fault else [_plain_rehearsal(r) for r in rehearsals],
    }


def history_text(
    folder: Path, windows: Sequence[PastWindow], rehearsals: Sequence[Rehearsed]
) -> Iterator[str]:
    """Yield a line for each window, below a heading, and then one for each rehearsal."""
    from luo_tui.update.rehearsal.report import result
    from luo_tui.update.wording import local_time

    if not windows:
        yield f"No window was ever opened here ({folder})."
    if windows or rehearsals:
        yield _ROW.format("no", "when", "by", "from -> to", "result")
    for one in windows:
        state = one.state
        way = f"{_left(one) or '?'} -> {state.target or '?'}"
        opened = local_time(state.opened_at)
        yield _ROW.format(one.number or "-", opened or "?", state.opened_by or "?", way, one.result)
    for run in rehearsals:
        way = f"{run.release} -> {run.target}"
        yield _ROW.format("-", local_time(run.at) or "?", "-", way, result(run))


def _left(one: PastWindow) -> str:
    return one.state.jumped_release or one.state.release


def _plain(one: PastWindow) -> dict[str, Any]:
    state, verdict = one.state, one.verdict
    return {
        "number": one.number,
        "window": one.window,
        "host": one.host,
        "opened_at": state.opened_at,
        "opened_by": state.opened_by,
        "ended_at": one.ended_at,
        "from": _left(one),
        "to": state.target,
        "open": not state.closed and not one.fault,
        "result": one.result,
        "verdict": verdict.level if verdict else None,
        "unread_lines": one.unread,
        "fault": one.fault,
    }


def _plain_rehearsal(one: Rehearsed) -> dict[str, Any]:
    dark = one.blackout
    return {
        "at": one.at,
        "host": one.host,
        "from": one.release,
        "to": one.target,
        "accel": one.accel,
        "passed": one.passed,
        "why": one.why,
        "blackout_ms": dark.total if dark is not None else None,
    }


def _journal(args: argparse.Namespace) -> Exit:

    one = chosen(args.folder, args.window)
    for record in one.records:
        print(json.dumps(record._asdict()))
    if one.fault:
        said = f"The journal of window {one.window} cannot be read: {one.fault}."
        raise NotDone(said, Exit.FAILED)
    if one.unread:
        said = f"{one.unread:,} lines of window {one.window} are no records and were left out"
        print(f"luo-tui: {said}.", file=sys.stderr)
    return Exit.OK
