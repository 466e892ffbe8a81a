# SPDX-License-Identifier: MIT
"""The command line. Textual is imported by the console's own commands alone.

Exit codes are those of :class:`luo_tui.errors.Exit`. Answers go to standard
output, failures to standard error; nothing here prompts.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from luo_tui.cli.parser import command_line, family, family_of
from luo_tui.cli.settings import SERVED, SETTINGS, BadSettings
from luo_tui.cli.settings_files import Settings, read_settings
from luo_tui.errors import ActFailed, Exit, NotDone, Op, explain
from luo_tui.orchestrator import CarriesGuests, Orchestrator
from luo_tui.orchestrator.choose import open_orchestrator
from luo_tui.sources.clean import printable


def run(arguments: Sequence[str], not_on: tuple[str, ...] | None = None) -> int:
    """Run one command; return its exit code.

    ``not_on`` is why guests do not go on, where that was tried: see :mod:`luo_tui.cli.first`.
    """
    # The first word alone can be told from an option's value before all are known.
    only = family_of(arguments[0]) if arguments else "console"
    args = command_line(only).parse_args(arguments)
    args.not_on = not_on
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A name that the terminal's encoding has not is no reason to fail.
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _dispatch(args)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except NotDone as refused:
        _complain((*(not_on or ()), refused.reason))
        return refused.code
    except ActFailed as failed:
        _complain((*(not_on or ()), *failed.lines()))
        return failed.explanation.code
    except BrokenPipeError:
        raise
    except OSError as error:
        _complain((f"{error.filename or args.command}: {error.strerror or error}",))
        _drop_output()
        return explain(Op.FILE, error).code


def _drop_output() -> None:
    """Have the end of the program not stumble again over what could not be written."""
    with contextlib.suppress(OSError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _dispatch(args: argparse.Namespace) -> int:
    if args.log is not None and args.command not in (None, "console", "watch"):
        raise NotDone(f"`luo-tui {args.command}` has no --log: console and watch do.", Exit.USAGE)
    settings = _settings(args)
    name = family_of(args.command or "console")
    commands = family(name)
    if name == "config":
        return int(commands.run(settings))
    for line in settings.passed_over:
        _complain((line,))
    if name == "demo":
        return int(commands.run(args, settings))
    args.folder, args.log = settings["folder"], _log(settings)
    served = _served(args, settings)
    if args.folder.exists() and not args.folder.is_dir():
        raise NotDone(f"{args.folder} is no folder.", Exit.USAGE)
    if name in ("history", "guests"):
        return int(commands.run(args))
    orchestrator = served or open_orchestrator()
    if isinstance(orchestrator, CarriesGuests):
        orchestrator.guests_wanted = bool(settings["guests"])
    if name == "console":
        return int(commands.run(orchestrator, args, settings))
    if name == "check":
        return int(commands.run(orchestrator, args, str(settings["way_in"])))
    return int(commands.run(orchestrator, args))


def _served(args: argparse.Namespace, settings: Settings) -> Orchestrator | None:
    """Return the simulated host that the commands are to speak to; None for this machine."""
    if not os.environ.get(SERVED):
        return None
    from luo_tui.demo.served import open_served

    found = open_served(os.environ)
    if found is None:
        return None
    if args.command in ("guests", "rehearse"):
        raise NotDone(
            f"`luo-tui {args.command}` speaks of this machine alone, and {SERVED} names a "
            "simulated host: unset it.",
            Exit.USAGE,
        )
    if args.command in (None, "console"):
        raise NotDone(
            f"{SERVED} names a simulated host, for commands alone: unset it. The console on a "
            "simulated host is `luo-tui demo`.",
            Exit.USAGE,
        )
    orchestrator, folder = found
    if settings.chosen["folder"].where != "flag":
        args.folder = folder
    _complain((f"DEMO: nothing real is touched. This is the simulated host of {folder}.",))
    return orchestrator


def _settings(args: argparse.Namespace) -> Settings:
    flags = {s.name: said for s in SETTINGS if (said := getattr(args, s.name, None)) is not None}
    try:
        return read_settings(flags, os.environ, root=os.geteuid() == 0)
    except BadSettings as error:
        raise NotDone(str(error), Exit.USAGE) from None


def _log(settings: Settings) -> Path | None:
    """Return where events go; what a file says of it hinders nobody who may not write there."""
    path, said = settings["log"], settings.chosen["log"].where
    if not isinstance(path, Path) or said == "flag":
        return path if isinstance(path, Path) else None
    if os.access(path if path.exists() else path.parent, os.W_OK):
        return path
    _complain((f"{path}: events are not appended to it (set in {said}): you may not write there.",))
    return None


def _complain(lines: Sequence[str]) -> None:
    for line in lines:
        print(f"luo-tui: {printable(line)}", file=sys.stderr)
