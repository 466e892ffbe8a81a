# SPDX-License-Identifier: MIT
"""The parser of the command line, made of what each family of commands adds to it.

A family is a module of this package that says what its commands are given
(``add_to``) and does what they say (``run``). It is imported when one of its
commands was named, and no other one then.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from luo_tui import __version__
from luo_tui.cli.settings import MOUSE, THEME, THEMES
from luo_tui.errors import Exit

FAMILIES = {
    "console": ("console",),
    "look": ("status", "watch"),
    "check": ("check",),
    "guests": ("guests",),
    "window": ("load", "unload", "prepare", "kexec", "cancel", "finish", "take-over"),
    "plan": ("plan", "run"),
    "hold": ("hold", "restore", "unpreserve"),
    "arrive": ("arrive",),
    "history": ("history", "journal"),
    "complete": ("complete",),
    "rehearse": ("rehearse",),
    "report": ("report",),
    "metrics": ("metrics",),
    "config": ("config",),
    "demo": ("demo",),
}
"""The families by their modules' names, and the commands of each."""
CODES = {
    Exit.OK: "done; for `status`: there is an orchestrator",
    Exit.FAILED: "failed for a reason without a code of its own",
    Exit.USAGE: "wrong usage",
    Exit.NOT_PERMITTED: "not permitted: acting needs CAP_SYS_ADMIN and CAP_SYS_BOOT",
    Exit.UNAVAILABLE: "no orchestrator on this kernel",
    Exit.WRONG_STATE: "not possible in this state",
    Exit.REFUSED: "refused: by the kernel, by a participant, or by a rule of luo-tui",
    Exit.BUSY: "busy: another console has the window open, or an act is under way",
    Exit.NOT_FOUND: "no such token, name or file",
    Exit.MISMATCH: "what came back is not what was held",
    Exit.NO_SPACE: "no space on the disk, or too little memory",
    Exit.BAD_IMAGE: "not an image that can be booted",
    Exit.NO_TERMINAL: "no terminal that the console could draw on",
    Exit.TIMED_OUT: "what `watch --until` or `rehearse` waits for did not come in time",
    Exit.BLOCKED: "something blocks an update (`check`, `rehearse`, `load`)",
    Exit.DOUBTFUL: "something is to be looked at, or was not found out (`check`, `arrive`)",
    Exit.BAD_VERDICT: "for `arrive`: the verdict on the update is bad",
    Exit.HUNG_UP: "the console's terminal is gone (SIGHUP)",
    Exit.INTERRUPTED: "interrupted by a signal, as `watch` is",
    Exit.QUIT: "the console was asked to leave at once (Ctrl+\\, SIGQUIT)",
    Exit.TERMINATED: "the console was told to end (SIGTERM)",
}
"""What each exit code means."""


LOG = "append every event to FILE, one JSON object a line (console and watch)"
_ABOUT = """\
Operator console for the Linux Live Update Orchestrator (LUO): walks a host
into a new kernel while what is preserved, such as guests' memory, lives on.

look, as any user:
  status       say how things stand, once; --json for programs
  check        say whether an update could be begun, each finding with its code
  guests       say which guests of QEMU run, and whether each could be carried
  watch        a line for every change, until interrupted or --until a state
  demo         the console on a simulated host; touches nothing
  history      tell of past windows, the newest first
  report       tell a past window in full; --bundle packs it for a supporter
  journal      print the records of a window; --schema says what they are
  metrics      print figures for node_exporter's textfile collector
  config       say which settings count, and where each is said

act, as root:
  console      open the console (the default); without root it only looks
  hold         hold a file's bytes in memory across an update
  restore      give held bytes back, after the update
  unpreserve   give up held bytes, before an update
  arrive       in the new kernel: write down how it went, and give the verdict

act without the console, as root; nothing is asked, --show says what is lost:
"""
_MORE = """
  plan         write, show and check the plan of a window
  run          walk a whole update by a plan
  rehearse     try an update: --here all that can be undone, --machine all of it

`luo-tui COMMAND --help` tells a command's options."""


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help of one width: argparse would load shutil, and with it three compressors, to ask."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=79)


class _Parser(argparse.ArgumentParser):
    def __init__(self, **options: Any) -> None:
        super().__init__(**{"formatter_class": _Help, **options})


def _folder(text: str) -> Path:
    """Take a folder's name; an empty one, as of an unset variable, is not where one stands."""
    if not text:
        raise argparse.ArgumentTypeError("the folder's name is empty")
    return Path(text)


def _after() -> Iterator[str]:
    yield "examples:"
    yield "  luo-tui demo                                  learn it, with nothing to lose"
    yield "  luo-tui status --json | jq -r .state          for a script"
    yield "  luo-tui watch --until updated --timeout 300   wait for the new kernel's LUO"
    yield "  sudo luo-tui                                  walk an update"
    yield "  sudo luo-tui kexec --show                     what a kexec would take with it"
    yield ""
    yield "exit codes:"
    for code, text in CODES.items():
        yield f"  {code:>3}  {text}"


def family(name: str) -> ModuleType:
    """Return a family's module."""
    return importlib.import_module(f"luo_tui.cli.{name}")


def family_of(command: str) -> str:
    """Return the name of a command's family; empty where there is no such command."""
    return next((name for name, commands in FAMILIES.items() if command in commands), "")


def command_line(only: str = "") -> argparse.ArgumentParser:
    """Return the parser of all commands, which manual and completions are made from, too.

    With the name of a family it knows that family's commands alone, and has no help of its
    own: enough for a command line that begins with one of them, and much sooner there.
    """
    parser = _Parser(
        prog="luo-tui",
        usage="luo-tui [OPTIONS] [COMMAND ...]",
        description="" if only else _ABOUT + family("window").listed() + _MORE,
        epilog="" if only else "\n".join(_after()),
    )
    parser.add_argument("--version", action="version", version=f"luo-tui {__version__}")
    parser.add_argument(
        "--folder",
        type=_folder,
        metavar="FOLDER",
        help="where journal and records lie (/var/lib/luo-tui)",
    )
    parser.add_argument("--log", type=Path, metavar="FILE", help=LOG)
    parser.add_argument(
        "--theme",
        choices=THEMES,
        help=f"colours of the console; also by {THEME}; NO_COLOR outranks both",
    )
    parser.add_argument(
        "--mouse",
        action=argparse.BooleanOptionalAction,
        help="use the mouse in the console, or not; unsaid, not over ssh and not on a serial "
        f"line, where a lost line would leave it switched on. Also by {MOUSE}=1 or 0",
    )
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", prog="luo-tui", help=argparse.SUPPRESS
    )
    for name in [only] if only else FAMILIES:
        family(name).add_to(commands)
    return parser


def add_log(command: Any) -> None:
    """Have a command take --log, too: given before it or behind it, it is the same."""
    command.add_argument("--log", type=Path, metavar="FILE", default=argparse.SUPPRESS, help=LOG)
