# SPDX-License-Identifier: MIT
"""The commands that hold a file's bytes across an update: hold, restore, unpreserve."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luo_tui.errors import Exit
from luo_tui.monitor.hub import Hub
from luo_tui.orchestrator import Orchestrator
from luo_tui.update.wording import size_text

# Loaded when one of them runs, by it alone: `luo-tui status` is to be quick.
if TYPE_CHECKING:
    from luo_tui.update.held import Held
    from luo_tui.update.hold import Holds


def add_to(commands: Any) -> None:
    """Add the commands to the parser's."""
    hold = commands.add_parser("hold", help="hold a file's bytes in memory across an update")
    hold.add_argument("file", type=Path, metavar="FILE")
    hold.add_argument("--name", required=True, help="the name to restore it by")
    hold.add_argument(
        "--back-to",
        type=Path,
        metavar="OUT",
        help="where `luo-tui arrive` gives it back in the new kernel; what is there is replaced",
    )
    restore = commands.add_parser("restore", help="give held bytes back, after the update")
    restore.add_argument("name", metavar="NAME")
    restore.add_argument("-o", "--out", type=Path, required=True, metavar="FILE")
    restore.add_argument("--force", action="store_true", help="replace FILE if it exists")
    unpreserve = commands.add_parser("unpreserve", help="give up held bytes, before an update")
    unpreserve.add_argument("name", metavar="NAME")


def run(orchestrator: Orchestrator, args: argparse.Namespace) -> Exit:
    """Run one of them. NotDone and ActFailed say why it was not done."""
    from luo_tui.update.hold import Holds

    holds = Holds(orchestrator, args.folder, Hub(orchestrator, lambda: None).read_now)
    try:
        _run(holds, args)
    except KeyboardInterrupt:
        # It waited until the act was through; then what was done is told all the same.
        if holds.done is None:
            raise
        _say(holds, args, holds.done)
        return Exit.INTERRUPTED
    return Exit.OK


def _run(holds: Holds, args: argparse.Namespace) -> None:
    match args.command:
        case "hold":
            held = holds.hold(args.file, args.name, args.back_to)
        case "restore":
            held = holds.restore(args.name, args.out, force=args.force)
        case _:
            held = holds.unpreserve(args.name)
    _say(holds, args, held)


def _say(holds: Holds, args: argparse.Namespace, held: Held) -> None:
    match args.command:
        case "hold":
            size = size_text(held.bytes)
            print(f"held {held.name}: token {held.token}, {size}, SHA-256 {held.sha256}")
        case "restore":
            size = size_text(held.bytes)
            print(f"restored {held.name} to {args.out}: {size}, SHA-256 {held.sha256} as held")
        case _:
            print(f"unpreserved {held.name}: token {held.token} is free")
    for line in holds.left:
        print(f"luo-tui: {line}", file=sys.stderr)
