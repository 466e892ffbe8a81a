# SPDX-License-Identifier: MIT
"""The command line. Textual is imported by the console's own commands alone.

Exit codes are those of :class:`luo_tui.errors.Exit`. Answers go to standard
output, failures to standard error; nothing here prompts.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luo_tui import __version__
from luo_tui.cli import (
    arrive,
    check,
    complete,
    guests,
    history,
    hold,
    metrics,
    purpose,
    rehearse,
    report,
    window,
)
from luo_tui.cli import plan as plans
from luo_tui.cli.settings import SETTINGS, THEMES, BadSettings
from luo_tui.cli.settings_files import Settings, read_settings
from luo_tui.errors import ActFailed, Exit, NotDone, Op, explain
from luo_tui.model import State
from luo_tui.monitor.hub import Hub
from luo_tui.orchestrator import CarriesGuests, Orchestrator
from luo_tui.orchestrator.choose import open_orchestrator

if TYPE_CHECKING:
    from luo_tui.demo.run import Demo
    from luo_tui.update.plan import Plan

CODES = {
    Exit.OK: "done; for `status`: there is an orchestrator",
    Exit.FAILED: "failed for a reason without a code of its own",
    Exit.USAGE: "wrong usage",
    Exit.NOT_PERMITTED: "not permitted: acting needs CAP_SYS_ADMIN and CAP_SYS_BOOT",
    Exit.UNAVAILABLE: "no orchestrator on this kernel",
    Exit.WRONG_STATE: "not possible in this state",
    Exit.REFUSED: "refused by the kernel or by a participant",
    Exit.BUSY: "busy: another console has the window open, or an act is under way",
    Exit.NOT_FOUND: "no such token, name or file",
    Exit.MISMATCH: "what came back is not what was held",
    Exit.NO_SPACE: "no space on the disk, or too little memory",
    Exit.BAD_IMAGE: "not an image that can be booted",
    Exit.NO_TERMINAL: "no terminal that the console could draw on",
    Exit.TIMED_OUT: "the state that `watch --until` waits for did not come in time",
    Exit.BLOCKED: "for `check`: something blocks an update",
    Exit.DOUBTFUL: "something is to be looked at, or was not found out (`check`, `arrive`)",
    Exit.BAD_VERDICT: "for `arrive`: the verdict on the update is bad",
    Exit.HUNG_UP: "the console's terminal is gone (SIGHUP)",
    Exit.INTERRUPTED: "interrupted by a signal, as `watch` is",
    Exit.QUIT: "the console was asked to leave at once (Ctrl+\\, SIGQUIT)",
    Exit.TERMINATED: "the console was told to end (SIGTERM)",
}
"""What each exit code means."""


def run(arguments: Sequence[str]) -> int:
    """Run one command; return its exit code."""
    args = command_line().parse_args(arguments)
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
        _complain((refused.reason,))
        return refused.code
    except ActFailed as failed:
        _complain(failed.lines())
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
    if args.command == "config":
        return _config(args)
    settings = _settings(args)
    for line in settings.passed_over:
        _complain((line,))
    if args.command == "demo":
        # What was chosen by a flag is so in the demo's next boot, too.
        if args.theme:
            os.environ[_THEME] = args.theme
        if args.mouse is not None:
            os.environ[_MOUSE] = str(int(args.mouse))
        return _demo(args, settings)
    args.folder, args.log = settings["folder"], _log(settings)
    served = _served(args, settings)
    if args.folder.exists() and not args.folder.is_dir():
        raise NotDone(f"{args.folder} is no folder.", Exit.USAGE)
    if args.command in history.COMMANDS:
        return history.run(args)
    if args.command == guests.COMMAND:
        return guests.run(args)
    orchestrator = served or open_orchestrator()
    if isinstance(orchestrator, CarriesGuests):
        orchestrator.guests_wanted = bool(settings["guests"])
    match args.command:
        case "status":
            return _status(orchestrator, args)
        case "watch":
            return _watch(orchestrator, args)
        case "check":
            return check.run(orchestrator, args, str(settings["way_in"]))
        case arrive.COMMAND:
            return arrive.run(orchestrator, args)
        case complete.COMMAND:
            return complete.run(orchestrator, args)
        case rehearse.COMMAND:
            return rehearse.run(orchestrator, args)
        case report.COMMAND:
            return report.run(orchestrator, args)
        case metrics.COMMAND:
            return metrics.run(orchestrator, args)
        case command if command in hold.COMMANDS:
            return hold.run(orchestrator, args)
        case command if command in plans.COMMANDS:
            return plans.run(orchestrator, args)
        case command if command in window.COMMANDS:
            return window.run(orchestrator, args)
        case _:
            return _console(orchestrator, args, settings)


def _served(args: argparse.Namespace, settings: Settings) -> Orchestrator | None:
    """Return the simulated host that the commands are to speak to; None for this machine."""
    if not os.environ.get(_SERVED):
        return None
    from luo_tui.demo.served import open_served

    found = open_served(os.environ)
    if found is None:
        return None
    if args.command in (None, "console", rehearse.COMMAND):
        raise NotDone(
            f"{_SERVED} names a simulated host, for commands alone: unset it. The console on a "
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


def _config(args: argparse.Namespace) -> int:
    settings = _settings(args)
    print("\n".join((*settings.lines(), *settings.passed_over)))
    return Exit.OK


def _status(orchestrator: Orchestrator, args: argparse.Namespace) -> int:
    from luo_tui.cli.status import schema_text, status_json, status_text

    if args.schema:
        print(schema_text(), end="")
        return Exit.OK
    snapshot = Hub(orchestrator, lambda: None, orchestrator.surroundings()).read_all()
    if args.json:
        print(json.dumps(status_json(orchestrator, snapshot, args.folder), indent=2))
    else:
        print("\n".join(status_text(orchestrator, snapshot, args.folder, whole=args.all)))
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
    watch = Watch(
        orchestrator, args.folder, sys.stdout.fileno(), wanted, lambda text: _complain((text,))
    )
    if args.log is not None:
        watch.log_to(args.log)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: watch.leave())
    return watch.run()


def _planned(args: argparse.Namespace) -> tuple[Plan, str] | None:
    """Read the plan that the console is opened with; None where it is opened without."""
    if getattr(args, "plan", None) is None:
        return None
    from luo_tui.update.plan_files import read_plan

    return read_plan(args.plan)


def _console(orchestrator: Orchestrator, args: argparse.Namespace, settings: Settings) -> int:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise NotDone("The console needs a terminal; `luo-tui status` does not.", Exit.NO_TERMINAL)
    if os.environ.get("TERM", "dumb") in ("", "dumb"):
        raise NotDone(
            "TERM is dumb: the console cannot draw. Set TERM (vt100, linux, xterm), "
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


def _demo(args: argparse.Namespace, settings: Settings) -> int:
    from luo_tui.demo.run import NOT_OF_SESSIONS, SESSIONS, Demo, listing

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
        return _console(demo.orchestrator, args, settings)


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
            print(f"  export {_SERVED}={demo.folder}")
            print("  luo-tui status")
            print("  luo-tui watch")
            print("The commands that act speak to it, too, and need no root.", flush=True)
        signal.sigwait(ends)
    return Exit.OK


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


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1e6:
        raise argparse.ArgumentTypeError("a timeout is 0 to 1000000 seconds")
    return value


_THEME = "LUO_TUI_THEME"
"""Variable that names a theme; it is there again after the demo's jump."""
_MOUSE = "LUO_TUI_MOUSE"
"""Variable that is 1 to use the mouse, 0 not to; unset, it depends on the terminal."""
_SERVED = "LUO_TUI_DEMO"
"""Variable that names the folder of a served simulated host."""
_LOG = "append every event to FILE, one JSON object a line (console and watch)"
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
  rehearse     load, prepare, look and go back, with --here on this host

