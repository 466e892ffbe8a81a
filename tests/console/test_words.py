# SPDX-License-Identifier: MIT
"""What the screens say is so, at any width: nothing is cut unmarked, and no key is named dead."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from textual.content import Content

from luo_tui.console.screens.asking import AskAct
from luo_tui.console.widgets.banner import Banner
from luo_tui.console.widgets.machine import Machine
from luo_tui.console.widgets.more_below import MoreBelow
from luo_tui.console.widgets.paragraphs import Paragraphs
from luo_tui.console.widgets.table import Table
from luo_tui.console.widgets.title import Title
from luo_tui.model import Resources, SourceHealth, Stamps, State
from luo_tui.update.facts import Act
from tests.console.stage import (
    Bench,
    flat,
    jump,
    load_and_prepare,
    many,
    press,
    see,
    settle,
    text,
)

NARROW, SMALL, VAST = (60, 18), (80, 24), (200, 60)


def lines(app: Any, word: str) -> list[str]:
    return [line for line in text(app).splitlines() if word in line]


async def test_what_is_cut_beside_a_scroll_bar_is_marked(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=NARROW) as pilot:
        await settle(pilot)
        await press(pilot, "3")
        assert app.screen.query_one(Table).show_vertical_scrollbar
        (line,) = lines(app, "0000:81:00.0")
        assert line.endswith("~"), line


async def test_narrow_screens_keep_the_names_and_the_whole_state_machine(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=NARROW) as pilot:
        await settle(pilot)
        assert "guest-web1" in text(app)
        (line,) = lines(app, "(kexec)")
        assert line.split(">")[-1].strip() == "normal"
        await press(pilot, "2")
        assert "guest-web1" in text(app)
        await press(pilot, "3")
        assert "cloud-hyperviso [2101]" in text(app)


async def test_wide_screens_are_used_before_anything_is_cut(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=VAST) as pilot:
        await settle(pilot)
        await press(pilot, "3")
        assert "4b20d080-1b54-4048-85b3-a6a62d165c01 mediated device nvidia-vgpu-vfio" in text(app)
        assert "nvme0n1p1 on /boot, nvme0n1p2 on /" in text(app)


async def test_notes_without_room_are_counted(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=NARROW) as pilot:
        await settle(pilot)
        walk = app.view.walk._replace(notes=tuple(f"Note number {n}." for n in range(9)))
        app._look(replace(app.view, walk=walk))
        await settle(pilot)
        assert "... 4 more lines: the window (key 5) has them all" in flat(app)
        app._look(replace(app.view, walk=walk))
        await press(pilot, "5")
        notes = app.screen.query_one("#notes", Paragraphs)
        assert notes.size.height >= 9, "the window has them all, to be scrolled"


@pytest.mark.parametrize("colours", [False, True])
async def test_more_below_is_said_in_words_where_there_are_no_colours(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, colours: bool
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    if not colours:
        monkeypatch.setenv("NO_COLOR", "1")
    bench.walk_to(Act.PREPARE).window.release()
    app = bench.console()
    async with app.run_test(size=SMALL) as pilot:
        await settle(pilot)
        await press(pilot, "k")
        assert ("-- more below: PgDn --" in text(app)) is not colours
        await press(pilot, *["pagedown"] * 6)
        assert ("-- the end; PgUp goes back --" in text(app)) is not colours
        await press(pilot, "escape")
        await pilot.resize_terminal(220, 120)
        await press(pilot, "k")
        assert "more below" not in text(app)
        assert "the end" not in text(app)


async def test_a_question_that_fits_names_no_key_to_read_on(bench: Bench) -> None:
    bench.walk_to(Act.LOAD).window.release()
    app = bench.console()
    async with app.run_test(size=SMALL) as pilot:
        await settle(pilot)
        await press(pilot, "p")
        assert isinstance(app.screen, AskAct)
        assert not app.screen.query_one(MoreBelow).goes_on
        assert "PgDn" not in text(app)
        await press(pilot, "escape")
        await pilot.resize_terminal(*NARROW)
        await press(pilot, "p")
        assert app.screen.query_one(MoreBelow).goes_on
        assert "PgDn read on" in text(app)


async def test_the_rest_of_a_list_is_where_it_is_said_to_be(bench: Bench) -> None:
    bench.walk_to(Act.PREPARE).window.release()
    app = bench.console()
    async with app.run_test(size=(120, 60)) as pilot:
        await settle(pilot)
        await press(pilot, "5")
        assert "and 5 more; key k lists them before it asks" in flat(app)
        see(app, app.view.snapshot._replace(resources=Resources(many(300))))
        await press(pilot, "k", *["pagedown"] * 9)
        assert isinstance(app.screen, AskAct)
        assert "and 103 more; Esc goes back, and the list of resources has them" in flat(app)
        assert "key 2" not in flat(app), "a question does not lead there"


async def test_whose_window_loaded_the_image_is_said(bench: Bench) -> None:
    other = bench.walk_to(Act.LOAD)
    app = bench.console()
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        await press(pilot, "5")
        assert f"loaded by the window of {other.window.me}" in flat(app)
        other.window.release()
        await press(pilot, "x")
        assert "loaded by this window" in flat(app)


def styles(app: Any) -> str:
    """Return in which colours the state is drawn."""
    shown: list[Content] = [
        app.screen.query_one(kind).render() for kind in (Banner, Machine, Title)
    ]
    return " ".join(str(span.style) for content in shown for span in content.spans)


@pytest.mark.parametrize("scenario", ["default", "device-lost"])
async def test_a_lost_handover_is_red_and_nothing_above_it_green(
    make: Callable[..., Bench], scenario: str
) -> None:
    bench = make(scenario)
    load_and_prepare(bench)
    assert jump(bench)
    host = bench.host
    if scenario == "default":
        # A boot that took nothing over.
        host.state, host.from_release, host.stamps, host.lines = State.NORMAL, "", Stamps(), []
    app = bench.console()
    async with app.run_test(size=SMALL) as pilot:
        await settle(pilot)
        assert "LOST" in text(app)
        assert "$text-error" in styles(app)
        assert "$state-" not in styles(app)
        await press(pilot, "5")
        title = app.screen.query_one(Title).render()
        assert "$state-" not in " ".join(str(s.style) for s in title.spans)


async def test_the_kernels_blackout_stands_apart_from_the_last_guests(
    make: Callable[..., Bench],
) -> None:
    bench = make("nothing-restored")
    load_and_prepare(bench)
    assert jump(bench)
    bench.host.stamps = Stamps(1_000, 1, 2, 1_000, 3_000, 10_000, 1_500_000)
    app = bench.console()
    async with app.run_test(size=(110, 60)) as pilot:
        await settle(pilot)
        assert "the kernel's: 1,499 ms" in flat(app)
        assert "each stands still until its memory is restored" in flat(app)
        for token in list(app.view.snapshot.incoming):
            os.close(bench.host.restore(token.token))
            await settle(pilot)
        while app.view.snapshot.incoming:
            await pilot.pause(0.01)
        assert "the last memory was restored at" in flat(app)


async def test_after_the_jump_this_update_is_told_before_the_next(
    make: Callable[..., Bench],
) -> None:
    bench = make("device-lost")
    load_and_prepare(bench)
    assert jump(bench)
    app = bench.console()
    async with app.run_test(size=SMALL) as pilot:
        await settle(pilot)
        assert "devices this update: 1 LOST, " in flat(app)
        assert ". The next one: guests LOSE " in flat(app)
        await press(pilot, "3")
        said = text(app)
        assert said.index("this update") < said.index("next update")
        assert "1 LOST" in said
        assert "LOST: it was to be kept running through this update" in said
        assert said.index("LOST: it was") < said.index("set up anew: they took no part")
        assert len(lines(app, ">  !! 0000:3b:00.0")) == 1
        await press(pilot, "2", "home")
        said = flat(app)
        assert "1 LOST: pci 0000:3b:00.0" in said
        assert said.index("this update came over and was restored") < said.index("next is back")


async def test_a_new_step_is_read_from_its_beginning(bench: Bench) -> None:
    session = bench.walk_to(Act.LOAD)
    app = bench.console()
    async with app.run_test(size=SMALL) as pilot:
        await settle(pilot)
        await press(pilot, "5", "pagedown", "pagedown")
        page = app.screen.query_one("#page")
        assert page.scroll_y > 0
        await press(pilot, "x")
        assert page.scroll_y > 0, "what is read stays where it is"
        bench.walk_to(Act.PREPARE, session)
        while app.view.snapshot.luo.state is not State.PREPARED:
            await pilot.pause(0.01)
        await settle(pilot)
        assert page.scroll_y == 0


@pytest.mark.parametrize("size", [NARROW, SMALL, (120, 36)])
async def test_an_empty_place_says_what_that_means_in_whole_sentences(
    make: Callable[..., Bench], size: tuple[int, int]
) -> None:
    bench = make()
    app = bench.console()
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        see(app, app.view.snapshot._replace(resources=Resources(), devices={}, participants={}))
        said = {}
        for key in "1237":
            await press(pilot, key)
            see(app, app.view.snapshot._replace(resources=Resources(), devices={}, participants={}))
            await pilot.pause(0)
            said[key] = " ".join(flat(app).replace("│", " ").split())
        assert "luo-tui hold FILE --name NAME" in said["2"]
        assert "none that a kexec would reset." in said["3"]
        assert "the window (key 5) leads there." in said["7"]
        if size != NARROW:
            assert "Nothing is preserved: an update now would carry no memory" in said["1"]


async def test_a_list_that_could_not_be_read_is_not_called_empty(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=SMALL) as pilot:
        await settle(pilot)
        await press(pilot, "2")
        dead = {"resources": SourceHealth("resources", "it died", 1.0)}
        see(app, app.view.snapshot._replace(resources=Resources(), health=dead))
        await pilot.pause(0)
        assert "Whether anything is preserved is not known: resources: it died." in flat(app)
        assert "Nothing is preserved:" not in flat(app)
