# SPDX-License-Identifier: GPL-2.0
"""The lab: a virtual machine in which live updates really happen.

python3 kernel/lab build | run | status | ssh | console | guest | stop
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys

import cache
import guest
import kernels
from machine import Machine, all_running, build


def main() -> int:
    """Run one subcommand."""
    args = _parser().parse_args()
    try:
        return _run(args)
    except cache.LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _run(args: argparse.Namespace) -> int:
    machine = Machine(args.name)
    match args.command:
        case "build":
            built = dict(build(prior=args.all).kernels)
            if args.debug or args.all:
                built |= kernels.debug()
                kernels.modules(kernels.debug())
            for name, kernel in built.items():
                print(f"{name}: {kernel.release}")
        case "run":
            machine.memory, machine.qemu = args.memory, shlex.split(args.qemu)
            machine.built = build(prior=args.kernel == "prior")
            machine.boot(kernel=args.kernel, extra=args.append, fresh=not args.keep_disk)
            print(f"{args.name} runs (pid {machine.running()}, ssh on 127.0.0.1:{machine.port})")
            print(f"go on with: python3 kernel/lab --name {args.name} console | ssh | stop")
        case "status":
            running = all_running()
            if not running:
                print("no machine runs")
            for m in running:
                print(f"{m.name}: pid {m.running()}, ssh on 127.0.0.1:{m.port}")
        case "ssh":
            _need(machine)
            command = machine.ssh_command(terminal=not args.words)
            # One word is a line for the guest's shell; of several each stays what it is.
            line = args.words if len(args.words) == 1 else [shlex.join(args.words)]
            os.execvp(command[0], [*command, *(line if args.words else [])])
        case "console":
            if not machine.running():
                machine.boot()
            term = shlex.quote(os.environ.get("TERM", "vt100"))
            done = os.spawnvp(
                os.P_WAIT,
                "ssh",
                [*machine.ssh_command(terminal=True), f"TERM={term} luo-tui"],
            )
            print("the machine goes on: `make lab` comes back, `python3 kernel/lab stop` ends it")
            return 0 if done == 255 else done
        case "guest":
            part = guest.watch if args.watch else guest.console if args.console else guest.show
            if part is not guest.show:
                _need(machine)
            return part(machine)
        case "stop":
            machine.stop()
    return 0


def _need(machine: Machine) -> None:
    if not machine.running():
        raise cache.LabError(f"the machine {machine.name} does not run: python3 kernel/lab run")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 kernel/lab", description=__doc__)
    parser.add_argument("--name", default="lab", help="which machine (%(default)s)")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    make = commands.add_parser("build", help="build what is not in the cache")
    make.add_argument("--debug", action="store_true", help="the debug kernel too")
    make.add_argument("--all", action="store_true", help="all kernels")
    run = commands.add_parser("run", help="start the machine")
    run.add_argument("--kernel", choices=["old", "new", "prior"], default="old")
    run.add_argument("--append", default="", help="more of the kernel's command line")
    run.add_argument("--qemu", default="", metavar="TEXT", help="more of QEMU's arguments")
    run.add_argument("--memory", type=int, default=1024, metavar="MIB")
    run.add_argument("--keep-disk", action="store_true")
    commands.add_parser("status", help="which machines run")
    ssh = commands.add_parser("ssh", help="a shell in the machine, or one command")
    ssh.add_argument("words", nargs=argparse.REMAINDER, metavar="WORD")
    commands.add_parser("console", help="the luo-tui console in the machine")
    counts = commands.add_parser("guest", help="a guest that counts, beside the console")
    counts.add_argument("--watch", action="store_true", help="the guest's figures alone")
    counts.add_argument("--console", action="store_true", help="the console alone")
    commands.add_parser("stop", help="end the machine")
    return parser


if __name__ == "__main__":
    sys.exit(main())
