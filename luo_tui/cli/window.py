# SPDX-License-Identifier: MIT
"""The commands that walk an update: load, prepare, kexec, finish, and the ways back.

They do what the console does, by the same acts: rules, consent, journal and
lock are those of ``luo_tui/update``, and nothing is decided here. No command
prompts. What it needs in place of an answer says
:mod:`luo_tui.update.agreement`; ``--show`` says it for an act as it would be
done now, and does nothing.

Each command lets go of the lock when it ends, and the window stays open in the
journal: the next command, or a console, goes on in it. Of the console's leaving
one thing is not done: the loaded image stays loaded, for the command that comes
next. Signals wait until the act is through and told.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luo_tui.cli import purpose
from luo_tui.cli.printing import print_lines
from luo_tui.errors import Exit, NotDone
from luo_tui.model import KernelImage, State
from luo_tui.monitor.reading import reader
from luo_tui.orchestrator import Orchestrator

# Loaded when one of them runs, by it alone: `luo-tui status` is to be quick.
if TYPE_CHECKING:
    from luo_tui.update.acts import Window
    from luo_tui.update.agreement import Given
    from luo_tui.update.consent import Consent
    from luo_tui.update.facts import Act, Facts
    from luo_tui.update.offers import Action
    from luo_tui.update.plan import Plan
    from luo_tui.update.rules import Refusal
    from luo_tui.update.target import Target

SCHEMA = 1
"""Version of the objects that --json prints; within one, fields are only added."""
MOST = 20
"""Survivors that are named to a person; what is lost is never cut."""
_ABOUT = {
    "load": (
        "load the target kernel",
        """\
Load a kernel for kexec, by its release, its file's name in /boot, or a path;
without one, the only kernel that is not running. Needs --agree where an image
that somebody else loaded is replaced, else nothing.""",
    ),
    "unload": (
        "unload it again",
        """\
Drop the kernel that is loaded for kexec. Needs --agree where somebody else
loaded it, else nothing.""",
    ),
    "prepare": (
        "make ready what is preserved",
        """\
Make what is preserved ready for the handover, into the kernel that is loaded.
Guests run on. Needs --yes.""",
    ),
    "kexec": (
        "freeze, and jump into the target",
        """\
Freeze and jump: the point of no return. Needs --yes-to HOSTNAME, and --agree
where more is lost than always goes with it: a guest that is not preserved, a
device that is in use. With --through-init systemd stops the services first and
jumps last, on a kernel with sessions; the command ends when systemd has the
order.""",
    ),
    "cancel": (
        "go back to normal, before the jump",
        """\
Take a prepared host back to normal and unload the kernel of this window. Needs
--yes.""",
    ),
    "finish": (
        "end the update, after the jump",
        """\
End the update in the new kernel. Needs --yes, and where something is discarded
or lost --agree in its place.""",
    ),
    "take-over": (
        "take over a window whose holder is gone",
        """\
Go on in a window that somebody else, or you at another terminal, left open and
that no living process holds. Nothing on the host changes. Needs --yes.""",
    ),
}
COMMANDS = tuple(_ABOUT)
_EPILOG = """\
Nothing is ever asked: what is missing is refused, and nothing is done then.
--show prints what the act does, what survives it, what is lost, the way back,
what to give, and the digest for --agree. The digest is void as soon as any of
that changes. The window stays open between commands; the console goes on in
it, and these commands in the console's."""


def listed() -> str:
    """Return the commands, a line each, for the list of all commands."""
    return "\n".join(f"  {name:<13}{short}" for name, (short, _) in _ABOUT.items())


