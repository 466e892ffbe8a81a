# SPDX-License-Identifier: MIT
"""What is drawn: at any size, for any number of resources, for any name, in any colours."""

from __future__ import annotations

import time

import pytest
from textual.color import Color

from luo_tui.console.console import Console
from luo_tui.console.themes import theme_for
from luo_tui.console.widgets.banner import big
from luo_tui.console.widgets.table import Table
from luo_tui.console.widgets.text import Row, clip, hang, plain
from luo_tui.model import Host, LuoState, Resource, Resources, ResourceState, State
from luo_tui.update.facts import Act
from tests.console.stage import Bench, flat, many, press, see, settle, text

SIZES = [(1, 1), (2, 30), (59, 24), (80, 17), (60, 18), (80, 24), (120, 36), (200, 60)]
HOSTILE = "a\x1b[2J\x1b]0;x\x07[bold red]b[/]\u202ec\x9b\x00d\nе"


@pytest.mark.parametrize("size", SIZES)
async def test_any_size_keeps_the_state_readable(bench: Bench, size: tuple[int, int]) -> None:
    bench.walk_to(Act.PREPARE).window.release()
    app = bench.console()
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        small = size[0] < 60 or size[1] < 18
        if size[0] >= 8:
            assert "PREPARED" in text(app)
            assert ("is needed" in text(app)) is small
        await press(pilot, "w", "k", "escape", "c", "escape", "?", "escape", "escape", "q")
        assert app.is_running


async def test_a_window_that_shrinks_and_grows_loses_no_focus(bench: Bench) -> None:
    bench.walk_to(Act.PREPARE).window.release()
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "k")
        for size in ((1, 1), (80, 24), (40, 10), (120, 36)):
            await pilot.resize_terminal(*size)
            await settle(pilot)
            if size[0] < 60:
                await press(pilot, "enter")
                assert bench.host.state is State.PREPARED
        focused = app.focused
        assert focused is not None
        assert focused.id == "keep"


@pytest.mark.parametrize("size", [(60, 18), (80, 24)])
async def test_every_answer_is_in_view_where_a_question_is(
    bench: Bench, size: tuple[int, int]
) -> None:
    bench.walk_to(Act.PREPARE).window.release()
    app = bench.console()
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        await press(pilot, "k")
        screen = text(app)
        assert "> [ Stay prepared ]" in screen
        assert "To arm it, type demo-hv:" in screen
        assert "( End this kernel: kexec into 7.3.4-hv )" in screen
        assert "Every process on demo-hv ends" in flat(app)


@pytest.mark.parametrize("state", list(State))
async def test_each_state_stands_in_large_letters(bench: Bench, state: State) -> None:
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        # That one is derived, always.
        evidence = ("a session is held",) if state is State.PRESERVING else ()
        luo = LuoState(state, "some reason", evidence)
        see(app, app.view.snapshot._replace(luo=luo))
        await settle(pilot)
        screen = text(app)
        for row in big(state):
            assert row.rstrip() in screen
        assert state.upper() in screen.splitlines()[0]
        marked = f"[{state}]"
        assert (marked in screen) is state.usable
        assert max(len(row) for row in big(state)) <= 78


async def test_ten_thousand_resources_scroll(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        resources = Resources(many(10_000))
        began = time.process_time()
        see(app, app.view.snapshot._replace(resources=resources))
        await settle(pilot)
        assert "10,000 preserved" in flat(app)
        assert "1-" in flat(app)
        await press(pilot, "end")
        await pilot.pause(0.1)  # Textual scrolls after the next refresh
        assert "guest-9999" in text(app)
        assert "of 10,000 in view" in flat(app)
        await press(pilot, "pageup", "up", "home")
        await pilot.pause(0.1)
        assert "guest-0" in text(app)
        for n in range(20):
            see(app, app.view.snapshot._replace(resources=Resources(list(resources.values())[n:])))
        await settle(pilot)
        assert time.process_time() - began < 8
        assert app.screen.query_one(Table).in_view[0] == 1


async def test_a_question_over_ten_thousand_resources_opens_at_once(bench: Bench) -> None:
    bench.walk_to(Act.PREPARE).window.release()
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        see(app, app.view.snapshot._replace(resources=Resources(many(10_000))))
        began = time.process_time()
        await press(pilot, "k")
        assert time.process_time() - began < 3
        await press(pilot, *["pagedown"] * 30)
        # Ten thousand resources, a device, a subsystem and a file handler, less the two
        # hundred that are named.
        assert "and 9,803 more; Esc goes back, and the list of resources has them" in flat(app)


async def test_hostile_names_are_text_and_nothing_else(bench: Bench) -> None:
    bench.walk_to(Act.PREPARE).window.release()
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        old = app.view.snapshot
        evil = Resource(2**63, HOSTILE, ResourceState.PRESERVED, HOSTILE, 1, 1, HOSTILE)
        host = Host(HOSTILE, HOSTILE, old.host.boot_id)
        see(
            app, old._replace(host=host, resources=Resources((evil,)), luo=LuoState(State.PREPARED))
        )
        await settle(pilot)
        for keys in ((), ("w",), ("k",), ("escape", "c"), ("escape", "?")):
            await press(pilot, *keys)
            screen = text(app)
            assert "\x1b" not in screen
            assert "\x9b" not in screen
            assert "\u202e" not in screen
            assert all(c.isprintable() for c in screen.replace("\n", ""))
        see(app, app.view.snapshot._replace(luo=LuoState(State.UNKNOWN, HOSTILE)))
        await press(pilot, "escape", "escape")
        assert "[bold red]b[/]" in flat(app), "markup is shown, not obeyed"


async def test_nothing_is_drawn_when_nothing_changed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        drawn: list[object] = []
        monkeypatch.setattr(Console, "_draw", lambda self: drawn.append(self))
        for _ in range(5):
            app.hub.refresh()
            see(app, app.hub.snapshot)
            await settle(pilot)
        assert drawn == []


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({"TERM": "xterm-256color"}, "dark"),
        ({"TERM": "xterm", "COLORTERM": "truecolor"}, "dark"),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, "mono"),
        ({"TERM": "linux"}, "plain"),
        ({"TERM": "vt100"}, "plain"),
    ],
)
def test_the_palette_is_what_the_terminal_has(environ: dict[str, str], name: str) -> None:
    assert theme_for(environ).name == name


async def test_no_color_leaves_no_colour(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        for keys in (
            ("w",),
            ("colon",),
            ("down", "down"),
            ("escape", "t"),
            ("tab",),
            ("escape", "2"),
        ):
            await press(pilot, *keys)
            strips = app.screen._compositor.render_strips()
            for strip in strips:
                filtered = strip
                for line_filter in app._filters:
                    filtered = filtered.apply_filter(line_filter, Color(0, 0, 0))
                for segment in filtered:
                    style = segment.style
                    if style is None:
                        continue
                    for colour in (style.color, style.bgcolor):
                        assert colour is None or colour.is_default, (keys, segment)


def test_text_is_clipped_by_cells_and_marked() -> None:
    assert clip("abc", 5) == "abc  "
    assert clip("abcdef", 5) == "abcd~"
    assert clip("\u4e2d\u6587\u4e2d", 5) == "\u4e2d\u6587~"
    assert clip("abc", 0) == ""
    assert plain("a\x1bb\u202e") == "a?b?"


def test_labels_hang() -> None:
    lines = hang([Row("one two three", "Does"), Row("four")], 24)
    assert [line.plain for line in lines] == ["Does  one two three", "      four"]
    assert all(len(line.plain) <= 12 for line in hang([Row("word " * 9, "Label")], 12))
