# SPDX-License-Identifier: MIT
"""Going from place to place, the palette, the help, the colours and the characters."""

from __future__ import annotations

import pytest
from textual.color import Color

from luo_tui.cli.settings import THEMES
from luo_tui.console.screens.asking import Asking
from luo_tui.console.screens.base import Place
from luo_tui.console.screens.help import Help
from luo_tui.console.screens.history import History
from luo_tui.console.screens.palette import Palette, commands
from luo_tui.console.screens.target import TargetScreen
from luo_tui.console.themes import NAMES, theme_for, themes_beside
from luo_tui.console.widgets.choices import Choice, Choices
from luo_tui.console.widgets.places import PLACES
from luo_tui.console.widgets.presenter import KEY, WORD
from luo_tui.console.widgets.text import Charset, has_only_ascii, plain
from luo_tui.model import LuoState, Resource, Resources, ResourceState, State
from luo_tui.update.facts import Act
from luo_tui.update.rehearsal.record import Rehearsed, write_record
from tests.console.stage import Bench, flat, jump, press, see, settle, shown, text


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
    bench.walk_to(Act.LOAD).window.release()
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "5")
        window = app.screen
        await press(pilot, "1")
        old = app.view.snapshot
        more = Resource(99, "memfd", ResourceState.PRESERVED, "late")
        see(app, old._replace(resources=Resources((*old.resources.values(), more))))
        await press(pilot, "5")
        assert app.screen is window
        assert f"{len(old.resources) + 1} preserved" in flat(app)


async def test_no_place_is_reached_past_a_question(bench: Bench) -> None:
    bench.walk_to(Act.PREPARE).window.release()
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
    bench.walk_to(Act.LOAD).window.release()
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "colon", *"prep", "down", "enter")
        assert isinstance(app.screen, Asking)
        assert "> [ Stay normal ]" in text(app)
        assert bench.host.state == "normal"


async def test_the_palette_says_why_not_now_and_that_nothing_matches(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "colon")
        assert "> Choose the target kernel  key t" in text(app)
        assert "key p not now: Load the target kernel first." in flat(app)
        await press(pilot, *"xyzzy")
        assert "Nothing matches" in flat(app)
        await press(pilot, "enter")
        assert isinstance(app.screen, Palette)
        assert "nothing was done" in flat(app)
        await press(pilot, *["backspace"] * 5)
        assert "> Choose the target kernel" in text(app)
        assert "Nothing matches" not in flat(app)
        row = next(y for y, line in enumerate(text(app).splitlines()) if "Go to: devices" in line)
        await pilot.click(offset=(10, row))
        await settle(pilot)
        assert "[3 devices]" in text(app)


async def test_the_mark_stays_on_its_command_when_others_come_and_go(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "colon", "down", "down", "down")
        assert "> Go to: devices" in text(app)
        await press(pilot, "up")
        assert "> Go to: resources" in text(app)
        bench.walk_to(Act.LOAD).window.release()
        see(app, app.hub.read_now())
        await settle(pilot)
        assert "> Go to: resources" in text(app)
        await press(pilot, "up", "up")
        assert "> Choose the target kernel" in text(app)
        # In state updated there is no target to choose: what is marked goes.
        see(app, app.view.snapshot._replace(luo=LuoState(State.UPDATED)))
        await settle(pilot)
        assert "Choose the target kernel" not in text(app)
        await press(pilot, "enter")
        assert isinstance(app.screen, Palette)
        assert "What was marked is gone." in flat(app)


async def test_a_hostile_entry_is_text_and_nothing_else(bench: Bench) -> None:
    evil = "a\x1b[2J[bold red]b[/]\u202e$(x)"
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "colon")
        choices = app.screen.query_one(Choices)
        choices.show([Choice("x", evil), Choice("y", "long " * 40)])
        choices.mark_first()
        await settle(pilot)
        assert "> a?[2J[bold red]b[/]?$(x)" in text(app)
        assert all(c.isprintable() for c in text(app).replace("\n", ""))
        await press(pilot, "down")
        marked = [line[1] for line in text(app).splitlines() if "long" in line]
        assert marked == [">", " ", " "], "the sign stands at the first line of an entry"


