# SPDX-License-Identifier: MIT
"""Watching, taking over, being interrupted: who may act, and what an act under way forbids."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from luo_tui.console.console import Console, Left
from luo_tui.console.screens.notice import Notice
from luo_tui.console.screens.overview import Overview
from luo_tui.console.screens.walk import WalkScreen
from luo_tui.errors import Exit, NotDone
from luo_tui.model import State
from luo_tui.update.consent import Consent
from luo_tui.update.facts import Act
from tests.console.stage import Bench, flat, press, see, settle, text


async def until(pilot: Pilot[Any], what: Callable[[], bool], seconds: float = 5) -> None:
    """Wait for something that another thread does."""
    for _ in range(int(seconds / 0.02)):
        if what():
            return
        await pilot.pause(0.02)
    raise AssertionError(f"did not come:\n{text(pilot.app)}")  # type: ignore[arg-type]


async def test_without_privilege_all_is_shown_and_nothing_can_be_pressed(bench: Bench) -> None:
    app = bench.console(may_act=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert "sudo luo-tui" in text(app)
        assert "guest-web1" in text(app)
        assert "load" not in text(app).splitlines()[-1]
        await press(pilot, "w")
        for key in "tlpkcfu":
            await press(pilot, key)
            assert isinstance(app.screen, WalkScreen), key
        assert "Acting needs root: sudo luo-tui" in text(app)
        await press(pilot, "q")
    assert app.return_value == Left(())
    assert not (bench.folder / "windows").exists(), "a watcher writes nothing"


async def test_a_second_console_watches_and_follows(bench: Bench) -> None:
    watcher = bench.console()
    async with watcher.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        session = bench.walk_to(Act.LOAD)
        # Loading an image changes no state of the kernel: the journal's folder tells of it.
        await until(pilot, lambda: "open in another console" in flat(watcher))
        await until(pilot, lambda: "7.3.4-hv, loaded by the window of " in flat(watcher))
        assert "You are watching." in flat(watcher)
        await press(pilot, "w", "p")
        assert isinstance(watcher.screen, WalkScreen)
        assert "The window is open in another console" in flat(watcher)
        bench.walk_to(Act.PREPARE, session)
        await until(pilot, lambda: "PREPARED" in text(watcher))
        session.window.release()  # its console dies
        await until(pilot, lambda: "You are watching" not in flat(watcher))
        await press(pilot, "c", "tab", "enter")
        assert bench.host.state is State.NORMAL


async def test_a_console_killed_after_prepare_is_picked_up(bench: Bench) -> None:
    bench.walk_to(Act.PREPARE).window.release()
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert "Window opened by" in flat(app)
        await press(pilot, "w")
        assert "[>] freeze and kexec  next" in text(app)
        assert "loaded by this window" in flat(app)
        await press(pilot, "k", "tab", *"demo-hv", "tab", "enter")
    assert app.return_value is not None


async def test_a_host_found_frozen_can_go_both_ways(bench: Bench) -> None:
    bench.walk_to(Act.PREPARE).window.release()
    bench.host.state = State.FROZEN
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert "found frozen" in flat(app)
        assert "k freeze and kexec" in text(app)
        await press(pilot, "c", "tab", "enter")
        assert bench.host.state is State.NORMAL


async def test_an_image_that_somebody_else_loaded_is_said(bench: Bench) -> None:
    bench.host.image = "7.9.9-foreign"
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert "loaded by somebody else" in flat(app)
        assert "an ordinary reboot may kexec into it" in flat(app)
        await press(pilot, "p")
        assert "Load the target kernel first." in text(app)


async def test_leaving_unloads_our_image_and_says_so(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "w", "t", "enter", "l", "q")
    assert app.return_value == Left(("The kernel image was unloaded.",))
    assert not bench.host.image


class Slow:
    """A host whose prepare waits until it is told to go on."""

    def __init__(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()
        ordinary = bench.host._prepare

        def prepare(host: object) -> None:
            self.begun.set()
            assert self.go_on.wait(10)
            ordinary()

        monkeypatch.setattr(type(bench.host), "_prepare", prepare)


async def begin_prepare(pilot: Pilot[Any], slow: Slow) -> Console:
    app = pilot.app
    assert isinstance(app, Console)
    await press(pilot, "w", "t", "enter", "l", "p", "tab")
    await pilot.press("enter")
    await until(pilot, slow.begun.is_set)
    return app


async def test_nothing_can_be_left_or_begun_while_an_act_runs(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(bench, monkeypatch)
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await begin_prepare(pilot, slow)
        for key, said in (
            ("q", "Under way: prepare. Leaving waits until it has ended."),
            ("ctrl+q", "Under way: prepare. Leaving waits until it has ended."),
            ("ctrl+z", "Ctrl+Z stops nothing here."),
            ("u", "Under way: prepare. One thing at a time."),
            ("t", "Under way: prepare. One thing at a time."),
        ):
            await pilot.press(key)
            await pilot.pause(0.01)
            assert said in text(app), key
            assert isinstance(app.screen, WalkScreen)
        await pilot.press("ctrl+c")
        assert app.is_running
        slow.go_on.set()
        await settle(pilot)
        assert bench.host.state is State.PREPARED
        assert "Done: Prepare: normal -> prepared." in flat(app)


async def test_an_error_that_nobody_foresaw_is_shown(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("[red]surprise[/]")

    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "w", "t", "enter")
        monkeypatch.setattr(app.session.window, "load", broken)
        monkeypatch.setenv("XDG_STATE_HOME", str(bench.folder / "state"))
        await press(pilot, "l")
        assert isinstance(app.screen, Notice)
        assert "RuntimeError('[red]surprise[/]')" in flat(app)
        assert list((bench.folder / "state" / "luo-tui").iterdir())
        await press(pilot, "enter")
        assert isinstance(app.screen, WalkScreen)
        assert not app.under_way


async def test_a_dead_source_keeps_its_last_data_and_says_since_when(bench: Bench) -> None:

    from luo_tui.model import SourceHealth

    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        ill = SourceHealth("resources", "No such device", 1.0)
        see(app, app.view.snapshot._replace(health={"resources": ill}))
        await settle(pilot)
        assert "resources: not live since" in flat(app)
        assert "No such device" in flat(app)
        assert "guest-web1" in text(app)
        assert isinstance(app.screen, Overview)


async def test_root_can_open_it_to_look_only(bench: Bench) -> None:
    session = bench.session()
    session.window.only_look()
    app = Console(session)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "w", "t")
        assert "only looks" in flat(app)
        for key in ("l", "p", "k", "c", "f", "u", "o"):
            await press(pilot, key)
        assert bench.host.state is State.NORMAL
    facts = session.window.facts()
    consent = Consent.to(Act.CANCEL, facts)
    with pytest.raises(NotDone, match="opened with --read-only") as refused:
        session.window.cancel(consent)
    assert refused.value.code == Exit.NOT_PERMITTED
    assert not (bench.folder / "windows").exists()
