# SPDX-License-Identifier: MIT
"""The place of the guests: what is shown, what is asked, and when they are looked for."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from luo_tui.console import console as console_module
from luo_tui.console.console import Console
from luo_tui.console.screens import guests as place
from luo_tui.console.screens.guests import Guests
from luo_tui.console.screens.listing import Whole
from luo_tui.console.wishes import Wishes
from luo_tui.model import Guest, Work
from luo_tui.update.facts import Act, CameOver, GoesAlong, Stands
from luo_tui.update.guest_list import guest_list
from luo_tui.update.verdict import verdict
from tests.console.stage import Bench, flat, jump, load_and_prepare, press, settle, text

GIB = 1 << 30
WEB = Guest(40, "qemu-system-x86", ("memory-backend-memfd",), GIB, 50.0, "web1", is_qemu=True)
DB = Guest(41, "qemu-system-x86", (), 0, 60.0, "db1", is_qemu=True)


def show(app: Console, *guests: Guest, missing: tuple[str, ...] = (), **more: object) -> None:
    """Draw the console as it is where these guests run."""
    facts = app.view.facts._replace(**more)  # type: ignore[arg-type]
    found = guest_list(facts, Work(frozenset(), guests, missing=missing))
    app._look(replace(app.view, facts=facts, guests=found))


async def test_the_guests_of_the_host_are_listed(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert app.view.guests is None, "nobody looks at them"
        await press(pilot, "6")
        assert isinstance(app.screen, Guests)
        said = flat(app)
        assert "[6 guests]" in said
        assert "guests 3 carried" in said
        for name in ("guest-web1", "guest-db1", "guest-ci"):
            assert re.search(rf"ok {name} \S+ GiB process runs", said), said
        await press(pilot, "slash", *"memory>16g", "enter")
        assert "1 of 3" in flat(app)
        assert "guest-ci" not in text(app)
        await press(pilot, "escape", "1")
        assert app.view.guests is None, "nor again"


async def test_a_guest_that_would_be_lost_stands_first_with_the_reason(bench: Bench) -> None:
    bench.walk_to(Act.PREPARE).window.release()
    bench.host.guests["guest-late"] = Guest(2400, "cloud-hyperviso", ("guest-late",), GIB, 0.0)
    app = bench.console()
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        await press(pilot, "6")
        said = flat(app)
        assert "1 lost, 3 carried" in said
        assert said.index("guest-late") < said.index("guest-db1")
        assert "lost: a kexec ends them, as things stand" in said
        await press(pilot, "enter")
        assert "cancel (key c), have its memory preserved" in flat(app)
        await press(pilot, "escape", "k")
        assert "guest-late (cloud-hyperviso [2400])" in flat(app)


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (200, 60)])
async def test_what_was_not_asked_is_said_and_since_when_a_guest_is_paused(
    bench: Bench, size: tuple[int, int]
) -> None:
    app = bench.console()
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        await press(pilot, "6")
        along = GoesAlong("web1", 40, GIB, (90, 91), 1000.0)
        show(app, WEB, DB, armed=(along,), arms_guests=True)
        await pilot.pause(0)
        said = flat(app)
        assert "1 not asked, 1 armed" in said
        assert re.search(r"web1 1 GiB paused \d\d:\d\d:\d\d", said), said
        await press(pilot, "enter")
        assert "luo-tui guests check db1" in flat(app)
        await press(pilot, "escape")
        show(app, missing=("which guests run is known to root alone",), armed=())
        await pilot.pause(0)
        said = flat(app)
        assert "Whether a guest runs here is not known" in said
        assert "none seen" in said
        show(app)
        await pilot.pause(0)
        assert "No guest runs on this host" in flat(app)


async def test_a_guest_that_was_not_loaded_is_told_by_its_name(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        await press(pilot, "6")
        came = CameOver("web1", Stands.WAITS, 0.0, 40, GIB, 1000.0)
        show(app, DB, came_over=(came,), arms_guests=True)
        await pilot.pause(0)
        said = flat(app)
        assert "they were saved for the jump into this kernel, and stand still" in said
        assert said.index("web1") < said.index("db1")


async def test_enter_asks_qemu_in_a_thread(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def ask(pid: int) -> list[place.Row]:
        asked.append(pid)
        return [place.Row("can be carried", "by its rules")]

    monkeypatch.setattr(place, "_ask", ask)
    app = bench.console()
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        await press(pilot, "6")
        show(app, DB, arms_guests=True)
        await pilot.pause(0)
        screen = app.screen
        assert isinstance(screen, Guests)
        row = screen.listed.row
        assert row is not None
        assert screen.more_detail(row) is None, "a simulated guest has nobody to ask"
        screen.view = replace(app.view, demo=False)
        await press(pilot, "enter")
        assert isinstance(app.screen, Whole)
        await app.workers.wait_for_complete()
        await pilot.pause(0)
        assert asked == [41]
        assert "can be carried" in flat(app)


async def test_a_guest_that_is_not_carried_is_named_from_the_place_to_the_verdict(
    make: Callable[..., Bench],
) -> None:
    bench = make("guest-not-carried")
    load_and_prepare(bench)
    app = bench.console()
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        await press(pilot, "6")
        screen = app.screen
        assert isinstance(screen, Guests)
        assert screen.listed.shown[0].name == "guest-old1"
        assert "1 lost, 3 carried" in flat(app)
        await press(pilot, "k")
        assert "will be lost: guest-old1 (qemu-system-x86 [2290])." in flat(app)
    app.session.window.release()
    assert jump(bench)
    facts = bench.session().window.facts()
    assert facts.window_state is not None
    assert facts.window_state.ended_guests == ("guest-old1 (qemu-system-x86 [2290])",)
    judged = verdict(facts, bench.host.condition())
    assert judged is not None
    assert any("as it was agreed to: guest-old1" in reason.text for reason in judged.reasons)


async def test_a_guest_that_does_not_load_is_named_from_the_place_to_finish(
    make: Callable[..., Bench],
) -> None:
    bench = make("guest-does-not-load")
    load_and_prepare(bench)
    assert jump(bench)
    app = bench.console()
    async with app.run_test(size=(120, 50)) as pilot:
        await settle(pilot)
        await press(pilot, "6")
        said = flat(app)
        assert "guest-ci (token 2): a guest whose memory that is has not gone on (key 2)" in said
        assert "2 not yet" in said
        await press(pilot, "5")
        assert "1 resource not restored yet" in flat(app)
        await press(pilot, "f")
        assert "guest-ci (token 2)" in flat(app)
        assert "discard 1 unrestored" in flat(app)


def test_a_process_that_is_no_qemu_could_not_be_asked() -> None:
    rows = place._ask(1)
    assert rows
    assert all(row.text.startswith("QEMU could not be asked: ") for row in rows)


async def test_they_are_looked_for_again_while_the_place_is_in_front(
    make: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console_module, "_AGAIN", 0.05)
    monkeypatch.setattr("luo_tui.update.facts_reader._FRESH", 0.0)
    bench = make()
    app = bench.console(wishes=Wishes(place="guests"))
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        assert isinstance(app.screen, Guests)
        # Nobody notifies of it.
        bench.host.guests["guest-new"] = Guest(2400, "cloud-hyperviso", ("guest-new",), GIB, 0.0)
        while "guest-new" not in text(app):
            await pilot.pause(0.02)
        await press(pilot, "1")
        bench.host.end_process("guest-new")
        await press(pilot, "x")
        assert app.view.guests is None
