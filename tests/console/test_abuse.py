# SPDX-License-Identifier: MIT
"""The console under abuse: hostile names, a window that jumps about, a week of news, crashes."""

from __future__ import annotations

import gc
import itertools
import os
import re
import select
import threading
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import pytest
from textual.events import Resize
from textual.geometry import Size

from luo_tui.console.console import Console
from luo_tui.console.widgets.places import PLACES
from luo_tui.model import Device, Participant, Resource, ResourceState, Vitals
from luo_tui.monitor.log import MOST
from luo_tui.sources.changes import (
    Change,
    DeviceGone,
    DevicePut,
    KernelPrinted,
    KernelSaid,
    ParticipantPut,
    ResourceGone,
    ResourcePut,
    SourceAlive,
    SourceFailed,
    VitalsRead,
)
from tests.console.stage import Bench, flat, press, settle, text
from tests.console.test_terminal import assert_clean, console

HOSTILE = (
    b"\x1b]52;c;cm0gLXJmIC8=\x07",
    b"\x1b]0;a title\x07\x1b[2J\x1b[1;1H",
    b"\x9b31m\xc2\x9b32m\xc2\x9d0;c1\xc2\x9c",
    b"\r\n\t\b\x7f\x0e\x05\x1bc",
    b"\xff\xfe\xc3\x28 no utf-8",
    "\u202eevil\u2066\u200bzero\ufeffwidth\u200d\u2028line".encode(),
    b"a" + "\u0301".encode() * 120,
    "\u4e2d\u6587".encode() * 40,
    b"[bold red]markup[/] $error @click=app.quit",
    b"x" * 249,
    ("\U0001f468\u200d\U0001f469\u200d\U0001f467 \U000e0041").encode(),
)
"""Names that a memfd may have: 249 bytes at most, any but NUL."""

NAMED = """
import ctypes, os, sys, tempfile
from pathlib import Path
from luo_tui.console.app import run_console
from luo_tui.orchestrator.simulated import SimulatedHost, SimulatedOrchestrator

names = [bytes.fromhex(word) for word in sys.argv[1:]]
libc = ctypes.CDLL(None)
with tempfile.TemporaryDirectory() as folder:
    host = SimulatedHost.create(Path(folder))
    for name in names:
        libc.prctl(15, ctypes.c_char_p(name), 0, 0, 0)
        fd = libc.memfd_create(ctypes.c_char_p(name), 3)
        assert fd >= 0, name
        os.ftruncate(fd, 4096)
        host.preserve(fd)
    libc.prctl(15, b"python3", 0, 0, 0)
    sys.exit(run_console(SimulatedOrchestrator(host), Path(folder)))
"""


def shapes(written: bytes) -> set[str]:
    """Return the sorts of control that were written: sequences without their numbers."""
    words = written.decode()
    found = set()
    controls = re.compile(r"\x1b(?:\[[<>=?]?[0-9;:]*\$?[@-~]|.)|[\x00-\x1f\x7f-\x9f]", re.DOTALL)
    for match in controls.finditer(words):
        found.add(re.sub(r"[0-9;]+", "N", match[0]))
    rest = controls.sub("", words)
    return found | {f"{ord(c):x}" for c in rest if not c.isprintable()}


def written(names: Sequence[bytes], keys: str) -> tuple[set[str], str]:
    """Have a console show these names in every place; return what controls it wrote, and texts."""
    arguments = [name.hex() for name in names]
    with console(*arguments, code=NAMED, rows=40, cols=130, LANG="C.UTF-8") as t:
        t.record = bytearray()
        t.wait_for("Nothing is prepared")
        seen = t.text()
        for key in keys:
            t.send(key)
            t.pump(0.5)
            seen += t.text()
        t.send("\x1b")
        t.pump(0.5)
        t.send("q")
        assert t.wait_ended() == 0
        assert_clean(t)
        return shapes(bytes(t.record)), seen


