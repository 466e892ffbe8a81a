# SPDX-License-Identifier: MIT
"""A simulated host, consoles on it, and hands to drive them from a test."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from textual.events import Key
from textual.pilot import Pilot

from luo_tui.console.console import Console
from luo_tui.console.session import Session
from luo_tui.errors import ActFailed, NotDone
from luo_tui.model import Resource, ResourceState, Snapshot
from luo_tui.monitor.reading import reader
from luo_tui.orchestrator.simulated import (
    TARGET,
    SimulatedHost,
    SimulatedJump,
    SimulatedOrchestrator,
)
from luo_tui.update.consent import Consent
from luo_tui.update.facts import Act
from luo_tui.update.person import Person
from luo_tui.update.target import Target, read_target


class Bench:
    """One simulated host, and consoles on it."""

    def __init__(self, folder: Path, scenario: str = "default", delay: float = 0.0) -> None:
        self.folder = folder
        self.host = SimulatedHost.create(folder, scenario, delay)
        self.host.jump = None

    def session(self, *, may_act: bool = True, me: Person | None = None) -> Session:
        orchestrator = SimulatedOrchestrator(self.host, may_act=may_act)
        look = reader(orchestrator, orchestrator.surroundings())
        return Session(orchestrator, self.folder, look, me)

    def console(self, *, may_act: bool = True, me: Person | None = None, **more: Any) -> Console:
        return Console(self.session(may_act=may_act, me=me), **more)

    def walk_to(self, act: Act, session: Session | None = None) -> Session:
        """Do the acts up to and with ``act`` without a screen, as another console would."""
        session = session or self.session()
        image = session.targets(self.host.release)[0]
        kexec = session.orchestrator.kexec
        target = read_target(Path(image.path), kexec.modules_folder, kexec.command_line())
        assert isinstance(target, Target)
        for step in (Act.LOAD, Act.PREPARE):
            if step is Act.LOAD and session.window.facts(target).ours_is_loaded:
                continue
            session.do(Consent.to(step, session.window.facts(target)), target)
            if step is act:
                break
        return session


def load_and_prepare(bench: Bench) -> None:
    session = bench.session()
    images = {i.release: i for i in session.targets(bench.host.release)}
    session.choose(Path(images[TARGET].path))
    for act in (Act.LOAD, Act.PREPARE):
        view = session.view(session.window.facts().snapshot)
        session.do(Consent.to(act, view.facts), view.target)
    session.window.release()


def jump(bench: Bench) -> bool:
    """Try to jump as a console does, by all rules; return whether the machine did."""
    session = bench.session()
    view = session.view(session.window.facts().snapshot)
    assert view.target is not None
    consent = Consent.to(Act.KEXEC, view.facts, typed=bench.host.name)
    try:
        session.window.kexec(consent, view.target, lambda: None)
    except SimulatedJump:
        return True
    except (NotDone, ActFailed):
        return False
    finally:
        session.window.release()


def text(app: Console) -> str:
    """Return what is on the screen, line by line."""
    strips = app.screen._compositor.render_strips()
    return "\n".join(strip.text.rstrip() for strip in strips)


def flat(app: Console) -> str:
    """Return what is on the screen with all white space as single blanks."""
    return " ".join(text(app).split())


async def settle(pilot: Pilot[Any]) -> None:
    """Wait until no act is under way, the news of it has arrived, and everything is drawn.

    A picture on its way from the hub's thread may still be the one from before
    the act: only when what is drawn is what the machine says, three times
    running, is it quiet. Where a test keeps the two apart, that is given up
    after a while.
    """
    app = pilot.app
    assert isinstance(app, Console)
    calm, patience = 0, 100
    while app.is_running and calm < 3 and (app.under_way or patience > 0):
        await pilot.pause(0.01)
        calm = 0 if app.under_way or not app.viewer.idle or not _up_to_date(app) else calm + 1
        patience -= 1
    for _ in range(3):
        await pilot.pause(0.0)


async def shown(pilot: Pilot[Any], wanted: str) -> None:
    """Wait until a text is on the screen: what files tell comes when it comes."""
    app, end = pilot.app, time.monotonic() + 60
    assert isinstance(app, Console)
    while wanted not in flat(app):
        assert time.monotonic() < end, flat(app)
        await pilot.pause(0.02)


def _up_to_date(app: Console) -> bool:
    drawn, orchestrator = app.view.snapshot, app.session.orchestrator
    try:
        return (drawn.luo.state, drawn.kexec) == (orchestrator.state(), orchestrator.kexec.state())
    except OSError:
        return True


def see(app: Console, snapshot: Snapshot) -> None:
    """Let the hub have this picture as its latest one, and the console draw it."""
    app.hub._latest = snapshot
    app._look(app.session.view(snapshot))


async def press(pilot: Pilot[Any], *keys: str) -> None:
    """Press keys, each when everything before it has come to its end."""
    for key in keys:
        pilot.app.post_message(Key(_NAMES.get(key, key), key if len(key) == 1 else None))
        await settle(pilot)


_NAMES = {"-": "minus", "?": "question_mark", "!": "exclamation_mark"}


def many(count: int) -> tuple[Resource, ...]:
    """Make up resources."""
    return tuple(
        Resource(n, "memfd", ResourceState.PRESERVED, f"guest-{n}", n << 20, 1000 + n, "vmm")
        for n in range(count)
    )
