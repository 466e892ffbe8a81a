# SPDX-License-Identifier: MIT
"""The point of no return: from the last check to the jump, and back if it does not happen.

No terminal is touched here and nothing is asked. In this order: the rules on
facts read anew; the guests saved, and so paused; the file systems synced; the
last record; our image loaded again from its sealed copy; the terminal handed
back; the plan's hook, which may pause what it knows of, what it wrote synced, and
the rules once more; HUP, INT, QUIT, TERM and TSTP held; the state asked once more;
freeze and reboot, with nothing in between.

What fails before the freeze leaves the host ``prepared``, as it was. From the
call of FREEZE on, whatever happens, cancel comes first: frozen is never a
resting place. No guest is left paused either: whenever the jump does not happen,
they go on next. The signals are held until that is over, and only then it is
looked up who refused.

Through the init system the same comes before, and in place of freeze and reboot
stands the order to it: what happens from then on is not in our hands.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from luo_tui.errors import ActFailed, NotDone, Op
from luo_tui.model import State
from luo_tui.orchestrator import Move, Orchestrator
from luo_tui.update.signals import signals_held_back


@dataclass(frozen=True, slots=True)
class Steps:
    """What the jump does between its own calls; each is done once, in this order."""

    check: Callable[[], None]
    """Holds rules and consent against facts read anew; NotDone if they do not allow it."""
    record: Callable[[], None]
    """Writes the last record; it is on the disk on return."""
    load: Callable[[], None]
    """Loads the image again."""
    hand_back: Callable[[], None]
    """Leaves the terminal clean."""
    save: Callable[[], None] = lambda: None
    """Pauses the guests and writes their states, before the sync; NotDone if that went wrong."""
    resume: Callable[[], None] = lambda: None
    """Lets the guests go on that were saved; harmless where none was. Never fails."""
    pause: Callable[[], None] = lambda: None
    """Runs what an operator has planned for the last moment; NotDone if that went wrong."""


class Stayed(Exception):
    """The machine did not jump."""

    def __init__(
        self, op: Op, cause: BaseException, *, touched: bool, undo: BaseException | None = None
    ) -> None:
        """``touched``: FREEZE was called, and then cancel; ``undo`` is why cancel failed."""
        super().__init__(f"{op}: {cause!r}")
        self.op = op
        self.cause = cause
        self.touched = touched
        self.undo = undo


def jump(orchestrator: Orchestrator, agreed: State, steps: Steps) -> NoReturn:
    """Freeze and jump from state ``agreed``: prepared, found frozen, or at rest without moves.

    Leaves by :class:`Stayed` if the machine stays, by NotDone if a rule refuses.
    """
    try:
        _before(orchestrator, steps)
    except (Exception, KeyboardInterrupt, SystemExit):
        steps.resume()
        raise
    with signals_held_back():
        op, touched = Op.STATE, False
        try:
            now = orchestrator.state()
            if now is not agreed:
                raise NotDone(
                    f"The state was {agreed} and is now {now}: another tool acts on this host. "
                    "No kexec happened: look again."
                )
            # Without moves there is nothing to take back.
            touched = orchestrator.abilities.moves
            if now is State.PREPARED:
                op = Op.FREEZE
                orchestrator.move(Move.FREEZE)
            op = Op.KEXEC
            orchestrator.kexec.reboot()
        except (Exception, KeyboardInterrupt, SystemExit) as cause:
            if not touched:
                steps.resume()
                if isinstance(cause, NotDone):
                    raise
                raise Stayed(op, cause, touched=False) from cause
            # Before anything else that could fail, or take time.
            undo = _cancel(orchestrator)
            steps.resume()
            raise Stayed(op, cause, touched=True, undo=undo) from cause


def order(
    orchestrator: Orchestrator, agreed: State, steps: Steps, give: Callable[[], None]
) -> None:
    """Do all that comes before a jump from state ``agreed``, and ``give`` the order for it.

    Returns when the init system has taken it. Leaves by :class:`Stayed` if it did
    not, by NotDone if a rule refuses.
    """
    _before(orchestrator, steps)
    with signals_held_back():
        now = orchestrator.state()
        if now is not agreed:
            raise NotDone(
                f"The state was {agreed} and is now {now}: another tool acts on this host. "
                "Nothing was ordered: look again."
            )
        try:
            give()
        except (Exception, KeyboardInterrupt, SystemExit) as cause:
            raise Stayed(Op.ORDER, cause, touched=False) from cause


def _before(orchestrator: Orchestrator, steps: Steps) -> None:
    """Do what can still fail without a trace."""
    op = Op.STATE
    try:
        steps.check()
        op = Op.GUESTS
        steps.save()
        op = Op.SYNC
        orchestrator.kexec.sync()
        op = Op.JOURNAL
        steps.record()
        op = Op.LOAD
        steps.load()
        op = Op.TERMINAL
        steps.hand_back()
        op = Op.HOOK
        steps.pause()
    except (NotDone, ActFailed):
        raise
    except Exception as cause:
        raise Stayed(op, cause, touched=False) from cause


def _cancel(orchestrator: Orchestrator) -> BaseException | None:
    """Cancel; return why that failed. The kernel cancels by itself what a participant refused."""
    try:
        orchestrator.move(Move.CANCEL)
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        return error
    return None