def test_a_hostile_name_writes_nothing_but_text() -> None:
    keys = "".join(sorted(PLACES.values())) + "1?"
    harmless, _ = written([b"name-%d" % n for n in range(len(HOSTILE))], keys)
    hostile, seen = written(HOSTILE, keys)
    assert hostile <= harmless, hostile - harmless
    for shown in (r"\x1b]52;c;cm0gLXJmIC8=\x07", r"\xff\xfe", r"\u202eevil", "[bold red]markup"):
        assert shown in seen, shown
    assert all(c.isprintable() for c in seen.replace("\n", ""))


SIZES = ((1, 1), (20, 5), (80, 24), (300, 100), (59, 17), (1, 100), (300, 1), (120, 36), (60, 18))


@pytest.mark.parametrize("keys", [*PLACES.values(), "?", "colon", "w p", "t"])
async def test_a_window_that_jumps_about_is_right_afterwards(bench: Bench, keys: str) -> None:
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, *keys.split())
        before = text(app)
        for _ in range(3):
            for size in SIZES:
                await pilot.resize_terminal(*size)
        await pilot.resize_terminal(80, 24)
        await settle(pilot)
        assert text(app) == before
        assert app.is_running


async def test_the_last_size_is_drawn_by_a_console_that_was_held_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        before = text(app)
        await pilot.resize_terminal(1, 100)
        await settle(pilot)
        looks = itertools.count()
        # Between any two looks at the clock others had the processor for a second.
        monkeypatch.setattr("textual.timer._time.get_time", lambda: float(next(looks)))
        app.post_message(Resize(Size(80, 24), Size(80, 24)))
        await settle(pilot)
        assert text(app) == before


def test_a_window_that_is_dragged_shows_the_right_picture_afterwards() -> None:
    with console() as t:
        t.wait_for("Nothing is prepared")
        for key in sorted(PLACES.values()):
            t.send(key)
            t.wait_for(f"[{key} ")
            while t.pump(1):
                pass
            before = t.text()
            for n in range(60):
                columns, rows = SIZES[n % len(SIZES)]
                t.resize(rows, columns)
                t.pump(0.005)
            t.resize(24, 80)
            t._screen.reset()
            # Not every size on the way was seen: the last one is, and is drawn whole.
            t.send("ctrl+l")
            t.wait_for("q quit")
            end = time.monotonic() + 20
            while t.text() != before and time.monotonic() < end:
                t.pump(0.2)
            assert t.text() == before
        t.send("q")
        assert t.wait_ended() == 0
        assert_clean(t)


class Storm:
    """A source that has news without an end, of every sort."""

    name = "storm"
    events = select.POLLIN

    def __init__(self) -> None:
        self._fd = -1
        self.told = 0
        self.most = 0
        self.quiet = threading.Event()

    def fileno(self) -> int:
        return self._fd

    def reopen(self) -> None:
        self.close()
        self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def enumerate(self) -> Sequence[Change]:
        return ()

    def blow(self, events: int) -> None:
        """Tell that much more."""
        self.most = self.told + events
        self.quiet.clear()
        os.eventfd_write(self._fd, 1)

    def drain(self) -> Sequence[Change] | None:
        if self.told >= self.most:
            os.eventfd_read(self._fd)
            self.quiet.set()
            return ()
        changes: list[Change] = []
        for n in range(self.told, self.told + 20):
            token = 1000 + n % 97
            went = "restored" if n % 3 else "preserved"
            changes += [
                ResourcePut(Resource(token, "memfd", ResourceState(went), f"guest-{n}", n << 12)),
                ParticipantPut(Participant("pci-x", "pci", "x", "prepared" if n % 2 else "frozen")),
                DevicePut(Device(f"0000:{n % 31:02x}:00.0", "pci", driver=f"driver-{n % 7}")),
                VitalsRead(Vitals(8 << 30, n << 20, users=(f"user-{n % 5} on pts/{n % 3}",))),
                KernelSaid(f"luo: line {n}", grave=n % 9 == 0),
                KernelPrinted(),
                SourceFailed("other", "it died", float(n)) if n % 2 else SourceAlive("other"),
                ResourceGone(1000 + (n + 50) % 97),
                DeviceGone(f"0000:{(n + 9) % 31:02x}:00.0"),
            ]
        self.told += 20
        return changes

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


