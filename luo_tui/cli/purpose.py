# SPDX-License-Identifier: MIT
"""The options that say what a window is for; journal, history and report keep it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from luo_tui.sources.clean import clean

if TYPE_CHECKING:
    from luo_tui.update.open_window import Purpose

LONGEST = 200
"""Characters of each."""


def add_to(command: Any) -> None:
    """Add the options to a command's parser."""
    command.add_argument(
        "--change", type=_line, default="", metavar="NUMBER", help="the change's number, if any"
    )
    command.add_argument(
        "--reason", type=_line, default="", metavar="TEXT", help="why the window is opened"
    )


def purpose_of(args: argparse.Namespace) -> Purpose:
    """Return what was said; nothing where the command has no such options."""
    from luo_tui.update.open_window import Purpose

    return Purpose(getattr(args, "change", ""), getattr(args, "reason", ""))


def _line(text: str) -> str:
    if clean(text) != text or len(text) > LONGEST:
        raise argparse.ArgumentTypeError(f"a text of one line, of at most {LONGEST} characters")
    return text
