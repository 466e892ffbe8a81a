# SPDX-License-Identifier: MIT
"""``luo-tui demo``: the console on a simulated host."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luo_tui.cli import console
from luo_tui.cli.settings import MOUSE, SERVED, THEME
from luo_tui.errors import Exit, NotDone

if TYPE_CHECKING:
    from luo_tui.cli.settings_files import Settings
    from luo_tui.demo.run import Demo


def add_to(commands: Any) -> None:
    """Add the command to the parser's."""
    demo = commands.add_parser("demo", help="the console on a simulated host; touches nothing")
    demo.add_argument(
        "--scenario",
        type=_scenario,
        default="default",
        metavar="NAME",
        help="a failure to order; --list tells them",
    )
    demo.add_argument(
        "--kind",
        choices=("luo-v2", "sessions"),
        default="luo-v2",
        help="its kernel has luo.ko, or sessions as Linux 6.19 and later",
    )
    demo.add_argument("--list", action="store_true", help="print the scenarios, a sentence each")
    demo.add_argument(
        "--serve",
        action="store_true",
        help="open no console: let status, watch and the commands that act speak to the simulated "
        f"host from other terminals, by the variable {SERVED}, until Ctrl+C",
    )
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


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Run the demo to its end, over its simulated kexecs. NotDone: it cannot be as it is asked."""
    from luo_tui.demo.run import NOT_OF_SESSIONS, SESSIONS, Demo, listing

    if args.folder is not None:
        raise NotDone(
            "The demo keeps everything in a folder of its own, which goes with it: leave --folder "
            "out. Nothing was started.",
            Exit.USAGE,
        )
    # What was chosen by a flag is so in the demo's next boot, too.
    if args.theme:
        os.environ[THEME] = args.theme
    if args.mouse is not None:
        os.environ[MOUSE] = str(int(args.mouse))
    if args.list:
        print("\n".join(listing()))
        return Exit.OK
    if args.resume is not None:
        demo = Demo.resume(args.resume)
    else:
        if args.kind == SESSIONS and args.scenario in NOT_OF_SESSIONS:
            raise NotDone(f"{args.scenario} is not for --kind {SESSIONS}.", Exit.USAGE)
        demo = Demo.begin(args.scenario, args.speed, args.delay, args.kind)
    # The end is not reached by a simulated kexec, whose next boot takes the folder over.
    if args.serve:
        return _serve(demo, again=args.resume is not None)
    with demo:
        args.folder = demo.folder
        code = console.run(demo.orchestrator, args, settings)
    # What was said before this is what holds for a real host that is left so.
    with contextlib.suppress(OSError):
        print("This was the demo: its simulated host is gone.", flush=True)
    return code


def _serve(demo: Demo, *, again: bool) -> int:
    """Let other terminals speak to the simulated host until somebody interrupts this."""
    ends = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    with demo, contextlib.closing(demo.serve()):
        host = demo.orchestrator.host()
        if again:
            print(f"It jumped, and runs {host.release} now.", flush=True)
        else:
            print(f"The simulated host {host.name} is served until Ctrl+C. In other terminals:")
            print(f"  export {SERVED}={demo.folder}")
            print("  luo-tui status")
            print("  luo-tui watch")
            print("The commands that act speak to it, too, and need no root.", flush=True)
        signal.sigwait(ends)
    return Exit.OK


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
