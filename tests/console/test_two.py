# SPDX-License-Identifier: MIT
"""Two consoles on one host: one acts, the other sees each step without a key, and may take over."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from luo_tui.console import Console
from luo_tui.model import State
from luo_tui.screens.asking import AskAct
from luo_tui.screens.notice import Notice
from luo_tui.screens.walk import WalkScreen
from luo_tui.window.owner import Who
from tests.console.stage import Bench, flat, press, settle, text

ANN = Who("ann", "pts/1", "192.0.2.7", 11)
BOB = Who("bob", "pts/2", "", 12)
SIZE = (120, 60)


@contextlib.asynccontextmanager
async def opened(app: Console) -> AsyncIterator[Pilot[Any]]:
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        yield pilot


async def seen(pilot: Pilot[Any], *words: str) -> None:
    """Wait until all of it is on the screen; a second is all it may take on an idle machine."""
    await until(pilot, lambda: all(w in flat(pilot.app) for w in words))  # type: ignore[arg-type]


async def until(pilot: Pilot[Any], what: Callable[[], bool]) -> None:
    for _ in range(500):
        if what():
            return
        await pilot.pause(0.01)
    raise AssertionError(f"did not come:\n{text(pilot.app)}")  # type: ignore[arg-type]


async def test_a_watcher_sees_each_step_without_a_key(bench: Bench) -> None:
    ann, bob = bench.console(me=ANN), bench.console(me=BOB)
    async with opened(ann) as acts, opened(bob) as watches:
        await press(watches, "w")
        screen = bob.screen
        await press(acts, "w", "t", "enter", "l")
        await seen(
            watches,
            "open in another console: ann on pts/1 from 192.0.2.7 (pid 11). You are watching.",
            "load; done",
            "7.3.4-hv",
        )
        await press(acts, "p")
        await seen(watches, "now: asked to confirm: prepare")
        await press(acts, "escape")
        await seen(watches, "now: nothing is under way or asked")
        await press(acts, "p", "tab", "enter")
        await seen(watches, "prepare; done, prepared", "confirmed: Prepare: normal -> prepared")
        await seen(acts, "prepare; done, prepared", "confirmed: Prepare: normal -> prepared")
        await press(acts, "k")
        await seen(watches, "asked to confirm: freeze and kexec")
        assert bob.screen is screen, "the watcher's screen stays"
        await press(watches, "k")
        assert bob.screen is screen
        assert "ann on pts/1" in text(bob).splitlines()[-3]
        await press(acts, "escape", "c", "tab", "enter")
        await until(watches, lambda: "You are watching" not in flat(bob))
        await seen(watches, "Nothing is prepared.", "closed; cancelled")


async def test_choosing_a_target_is_seen_too(bench: Bench) -> None:
    ann, bob = bench.console(me=ANN), bench.console(me=BOB)
    async with opened(ann) as acts, opened(bob) as watches:
        await press(acts, "w", "t", "enter", "l", "t")
        await seen(watches, "now: choosing the target")
        await press(acts, "enter")
        await seen(watches, "now: target chosen: 7.3.4-hv")


async def test_a_gone_owners_window_is_taken_over(bench: Bench) -> None:
    ann, bob = bench.console(me=ANN), bench.console(me=BOB)
    async with opened(ann) as acts, opened(bob) as watches:
        await press(acts, "w", "t", "enter", "l", "p", "tab", "enter")
        await press(watches, "w")
        ann.desk.window._rest()  # as the kernel does for a console that dies
        await seen(watches, "To act, take it over: key o.")
        before = {p.name: p.read_bytes() for p in (bench.folder / "windows").iterdir()}
        for key in "ckt":
            await press(watches, key)
            assert isinstance(bob.screen, WalkScreen), key
            assert "take it over first" in flat(bob)
        assert bob.desk.window.owner() is None
        await press(watches, "o")
        assert isinstance(bob.screen, AskAct)
        shown = flat(bob)
        assert "Take over the window of ann on pts/1 (gone)" in shown
        assert "> [ Take nothing over ]" in shown
        assert "last held by ann on pts/1 from 192.0.2.7 (pid 11)" in shown
        assert "It stands before: freeze and kexec." in shown
        assert "The kernel's state is now: prepared." in shown
        await press(watches, "escape")
        after = {p.name: p.read_bytes() for p in (bench.folder / "windows").iterdir()}
        assert after == before, "so far nothing was written"
        await press(watches, "o", "tab", "enter")
        assert bob.desk.window.mine
        await seen(watches, "taken; from ann on pts/1", "key k")
        await seen(acts, "You had this window; bob on pts/2 (pid 12) has taken it over.")
        await press(acts, "c")
        assert isinstance(ann.screen, WalkScreen)
        assert bench.host.state is State.PREPARED
        await press(watches, "c", "tab", "enter")
        assert bench.host.state is State.NORMAL


async def test_taking_over_is_refused_when_somebody_was_faster(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from luo_tui.window.walk import Act

    bench.walk_to(Act.PREPARE, bench.desk(me=ANN)).window._rest()
    bob, eve = bench.console(me=BOB), bench.desk(me=Who("eve", "pts/3", "", 13))
    async with opened(bob) as pilot:
        await press(pilot, "o")
        question = bob.screen
        assert isinstance(question, AskAct)
        # The news is still on its way to the screen when the answer is given.
        monkeypatch.setattr(bob.hub, "_wake", lambda: None)
        view = eve.view(bob.hub.read_now())
        asked = eve.ask(view, Act.TAKE_OVER)
        assert asked is not None
        eve.do(asked.consent(), None)
        assert eve.window.mine
        await pilot.press("tab", "enter")
        await until(pilot, lambda: not isinstance(bob.screen, AskAct) or question.stale)
        await settle(pilot)
        if isinstance(bob.screen, Notice):
            assert "open in another console: eve on pts/3" in flat(bob)
        else:
            assert "Nothing was done." in flat(bob)
        assert not bob.desk.window.mine
        assert bench.host.state is State.PREPARED


async def test_who_may_not_act_only_sees_that_the_owner_is_gone(bench: Bench) -> None:
    from luo_tui.window.walk import Act

    bench.walk_to(Act.PREPARE, bench.desk(me=ANN)).window._rest()
    app = bench.console(may_act=False, me=BOB)
    async with opened(app) as pilot:
        await press(pilot, "w", "o")
        assert isinstance(app.screen, WalkScreen)
        assert "left open by ann on pts/1" in flat(app)
        assert app.desk.window.owner() is None
        assert not app.desk.window.mine