def add_to(commands: Any) -> None:
    """Add the commands to the parser's."""
    for name, (short, whole) in _ABOUT.items():
        command = commands.add_parser(name, help=short, description=whole, epilog=_EPILOG)
        if name == "load":
            command.add_argument("target", nargs="?", default="", metavar="TARGET")
            command.add_argument(
                "--initrd", type=Path, metavar="FILE", help="not the one that lies beside it"
            )
            purpose.add_to(command)
        command.add_argument(
            "--show", action="store_true", help="say what it would do and lose; do nothing"
        )
        command.add_argument("--yes", action="store_true", help="agree to what loses nothing")
        command.add_argument(
            "--yes-to",
            default="",
            metavar="HOSTNAME",
            help="agree, on the host of this name alone (the target's release, for a kexec of a "
            "host that has none)",
        )
        command.add_argument(
            "--agree",
            default="",
            metavar="DIGEST",
            help="agree to exactly what --show prints, losses too",
        )
        if name == "kexec":
            command.add_argument(
                "--through-init",
                action="store_true",
                help="have systemd (261 or later) stop the services first and hand over what they "
                "left with it; there a refused kexec becomes a cold reboot",
            )
        command.add_argument("--json", action="store_true", help="print one JSON object")


def run(orchestrator: Orchestrator, args: argparse.Namespace) -> Exit:
    """Run one of them. NotDone and ActFailed say why it was not done."""
    from luo_tui.update.acts import Window
    from luo_tui.update.agreement import Given
    from luo_tui.update.facts import Act

    look = reader(orchestrator, orchestrator.surroundings())
    window = Window(orchestrator, args.folder, look)
    window.purpose = purpose.purpose_of(args)
    if getattr(args, "through_init", False):
        window.go_through_init()
    command = Command(orchestrator, window, Act(args.command.replace("-", " ")), args)
    if args.show:
        command.show()
        return Exit.OK
    return command.do(Given(args.yes, args.yes_to, args.agree))


