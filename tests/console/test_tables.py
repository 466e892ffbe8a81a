# SPDX-License-Identifier: MIT
"""Resources, devices and events as an operator meets them."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from textual.pilot import Pilot

from luo_tui.console.console import Console
from luo_tui.console.filter import parse
from luo_tui.console.screens import devices as devices_module
from luo_tui.console.screens import events as events_module
from luo_tui.console.screens.events import Events, Export, write_new
from luo_tui.console.screens.listing import ListingPlace, Whole
from luo_tui.console.screens.resources import Resources as ResourcesPlace
from luo_tui.console.widgets import pick_table
from luo_tui.console.widgets.pick_table import PickTable
from luo_tui.console.widgets.presenter import action_rows
from luo_tui.console.widgets.table import Head
from luo_tui.errors import NotDone
from luo_tui.model import (
    Event,
    Host,
    LuoState,
    Participant,
    Resource,
    Resources,
    ResourceState,
    Snapshot,
    State,
)
from luo_tui.monitor.event_text import EventDraft, events_of
from luo_tui.sources.changes import KernelSaid
from luo_tui.update.facts import Act, Facts
from luo_tui.update.walk import walk
from tests.console.stage import Bench, flat, many, press, see, settle, text


def put(app: Console, *resources: Resource) -> None:
    old = app.view.snapshot
    see(app, old._replace(resources=old.resources.changed({r.token: r for r in resources})))


async def resources_of(app: Console, pilot: Pilot[Any], *some: Resource) -> PickTable[Resource]:
    """Go to the resources, with these alone."""
    await settle(pilot)
    see(app, app.view.snapshot._replace(resources=Resources(some)))
    await press(pilot, "2")
    return app.screen.query_one(PickTable)


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
        see(app, app.view.snapshot._replace(resources=Resources(many(50)[5:])))
        await settle(pilot)
        assert table.cursor == 13
        assert text(app).splitlines()[at + 5 - round(table.scroll_y)].startswith(" >")
        await press(pilot, "s", "S")
        assert table.cursor == 13
        assert line_of(app, "guest-13").startswith(" >")
        see(app, app.view.snapshot._replace(resources=Resources(many(13))))
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
        assert "no field 'colour' here" in flat(app)
        assert "Nothing passes the filter." in text(app)
        await press(pilot, "escape", "escape")
        assert "[1 overview]" in text(app)


async def test_what_a_filter_doubts_leaves_room_for_what_is_typed(bench: Bench) -> None:
    app = bench.console()
    typed = "kind:memfd colours:red"
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "2", "slash", *typed)
        assert f"Filter: {typed}" in text(app)
        assert "no fi" in text(app)


async def test_a_letter_in_the_filter_is_no_act(bench: Bench) -> None:
    bench.walk_to("prepare").window.release()  # type: ignore[arg-type]
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "2", "slash", *"ckfpluq1")
        assert isinstance(app.screen, ListingPlace)
        assert bench.host.state == "prepared"


async def test_what_changed_is_marked_for_a_while(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pick_table, "MARKED", 0.3)
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        table = await resources_of(app, pilot, *many(5))
        assert table._timer is None
        put(app, many(3)[2]._replace(bytes=7), Resource(9, "memfd", ResourceState.PRESERVED, "x9"))
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
        refused = lost._replace(token=8, state=ResourceState.PRESERVED, result=5)
        await resources_of(app, pilot, *many(2), lost, refused)
        # What would be lost stands first.
        await press(pilot, "home")
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
        table = app.screen.query_one(PickTable)
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
        see(app, old._replace(participants={**old.participants, part.id: part}))
        await settle(pilot)
        await press(pilot, "end")
        assert nvme.id in text(app)
        assert text(app).rindex(nvme.id) > before


def happen(app: Console, *words: str) -> None:
    app.hub.log.add(events_of(app.view.snapshot, [KernelSaid(w, grave="BAD" in w) for w in words]))
    see(app, app.view.snapshot._replace(events=app.hub.log.last))


async def test_events_follow_the_end_unless_one_looks_back(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "4")
        happen(app, *(f"luo: line {n}" for n in range(100)))
        await settle(pilot)
        assert line_of(app, "luo: line 99").startswith(" >")
        await press(pilot, "pageup")
        there = app.screen.query_one(PickTable).cursor
        happen(app, "luo: BAD end")
        await settle(pilot)
        assert app.screen.query_one(PickTable).cursor == there
        assert ", 1 serious (! goes to the next)" in flat(app)
        await press(pilot, "!")
        row = app.screen.query_one(PickTable).row
        assert row is not None
        assert row.text == "luo: BAD end"
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


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("~nosuchuser/x", "no such user"),
        ("events.txt", "type the whole path, from / on"),
        ("", "No path is typed."),
        ("/", "Nothing was written"),
        ("/nonexistent/x", "No such file or directory. Nothing was written"),
        ("/dev/null", "exists already"),
        ("/proc/x", "Nothing was written"),
    ],
)
async def test_a_path_that_cannot_be_written_is_said(bench: Bench, typed: str, said: str) -> None:
    app = bench.console()
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        await press(pilot, "4", "e")
        app.screen.query_one("#path").value = typed  # type: ignore[attr-defined]
        await press(pilot, "enter")
        assert isinstance(app.screen, Export)
        assert said in flat(app)
        await press(pilot, "escape")
        assert isinstance(app.screen, Events)


def test_a_file_that_is_not_whole_is_said_to_be_so() -> None:
    said = "No space left on device. The file is not whole"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", _full)
        with pytest.raises(NotDone, match=said):
            write_new("/tmp/never", [Event(1, 0.0, "kernel", "x" * 100_000)])


def _full(*_: object, **__: object) -> Any:
    return open("/dev/full", "w")  # noqa: PTH123


async def test_more_than_a_clipboard_takes_is_not_copied(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "4")
        happen(app, *(f"luo: line {n}" for n in range(5000)))
        await settle(pilot)
        await press(pilot, "Y")
        assert "Nothing was copied" in flat(app)
        assert app.clipboard == ""


def drop_after(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Have so few events kept."""
    monkeypatch.setattr(events_module, "MOST", most)


