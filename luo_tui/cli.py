# SPDX-License-Identifier: MIT
"""The command line. Textual is imported by the console's own commands alone.

Exit codes are those of :class:`luo_tui.errors.Exit`. Answers go to standard
output, failures to standard error; nothing here prompts.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from luo_tui import __version__
from luo_tui.errors import ActFailed, Exit, NotDone
from luo_tui.hold import Holds
from luo_tui.hub import Hub
from luo_tui.orchestrator import Orchestrator
from luo_tui.orchestrator.choose import open_orchestrator
from luo_tui.window.journal import DEFAULT_FOLDER
from luo_tui.window.status import status_json, status_text
from luo_tui.window.walk import size_text


def run(arguments: Sequence[str]) -> int:
    """Run one command; return its exit code."""
    parser = _parser()
    args = parser.parse_args(arguments)
    try:
        return _dispatch(args)
    except NotDone as refused:
        _complain((refused.reason,))
        return refused.code
    except ActFailed as failed:
        _complain(failed.lines())
        return failed.explanation.code
    except BrokenPipeError:
        raise
    except OSError as error:
        _complain((f"{error.filename or args.command}: {error.strerror or error}",))
        return Exit.FAILED


def _dispatch(args: argparse.Namespace) -> int:
    if args.command == "demo":
        return _demo(args)
    orchestrator = open_orchestrator()
    match args.command:
        case "status":
            return _status(orchestrator, args.folder, as_json=args.json)
        case "hold":
            held = _holds(orchestrator, args.folder).hold(args.file, args.name)
            print(
                f"held {held.name}: token {held.token}, {size_text(held.bytes)}, "
                f"SHA-256 {held.sha256}"
            )
        case "restore":
            holds = _holds(orchestrator, args.folder)
            held = holds.restore(args.name, args.out, force=args.force)
            print(
                f"restored {held.name} to {args.out}: {size_text(held.bytes)}, "
                f"SHA-256 {held.sha256} as held"
            )
        case "unpreserve":
            held = _holds(orchestrator, args.folder).unpreserve(args.name)
            print(f"unpreserved {held.name}: token {held.token} is free")
        case _:
            return _console(orchestrator, args.folder)
    return Exit.OK


def _status(orchestrator: Orchestrator, folder: Path, *, as_json: bool) -> int:
    snapshot = Hub(orchestrator, lambda: None).read_now()
    if as_json:
        print(json.dumps(status_json(orchestrator, snapshot, folder), indent=2))
    else:
        print("\n".join(status_text(orchestrator, snapshot, folder)))
    return Exit.OK if snapshot.luo.state.usable else Exit.UNAVAILABLE


def _holds(orchestrator: Orchestrator, folder: Path) -> Holds:
    return Holds(orchestrator, folder, Hub(orchestrator, lambda: None).read_now)


def _console(orchestrator: Orchestrator, folder: Path) -> int:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise NotDone("The console needs a terminal; `luo-tui status` does not.", Exit.NO_TERMINAL)
    if os.environ.get("TERM", "dumb") in ("", "dumb"):
        raise NotDone(
            "TERM is dumb: the console cannot draw. Set TERM (vt100, linux, xterm), "
            "or use `luo-tui status`.",
            Exit.NO_TERMINAL,
        )
    from luo_tui.app import run_console

    return run_console(orchestrator, folder)


def _demo(args: argparse.Namespace) -> int:
    from luo_tui.demo.run import Demo, listing

    if args.list:
        print("\n".join(listing()))
        return Exit.OK
    if args.resume is not None:
        demo = Demo.resume(args.resume)
    else:
        demo = Demo.begin(args.scenario, args.speed, args.delay)
    # The end is not reached by a simulated kexec, whose next boot takes the folder over.
    with demo:
        return _console(demo.orchestrator, demo.folder)


def _complain(lines: Sequence[str]) -> None:
    for line in lines:
        print(f"luo-tui: {line}", file=sys.stderr)


# What belongs to the demo is loaded by the demo alone: the other commands are to be quick.


def _scenario(text: str) -> str:
    from luo_tui.orchestrator.simulated.scenarios import SCENARIOS

    if text not in SCENARIOS:
        raise argparse.ArgumentTypeError(f"there is no {text!r}; `luo-tui demo --list` tells them")
    return text


def _speed(text: str) -> float:
    from luo_tui.orchestrator.simulated.pace import FASTEST, SLOWEST

    value = float(text)
    if value and not SLOWEST <= value <= FASTEST:
        raise argparse.ArgumentTypeError(f"a speed is {SLOWEST:g} to {FASTEST:g}, or 0")
    return value


def _delay(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 60:
        raise argparse.ArgumentTypeError("a delay is 0 to 60 seconds")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="luo-tui",
        description="Operator console for the Linux Live Update Orchestrator (LUO).",
        epilog="Watching works as any user. Acting needs root.",
    )
    parser.add_argument("--version", action="version", version=f"luo-tui {__version__}")
    parser.add_argument(
        "--folder",
        type=Path,
        default=DEFAULT_FOLDER,
        help="where journal and records lie (%(default)s)",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("console", help="open the console (the default)")
    status = commands.add_parser("status", help="say how things stand, once")
    status.add_argument("--json", action="store_true", help="for programs")
    hold = commands.add_parser("hold", help="hold a file's bytes in memory across an update")
    hold.add_argument("file", type=Path, metavar="FILE")
    hold.add_argument("--name", required=True, help="the name to restore it by")
    restore = commands.add_parser("restore", help="give held bytes back, after the update")
    restore.add_argument("name", metavar="NAME")
    restore.add_argument("-o", "--out", type=Path, required=True, metavar="FILE")
    restore.add_argument("--force", action="store_true", help="replace FILE if it exists")
    unpreserve = commands.add_parser("unpreserve", help="give up held bytes, before an update")
    unpreserve.add_argument("name", metavar="NAME")
    demo = commands.add_parser("demo", help="the console on a simulated host; touches nothing")
    demo.add_argument(
        "--scenario",
        type=_scenario,
        default="default",
        metavar="NAME",
        help="a failure to order; --list tells them",
    )
    demo.add_argument("--list", action="store_true", help="print the scenarios, a sentence each")
    demo.add_argument(
        "--speed",
        type=_speed,
        default=1.0,
        metavar="X",
        help="how fast the host lives, 0.1 to 20; 0: nothing happens by itself",
    )
    # For measuring: nothing happens by itself, and a move takes exactly so many seconds.
    demo.add_argument("--delay", type=_delay, help=argparse.SUPPRESS)
    demo.add_argument("--resume", type=Path, help=argparse.SUPPRESS)
    return parser