STEPS = int(os.environ.get("LUO_TUI_STORM", "15000"))
"""Rounds of nine changes; an ordinary week has fewer."""


@pytest.mark.extra
async def test_a_week_of_news_keeps_memory_flat(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    storm = Storm()
    session = bench.session()
    monkeypatch.setattr(type(session.orchestrator), "surroundings", lambda self: (storm,))
    app = Console(session)
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)

        async def blow(rounds: int) -> None:
            storm.blow(rounds)
            for word in PLACES.values():
                await pilot.press(word)
            while not storm.quiet.is_set():
                await pilot.pause(0.05)
            await settle(pilot)
            # A place that is not seen keeps what it had: each is brought up to date.
            await press(pilot, *PLACES.values())

        await blow(MOST // 4)
        assert len(app.hub.log.since(0)) == MOST, "the log is as full as it gets"
        gc.collect()
        tracemalloc.start()
        first = app.hub.log.last
        sizes = []
        for _ in range(3):
            await blow(STEPS // 3)
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0] >> 10)
        tracemalloc.stop()
        told = app.hub.log.last - first
        print(f"{told:,} events; KiB held: {sizes}")
        assert told > STEPS * 4
        # What was allocated before counts as nothing, and is replaced by what counts:
        # from the second part on it has to stay as it is, but for a copy of a table with
        # twenty thousand places; a third of the events, if they stayed, would be 9 MiB.
        assert sizes[2] - sizes[1] < 4096
        assert len(app.hub.log.since(0)) == MOST
        await press(pilot, "1")
        assert "guest-" in flat(app)


CRASH = """
import sys, tempfile
from pathlib import Path
from luo_tui.console.app import run_console
from luo_tui.console.screens.others import OTHERS
from luo_tui.orchestrator.simulated import SimulatedHost, SimulatedOrchestrator
from luo_tui.console.screens.overview import Overview
from luo_tui.console.screens.palette import Palette
from luo_tui.console.screens.target import TargetScreen
word = sys.argv[1]
kinds = {"palette": Palette, "target": TargetScreen, "overview": Overview, **OTHERS}
ordinary = kinds[word].draw
def broken(self, view):
    secret_here = "the secret of a local variable"
    if self.is_attached and (word != "overview" or view.snapshot.kexec.loaded):
        raise RuntimeError("drawn badly")
    ordinary(self, view)
kinds[word].draw = broken
with tempfile.TemporaryDirectory() as folder:
    host = SimulatedHost.create(Path(folder))
    sys.exit(run_console(SimulatedOrchestrator(host), Path(folder)))
"""
OPENED_BY = {"palette": ":", "target": "t", "overview": ""}


@pytest.mark.parametrize("word", sorted({*PLACES, *OPENED_BY}))
def test_a_crash_in_any_screen_leaves_the_terminal_clean(word: str, tmp_path: Path) -> None:
    with console(word, code=CRASH, XDG_STATE_HOME=str(tmp_path)) as t:
        t.wait_for("Nothing is prepared")
        if word == "overview":
            t.send("t")
            t.wait_for("runs now")
            t.send("enter")
            t.wait_for("[>] load")
            t.send("l")
            t.wait_for("loaded by this window")
            t.send("1")
        else:
            t.send(OPENED_BY.get(word) or PLACES[word])
        assert t.wait_ended() == 1
        assert_clean(t)
        assert "the console failed" in t.flat()
        assert "secret" not in t.flat()
        (report,) = (tmp_path / "luo-tui").iterdir()
        assert "drawn badly" in report.read_text()
        assert report.name in t.text().replace("\n", "")