async def test_the_oldest_events_go_and_the_cursor_stays_on_its_row(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop_after(monkeypatch, 40)
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "4")
        happen(app, *(f"luo: line {n:03}" for n in range(100)))
        await settle(pilot)
        table = app.screen.query_one(PickTable)
        assert len(table.listing.order) == 40
        await press(pilot, "pageup", "pageup")
        there = table.cursor
        at = next(n for n, line in enumerate(text(app).splitlines()) if line.startswith(" >"))
        for n in range(100, 110):
            happen(app, f"luo: line {n:03}")
            await settle(pilot)
            assert table.cursor == there
            assert text(app).splitlines()[at].startswith(" >"), "what is read does not move"
            assert table._lines == table._with_heads()
        assert "the oldest" in flat(app)
        # Its own row goes in the end, and the cursor to what is the oldest then.
        happen(app, *(f"luo: line {n:03}" for n in range(110, 160)))
        await settle(pilot)
        assert table.cursor == min(table.listing.rows)
        assert line_of(app, f"line {160 - 40:03}").startswith(" >")


async def test_each_day_has_its_heading_whatever_goes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop_after(monkeypatch, 30)
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "4", "slash", *"-7", "enter")
        table = app.screen.query_one(PickTable)
        for n in range(120):
            app.hub.log.add([EventDraft("kernel", f"luo: {n}", at=1.8e9 + n * 9_000)])
            see(app, app.view.snapshot._replace(events=app.hub.log.last))
            assert table._lines == table._with_heads()
        await settle(pilot)
        assert sum(isinstance(line, Head) for line in table._lines) >= 3


async def test_an_event_costs_no_look_at_those_before_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        happen(app, *(f"luo: line {n}" for n in range(20_500)))
        await press(pilot, "4")
        table = app.screen.query_one(PickTable)
        looked: list[int] = []

        def head(event: Event) -> str:
            looked.append(event.number)
            return events_module.day(event)

        table._head = head
        for typed in ("", "line"):
            if typed:
                await press(pilot, "slash", *typed, "enter")
                await arranged(pilot, table)
            looked.clear()
            happen(app, f"luo: line more{typed}")
            await settle(pilot)
            assert line_of(app, f"line more{typed}").startswith(" >+")
            assert len(looked) < 10


async def arranged(pilot: Pilot[Any], table: PickTable[Any]) -> None:
    """Wait until the table shows what was asked for."""
    while table.listing.arranging:
        await pilot.pause(0.01)
    await settle(pilot)


