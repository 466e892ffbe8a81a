# SPDX-License-Identifier: MIT
"""What settings say of the console: where it opens, and whether it rings."""

from __future__ import annotations

import pytest

from luo_tui.console.console import Console
from luo_tui.console.screens.devices import Devices
from luo_tui.console.screens.notice import Notice
from luo_tui.console.wishes import Wishes
from luo_tui.model import Resource, ResourceState, State
from luo_tui.orchestrator.simulated import SimulatedHost
from luo_tui.update.facts import Act
from tests.console.stage import Bench, press, see, settle, text


@pytest.fixture
def rung(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Count the bells."""
    bells: list[None] = []
    monkeypatch.setattr(Console, "bell", lambda self: bells.append(None))
    return bells


async def test_it_opens_where_it_is_wanted(bench: Bench) -> None:
    app = bench.console(wishes=Wishes(place="devices"))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert isinstance(app.screen, Devices)
        await press(pilot, "1")
        assert "[1 overview]" in text(app)


@pytest.mark.parametrize("bell", [True, False])
async def test_it_rings_when_an_act_ends(bench: Bench, rung: list[None], bell: bool) -> None:
    bench.walk_to(Act.LOAD).window.release()
    app = bench.console(wishes=Wishes(bell=bell))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "p")
        assert rung == []
        await press(pilot, "tab", "enter")
        assert bench.host.state is State.PREPARED
        # What does nothing to the host does not ring.
        await press(pilot, "2", "?", "escape")
        assert len(rung) == bell


async def test_it_rings_when_an_act_fails(
    bench: Bench, rung: list[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.walk_to(Act.LOAD).window.release()
    app = bench.console(wishes=Wishes(bell=True))

    def refuse(self: SimulatedHost, *_: object) -> None:
        raise OSError(16, "Device or resource busy")

    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        monkeypatch.setattr(SimulatedHost, "move", refuse)
        await press(pilot, "p", "tab", "enter")
        assert isinstance(app.screen, Notice)
        assert len(rung) == 1


async def test_it_rings_when_all_is_restored(bench: Bench, rung: list[None]) -> None:
    bench.host.state = State.UPDATED
    app = bench.console(wishes=Wishes(bell=True))
    left = Resource(7, "memfd", ResourceState.INCOMING, "guest-left", 1 << 20, 9, "vmm")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        before = app.view.snapshot
        for one, bells in ((left, 0), (None, 1)):
            resources = before.resources.changed({left.token: one})
            see(app, before._replace(resources=resources))
            await pilot.pause()
            assert len(rung) == bells
