# SPDX-License-Identifier: MIT
"""``luo-tui check``: whether an update could be begun, without beginning one.

Nothing is written, loaded or locked; any user may ask, and is told what only
root could have seen. The checks of the target are those of the walk's first
step; those of the host are asked besides.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luo_tui.cli.printing import print_lines
from luo_tui.errors import Exit, NotDone
from luo_tui.model import BoundDrivers, KernelImage
from luo_tui.monitor.reading import reader
from luo_tui.orchestrator import HoldsShutdown, Orchestrator

# Loaded when it runs, by it alone: `luo-tui status` is to be quick.
if TYPE_CHECKING:
    from luo_tui.update.checks.surroundings import Surroundings
    from luo_tui.update.facts import Facts, Finding
    from luo_tui.update.kernel_modules import TargetDrivers
    from luo_tui.update.target import Target

SCHEMA = 1
"""Version of the object that --json prints; within one, fields are only added."""
NOT_CHECKED = (
    "whether the target's initrd has the drivers that its root file system needs",
    "what the firmware's own settings start where it is not EFI",
)
"""What an operator has to look at by himself; said with every answer."""


def add_to(commands: Any) -> None:
    """Add the command to the parser's."""
    command = commands.add_parser(
        "check",
        help="say whether an update could be begun",
        description="Check this host, and a target kernel: by its release, its file's name in "
        "/boot, or a path; without one, the one that is loaded by the window that is open, or "
        "else the only kernel that is not running. Nothing is changed.",
        epilog="Each line has its code, which stays the same. Exit codes: 0 all is well, "
        f"{Exit.BLOCKED:d} something blocks, {Exit.DOUBTFUL:d} something is to be looked at, or "
        "could not be found out.",
    )
    command.add_argument("target", nargs="?", default="", metavar="TARGET")
    command.add_argument(
        "--initrd", type=Path, metavar="FILE", help="not the one that lies beside it"
    )
    command.add_argument("--json", action="store_true", help="print one JSON object")
    command.add_argument("--schema", action="store_true", help="print the schema of --json")


def schema_text() -> str:
    """Return the JSON schema of what ``--json`` prints."""
    return (Path(__file__).parent / "check.schema.json").read_text(encoding="utf-8")


def run(orchestrator: Orchestrator, args: argparse.Namespace, way_in: str = "") -> Exit:
    """Check, and print what was found. NotDone where there is no such target.

    ``way_in`` is how the settings say that this host is reached without its network.
    """
    if args.schema:
        print(schema_text(), end="")
        return Exit.OK
    from luo_tui.cli.progress import reading_kernels

    with reading_kernels():
        facts, findings = _look(orchestrator, args, way_in)
    if args.json:
        print(json.dumps(_json(facts, findings), indent=2))
    else:
        print_lines(_lines(facts, findings))
    return verdict(findings)


def verdict(findings: Sequence[Finding]) -> Exit:
    """Return the exit code: the worst counts, and what is unknown never passes as good."""
    from luo_tui.update.facts import Level

    levels = {f.level for f in findings}
    if Level.BLOCKER in levels:
        return Exit.BLOCKED
    return Exit.OK if levels <= {Level.OK} else Exit.DOUBTFUL


def _look(
    orchestrator: Orchestrator, args: argparse.Namespace, way_in: str
) -> tuple[Facts, list[Finding]]:
    from luo_tui.update.acts import Window
    from luo_tui.update.checks.check import complete
    from luo_tui.update.checks.host import run_host_checks
    from luo_tui.update.checks.surroundings import surrounding_checks
    from luo_tui.update.own_checks import run_own_checks
    from luo_tui.update.work import look_now

    look = reader(orchestrator, orchestrator.surroundings())
    window = Window(orchestrator, args.folder, look)
    facts = window.facts()
    target, missing = _target(orchestrator, facts, args)
    if target is not None:
        facts = window.facts_of(facts.snapshot, target)
    facts = facts._replace(work=look_now(orchestrator))
    around = surrounding_checks(_surroundings(orchestrator, facts, way_in))
    found = [
        *(facts.findings or missing),
        *run_host_checks(facts, *_room(args.folder)),
        *(complete(check, check.run(facts)) for check in around),
    ]
    own = run_own_checks(orchestrator.checks_folder, facts)
    return facts, [*sorted(found, key=lambda f: f.code), *own]