`luo-tui COMMAND --help` tells a command's options."""


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help of one width: argparse would load shutil, and with it three compressors, to ask."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=79)


class _Parser(argparse.ArgumentParser):
    def __init__(self, **options: Any) -> None:
        super().__init__(**{"formatter_class": _Help, **options})


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


def command_line() -> argparse.ArgumentParser:
    """Return the parser of all commands, which manual and completions are made from, too."""
    parser = _Parser(
        prog="luo-tui",
        usage="luo-tui [OPTIONS] [COMMAND ...]",
        description=_ABOUT + window.listed() + _MORE,
        epilog="\n".join(_after()),
    )
    parser.add_argument("--version", action="version", version=f"luo-tui {__version__}")
    parser.add_argument(
        "--folder",
        type=Path,
        metavar="FOLDER",
        help="where journal and records lie (/var/lib/luo-tui)",
    )
    parser.add_argument("--log", type=Path, metavar="FILE", help=_LOG)
    parser.add_argument(
        "--theme",
        choices=THEMES,
        help=f"colours of the console; also by {_THEME}; NO_COLOR outranks both",
    )
    parser.add_argument(
        "--mouse",
        action=argparse.BooleanOptionalAction,
        help="use the mouse in the console, or not; unsaid, not over ssh and not on a serial "
        f"line, where a lost line would leave it switched on. Also by {_MOUSE}=1 or 0",
    )
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", prog="luo-tui", help=argparse.SUPPRESS
    )
    console = commands.add_parser("console", help="open the console (the default)")
    console.add_argument(
        "--read-only", action="store_true", help="only look: no key acts, not even root's"
    )
    console.add_argument("--plan", type=Path, metavar="PLAN", help="its window goes by this plan")
    purpose.add_to(console)
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
    for command in (console, watch):
        # Given before the command or after it, it is the same.
        command.add_argument(
            "--log", type=Path, metavar="FILE", default=argparse.SUPPRESS, help=_LOG
        )
    check.add_to(commands)
    guests.add_to(commands)
    window.add_to(commands)
    plans.add_to(commands)
    hold.add_to(commands)
    arrive.add_to(commands)
    history.add_to(commands)
    complete.add_to(commands)
    rehearse.add_to(commands)
    report.add_to(commands)
    metrics.add_to(commands)
    commands.add_parser(
        "config",
        help="say which settings count, and where each is said",
        description="Settings are said by flags, else by variables, else in "
        "~/.config/luo-tui/config.toml, else in /etc/luo-tui.toml, one `name = value` a line. "
        "For root only files count that root owns and nobody else may write to, and folder "
        "and log come from /etc alone.",
        epilog="settings:\n" + "\n".join(f"  {s.name:8} {s.about} ({s.unsaid})" for s in SETTINGS),
    )
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
        f"host from other terminals, by the variable {_SERVED}, until Ctrl+C",
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
    return parser
