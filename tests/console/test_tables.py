# SPDX-License-Identifier: MIT
"""Resources, devices and events as an operator meets them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from textual.pilot import Pilot

from luo_tui.console.console import Console
from luo_tui.console.screens.events import Events, Export
from luo_tui.console.screens.listing import ListingPlace, Whole
from luo_tui.console.widgets import table as table_module
from luo_tui.console.widgets.table import Table
from luo_tui.model import Participant, Resource, Resources, ResourceState
from luo_tui.monitor.event_text import events_of
from luo_tui.sources.changes import KernelSaid
from tests.console.stage import Bench, flat, many, press, settle, text


def put(app: Console, *resources: Resource) -> None:
    old = app.view.snapshot
    app._look(replace(old, resources=old.resources.changed({r.token: r for r in resources})))


async def resources_of(app: Console, pilot: Pilot[Any], *some: Resource) -> Table[Resource]:
    """Go to the resources, with these alone."""
    await settle(pilot)
    app._look(replace(app.view.snapshot, resources=Resources(some)))
    await press(pilot, "2")
    return app.screen.query_one(Table)


def line_of(app: Console, word: str) -> str:
    return next(line for line in text(app).splitlines() if word in line)


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (170, 50), (60, 18)])
async def test_each_place_fits(make: Callable[..., Bench], size: tuple[int, int]) -> None:
    app = make().console()
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        for key in "2345":
            await press(pilot, key)
            lines = text(app).splitlines()
            assert len(lines) <= size[1]
            assert all(cell_len(line) <= size[0] for line in lines)
            assert "[" + key in lines[-2]
            assert "quit" in lines[-1]


async def test_ten_thousand_rows(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        table = await resources_of(app, pilot, *many(10_000))
        assert "10,000 preserved" in flat(app)
        await press(pilot, "end")
        assert "guest-9999" in text(app)
        assert table.row is not None
        assert table.row.token == 9999
        await press(pilot, "home")
        assert line_of(app, "guest-0").startswith(" >")


async def test_the_cursor_stays_on_its_row(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        table = await resources_of(app, pilot, *many(50)[10:])
        await press(pilot, "down", "down", "down")
        assert table.cursor == 13
        at = next(n for n, line in enumerate(text(app).splitlines()) if "guest-13" in line)
        app._look(replace(app.view.snapshot, resources=Resources(many(50)[5:])))
        await settle(pilot)
        assert table.cursor == 13
        assert text(app).splitlines()[at + 5 - round(table.scroll_y)].startswith(" >")
        await press(pilot, "s", "S")
        assert table.cursor == 13
        assert line_of(app, "guest-13").startswith(" >")
        app._look(replace(app.view.snapshot, resources=Resources(many(13))))
        await settle(pilot)
        assert table.cursor in range(13)


async def test_sorting_says_by_what(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        table = await resources_of(app, pilot, *many(30))
        await press(pilot, "s")
        assert "tokenv" in flat(app)
        await press(pilot, "S")
        assert "token^" in flat(app)
        assert table.listing.order[0] == 29
        head = next(n for n, line in enumerate(text(app).splitlines()) if "token^" in line)
        column = text(app).splitlines()[head].index("size")
        await pilot.click(offset=(column, head))
        await settle(pilot)
        assert "sizev" in flat(app)
        assert table.listing.order[0] == 0


async def test_a_filter_narrows_while_it_is_typed_and_stays(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        table = await resources_of(app, pilot, *many(200))
        await press(pilot, "slash", *"guest-19")
        assert "11 of 200" in flat(app)
        await press(pilot, "enter", "down")
        assert app.focused is table
        assert len(table.listing.order) == 11
        put(app, Resource(500, "memfd", ResourceState.PRESERVED, "guest-19x"))
        await settle(pilot)
        assert "12 of 201" in flat(app)
        await press(pilot, "1", "2")
        assert "12 of 201" in flat(app)
        await press(pilot, "escape")
        assert len(table.listing.order) == 201
        assert "Filter" not in text(app)
        await press(pilot, "slash", *"colour:red")
        assert "no field here" in flat(app)
        assert "Nothing passes the filter." in text(app)
        await press(pilot, "escape", "escape")
        assert "[1 overview]" in text(app)


async def test_a_letter_in_the_filter_is_no_act(bench: Bench) -> None:
    bench.walk_to("prepare").window._rest()  # type: ignore[arg-type]
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "2", "slash", *"ckfpluq1")
        assert isinstance(app.screen, ListingPlace)
        assert bench.host.state == "prepared"


async def test_what_changed_is_marked_for_a_while(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_module, "MARKED", 0.3)
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        table = await resources_of(app, pilot, *many(5))
        assert table._timer is None
        put(app, replace(many(3)[2], bytes=7), Resource(9, "memfd", ResourceState.PRESERVED, "x9"))
        await settle(pilot)
        assert re.match(r" [> ]\* ", line_of(app, "guest-2"))
        assert re.match(r" [> ]\+ ", line_of(app, "x9"))
        await pilot.pause(0.6)
        assert re.match(r" [> ]  ", line_of(app, "guest-2"))
        assert re.match(r" [> ]  ", line_of(app, "x9"))
        assert table._timer is None, "a timer is left where nothing is marked"


async def test_details_follow_the_cursor(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        lost = Resource(7, "memfd", ResourceState.INCOMING, "cache", 5 << 20, 42, "agent", 9)
        refused = replace(lost, token=8, state=ResourceState.PRESERVED, result=5)
        await resources_of(app, pilot, *many(2), lost, refused)
        await press(pilot, "down", "down")
        assert "finish discards it unless somebody restores it before" in flat(app)
        await press(pilot, "down", "enter")
        assert isinstance(app.screen, Whole)
        assert "REFUSED the latest prepare or freeze (EIO)" in flat(app)
        assert "5,242,880 bytes" in flat(app)
        await press(pilot, "escape")
        assert isinstance(app.screen, ListingPlace)


HOSTILE = (
    "\x1b[2J\x1b]52;c;ZXZpbA==\x07",
    "a\u202eb\u200bc\u2066",
    "仮想" * 80,
    "e\u0301" * 60,
    "[red]markup[/] $(x)",
    "x" * 255,
)


async def test_hostile_names_keep_their_columns(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        some = [
            Resource(n, name[:9], ResourceState.PRESERVED, name, 1, 2, name)
            for n, name in enumerate(HOSTILE)
        ]
        await resources_of(app, pilot, *some)
        lines = text(app).splitlines()
        first = next(n for n, line in enumerate(lines) if "token kind" in line)
        for number, line in enumerate(lines[first + 1 : first + 1 + len(HOSTILE)]):
            assert "\x1b" not in line
            assert cell_len(line) <= 80
            assert line[4:11].strip() == str(number), line
        for _ in HOSTILE:
            await press(pilot, "down", "enter", "escape")


async def test_devices_stand_in_groups_and_headings_are_passed_over(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "3")
        shown = text(app)
        assert shown.index("bound to vfio: a guest") < shown.index("will be reset, IN USE: ")
        assert "loses it" in flat(app)
        table = app.screen.query_one(Table)
        seen = [table.cursor]
        while True:
            await press(pilot, "down")
            if table.cursor == seen[-1]:
                break
            seen.append(table.cursor)
        assert seen == table.listing.order
        await press(pilot, "s", "s")
        assert "a guest uses them" not in text(app)
        await press(pilot, "slash", *"fate:takes")
        assert "of" in flat(app)
        assert len(table.listing.order) >= 1


async def test_a_device_that_comes_to_take_part_moves_to_its_group(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        await press(pilot, "3")
        old = app.view.snapshot
        nvme = next(d for d in old.devices.values() if d.driver == "nvme" and d.users)
        part = Participant(f"pci-{nvme.id}", "pci", nvme.id, "registered", driver="nvme")
        before = text(app).index(nvme.id)
        app._look(replace(old, participants={**old.participants, part.id: part}))
        await settle(pilot)
        await press(pilot, "end")
        assert nvme.id in text(app)
        assert text(app).rindex(nvme.id) > before


def happen(app: Console, *words: str) -> None:
    app.hub.log.add(events_of(app.view.snapshot, [KernelSaid(w, grave="BAD" in w) for w in words]))
    app._look(replace(app.view.snapshot, events=app.hub.log.last))


async def test_events_follow_the_end_unless_one_looks_back(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "4")
        happen(app, *(f"luo: line {n}" for n in range(100)))
        await settle(pilot)
        assert line_of(app, "luo: line 99").startswith(" >")
        await press(pilot, "pageup")
        there = app.screen.query_one(Table).cursor
        happen(app, "luo: BAD end")
        await settle(pilot)
        assert app.screen.query_one(Table).cursor == there
        assert "; 1 grave" in flat(app)
        await press(pilot, "end")
        assert re.match(r" >\+ ! \d\d:\d\d:\d\d\.\d{3} kernel", line_of(app, "BAD end"))


async def test_events_are_copied_and_written(bench: Bench, tmp_path: Path) -> None:
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "4")
        happen(app, "luo: one", "luo: BAD two", "luo: three")
        await settle(pilot)
        await press(pilot, "slash", *"luo", "enter", "Y")
        copied = app.clipboard.splitlines()
        assert len(copied) == 3
        assert "3 events sent" in flat(app)
        await press(pilot, "y")
        assert app.clipboard.endswith("luo: three")
        await press(pilot, "e")
        assert isinstance(app.screen, Export)
        path = tmp_path / "events.txt"
        app.screen.query_one("#path").value = str(path)  # type: ignore[attr-defined]
        await press(pilot, "enter")
        assert isinstance(app.screen, Events)
        assert path.read_text().splitlines() == copied
        await press(pilot, "e")
        app.screen.query_one("#path").value = str(path)  # type: ignore[attr-defined]
        await press(pilot, "enter")
        assert "exists already" in flat(app)
        assert path.read_text().splitlines() == copied
        await press(pilot, "escape")


async def test_one_changed_row_is_all_that_is_drawn(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        table = await resources_of(app, pilot, *many(1000))
        drawn: list[int] = []
        render = table.render_line

        def counted(y: int) -> Any:
            drawn.append(y)
            return render(y)

        table.render_line = counted  # type: ignore[method-assign]
        put(app, replace(many(4)[3], bytes=1))
        await settle(pilot)
        assert set(drawn) == {4}
        drawn.clear()
        put(app, replace(many(900)[899], bytes=1))
        app._look(replace(app.view.snapshot, seq=10_000))
        await settle(pilot)
        assert drawn == []


async def test_places_survive_any_size(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await resources_of(app, pilot, *many(300))
        for key in "2345":
            await press(pilot, key)
            before = text(app)
            for size in ((1, 1), (20, 5), (300, 100), (1, 40), (80, 24)):
                await pilot.resize_terminal(*size)
                await settle(pilot)
            assert text(app) == before
