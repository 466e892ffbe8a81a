# SPDX-License-Identifier: MIT
"""``luo-tui`` and ``luo-tui console``: the console, on a terminal that it can draw on."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luo_tui.cli import purpose
from luo_tui.cli.parser import add_log
from luo_tui.errors import Exit, NotDone

if TYPE_CHECKING:
    from luo_tui.cli.settings_files import Settings
    from luo_tui.orchestrator import Orchestrator
    from luo_tui.update.plan import Plan


def add_to(commands: Any) -> None:
    """Add the command to the parser's."""
    console = commands.add_parser("console", help="open the console (the default)")
    console.add_argument(
        "--read-only", action="store_true", help="only look: no key acts, not even root's"
    )
    console.add_argument("--plan", type=Path, metavar="PLAN", help="its window goes by this plan")
    purpose.add_to(console)
    add_log(console)


def run(orchestrator: Orchestrator, args: argparse.Namespace, settings: Settings) -> int:
    """Open it. NotDone: there is no terminal, or the plan cannot be read."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise NotDone("The console needs a terminal; `luo-tui status` does not.", Exit.NO_TERMINAL)
    if os.environ.get("TERM", "dumb") in ("", "dumb"):
        raise NotDone(
            "TERM names no terminal on which the console can draw. Set it (vt100, linux, xterm), "
            "or use `luo-tui status`.",
            Exit.NO_TERMINAL,
        )
    from luo_tui.console.app import run_console
    from luo_tui.console.wishes import Wishes

    wishes = Wishes(
        theme=str(settings["theme"]),
        place=str(settings["place"]),
        mouse=None if settings["mouse"] is None else bool(settings["mouse"]),
        bell=bool(settings["bell"]),
    )
    said = purpose.purpose_of(args)
    return run_console(
        orchestrator,
        args.folder,
        args.log,
        wishes,
        _planned(args),
        said,
        only_look=bool(getattr(args, "read_only", False)),
    )


def _planned(args: argparse.Namespace) -> tuple[Plan, str] | None:
    """Read the plan that the console is opened with; None where it is opened without."""
    if getattr(args, "plan", None) is None:
        return None
    from luo_tui.update.plan_files import read_plan

    return read_plan(args.plan)