async def test_no_long_list_is_formatted_by_the_thread_that_draws(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = threading.get_ident()
    formatted = {True: 0, False: 0}

    def counted(resource: Resource) -> str:
        formatted[threading.get_ident() == here] += 1
        return resource.name

    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        table = await resources_of(app, pilot, *many(10_000))
        table._columns = tuple(
            replace(c, text=counted) if c.title == "name" else c for c in table._columns
        )
        await press(pilot, "slash", *"guest-99")
        await arranged(pilot, table)
        assert "111 of 10,000" in flat(app)
        await press(pilot, "enter", *["s"] * 6)
        assert "namev" in flat(app)
        await arranged(pilot, table)
        assert table.listing.order[:2] == [99, 990]
        put(app, many(100)[99]._replace(name="another"))
        await settle(pilot)
        assert "110 of 10,000" in flat(app)
        await press(pilot, "escape")
        await arranged(pilot, table)
        assert len(table.listing.order) == 10_000
        # Twenty keys, each of which may draw what is in view; never all of them.
        assert formatted[True] < 1000
        assert formatted[False] >= 10_000


async def test_a_row_that_comes_while_a_filter_is_worked_out_is_there(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        table = await resources_of(app, pilot, *many(5000))
        table.narrow(parse("guest-1", ResourcesPlace.FIELDS))
        table.show({**table.listing.rows, 9999: many(1)[0]})
        table.show({**table.listing.rows, 9998: many(1)[0]._replace(name="guest-1-late")})
        await arranged(pilot, table)
        assert 9998 in table.listing.order
        assert 9999 not in table.listing.order
        assert len(table.listing.order) == 1111 + 1


async def test_udev_is_not_asked_by_the_thread_that_draws(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    answer = threading.Event()
    here = threading.get_ident()

    def details(id_: str) -> Sequence[tuple[str, str]]:
        asked.append(threading.get_ident() == here)
        answer.wait(10)
        if len(asked) > 1:
            raise OSError(5, "Input/output error")
        return [("ID_MODEL", f"a model of {id_}")]

    monkeypatch.setattr(devices_module, "device_details", details)
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        app.view = replace(app.view, demo=False)
        app._draw()
        await press(pilot, "3", "enter")
        assert isinstance(app.screen, Whole)
        assert "Being read ..." in flat(app)
        answer.set()
        await pilot.pause(0.2)
        await press(pilot, "end")
        assert "a model of 0000:" in flat(app)
        await press(pilot, "escape", "enter")
        await pilot.pause(0.2)
        assert "More could not be read" in flat(app)
    assert asked == [False, False]


async def test_details_that_were_not_to_be_seen_are_those_of_now(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=(170, 50)) as pilot:
        await resources_of(app, pilot, *many(30))
        await pilot.resize_terminal(80, 24)
        await settle(pilot)
        put(app, many(1)[0]._replace(name="a name that takes " + "many lines " * 12))
        await press(pilot, "down", "up")
        await pilot.resize_terminal(170, 50)
        await settle(pilot)
        assert "many lines many lines" in flat(app)
        assert "pages" in flat(app).partition("a name that takes")[2]
        assert "which preserved it" in flat(app)


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
        put(app, many(4)[3]._replace(bytes=1))
        await settle(pilot)
        assert set(drawn) == {4}
        drawn.clear()
        put(app, many(900)[899]._replace(bytes=1))
        see(app, app.view.snapshot._replace(seq=10_000))
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


def arrived(count: int, *left: int) -> tuple[Resource, ...]:
    """Make up resources that came over; those ``left`` were not restored."""
    return tuple(
        r._replace(state=ResourceState.INCOMING if r.token in left else ResourceState.RESTORED)
        for r in many(count)
    )


async def test_what_was_not_restored_stands_first_and_is_counted_once(
    make: Callable[..., Bench],
) -> None:
    app = make().console()
    async with app.run_test(size=(100, 30)) as pilot:
        table = await resources_of(app, pilot, *arrived(10_000, 7, 9_990))
        assert [r.token for r in table.shown[:4]] == [7, 9_990, 0, 1]
        assert "2 not restored" in flat(app)
        assert "9990" in line_of(app, "guest-9990").split(), "its token is not cut"
        put(app, *arrived(8)[7:])
        assert [r.token for r in table.shown[:4]] == [9_990, 0, 1, 2]
        await press(pilot, "1")
        assert text(app).index("guest-9990") < text(app).index("guest-0")


@pytest.mark.parametrize("most", [6, 8, 200])
def test_a_long_loss_is_never_understated(most: int) -> None:
    resources = arrived(10_000, *range(1, 10_000))
    luo = LuoState(State.UPDATED)
    snapshot = Snapshot(Host("hv", "7.3.4", "boot-1"), luo, Resources(resources))
    finish = walk(Facts(snapshot, may_act=True)).action(Act.FINISH)
    assert finish is not None
    rows = list(action_rows(finish, most))
    lost = [row.text for row in rows[: most + 1]]
    assert rows[0].label == "Lost"
    assert sum(t.startswith("guest-") for t in lost) == most
    assert lost[-1].startswith(f"and {9_999 - most:,} more")
