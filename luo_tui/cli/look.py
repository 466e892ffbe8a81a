# SPDX-License-Identifier: MIT
"""The commands that only look: ``status``, once, and ``watch``, until something is so."""

from __future__ import annotations

import argparse
import signal
import sys
from typing import TYPE_CHECKING, Any

from luo_tui.cli.parser import add_log
from luo_tui.cli.printing import print_lines
from luo_tui.errors import Exit, NotDone
from luo_tui.model import State

# Each loads what it needs when it runs: the other one, and the help, are to be quick.
if TYPE_CHECKING:
    from luo_tui.orchestrator import Orchestrator


def add_to(commands: Any) -> None:
    """Add the commands to the parser's."""
    status = commands.add_parser("status", help="say how things stand, once")
    status.add_argument("--json", action="store_true", help="for programs; see --schema")
    status.add_argument("--all", action="store_true", help="do not cut long lists")
    status.add_argument(
        "--schema", action="store_true", help="print the JSON Schema of --json instead"
    )
    watch = commands.add_parser("watch", help="a line for every change")
    watch.add_argument("--json", action="store_true", help="one JSON object a line")
    watch.add_argument(
        "--kind",
        action="append",
        default=[],
        metavar="KIND",
        help="only this kind; may be repeated: state, resource, participant, device, kernel, "
        "image, host, window, source",
    )
    watch.add_argument(
        "--until",
        choices=[str(s) for s in State if s.usable],
        metavar="STATE",
        help="end with code 0 as soon as the orchestrator is in this state: "
        "normal, prepared, frozen or updated. Without --timeout it ends with code "
        f"{Exit.UNAVAILABLE:d} where there is no orchestrator",
    )
    watch.add_argument(
        "--timeout",
        type=_seconds,
        metavar="SECONDS",
        help=f"wait so long at most, also for an orchestrator to come; then end with code "
        f"{Exit.TIMED_OUT:d}, or {Exit.UNAVAILABLE:d} where there is none",
    )
    add_log(watch)


def run(orchestrator: Orchestrator, args: argparse.Namespace) -> int:
    """Run one of them. NotDone: what was asked for is not possible."""
    return _status(orchestrator, args) if args.command == "status" else _watch(orchestrator, args)


def _status(orchestrator: Orchestrator, args: argparse.Namespace) -> int:
    import json

    from luo_tui.cli.status import schema_text, status_json, status_text
    from luo_tui.monitor.reading import reader

    if args.schema:
        print(schema_text(), end="")
        return Exit.OK
    snapshot = reader(orchestrator, orchestrator.surroundings())()
    if args.json:
        print(json.dumps(status_json(orchestrator, snapshot, args.folder), indent=2))
    else:
        print_lines(status_text(orchestrator, snapshot, args.folder, whole=args.all))
    return Exit.OK if snapshot.luo.state.usable else Exit.UNAVAILABLE


def _watch(orchestrator: Orchestrator, args: argparse.Namespace) -> int:
    from luo_tui.cli.watch import KINDS, Wanted, Watch

    if unknown := [k for k in args.kind if k not in KINDS]:
        raise NotDone(f"There is no kind {unknown[0]!r}, but {', '.join(KINDS)}.", Exit.USAGE)
    if args.timeout is not None and args.until is None:
        raise NotDone("--timeout says how long --until waits: name a state.", Exit.USAGE)
    if sys.stdout is None:
        raise NotDone("Standard output is closed.", Exit.FAILED)
    wanted = Wanted(
        as_json=args.json,
        kinds=frozenset(args.kind or KINDS),
        until=State(args.until) if args.until else None,
        timeout=args.timeout,
    )
    watch = Watch(orchestrator, args.folder, sys.stdout.fileno(), wanted, _complain)
    if args.log is not None:
        watch.log_to(args.log)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: watch.leave())
    return watch.run()


def _complain(text: str) -> None:
    print(f"luo-tui: {text}", file=sys.stderr)


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1e6:
        raise argparse.ArgumentTypeError("a timeout is 0 to 1000000 seconds")
    return value
