# SPDX-License-Identifier: MIT
"""What a shell may complete at this moment: windows, held files, targets; one word a line.

The completions that come with the packages call it while somebody types, so it says
nothing of what cannot be read, and ends with code 0 then too: the command itself will
tell. A word that a shell would take for more than a word is left out.
"""

from __future__ import annotations

import argparse
import contextlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from luo_tui.errors import Exit
from luo_tui.orchestrator import Orchestrator

COMMAND = "complete"
WHAT = ("windows", "held", "targets")
_WORD = re.compile(r"[A-Za-z0-9._+~:@%-]+")


def add_to(commands: Any) -> None:
    """Add the command to the parser's; it is for shells, so no help tells of it."""
    complete = commands.add_parser(COMMAND)
    complete.add_argument("what", choices=WHAT)


def run(orchestrator: Orchestrator, args: argparse.Namespace) -> Exit:
    """Print the words."""
    with contextlib.suppress(OSError):
        for word in _words(orchestrator, args.what, args.folder):
            if _WORD.fullmatch(word):
                print(word)
    return Exit.OK


def _words(orchestrator: Orchestrator, what: str, folder: Path) -> Iterable[str]:
    # Each is loaded by itself: there is little time between two keys.
    if what == "windows":
        from luo_tui.update.history import read_history

        return [str(window.number) for window in read_history(folder) if window.number]
    if what == "held":
        from luo_tui.update.held import HOLDS, HeldRecords

        return [held.name for held in HeldRecords(folder / HOLDS).all()]
    from luo_tui.update.images import scan

    kexec = orchestrator.kexec
    return [i.release for i in scan(kexec.boot_folder, kexec.modules_folder, "") if not i.fault]
