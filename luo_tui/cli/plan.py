# SPDX-License-Identifier: MIT
"""The commands that go by a plan: plan new, show and check; and run, the whole walk.

``run`` does what the commands of :mod:`luo_tui.cli.window` do, one after the
other, with the plan in place of answers. What would be lost and is not in the
plan is refused before anything is done. Where it cannot go on before the kexec, what
it did is taken back: nobody may be there to see a host that stays prepared, or loaded.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luo_tui.errors import ActFailed, Exit, NotDone
from luo_tui.model import State
from luo_tui.monitor.reading import reader
from luo_tui.orchestrator import Orchestrator
from luo_tui.sources.clean import clean

# Loaded when one of them runs, by it alone: `luo-tui status` is to be quick.
if TYPE_CHECKING:
    from luo_tui.update.acts import Window
    from luo_tui.update.facts import Act
    from luo_tui.update.plan import Plan
    from luo_tui.update.target import Target

SCHEMA = 1
"""Version of the object that ``plan check --json`` prints."""


def add_to(commands: Any) -> None:
    """Add the commands to the parser's."""
    plan = commands.add_parser(
        "plan",
        help="write, show and check the plan of a window",
        description="A plan says beforehand what a window's acts are given: the kernel, changes "
        "to its command line, hooks, and what may be lost.",
    )
    whats = plan.add_subparsers(dest="what", metavar="new|show|check", required=True)
    new = whats.add_parser("new", help="print a plan for this host, to be edited")
    new.add_argument("target", nargs="?", default="", metavar="TARGET")
    new.add_argument(
        "--from-window",
        metavar="WINDOW",
        help="take target, initrd, command line, change and reason from what was done in it",
    )
    show = whats.add_parser("show", help="say what a plan does, step by step")
    check = whats.add_parser("check", help="hold a plan against this host; nothing is done")
    check.add_argument("--json", action="store_true", help="print one JSON object")
    for command in (show, check):
        command.add_argument("plan", type=Path, metavar="PLAN")
    run_ = commands.add_parser(
        "run",
        help="walk a whole update by a plan",
        description="Load, prepare and kexec by a plan; in the new kernel, called again with the "
        "same plan: finish. Nothing is asked. What would be lost and is not in the plan is "
        "refused before anything is done; where it cannot go on before the kexec, it cancels and "
        "unloads.",
    )
    run_.add_argument("plan", type=Path, metavar="PLAN")
    run_.add_argument("--yes-to", required=True, metavar="HOSTNAME", help="the host that is meant")
    run_.add_argument("--json", action="store_true", help="print a JSON object for each step")


def run(orchestrator: Orchestrator, args: argparse.Namespace) -> Exit:
    """Run one of them. NotDone and ActFailed say why it was not done."""
    from luo_tui.update.acts import Window
    from luo_tui.update.plan import plan_lines
    from luo_tui.update.plan_files import read_plan

    look = reader(orchestrator, orchestrator.surroundings())
    window = Window(orchestrator, args.folder, look)
    if args.command == "plan" and args.what == "new":
        print(_new(orchestrator, window, args), end="")
        return Exit.OK
    plan, text = read_plan(args.plan)
    if args.command == "run":
        window.go_by(plan, text)
        return _Walk(orchestrator, window, plan, args).run()
    if args.what == "show":
        print("\n".join(plan_lines(plan)))
        return Exit.OK
    return _check(orchestrator, window, plan, as_json=args.json)


class _Walk:
    """The acts of a whole update, one after the other."""

    def __init__(
        self, orchestrator: Orchestrator, window: Window, plan: Plan, args: argparse.Namespace
    ) -> None:
        from luo_tui.update.agreement import Given

        self._orchestrator, self._window, self._plan = orchestrator, window, plan
        self._args = args
        self._given = Given(yes=True, host=args.yes_to, losses=frozenset(plan.losses))

    def run(self) -> Exit:
        """Go on from where this host stands. The window is held for all of it."""
        try:
            return self._walk()
        finally:
            self._window.release()

    def _walk(self) -> Exit:
        from luo_tui.update.facts import Act

        facts = self._window.facts()
        state = facts.snapshot.luo.state
        if state is State.UPDATED:
            return self._act(Act.FINISH)
        steps = [Act.KEXEC]
        if state.at_rest:
            _refuse_losses(self._orchestrator, self._window, self._plan)
            steps = [Act.PREPARE, *steps] if facts.abilities.moves else steps
            steps = steps if facts.ours_is_loaded else [Act.LOAD, *steps]
        try:
            for act in steps:
                if (code := self._act(act)) is not Exit.OK:
                    self._back()
                    return code
        except (NotDone, ActFailed):
            self._back()
            raise
        return Exit.OK

    def _back(self) -> None:
        """Take the host back to normal, with nothing loaded.

        Where that fails too, it is said beside the first failure.
        """
        from luo_tui.update.facts import Act

        if self._window.facts().snapshot.luo.state not in (State.PREPARED, State.FROZEN):
            if self._window.mine:
                for line in self._window.leave("the run did not go on"):
                    print(f"luo-tui: {line}", file=sys.stderr)
            return
        try:
            self._act(Act.CANCEL)
        except (NotDone, ActFailed) as failed:
            lines = failed.lines() if isinstance(failed, ActFailed) else (failed.reason,)
            for line in ("The cancel after it failed too:", *lines):
                print(f"luo-tui: {line}", file=sys.stderr)

    def _act(self, act: Act) -> Exit:
        from luo_tui.cli.window import Command

        line = argparse.Namespace(
            command=str(act),
            target=self._plan.target,
            initrd=Path(self._plan.initrd) if self._plan.initrd else None,
            show=False,
            json=self._args.json,
        )
        window = self._window
        command = Command(self._orchestrator, window, act, line, self._plan, stays_open=True)
        return command.do(self._given)


