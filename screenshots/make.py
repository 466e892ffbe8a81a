# SPDX-License-Identifier: MIT
"""Draws the pictures in this folder from the program as it is, on the simulated host.

    python3 screenshots/make.py [FOLDER]

The same program gives the same files, byte for byte: clock, process and folder
are fixed. No root and no kernel are needed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
import time
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
os.environ.pop("NO_COLOR", None)
os.environ.update({"COLORTERM": "truecolor", "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"})
os.environ["TZ"] = "UTC"
time.tzset()

from recording import Frame, recording, without_fonts  # noqa: E402
from textual.events import Key  # noqa: E402
from textual.pilot import Pilot  # noqa: E402

from luo_tui.console.console import Console  # noqa: E402
from luo_tui.console.session import Session  # noqa: E402
from luo_tui.console.widgets.places import PLACES  # noqa: E402
from luo_tui.model import Stamps  # noqa: E402
from luo_tui.monitor.hub import Hub  # noqa: E402
from luo_tui.orchestrator.simulated import (  # noqa: E402
    SimulatedHost,
    SimulatedJump,
    SimulatedOrchestrator,
)
from luo_tui.update.person import Person  # noqa: E402

SMALL, WIDE, VAST = (80, 24), (120, 36), (200, 60)
WHO = Person("root", "ttyS0", "", 812)
STAMPS = Stamps(
    tsc_khz=1_000_000,
    prepare_begin=1_000_000_000,
    prepare_end=1_212_000_000,
    freeze_begin=41_000_000_000,
    freeze_end=41_006_400_000,
    jump=41_089_000_000,
    arrived=42_301_000_000,
)


class Noon(datetime):
    """A clock that stands still."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Noon:
        """Return always the same moment."""
        return cls(2026, 1, 15, 12, 0, 0, tzinfo=tz or UTC)


def _morning() -> float:
    return Noon.now().timestamp() - 26 * 86_400


async def press(pilot: Pilot[Any], *keys: str) -> None:
    """Press keys, each when everything before it has come to its end."""
    app: Any = pilot.app
    for key in keys:
        name = {"-": "minus"}.get(key, key)
        app.post_message(Key(name, key if len(key) == 1 else None))
        for _ in range(3):
            await pilot.pause(0.0)
        while app.under_way and app.is_running:
            await pilot.pause(0.01)
    await settle(app, pilot)


async def settle(app: Console, pilot: Pilot[Any]) -> None:
    """Wait until everything has been read anew, and is drawn."""
    if app.is_running:
        await asyncio.to_thread(app.hub.wait_refreshed)
    drawn = ""
    while app.is_running and drawn != (drawn := picture(app)):
        await pilot.pause(0.1)


def console(host: SimulatedHost, folder: Path) -> Console:
    """Open a console on the simulated host."""
    orchestrator = SimulatedOrchestrator(host)
    return Console(Session(orchestrator, folder, Hub(orchestrator, lambda: None).read_now))


def take(app: Console, out: Path, name: str) -> None:
    """Write what is on the screen, with its size in the name."""
    size = f"{app.size.width}x{app.size.height}"
    (out / f"{name}-{size}.svg").write_text(picture(app))


def picture(app: Console) -> str:
    """Return what is on the screen."""
    return without_fonts(app.export_screenshot(title="luo-tui"))


async def tour(app: Console, pilot: Pilot[Any], out: Path, ending: str = "") -> None:
    """Take a picture of each place."""
    for place, key in PLACES.items():
        await press(pilot, key)
        take(app, out, f"{place}{ending}")