class Command:
    """One command: an act on the window of this host."""

    def __init__(
        self,
        orchestrator: Orchestrator,
        window: Window,
        act: Act,
        args: argparse.Namespace,
        plan: Plan | None = None,
        *,
        stays_open: bool = False,
    ) -> None:
        """``args`` are those of its line; a ``plan`` changes the target's command line.

        Where the window ``stays_open`` after it, the caller lets go of it.
        """
        self._orchestrator, self._window = orchestrator, window
        self._plan, self._stays_open = plan, stays_open
        self._act, self._args = act, args
        self._target: Target | KernelImage | None = None
        self._read = False

    def show(self) -> None:
        """Print what the act would do now. Nothing is done or written."""
        facts = self._facts()
        action = self._offered(facts)
        shown = _shown(action, facts)
        if self._args.json:
            print(json.dumps(shown, indent=2))
        else:
            print_lines(_lines(shown, action))

    def do(self, given: Given) -> Exit:
        """Do the act, if it may be done and was agreed to, and print what came of it."""
        done, interrupted = self.perform(given)
        if done:
            self._print(done)
        return Exit.INTERRUPTED if interrupted else Exit.OK

    def perform(self, given: Given) -> tuple[dict[str, Any], bool]:
        """Do the act, if it may be done and was agreed to. A signal waits for its end.

        Returns what came of it, empty where the init system has the order to jump, and whether
        there was a signal.
        """
        from luo_tui.update.agreement import agree
        from luo_tui.update.facts import Act
        from luo_tui.update.signals import end_is_asked, signals_held_back, take_waiting

        facts = self._facts()
        agree(self._possible(facts), facts, given)
        with signals_held_back():
            try:
                if self._act is not Act.TAKE_OVER and self._window.is_owed(facts):
                    self._window.arrive()
                    facts = self._facts()
                action = self._possible(facts)
                consent = agree(action, facts, given)
                if end_is_asked():
                    raise NotDone("Interrupted: nothing was done.", Exit.INTERRUPTED)
                said = self._do(consent, facts)
                done = {} if consent.through else self._done(action, facts, said)
            finally:
                if not self._stays_open:
                    self._window.release()
                interrupted = take_waiting()
        return done, bool(interrupted)

    # -- what it is done on ---------------------------------------------------------------

    def _facts(self) -> Facts:
        """Read the facts anew; the target is read once, and only where it could be of use."""
        from luo_tui.update.facts import Act
        from luo_tui.update.rules import refused_anyway
        from luo_tui.update.target import Target

        facts = self._window.facts()
        if self._args.show:
            self._offered(facts)
        elif (found := refused_anyway(self._act, facts)) is not None:
            raise _refused(found)
        if self._act is Act.FINISH and facts.promises.lost:
            facts = self._window.settled(facts)
        if not self._read:
            from luo_tui.cli.progress import reading_kernels

            with reading_kernels():
                self._target, self._read = self._find_target(facts), True
        if isinstance(self._target, Target):
            return self._window.facts(self._target)
        if self._target is not None:
            return self._window.facts_of(facts.snapshot, self._target)
        return facts

    def _find_target(self, facts: Facts) -> Target | KernelImage | None:
        """Read the kernel to load; for what comes after the load, the one that was loaded."""
        from luo_tui.update.facts import Act
        from luo_tui.update.target import read_loaded, target_named, whole_path

        kexec = self._orchestrator.kexec
        modules, line = kexec.modules_folder, kexec.command_line()
        if self._plan is not None:
            line = self._plan.command_line(line)
        if self._act is Act.LOAD:
            initrd = whole_path(self._args.initrd) if self._args.initrd else None
            release = facts.snapshot.host.release
            return target_named(kexec, self._args.target, release, line, initrd)
        if self._act in (Act.PREPARE, Act.KEXEC):
            return read_loaded(facts.snapshot, facts.window_state, modules, line)
        return None

    def _offered(self, facts: Facts) -> Action:
        """Return the act as it is offered now; NotDone where it makes no sense."""
        from luo_tui.update.offers import offered
        from luo_tui.update.rules import Refusal, refusal, why_not

        action = offered(self._act, facts)
        if action is not None:
            return action
        found = refusal(self._act, facts)
        if found is not None:
            raise _refused(found)
        if facts.cannot:
            raise NotDone(facts.cannot, Exit.UNAVAILABLE)
        luo = facts.snapshot.luo
        code = Exit.WRONG_STATE if luo.state.usable else Exit.UNAVAILABLE
        raise _refused(Refusal(why_not(self._act, facts), code))

    def _possible(self, facts: Facts) -> Action:
        """Return the act as it is offered now; NotDone where it may not be done."""
        from luo_tui.update.rules import refusal

        found = refusal(self._act, facts)
        if found is not None:
            raise _refused(found)
        return self._offered(facts)

    # -- what is done -----------------------------------------------------------------------

    def _do(self, consent: Consent, facts: Facts) -> Sequence[str]:
        """Do it; return what is left to say. A direct kexec does not return."""
        from luo_tui.cli.progress import elapsed
        from luo_tui.update.facts import Act
        from luo_tui.update.target import Target

        window, target = self._window, self._target
        match self._act:
            case Act.UNLOAD:
                return window.unload(consent)
            case Act.CANCEL:
                return window.cancel(consent)
            case Act.FINISH:
                return window.finish(consent)
            case Act.TAKE_OVER:
                window.take_over(consent)
            case Act.LOAD if isinstance(target, Target):
                window.load(consent, target)
            case Act.PREPARE if isinstance(target, Target):
                expected = facts.prepare_time
                with elapsed("prepare", expected.seconds if expected else 0.0):
                    window.prepare(consent, target)
            case Act.KEXEC if isinstance(target, Target) and consent.through:
                window.kexec_through_init(consent, target, lambda: self._last_words(facts))
            case Act.KEXEC if isinstance(target, Target):
                window.kexec(consent, target, lambda: self._last_words(facts))
            case _:
                raise NotDone("There is no target kernel that could be read.")
        return ()

    def _last_words(self, facts: Facts) -> None:
        """Say that the machine jumps, while there is still somebody to say it.

        Where nobody takes the output any more, or the end was asked for, there
        is no jump: so it is with the console and its terminal.
        """
        from luo_tui.update.signals import end_is_asked
        from luo_tui.update.wording import before_jump

        if end_is_asked():
            state = facts.snapshot.luo.state
            raise NotDone(
                f"Interrupted before the freeze: no kexec happened. This host stays {state}.",
                Exit.INTERRUPTED,
            )
        image = facts.image
        target = image.release if image is not None else ""
        running, afterwards = facts.snapshot.host.release, "sudo luo-tui status"
        said = before_jump(running, target, afterwards, facts.through.name if facts.through else "")
        self._print({**self._about("jumping", facts), "state_after": None, "said": list(said)})
        if sys.stdout is not None:
            sys.stdout.flush()

    def _done(self, action: Action, facts: Facts, said: Sequence[str]) -> dict[str, Any]:
        from luo_tui.errors import ActFailed, Op

        try:
            state: State | None = self._orchestrator.state()
        except OSError as error:
            text = f"{self._act} was done, and the state could not be read after it."
            raise ActFailed.of(Op.VERIFY, error, None, text) from error
        about = self._about("done", facts)
        return {
            **about,
            "label": action.label,
            "state_after": str(state),
            "said": list(said),
            "way_back": action.way_back,
        }

    def _about(self, result: str, facts: Facts) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "act": self._args.command,
            "result": result,
            **_where(facts),
            "state_before": str(facts.snapshot.luo.state),
            **_window(self._window.window_state()),
        }

    def _print(self, told: dict[str, Any]) -> None:
        if self._args.json:
            print(json.dumps(told, indent=2))
            return
        if told["result"] == "jumping":
            print_lines(told["said"])
            return
        print_lines(
            (
                f"done        {told['label']}",
                f"state       {told['state_after']}",
                f"window      {told['window']}, {'open' if told['window_open'] else 'closed'}",
                *(f"note        {line}" for line in told["said"]),
                f"way back    {told['way_back']}",
            )
        )


