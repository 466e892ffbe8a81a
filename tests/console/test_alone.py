# SPDX-License-Identifier: MIT
"""What acts counts only as a key that came alone; what does no harm counts at once."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import pytest
from textual.pilot import Pilot

from luo_tui.console.alone import ignored, wants_quiet
from luo_tui.console.console import KexecRequest
from luo_tui.console.keyboard import Key
from luo_tui.console.screens.asking import AskAct
from luo_tui.console.screens.events import Export
from luo_tui.console.screens.help import Help
from luo_tui.console.screens.kexec import AskKexec
from luo_tui.console.screens.notice import Notice
from luo_tui.console.screens.overview import Overview
from luo_tui.console.screens.palette import Palette
from luo_tui.console.screens.target import TargetScreen
from luo_tui.console.screens.walk import WalkScreen
from luo_tui.console.widgets.choices import Choices
from luo_tui.model import State
from luo_tui.orchestrator.simulated import SimulatedOrchestrator
from luo_tui.update.facts import Act
from tests.console.stage import Bench, flat, press, settle
from tests.console.test_questions import KEYS, ready_for

CHARACTERS = {"tab": "\t", "enter": "\r"}


async def strike(pilot: Pilot[Any], key: str) -> Future[bool]:
    """Press a key of which it is not known yet whether it came alone."""
    alone: Future[bool] = Future()
    character = CHARACTERS.get(key, key if len(key) == 1 else None)
    pilot.app.post_message(Key(key, character, alone))
    await settle(pilot)
    return alone


async def strike_alone(pilot: Pilot[Any], *keys: str) -> None:
    for key in keys:
        (await strike(pilot, key)).set_result(True)
        await settle(pilot)


async def strike_in_burst(pilot: Pilot[Any], *keys: str) -> None:
    struck = [await strike(pilot, key) for key in keys]
    for alone in struck:
        alone.set_result(False)
    await settle(pilot)


@pytest.mark.parametrize("act", list(KEYS))
async def test_the_key_of_an_act(bench: Bench, act: Act) -> None:
    ready_for(act, bench)
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        alone = await strike(pilot, KEYS[act])
        assert isinstance(app.screen, Overview), "it waits for the quiet moment"
        alone.set_result(False)
        await settle(pilot)
        assert isinstance(app.screen, Overview)
        assert ignored(KEYS[act], alone=False) in flat(app)
        await strike_alone(pilot, KEYS[act])
        assert isinstance(app.screen, AskAct)


async def test_load_and_unload(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "t", "enter")
        await strike_in_burst(pilot, "l")
        assert not SimulatedOrchestrator(bench.host).kexec.state().loaded
        assert "Key l was ignored: it came within a burst" in flat(app)
        await strike_alone(pilot, "l")
        assert SimulatedOrchestrator(bench.host).kexec.state().loaded
        await strike_in_burst(pilot, "u")
        assert SimulatedOrchestrator(bench.host).kexec.state().loaded
        await strike_alone(pilot, "u")
        assert not SimulatedOrchestrator(bench.host).kexec.state().loaded


@pytest.mark.parametrize("key", ["q", "ctrl+q", "ctrl+backslash", "t"])
async def test_leaving_and_the_target(bench: Bench, key: str) -> None:
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await strike_in_burst(pilot, key)
        assert app.is_running
        assert isinstance(app.screen, Overview)
        assert ignored(key, alone=False) in flat(app)
        await strike_alone(pilot, key)
        assert isinstance(app.screen, TargetScreen) if key == "t" else not app.is_running


async def test_a_yes(bench: Bench) -> None:
    ready_for(Act.PREPARE, bench)
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "p")
        await strike_in_burst(pilot, "tab", "enter")
        assert isinstance(app.screen, AskAct)
        assert "Key Enter was ignored" in flat(app)
        assert bench.host.state is State.NORMAL
        await strike_alone(pilot, "enter")
        assert bench.host.state is State.PREPARED


async def test_a_no_counts_at_once(bench: Bench) -> None:
    ready_for(Act.PREPARE, bench)
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        for no in ("enter", "escape"):
            await press(pilot, "p")
            await strike(pilot, no)
            assert isinstance(app.screen, Overview), no


async def test_what_failed_is_acknowledged_at_once(bench: Bench) -> None:
    app = bench.console(notice=("It failed.",))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert isinstance(app.screen, Notice)
        await strike(pilot, "enter")
        assert isinstance(app.screen, Overview)


async def test_moving_about_counts_at_once(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await strike(pilot, "w")
        assert isinstance(app.screen, WalkScreen)
        await strike(pilot, "colon")
        assert isinstance(app.screen, Palette)


async def test_the_hosts_name_may_come_in_one_burst_and_the_yes_may_not(bench: Bench) -> None:
    ready_for(Act.KEXEC, bench)
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "k")
        await strike_in_burst(pilot, "tab", *"demo-hv", "tab", "enter")
        assert isinstance(app.screen, AskKexec)
        assert app.screen.typed == "demo-hv"
        assert "Key Enter was ignored" in flat(app)
        await strike_alone(pilot, "enter")
    assert isinstance(app.return_value, KexecRequest)


async def test_what_the_palette_does_and_the_target_list_chooses(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await strike_in_burst(pilot, "colon", *"leave", "enter")
        assert isinstance(app.screen, Palette), "Enter was ignored, the text was not"
        assert "Key Enter was ignored" in flat(app)
        await strike_in_burst(pilot, "down", "enter")
        assert isinstance(app.screen, Palette)
        await press(pilot, "escape", "t")
        assert isinstance(app.screen, TargetScreen)
        await strike_in_burst(pilot, "enter")
        assert isinstance(app.screen, TargetScreen)
        await strike_alone(pilot, "enter")
        assert isinstance(app.screen, WalkScreen)


async def test_the_palettes_list_with_the_focus_wants_the_key_alone(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "t", "enter", "colon")
        await strike_in_burst(pilot, "tab", "enter")
        assert isinstance(app.screen, Palette)
        assert not SimulatedOrchestrator(bench.host).kexec.state().loaded
        # Struck while the palette is being opened, the list's own Enter is what is run.
        assert wants_quiet("select", app.screen.query_one(Choices), app.screen)
        await strike_alone(pilot, "enter")
        assert SimulatedOrchestrator(bench.host).kexec.state().loaded


async def test_a_dialog_ends_once_and_takes_no_other_screen_along(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "w", "colon")
        palette = app.screen
        assert isinstance(palette, Palette)
        await press(pilot, "tab", "question_mark")
        assert isinstance(app.screen, Help)
        palette.dismiss("")
        await settle(pilot)
        assert isinstance(app.screen, Help), "what is in front has been ended"
        app.screen.dismiss(None)
        app.screen.dismiss(None)
        palette.dismiss("app.quit")
        await settle(pilot)
        assert isinstance(app.screen, WalkScreen)
        assert app.is_running


async def test_a_file_is_written_by_a_key_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(bench.folder))
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "4")
        await strike_in_burst(pilot, "e", "enter")
        assert isinstance(app.screen, Export)
        assert not list(bench.folder.glob("luo-tui-events-*"))
        await strike_alone(pilot, "enter")
        assert list(bench.folder.glob("luo-tui-events-*"))


async def test_a_filter_takes_a_burst(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "2")
        await strike_in_burst(pilot, "slash", *"qlp", "enter")
        assert "Filter: qlp" in flat(app)
        assert "ignored" not in flat(app)
        assert app.is_running


async def test_a_key_that_waited_too_long_does_nothing_elsewhere(bench: Bench) -> None:
    ready_for(Act.PREPARE, bench)
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        alone = await strike(pilot, "p")
        await press(pilot, "?")
        alone.set_result(True)
        await settle(pilot)
        assert not isinstance(app.screen, AskAct)
        assert ignored("p", alone=True) in flat(app)
