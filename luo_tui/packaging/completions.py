# SPDX-License-Identifier: MIT
"""Completions for bash, zsh and fish, made from the parser by shtab.

What changes from day to day (windows, names of what is held, targets) is asked of
the program itself while somebody types.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

import shtab

from luo_tui.cli.complete import COMMAND
from luo_tui.cli.parser import command_line
from luo_tui.cli.watch import KINDS
from luo_tui.orchestrator.simulated.scenarios import SCENARIOS

FILES = {"bash": "luo-tui", "zsh": "_luo-tui", "fish": "luo-tui.fish"}
"""What each shell's file is called in the folder where it looks for it."""
_PATHS = {"FILE": shtab.FILE, "PLAN": shtab.FILE, "FOLDER": shtab.DIRECTORY}
_WORDS = {"KIND": tuple(KINDS), "SCENARIO": tuple(SCENARIOS)}
_LIVE = {"WINDOW": "windows", "NAME": "held", "TARGET": "targets"}


def completions() -> Mapping[str, str]:
    """Return the text of each file of ``FILES``, by shell."""
    return {shell: shtab.complete(_told(command_line()), shell) for shell in FILES}


def _told(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Say of each value of a parser how it is completed, going by what it is called."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            # One whose help is suppressed would not be completed, and none of its commands.
            action.help = "command"
            for command in action.choices.values():
                _told(command)
        elif isinstance(action.metavar, str):
            _tell(action, "SCENARIO" if action.dest == "scenario" else action.metavar)
    return parser


def _tell(action: argparse.Action, called: str) -> None:
    if (path := _PATHS.get(called)) is not None:
        action.complete = path  # type: ignore[attr-defined]
    elif (words := _WORDS.get(called)) is not None:
        action.choices = words
    elif (what := _LIVE.get(called)) is not None:
        ask = f"luo-tui {COMMAND} {what} 2>/dev/null"
        action.complete = shtab.cmd(ask)  # type: ignore[attr-defined]