def _target(
    orchestrator: Orchestrator, facts: Facts, args: argparse.Namespace
) -> tuple[Target | KernelImage | None, tuple[Finding, ...]]:
    """Read the target; where none was named and none can be guessed, say so as a finding."""
    from luo_tui.update.checks.target import no_target
    from luo_tui.update.target import read_loaded, target_named, whole_path

    kexec = orchestrator.kexec
    modules, line = kexec.modules_folder, kexec.command_line()
    if not args.target:
        loaded = read_loaded(facts.snapshot, facts.window_state, modules, line)
        if loaded is not None:
            return loaded, ()
    initrd = whole_path(args.initrd) if args.initrd else None
    release = facts.snapshot.host.release
    try:
        return target_named(kexec, args.target, release, line, initrd), ()
    except NotDone as error:
        if args.target:
            raise
        return None, no_target(facts.snapshot, str(error))


def _surroundings(orchestrator: Orchestrator, facts: Facts, way_in: str) -> Surroundings:
    from luo_tui.update.checks.surroundings import Surroundings
    from luo_tui.update.fallback import read_fallback

    condition, fault = None, ""
    try:
        condition = orchestrator.condition()
    except OSError as error:
        fault = error.strerror or str(error)
    pids = {r.pid for r in facts.snapshot.outgoing if r.pid}
    limits = orchestrator.memory_limits(pids)
    bound = orchestrator.drivers(facts.snapshot.devices.values())
    return Surroundings(
        limits,
        condition,
        fault,
        way_in,
        orchestrator.consoles(),
        _drivers(orchestrator, facts, bound),
        bound.missing,
        read_fallback(orchestrator.kexec.boot_folder, orchestrator.firmware()),
        _shutdown(orchestrator),
    )


def _shutdown(orchestrator: Orchestrator) -> str:
    """Return why an ordinary shutdown could not be held back; empty where it will be."""
    if not isinstance(orchestrator, HoldsShutdown):
        return ""
    return orchestrator.shutdown_inhibitor().available()


def _drivers(orchestrator: Orchestrator, facts: Facts, bound: BoundDrivers) -> TargetDrivers | None:
    """Hold the drivers in use against those of the target; None where there is none."""
    from luo_tui.update.kernel_modules import find_drivers

    if facts.image is None or not facts.image.release:
        return None
    modules, running = orchestrator.kexec.modules_folder, facts.snapshot.host.release
    return find_drivers(modules, running, facts.image.release, bound.drivers)


def _room(folder: Path) -> tuple[int | None, str]:
    """Return the bytes that are free where the journal lies, or is to lie."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        about = os.statvfs(folder)
    except OSError as error:
        return None, f"{folder}: {error.strerror or error}"
    return about.f_bavail * about.f_frsize, ""


def _json(facts: Facts, findings: Sequence[Finding]) -> dict[str, Any]:
    image = facts.image
    return {
        "schema": SCHEMA,
        "host": facts.snapshot.host.name,
        "release": facts.snapshot.host.release,
        "state": str(facts.snapshot.luo.state),
        "target": image.release if image is not None else "",
        "image": image.path if image is not None else "",
        "initrd": image.initrd if image is not None else "",
        "command_line": facts.command_line,
        "verdict": verdict(findings).name.lower(),
        "results": [
            {
                "code": f.code,
                "name": f.check,
                "result": str(f.level),
                "text": f.text,
                "remedy": f.remedy,
                "why": f.why,
                "evidence": f.evidence,
            }
            for f in findings
        ],
        "not_checked": list(NOT_CHECKED),
    }


def _lines(facts: Facts, findings: Sequence[Finding]) -> Iterator[str]:
    from luo_tui.update.facts import Level

    snapshot, image = facts.snapshot, facts.image
    yield f"host     {snapshot.host.name}, Linux {snapshot.host.release}, {snapshot.luo.state}"
    yield f"target   {image.release or image.path if image is not None else 'none'}"
    for f in findings:
        yield f"{f.code}  {f.level:8} {f.check}: {f.text}"
        if f.level is not Level.OK:
            told = (("do", f.remedy), ("why", f.why), ("read", f.evidence))
            yield from (f"{'':21}{word:5}{text}" for word, text in told if text)
    for text in NOT_CHECKED:
        yield f"not checked        {text}"
    numbers = {level: sum(f.level is level for f in findings) for level in reversed(Level)}
    counted = (Level.BLOCKER, Level.WARNING)
    yield ", ".join(
        f"{number} {level}{'s' if number > 1 and level in counted else ''}"
        for level, number in numbers.items()
        if number
    )