async def draw(out: Path) -> None:
    """Walk through an update, and take a picture at each place worth one."""
    folder = Path("demo-hv")
    host = SimulatedHost.create(folder)
    host.boot_id, host.jump = "boot-1", None

    with patch.dict(os.environ, {"NO_COLOR": "1"}):
        app = console(host, folder)
        async with app.run_test(size=SMALL) as pilot:
            await tour(app, pilot, out, "-mono")

    app = console(host, folder)
    async with app.run_test(size=SMALL) as pilot:
        await press(pilot, "x", "w", "t")
        take(app, out, "targets")
        await press(pilot, "enter", "l")
        await tour(app, pilot, out)
        await press(pilot, "colon")
        take(app, out, "palette")
        await press(pilot, "escape", "question_mark")
        take(app, out, "help")
        await press(pilot, "escape")
        await pilot.resize_terminal(*WIDE)
        await tour(app, pilot, out)
        await pilot.resize_terminal(*VAST)
        await tour(app, pilot, out)
        await pilot.resize_terminal(*SMALL)
        await press(pilot, "p")
        take(app, out, "prepare")
        await press(pilot, "tab", "enter", "k", "tab", *"demo-hv")
        take(app, out, "kexec")
        await press(pilot, "tab", "enter")
    request: Any = app.return_value
    with contextlib.suppress(SimulatedJump):
        app.session.window.kexec(request.consent, request.target, lambda: None)
    app.session.window.release()  # what the jump does to the process that made it
    host.boot_id, host.stamps = "boot-2", STAMPS

    app = console(host, folder)
    async with app.run_test(size=SMALL) as pilot:
        await press(pilot, "x")
        take(app, out, "updated")


async def record(out: Path) -> None:
    """Walk through an update, and make one moving picture of it.

    No picture shows the events of a move: which of them come in one reading, and
    so in which order they stand, is another matter each time.
    """
    folder = Path("recorded/demo-hv")
    host = SimulatedHost.create(folder)
    host.boot_id, host.jump = "boot-1", None
    frames: list[Frame] = []

    app = console(host, folder)
    async with app.run_test(size=WIDE) as pilot:
        for keys, seconds in (
            (("x",), 3),
            (("5", "t"), 3),
            (("enter", "l"), 3),
            (("p",), 4),
            (("tab", "enter", "2"), 3),
            (("k",), 4),
            (("tab", *"demo-hv"), 3),
        ):
            await press(pilot, *keys)
            frames.append(Frame(picture(app), seconds))
        await press(pilot, "tab", "enter")
    request: Any = app.return_value
    with contextlib.suppress(SimulatedJump):
        app.session.window.kexec(request.consent, request.target, lambda: None)
    app.session.window.release()
    host.boot_id, host.stamps = "boot-2", STAMPS

    app = console(host, folder)
    async with app.run_test(size=WIDE) as pilot:
        await press(pilot, "x")
        frames.append(Frame(picture(app), 3))
        host.restore_for_agents()
        await press(pilot, "5")
        frames.append(Frame(picture(app), 4))
        await press(pilot, "f")
        frames.append(Frame(picture(app), 3))
        await press(pilot, "tab", "enter", "7")
        frames.append(Frame(picture(app), 4))
    (out / "update.svg").write_text(recording(frames))


def main() -> None:
    """Draw into the folder that was named, or into this one."""
    out = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else HERE
    kernels = {**vars(time), "time": Noon.now().timestamp}
    fixed = (
        patch("luo_tui.update.journal.datetime", Noon),
        patch("luo_tui.update.lock.datetime", Noon),
        patch.object(Person, "here", lambda: WHO),
        patch("luo_tui.monitor.log.time", SimpleNamespace(time=Noon.now().timestamp)),
        patch("luo_tui.orchestrator.simulated.machinery.time", SimpleNamespace(time=_morning)),
        patch("luo_tui.orchestrator.simulated.kernel.time", SimpleNamespace(**kernels)),
        patch("luo_tui.orchestrator.simulated.host._boottime", lambda: 300.0),
    )
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as standing:
        for one in fixed:
            standing.enter_context(one)
        os.chdir(folder)
        asyncio.run(draw(out))
        asyncio.run(record(out))
        os.chdir(HERE)


if __name__ == "__main__":
    main()