def _refuse_losses(orchestrator: Orchestrator, window: Window, plan: Plan) -> None:
    """Refuse before anything is done what the kexec would lose and the plan does not list."""
    from luo_tui.update.agreement import unlisted
    from luo_tui.update.facts import Act
    from luo_tui.update.offers import planned
    from luo_tui.update.wording import few

    target = _target(orchestrator, window, plan)
    facts = window.facts(target)
    if target.image.release == facts.snapshot.host.release:
        raise NotDone(
            f"This host runs {target.image.release} already: there is nothing to do by this plan."
        )
    if left := unlisted(planned(Act.KEXEC, facts), plan.losses):
        named = few([one.rstrip(".") for one in left], between="; ")
        raise NotDone(
            f"The kexec would lose what the plan does not list: {named}. Nothing was done; "
            "`luo-tui plan check` names all of it."
        )


def _target(orchestrator: Orchestrator, window: Window, plan: Plan) -> Target:
    """Read the plan's target. NotDone: there is none, or it is no kernel."""
    from luo_tui.cli.progress import reading_kernels
    from luo_tui.update.plan import BadPlan
    from luo_tui.update.target import Target, target_named

    kexec = orchestrator.kexec
    try:
        line = plan.command_line(kexec.command_line())
    except BadPlan as wrong:
        raise NotDone(f"{wrong}. Nothing was done.", Exit.USAGE) from wrong
    initrd = Path(plan.initrd) if plan.initrd else None
    running = window.facts().snapshot.host.release
    with reading_kernels():
        found = target_named(kexec, plan.target, running, line, initrd)
    if not isinstance(found, Target):
        raise NotDone(f"{found.path} {found.fault}.", Exit.BAD_IMAGE)
    return found


def _check(orchestrator: Orchestrator, window: Window, plan: Plan, *, as_json: bool) -> Exit:
    """Hold a plan against this host, as it is now."""
    from luo_tui.update.agreement import unlisted
    from luo_tui.update.facts import Act, Level
    from luo_tui.update.hooks import hook_fault
    from luo_tui.update.offers import planned

    target = _target(orchestrator, window, plan)
    facts = window.facts(target)
    faults = [
        f"hook {point}: {fault}"
        for point, hook in plan.hooks.items()
        if (fault := hook_fault(hook))
    ]
    faults += [f.text for f in facts.findings if f.level is Level.BLOCKER]
    lost = unlisted(planned(Act.KEXEC, facts), plan.losses)
    told = {
        "schema": SCHEMA,
        "plan": plan.digest,
        "target": target.image.release,
        "command_line": target.command_line,
        "entry": target.image.entry,
        "entry_options": target.image.entry_options,
        "blockers": faults,
        "warnings": [f.text for f in facts.findings if f.level in (Level.WARNING, Level.UNKNOWN)],
        "lost_and_not_in_the_plan": list(lost),
    }
    print(json.dumps(told, indent=2) if as_json else "\n".join(_checked(told)))
    if faults or lost:
        return Exit.BLOCKED
    return Exit.DOUBTFUL if told["warnings"] else Exit.OK


def _checked(told: dict[str, Any]) -> Iterator[str]:
    yield f"target      {told['target']}"
    yield f"started by  {told['command_line']}"
    if told["entry"]:
        yield f"boot entry  {clean(told['entry'])}; it would say: {clean(told['entry_options'])}"
    for name, word in (
        ("blockers", "blocker"),
        ("lost_and_not_in_the_plan", "NOT LISTED"),
        ("warnings", "warning"),
    ):
        for line in told[name]:
            yield f"{word:<12}{line}"
    bad = told["blockers"] or told["lost_and_not_in_the_plan"]
    yield f"result      {'it would be refused' if bad else 'it would be done'} as things stand now"


def _new(orchestrator: Orchestrator, window: Window, args: argparse.Namespace) -> str:
    """Return a plan for this host as it is, with everything in it that has to be decided."""
    from luo_tui.update.facts import Act
    from luo_tui.update.offers import planned
    from luo_tui.update.plan import Plan, plan_text

    like = Plan()
    if args.from_window is not None:
        like = _done(orchestrator, args.folder, args.from_window)
    wanted = args.target or like.target
    found = _target(orchestrator, window, replace(like, target=wanted))
    if like.initrd == _target(orchestrator, window, Plan(target=wanted)).image.initrd:
        like = replace(like, initrd="")  # It is the one that is taken anyway.
    facts = window.facts(found)
    return plan_text(found.image.release, planned(Act.KEXEC, facts).beyond, like)


def _done(orchestrator: Orchestrator, folder: Path, named: str) -> Plan:
    """Return what was done in a window as a plan. NotDone: there is none, or nothing was loaded."""
    from luo_tui.cli.history import chosen
    from luo_tui.update.plan import Plan, changes

    state = chosen(folder, named).state
    if not state.target:
        raise NotDone(f"Nothing was loaded in window {named or state.window}.", Exit.NOT_FOUND)
    add, remove = changes(orchestrator.kexec.command_line(), state.command_line)
    return Plan(state.target, state.initrd, add, remove, state.change, state.reason)
