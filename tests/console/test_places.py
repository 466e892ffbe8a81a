# SPDX-License-Identifier: MIT
"""Going from place to place, the palette, the help, the colours and the characters."""

from __future__ import annotations

from dataclasses import replace

import pytest
from textual.color import Color

from luo_tui.cli.main import THEMES
from luo_tui.console.screens.asking import Asking
from luo_tui.console.screens.base import Place
from luo_tui.console.screens.help import Help
from luo_tui.console.screens.palette import Palette, commands
from luo_tui.console.themes import NAMES, theme_for, themes_beside
from luo_tui.console.widgets.places import PLACES
from luo_tui.console.widgets.text import Charset, has_only_ascii, plain
from luo_tui.model import Resource, Resources, ResourceState
from luo_tui.update.facts import Act
from tests.console.stage import Bench, flat, press, settle, text


async def test_each_place_has_a_key_from_each_other(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        for start, key in PLACES.items():
            for place, other in PLACES.items():
                await press(pilot, key, other)
                assert isinstance(app.screen, Place)
                assert place == app.screen.WORD, (start, place)
                assert f"[{other} {place}]" in text(app)
                assert len(app.screen_stack) == (1 if place == "overview" else 2)
            await press(pilot, "escape")
            assert app.screen.WORD == "overview"


async def test_a_place_is_as_it_was_left_and_shows_what_is_now(bench: Bench) -> None:
    bench.walk_to(Act.LOAD).window._rest()
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "5")
        window = app.screen
        await press(pilot, "1")
        old = app.view.snapshot
        more = Resource(99, "memfd", ResourceState.PRESERVED, "late")
        app._look(replace(old, resources=Resources((*old.resources.values(), more))))
        await press(pilot, "5")
        assert app.screen is window
        assert f"{len(old.resources) + 1} preserved" in flat(app)


async def test_no_place_is_reached_past_a_question(bench: Bench) -> None:
    bench.walk_to(Act.PREPARE).window._rest()
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "c", "5", "1", "ctrl+p")
        assert isinstance(app.screen, Asking)
        await press(pilot, "?")
        assert isinstance(app.screen, Help)
        assert "change nothing" in flat(app)
        await press(pilot, "escape")
        assert isinstance(app.screen, Asking)


async def test_a_click_goes_where_it_points(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        row = next(y for y, line in enumerate(text(app).splitlines()) if "[1 overview]" in line)
        column = text(app).splitlines()[row].index("5 window")
        await pilot.click(offset=(column, row))
        await settle(pilot)
        assert "[5 window]" in text(app)


async def test_the_palette_knows_what_is_allowed_now(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "colon")
        assert isinstance(app.screen, Palette)
        shown = text(app)
        assert "Go to: window  key 5" in shown
        assert "Prepare: normal -> prepared  key p  not now" in shown
        await press(pilot, *"prepare", "enter")
        assert isinstance(app.screen, Palette)
        assert "Load the target kernel first." in flat(app)
        assert bench.host.state == "normal"
        await press(pilot, "escape", "ctrl+p", *"win", "enter")
        assert "[5 window]" in text(app)


async def test_a_command_in_the_palette_asks_as_its_key_does(bench: Bench) -> None:
    bench.walk_to(Act.LOAD).window._rest()
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "colon", *"prep", "down", "enter")
        assert isinstance(app.screen, Asking)
        assert "> [ Stay normal ]" in text(app)
        assert bench.host.state == "normal"


async def test_the_palette_lists_for_a_watcher_what_he_may_not(bench: Bench) -> None:
    app = bench.console(may_act=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        acts = [c for c in commands(app.view) if "act(" in c.action]
        assert acts
        assert all("root" in c.blocked for c in acts)


async def test_colours_change_at_once_and_mean_nothing_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        before = text(app)
        dark = app.screen.styles.background
        await press(pilot, "colon", *"light", "enter")
        assert app.theme == "light"
        assert app.screen.styles.background != dark
        assert text(app) == before


def test_the_command_line_knows_the_themes() -> None:
    assert THEMES == NAMES


def test_no_color_outranks_what_is_wanted() -> None:
    assert theme_for({"NO_COLOR": "1", "TERM": "xterm-256color"}, "dark").name == "mono"
    for name in NAMES:
        theme = theme_for({"TERM": "xterm-256color"}, name)
        assert theme.name == name
        assert theme in themes_beside(theme)
    mono = theme_for({"NO_COLOR": "1"})
    told = {v for k, v in mono.variables.items() if k.startswith(("state-", "text-"))}
    assert told == {"ansi_default"}


@pytest.mark.parametrize("name", ["dark", "light"])
def test_every_text_can_be_read_on_its_ground(name: str) -> None:
    theme = theme_for({"TERM": "xterm-256color"}, name)
    ground = Color.parse(theme.background or "")
    for variable, colour in theme.variables.items():
        if variable.startswith(("state-", "text-")):
            ratio = ground.get_contrast_text(1.0), _contrast(ground, Color.parse(colour))
            assert ratio[1] >= 4.5, (variable, ratio)


def _contrast(a: Color, b: Color) -> float:
    """Return the contrast of two colours as WCAG 2 defines it."""

    def light(c: Color) -> float:
        parts = [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in c.normalized]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    low, high = sorted((light(a), light(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(
    ("environ", "only"),
    [
        ({"TERM": "xterm", "LANG": "en_US.UTF-8"}, False),
        ({"TERM": "xterm", "LANG": "C", "LC_ALL": "de_DE.utf8"}, False),
        ({"TERM": "xterm", "LANG": "de_DE.UTF-8", "LC_ALL": "C"}, True),
        ({"TERM": "xterm"}, True),
        ({"TERM": "linux", "LANG": "en_US.UTF-8"}, True),
        ({"TERM": "vt220", "LANG": "en_US.UTF-8"}, True),
    ],
)
def test_which_terminals_get_ascii_alone(environ: dict[str, str], only: bool) -> None:
    assert has_only_ascii(environ) is only


def test_foreign_letters_keep_their_width_in_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Charset, "ascii_only", True)
    assert plain("gäst 仮想\x1b[2J") == "g?st ?????[2J"
    monkeypatch.setattr(Charset, "ascii_only", False)
    assert plain("gäst 仮想\x1b[2J") == "gäst 仮想?[2J"
