# SPDX-License-Identifier: MIT
"""Two consoles on one host: one acts, the other sees each step without a key, and may take over."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from textual.pilot import Pilot

from luo_tui.console.console import Console
from luo_tui.console.screens.asking import GRACE, AskAct
from luo_tui.console.screens.walk import WalkScreen
from luo_tui.model import State
from luo_tui.update.facts import Act
from luo_tui.update.person import Person
from tests.console.stage import Bench, flat, press, settle, text

ANN = Person("ann", "pts/1", "192.0.2.7", 11)
BOB = Person("bob", "pts/2", "", 12)


class Seat:
    """One operator at one console. It runs in a task of its own: Textual knows one app a task."""

    def __init__(self, app: Console) -> None:
        self.app = app
        self._wanted: asyncio.Queue[tuple[Work, asyncio.Future[Any]] | None] = asyncio.Queue()

    async def run(self) -> None:
        async with self.app.run_test(size=(120, 60)) as pilot:
            await settle(pilot)
            while (job := await self._wanted.get()) is not None:
                work, answer = job
                try:
                    answer.set_result(await work(pilot))
                except BaseException as error:
                    answer.set_exception(error)

    async def do(self, work: Work) -> Any:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._wanted.put_nowait((work, answer))
        return await answer

    async def press(self, *keys: str) -> str:
        """Press keys; return what is on the screen then."""

        async def work(pilot: Pilot[Any]) -> str:
            await press(pilot, *keys)
            return flat(self.app)

        return str(await self.do(work))

    async def until(self, what: Callable[[], bool]) -> str:
        """Wait, with no key pressed; return what is on the screen then."""

        async def work(pilot: Pilot[Any]) -> str:
            for _ in range(500):
                if what():
                    return flat(self.app)
                await pilot.pause(0.01)
            raise AssertionError(f"did not come:\n{text(self.app)}")

        return str(await self.do(work))

    async def sees(self, *words: str) -> str:
        return await self.until(lambda: all(w in flat(self.app) for w in words))

    def leave(self) -> None:
        self._wanted.put_nowait(None)


Work = Callable[[Pilot[Any]], Awaitable[Any]]


@contextlib.asynccontextmanager
async def seats(*apps: Console) -> AsyncIterator[list[Seat]]:
    taken = [Seat(app) for app in apps]
    async with asyncio.TaskGroup() as group:
        for seat in taken:
            group.create_task(seat.run())
        try:
            yield taken
        finally:
            for seat in taken:
                seat.leave()


def written(bench: Bench) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in (bench.folder / "windows").iterdir()}


async def test_a_watcher_sees_each_step_without_a_key(bench: Bench) -> None:
    async with seats(bench.console(me=ANN), bench.console(me=BOB)) as (ann, bob):
        await bob.press("w")
        screen = bob.app.screen
        await ann.press("w", "t", "enter", "l")
        await bob.sees(
            "open in another console: ann on pts/1 from 192.0.2.7 (pid 11). You are watching.",
            "load; done",
            "7.3.4-hv",
        )
        await ann.press("p")
        await bob.sees("now: asked to confirm: prepare")
        await ann.press("escape")
        await bob.sees("now: nothing is under way or asked")
        await ann.press("p", "tab", "enter")
        for seat in (ann, bob):
            await seat.sees("prepare; done, prepared", "confirmed: Prepare: normal -> prepared")
        await ann.press("k")
        await bob.sees("asked to confirm: freeze and kexec")
        assert bob.app.screen is screen, "the watcher's screen stays"
        assert "The window is open in another console: ann on pts/1" in await bob.press("k")
        assert bob.app.screen is screen
        await ann.press("escape", "c", "tab", "enter")
        after = await bob.sees("Nothing is prepared.", "closed; cancelled")
        assert "You are watching" not in after


async def test_choosing_a_target_is_seen_too(bench: Bench) -> None:
    async with seats(bench.console(me=ANN), bench.console(me=BOB)) as (ann, bob):
        await ann.press("w", "t", "enter", "l", "t")
        await bob.sees("now: choosing the target")
        await ann.press("enter")
        await bob.sees("now: target chosen: 7.3.4-hv")


async def test_a_gone_owners_window_is_taken_over(bench: Bench) -> None:
    async with seats(bench.console(me=ANN), bench.console(me=BOB)) as (ann, bob):
        await ann.press("w", "t", "enter", "l", "p", "tab", "enter")
        await bob.press("w")
        ann.app.session.window.release()  # as the kernel does for a console that dies
        await bob.sees("To act, take it over: key o.")
        before = written(bench)
        for key in "ckt":
            assert "take it over first" in await bob.press(key)
            assert isinstance(bob.app.screen, WalkScreen), key
        assert bob.app.session.window.holder() is None
        shown = await bob.press("o")
        assert isinstance(bob.app.screen, AskAct)
        assert "Take over the window of ann on pts/1 (gone)" in shown
        assert "> [ Take nothing over ]" in shown
        assert "last held by ann on pts/1 from 192.0.2.7 (pid 11)" in shown
        assert "It stands before: freeze and kexec." in shown
        assert "The kernel's state is now: prepared." in shown
        await bob.press("escape")
        assert written(bench) == before, "so far nothing was written"
        await bob.press("o", "tab", "enter")
        assert bob.app.session.window.mine
        await bob.sees("taken; from ann on pts/1", "key k")
        await ann.sees("You had this window; bob on pts/2 (pid 12) has taken it over.")
        await ann.press("c")
        assert isinstance(ann.app.screen, WalkScreen)
        assert bench.host.state is State.PREPARED
        await bob.press("c", "tab", "enter")
        assert bench.host.state is State.NORMAL


async def test_taking_over_is_refused_when_somebody_was_faster(bench: Bench) -> None:
    bench.walk_to(Act.PREPARE, bench.session(me=ANN)).window.release()
    eve = bench.session(me=Person("eve", "pts/3", "", 13))
    async with seats(bench.console(me=BOB)) as (bob,):
        await bob.press("o")
        asked = eve.ask(eve.view(bob.app.hub.read_now()), Act.TAKE_OVER)
        assert asked is not None
        eve.do(asked.consent(), None)
        await bob.sees("There is nothing to take over any more. Nothing was done: look again.")
        await asyncio.sleep(GRACE)
        await bob.press("tab", "enter")
        assert not bob.app.session.window.mine
        assert eve.window.mine
        await bob.press("escape")
        await bob.sees("open in another console: eve on pts/3 (pid 13)")


async def test_who_may_not_act_only_sees_that_the_owner_is_gone(bench: Bench) -> None:
    bench.walk_to(Act.PREPARE, bench.session(me=ANN)).window.release()
    before = written(bench)
    async with seats(bench.console(may_act=False, me=BOB)) as (bob,):
        shown = await bob.press("w", "o")
        assert isinstance(bob.app.screen, WalkScreen)
        assert "left open by ann on pts/1" in shown
        assert "take it over" not in shown
        assert bob.app.session.window.holder() is None
        assert not bob.app.session.window.mine
    assert written(bench) == before
