# SPDX-License-Identifier: MIT
"""Runs the console, again and again: the application, and between two of them the jump.

The kexec is not done inside Textual. The application ends with a request for
it; the hub's thread is stopped and the terminal handed back; then the machine
jumps. If it does not, the console opens again and says why.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from luo_tui.console.console import Console, KexecRequest, Left
from luo_tui.console.crash_report import keep_report
from luo_tui.console.mouse import is_safe_for_mouse
from luo_tui.console.session import Session
from luo_tui.console.shutdown import RESET, Shutdown
from luo_tui.console.wishes import Wishes
from luo_tui.errors import ActFailed, Exit, NotDone
from luo_tui.monitor.reading import reader
from luo_tui.orchestrator import Orchestrator
from luo_tui.update.open_window import Purpose
from luo_tui.update.person import Person
from luo_tui.update.plan import BadPlan, Plan
from luo_tui.update.wording import before_jump


def run_console(
    orchestrator: Orchestrator,
    folder: Path,
    log: Path | None = None,
    wishes: Wishes | None = None,
    plan: tuple[Plan, str] | None = None,
    purpose: Purpose | None = None,
    *,
    only_look: bool = False,
) -> int:
    """Run the console until the operator leaves, or the machine jumps. Returns an exit code.

    With ``only_look`` nothing is done from it, whoever asks.
    Events are appended to ``log`` as well; OSError if it cannot be opened.
    """
    wishes = wishes or Wishes()
    if not (sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty()):
        raise NotDone(
            "The console needs a terminal as its input, output and error; "
            "`luo-tui status` does not.",
            Exit.NO_TERMINAL,
        )
    look = reader(orchestrator, orchestrator.surroundings())
    try:
        session = Session(orchestrator, folder, look, plan=plan)
        session.window.purpose = purpose or Purpose()
        if only_look:
            session.window.only_look()
    except BadPlan as wrong:
        raise NotDone(str(wrong), Exit.USAGE) from wrong
    if wishes.mouse is None:
        wishes = replace(wishes, mouse=is_safe_for_mouse(Person.here(), os.environ))
    notice: tuple[str, ...] = ()
    with Shutdown() as shutdown:
        while True:
            ending, wishes = _session(session, notice, shutdown, wishes, log)
            if isinstance(ending, int):
                return ending
            if isinstance(ending, Left):
                _print((*ending.lines, RESET))
                return shutdown.code if shutdown.asked else Exit.OK
            notice = _jump(session, ending, shutdown)
            if shutdown.asked:
                _print((*notice, *session.window.leave("told to leave"), RESET))
                return shutdown.code


def _session(
    session: Session,
    notice: Sequence[str],
    shutdown: Shutdown,
    wishes: Wishes,
    log: Path | None,
) -> tuple[KexecRequest | Left | int, Wishes]:
    """Run the application once; a number is the exit code of a crash.

    Returns the wishes as the operator left them as well: a console that comes
    after a jump which did not happen has the same theme and place.
    """
    app = Console(session, notice, shutdown, wishes)
    if log is not None:
        app.hub.log.write_to(log)
    fault: BaseException | None = None
    ending = None
    try:
        ending = app.run(mouse=bool(wishes.mouse))
    except Exception as error:
        shutdown.restore_terminal()
        fault = error
    finally:
        app.hub.stop()
        shutdown.unattend()
    if ending is not None:
        return ending, replace(wishes, theme=app.theme, place=app.place)
    path = keep_report(app.fault or fault or "The console ended without a reason.")
    said = session.window.leave("the console failed")
    _print(("luo-tui: the console failed; the kernel's state is untouched.", _report_at(path)))
    _print((*said, RESET))
    return Exit.FAILED, wishes


def _jump(session: Session, request: KexecRequest, shutdown: Shutdown) -> tuple[str, ...]:
    """Jump, with the terminal handed back; returns what to tell if it did not happen."""
    running = session.orchestrator.host().release
    target = request.target.image.release

    def hand_back() -> None:
        if shutdown.asked:
            raise OSError(errno.ECANCELED, os.strerror(errno.ECANCELED))
        sys.stdout.flush()

    # A simulated jump ends no login.
    afterwards = "" if session.orchestrator.demo else "sudo luo-tui"
    _print((RESET, *before_jump(running, target, afterwards)))
    try:
        session.window.kexec(request.consent, request.target, hand_back)
    except ActFailed as failed:
        if isinstance(failed.__cause__, OSError | MemoryError):
            return failed.lines()
        return (*failed.lines(), *_own_error(failed.__cause__ or failed))
    except NotDone as refused:
        return (refused.reason,)
    except Exception as error:
        return _own_error(error)


def _own_error(error: BaseException) -> tuple[str, ...]:
    path = keep_report(error)
    return (
        f"luo-tui made an error of its own before the jump: {error!r}.",
        _report_at(path),
        "What counts is the state that the console shows now.",
    )


def _report_at(path: str) -> str:
    return f"Report: {path}" if path else "No report could be written."


def _print(lines: Sequence[str]) -> None:
    try:
        for line in lines:
            print(line, flush=True)
    except OSError:
        return