def _refused(found: Refusal) -> NotDone:
    """Return why the act is not done, as it is said on a command line."""
    if found.code is Exit.NOT_PERMITTED:
        return NotDone("Acting needs root: run the same command with sudo.", found.code)
    return NotDone(found.reason, found.code)


def _where(facts: Facts) -> dict[str, Any]:
    host, image = facts.snapshot.host, facts.image
    return {
        "host": host.name,
        "release": host.release,
        "target": image.release if image is not None else "",
    }


def _window(window_state: Any) -> dict[str, Any]:
    from luo_tui.update.journal import number_of

    return {
        "window": number_of(window_state.window) if window_state is not None else None,
        "window_open": window_state is not None and not window_state.closed,
    }


def _shown(action: Action, facts: Facts) -> dict[str, Any]:
    """Return an act as it is offered, as plain values."""
    from luo_tui.update.agreement import digest_of, needs
    from luo_tui.update.facts import Level

    return {
        "schema": SCHEMA,
        "act": str(action.act).replace(" ", "-"),
        "result": "shown",
        **_where(facts),
        "state": str(facts.snapshot.luo.state),
        **_window(facts.window_state),
        "label": action.label,
        "possible": action.possible,
        "blocked": action.blocked,
        "does": list(action.does),
        "survives": list(action.survives),
        "lost": list(action.lost),
        "lost_always": list(action.always),
        "way_back": action.way_back,
        "warnings": [f.text for f in facts.findings if f.level is Level.WARNING],
        "needs": list(needs(action, facts)),
        # What may not be done now cannot be agreed to: by then it may be another thing.
        "digest": digest_of(action, facts) if action.possible else "",
    }


def _lines(shown: dict[str, Any], action: Action) -> Iterator[str]:
    yield f"act         {shown['label']}"
    if shown["blocked"]:
        yield f"not now     {shown['blocked']}"
    yield f"host        {shown['host']}, Linux {shown['release']}, state {shown['state']}"
    if shown["target"]:
        yield f"target      {shown['target']}"
    for line in shown["does"]:
        yield f"does        {line}"
    for line in shown["survives"][:MOST]:
        yield f"survives    {line}"
    if (more := len(shown["survives"]) - MOST) > 0:
        yield f"survives    and {more:,} more: --json names them"
    beyond = set(action.beyond)
    for line in shown["lost"]:
        yield f"{'LOST HERE' if line in beyond else 'lost':11} {line}"
    if not shown["lost"]:
        yield "lost        nothing"
    yield f"way back    {shown['way_back']}"
    for line in shown["warnings"]:
        yield f"warning     {line}"
    yield f"needs       {' '.join(shown['needs']) or 'nothing'}"
    if shown["digest"]:
        yield f"digest      {shown['digest']}"