async def test_what_is_told_below_is_what_the_keys_do_now(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        acts = {str(a): (WORD[a], KEY[a]) for a in Act}
        for walked in (None, Act.LOAD, Act.PREPARE):
            if walked is not None:
                bench.walk_to(walked).window.release()
                see(app, app.hub.read_now())
            for place in PLACES.values():
                await press(pilot, place)
                told = dict(app.screen.keys(app.view))
                for name, (word, key) in acts.items():
                    action = app.view.walk.action(Act(name))
                    possible = action is not None and action.possible
                    assert (told.get(key) == word) is possible, (place, name)
                # What is told is bound, by the library's own account.
                bound = {a.binding.description for a in app.screen.active_bindings.values()}
                assert set(told.values()) <= bound


async def test_a_key_that_does_nothing_now_says_why(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        for place in PLACES.values():
            await press(pilot, place, "p")
            assert "Load the target kernel first." in flat(app), place


async def test_the_help_tells_the_keys_of_where_one_is(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=(80, 50)) as pilot:
        await settle(pilot)
        for keys, told, untold in (
            (("4",), "write all that the filter shows to a file", "choose an answer"),
            (("3",), "sort by the next column", "write all that the filter shows"),
            (("5",), "read on", "sort by the next column"),
            (("1", "t"), "name an image or an initrd by its path", "prepare"),
        ):
            await press(pilot, *keys)
            if keys[-1] == "t":
                app.action_help()
                await settle(pilot)
            else:
                await press(pilot, "?")
            assert isinstance(app.screen, Help)
            assert told in flat(app), keys
            assert untold not in flat(app).partition("An update is walked")[0], keys
            await press(pilot, "escape")
        assert isinstance(app.screen, TargetScreen)
        await press(pilot, "escape", "2", "?")
        assert "p prepare (not now)" in flat(app)
        assert "1 2 3 4 5 6 7 overview, resources" in flat(app)


async def test_while_one_types_the_keys_below_are_those_of_typing(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "2")
        assert "quit" in text(app).splitlines()[-1]
        await press(pilot, "slash")
        assert text(app).splitlines()[-1].split() == (
            ["Enter", "keep", "the", "filter", "Esc", "take", "it", "away"]
        )
        await press(pilot, "enter")
        assert "quit" in text(app).splitlines()[-1]


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


async def test_past_windows_have_a_place_with_their_reports(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        await press(pilot, "7")
        assert "No window was ever opened on this host" in flat(app)
        assert "next blackout not known" in flat(app)
        await press(pilot, "w", "t", "enter", "l", "7")
        assert "1 window" in flat(app)
        assert "7.3.3-hv -> 7.3.4-hv" in flat(app)
        assert "open" in flat(app)
        await press(pilot, "5", "u", "tab", "enter", "7")
        await settle(pilot)
        assert "unloaded" in flat(app)
        assert "No jump was made" in flat(app)


async def test_how_a_window_stands_after_its_jump_fits_80_columns(bench: Bench) -> None:
    bench.walk_to(Act.PREPARE).window.release()
    assert jump(bench)
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "7")
        assert " arrived, not finished" in next(
            line for line in text(app).splitlines() if "7.3.3-hv -> 7.3.4-hv" in line
        )


async def test_rehearsals_stand_among_the_windows_and_predict(bench: Bench) -> None:
    app = bench.console()
    name, running = bench.host.name, bench.host.release
    dark = {"total_ms": 1512.0, "phases": [["freeze", 2.0], ["jump", 1510.0]]}
    about = {"host": name, "release": running, "target": "7.3.4-hv", "accel": "kvm"}
    good = {"at": "2020-01-01T00:00:00+00:00", "passed": True, "blackout": dark, **about}
    why = "In the machine the target gave up: Kernel panic"
    bad = {"at": "2999-01-01T00:00:00+00:00", "passed": False, "why": why, **about, "target": "x"}
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        await press(pilot, "7")
        assert "next blackout not known" in flat(app)
        write_record(bench.folder, good)
        await shown(pilot, "1 rehearsal in a machine")
        assert "next blackout 1,512 ms, by a rehearsal in a machine (KVM)" in flat(app)
        assert "rehearsal passed" in flat(app)
        write_record(bench.folder, bad)
        await shown(pilot, "2 rehearsals in a machine")
        assert "next blackout not known" in flat(app), "the newest one failed"
        await press(pilot, "w", "t", "enter", "l", "7")
        assert "next blackout 1,512 ms, by a rehearsal" in flat(app), "of this target it is known"
        assert isinstance(app.screen, History)
        rows = app.screen.items(app.view).values()
        which = [r.target if isinstance(r, Rehearsed) else r.number for r in rows]
        assert which == ["x", 1, "7.3.4-hv"], "the newest one first"
        await press(pilot, "home", "enter")
        assert why in flat(app)


async def test_places_without_room_keep_their_numbers(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=(60, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "3")
        assert " 1  2 [3 devices] 4  5  6  7" in text(app)
        await pilot.resize_terminal(80, 24)
        await settle(pilot)
        assert "2 resources" in text(app)
        assert "7 history" in text(app)


async def test_a_click_on_a_key_does_what_the_key_does(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)

        async def click(word: str) -> None:
            row = len(text(app).splitlines()) - 1
            column = text(app).splitlines()[row].index(word)
            await pilot.click(offset=(column, row))
            await settle(pilot)

        await click("help")
        assert isinstance(app.screen, Help)
        await click("Esc")
        assert not isinstance(app.screen, Help)
        await press(pilot, "w", "t", "enter", "l")
        await click("prepare")
        assert isinstance(app.screen, Asking)
        assert bench.host.state is State.NORMAL, "it asks, as the key does"
        await press(pilot, "escape")
        await click("quit")
    assert not app.is_running
