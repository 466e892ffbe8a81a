# SPDX-License-Identifier: MIT
"""What the console rests on in Textual beyond its documented interface.

The driver, the keyboard, the scroll bars, the tables and the field for the
host's name use names and behaviour that a minor version of Textual may change.
Such a version is to fail here, with words for what broke, and not in a window.
"""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest
from rich.style import Style
from textual import events, messages
from textual._xterm_parser import XTermParser
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.dom import DOMNode
from textual.driver import Driver
from textual.drivers.linux_driver import LinuxDriver
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.scrollbar import ScrollBar, ScrollBarRender
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input

from luo_tui.console.keyboard import Key, _never
from luo_tui.console.widgets.line import LineDriver, OnLine
from luo_tui.console.widgets.scrollbar import PlainBar
from luo_tui.console.widgets.table import Column, Table
from tests.unit.test_input import KEYS


def source(of: Any) -> str:
    return inspect.getsource(of)


def parameters(of: Any) -> list[str]:
    return list(inspect.signature(of).parameters)


# -- LineDriver -----------------------------------------------------------------------


def test_the_driver_is_built_as_the_line_driver_expects() -> None:
    assert parameters(LinuxDriver.__init__) == ["self", "app", "debug", "mouse", "size"], (
        "LineDriver passes Textual's arguments on: look at its __init__"
    )
    text = source(LinuxDriver.__init__) + source(Driver.__init__)
    for name in ("_mouse", "fileno", "exit_event"):
        assert f"self.{name} = " in text or f"self.{name}:" in text, (
            f"LineDriver reads the driver's {name}, which is no longer set"
        )
    assert "self._file = sys.__stderr__" in text, (
        "Textual no longer draws on standard error: LineDriver writes there"
    )


@pytest.mark.parametrize(
    "name",
    [
        "write",
        "flush",
        "close",
        "_run_input_thread",
        "_enable_mouse_support",
        "_disable_in_band_window_resize",
    ],
)
def test_what_the_line_driver_replaces_is_still_there(name: str) -> None:
    assert name in vars(LineDriver), f"LineDriver no longer replaces {name}: take it off this list"
    own, theirs = getattr(LineDriver, name), getattr(LinuxDriver, name, None)
    assert theirs is not None, f"LinuxDriver.{name} is gone: what LineDriver puts there is not run"
    assert parameters(own) == parameters(theirs), f"LinuxDriver.{name} has other parameters"


def test_input_is_read_by_the_line_drivers_thread_alone() -> None:
    start = source(LinuxDriver.start_application_mode)
    assert "target=self._run_input_thread" in start, (
        "Textual starts another input thread: LineDriver's keyboard would not be asked"
    )
    assert "_key_thread" in source(LinuxDriver.disable_input), (
        "Textual no longer waits for the input thread's end"
    )
    assert "exit_event.set()" in source(LinuxDriver.disable_input), (
        "Textual tells the input thread to end in another way than by exit_event"
    )


def test_the_size_is_heard_by_signal_as_well() -> None:
    start = source(LinuxDriver.start_application_mode)
    assert "signal.SIGWINCH" in start
    assert "if not self._in_band_window_resize" in start, (
        "SIGWINCH is heeded by another rule: LineDriver leaves _in_band_window_resize alone so "
        "that it is"
    )
    assert "?2048$p" in source(LinuxDriver._query_in_band_window_resize)
    assert "?2048h" in source(LinuxDriver._enable_in_band_window_resize)
    assert "_disable_in_band_window_resize" in source(LinuxDriver.stop_application_mode)


def test_no_question_is_asked_whose_answer_is_not_known() -> None:
    asked = [line for line in source(LinuxDriver).splitlines() if "$p" in line and "write" in line]
    assert len(asked) == 2, (
        "Textual asks the terminal something new: sequences.py has to know the answer, "
        f"or it is dropped: {asked}"
    )
    for question in ("[c", "[>c", "[6n", "[>q", "]10;?", "]11;?", "[?u"):
        assert f'{question}"' not in source(LinuxDriver), f"Textual asks {question!r} now"


async def test_what_is_held_back_is_counted_all_the_same() -> None:
    class Counting(App[None]):
        count = 0

        def post_display_hook(self) -> None:
            self.count += 1

    app = Counting()
    async with app.run_test() as pilot:
        await pilot.pause()
        before = app.count
        with app.batch_update():
            app.screen.refresh()
            for _ in range(5):
                await pilot.pause(0.02)
            assert app.count == before, "batch_update() no longer holds drawing back"
            app.screen._compositor_refresh()
            assert app.count == before + 1, (
                "App.post_display_hook is no longer called for what a batch throws away: "
                "LineDriver would not know that it must draw anew"
            )


def test_the_application_can_be_given_a_driver_and_no_mouse() -> None:
    assert "driver_class" in parameters(App.__init__)
    assert "mouse" in parameters(App.run)
    assert "raise error" in source(OnLine.input_failed)


# -- Keyboard -------------------------------------------------------------------------

NAMES = {
    "l": "l",
    " ": "space",
    "\r": "enter",
    "\t": "tab",
    "\x7f": "backspace",
    "\x1b": "escape",
    "\x03": "ctrl+c",
    "\x0c": "ctrl+l",
    "\x10": "ctrl+p",
    "\x11": "ctrl+q",
    "\x16": "ctrl+v",
    "\x1a": "ctrl+z",
    "\x1c": "ctrl+backslash",
    "?": "question_mark",
    "/": "slash",
    ":": "colon",
    "+": "plus",
    "-": "minus",
    "é": "é",
    "\x1b[A": "up",
    "\x1b[B": "down",
    "\x1bOA": "up",
    "\x1b[5~": "pageup",
    "\x1b[6~": "pagedown",
    "\x1b[H": "home",
    "\x1b[F": "end",
    "\x1b[Z": "shift+tab",
    "\x1b[108u": "l",
    "\x1b[108;;108u": "l",
    "\x1b[108;;81u": "Q",
    "\x1b[113;5u": "ctrl+q",
    "\x1b[13u": "enter",
    "\x1b[9u": "tab",
    "\x1b[9;2u": "shift+tab",
    "\x1b[27u": "escape",
    "\x1b[1;5C": "ctrl+right",
    "\x1b[57414u": "enter",
}


@pytest.mark.parametrize("sequence", NAMES, ids=repr)
def test_sequences_have_their_names(sequence: str) -> None:
    found = [key.key for key in XTermParser()._sequence_to_key_events(sequence)]
    assert found == [NAMES[sequence]], f"{sequence!r} is another key now: bindings would miss it"


@pytest.mark.parametrize("sequence", sorted(set(KEYS.values())), ids=repr)
def test_every_key_that_the_scanner_hands_on_is_known_and_is_one(sequence: str) -> None:
    found = list(XTermParser()._sequence_to_key_events(sequence))
    assert len(found) == 1, f"Textual makes {found} of {sequence!r}: it would count as a burst"


def test_the_mouse_is_read_from_a_report() -> None:
    event = XTermParser().parse_mouse_code("\x1b[<0;10;5M")
    assert isinstance(event, events.MouseDown)
    assert (event.screen_x, event.screen_y, event.button) == (9, 4, 1), (
        "reports count cells from one; LineDriver asks for no pixels"
    )


def test_the_events_are_made_as_the_keyboard_makes_them() -> None:
    assert parameters(events.Key) == ["key", "character"]
    assert parameters(events.Paste) == ["text"]
    assert events.Resize.from_dimensions((100, 30), (0, 0)).size == Size(100, 30)
    for kind in (events.AppFocus, events.AppBlur, messages.TerminalSupportsSynchronizedOutput):
        kind()
    assert Key.handler_name == events.Key.handler_name == "on_key", (
        "handlers are named in another way: no widget would see a Key of ours"
    )
    assert Key.bubble


class Watching(App[None]):
    """Notes which event is handled while an action runs, as the console does."""

    BINDINGS = [  # noqa: RUF012
        Binding("q", "note('application')"),
        Binding("ctrl+q", "note('priority')", priority=True),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.handled: events.Event | None = None
        self.noted: list[tuple[str, str, bool]] = []

    def compose(self) -> ComposeResult:
        yield Focused()

    async def on_event(self, event: events.Event) -> None:
        self.handled = event
        try:
            await super().on_event(event)
        finally:
            self.handled = None

    async def run_action(
        self, action: Any, default_namespace: DOMNode | None = None, namespaces: Any = None
    ) -> bool:
        assert isinstance(action, str)
        assert isinstance(self.handled, Key), f"{action} is run outside of its key's event"
        self.noted.append(
            (self.handled.key, action, isinstance(default_namespace, Focused)),
        )
        return True


class Focused(Widget, can_focus=True):
    BINDINGS = [Binding("enter", "press")]  # noqa: RUF012


async def test_an_action_is_run_within_the_event_of_its_key() -> None:
    app = Watching()
    async with app.run_test() as pilot:
        app.query_one(Focused).focus()
        await pilot.pause()
        for key in ("q", "ctrl+q", "enter"):
            app.post_message(Key(key, None, _never()))
        for _ in range(5):
            await pilot.pause()
    # A priority binding may overtake.
    assert sorted(app.noted) == [
        ("ctrl+q", "note('priority')", False),
        ("enter", "press", True),
        ("q", "note('application')", False),
    ], "App.on_event and App.run_action no longer enclose one another: acts would not be guarded"


async def test_the_first_error_is_handed_over() -> None:
    class Failing(App[None]):
        first: Exception | None = None

        def on_key(self) -> None:
            raise KeyError("of ours")

        def _handle_exception(self, error: Exception) -> None:
            self.first = self.first or error
            super()._handle_exception(error)

    app = Failing()
    with pytest.raises(KeyError):
        async with app.run_test() as pilot:
            await pilot.press("x")
    assert isinstance(app.first, KeyError), (
        "App._handle_exception no longer gets an error: crash reports would be empty"
    )
    assert app.first.__traceback__ is not None


async def test_an_error_that_is_called_later_ends_the_application() -> None:
    app = OnLine[None]()
    with pytest.raises(OSError, match="of the line"):  # noqa: PT012
        async with app.run_test() as pilot:
            app.call_later(app.input_failed, OSError("of the line"))
            await pilot.pause()


# -- the field for the host's name ----------------------------------------------------

FILLING = {"_on_key", "_on_paste", "action_paste"}
"""All that puts text into an Input: keys, and what luo_tui.console.screens.kexec refuses."""
KNOWN_HANDLERS = {
    "_on_blur",
    "_on_focus",
    "_on_key",
    "_on_mount",
    "_on_mouse_down",
    "_on_mouse_move",
    "_on_mouse_release",
    "_on_mouse_up",
    "_on_paste",
    "_on_suggestion_ready",
}


def test_nothing_new_fills_in_a_field() -> None:
    handlers = {n for n in vars(Input) if n.startswith(("_on_", "on_"))}
    assert handlers <= KNOWN_HANDLERS, (
        f"Input handles something new, {handlers - KNOWN_HANDLERS}: can it fill in the host's name?"
    )
    filling = {
        name
        for name in vars(Input)
        if name.startswith(("_on_", "on_", "action_"))
        and re.search(r"insert_text_at_cursor\(|\.replace\(", source(vars(Input)[name]))
    }
    assert filling == FILLING, f"Text comes into an Input by other ways: {filling ^ FILLING}"
    actions = {n for n in vars(Input) if n.startswith("action_")}
    unknown = {
        a
        for a in actions
        if not a.startswith(("action_cursor", "action_delete", "action_home", "action_end"))
    } - {"action_select_all", "action_submit", "action_cut", "action_copy", "action_paste"}
    assert not unknown, f"Input has new actions, {unknown}: can they fill in the host's name?"


# -- PlainBar -------------------------------------------------------------------------


def test_scroll_bars_are_drawn_of_blanks_alone() -> None:
    assert hasattr(ScrollBar, "renderer"), "scroll bars are drawn by another name than renderer"
    for name in ("VERTICAL_BARS", "HORIZONTAL_BARS"):
        assert hasattr(ScrollBarRender, name), f"ScrollBarRender.{name} is gone: PlainBar sets it"
    for vertical in (True, False):
        for position in range(60):
            drawn = PlainBar.render_bar(
                size=17, virtual_size=100, window_size=23, position=position, vertical=vertical
            )
            text = "".join(segment.text for segment in drawn.segments)
            assert set(text) <= {" ", "\n"}, f"a scroll bar has {set(text)}"
            assert any(s.style and s.style.reverse for s in drawn.segments), (
                "the thumb is told by colour alone"
            )


# -- the table by the line ------------------------------------------------------------


class Counted(Table[str]):
    """Notes which lines are drawn."""

    drawn: list[int]

    def render_line(self, y: int) -> Strip:
        self.drawn.append(y)
        return super().render_line(y)


class Showing(App[None]):
    CSS = "Counted { width: 40; height: 10; }"

    def compose(self) -> ComposeResult:
        table = Counted([Column("name", lambda row: row)])
        table.drawn = []
        yield table


@pytest.fixture
def rows() -> dict[int, str]:
    return {n: f"row-{n}" for n in range(1000)}


async def test_only_the_lines_in_view_are_drawn_and_then_only_what_changed(
    rows: dict[int, str],
) -> None:
    app = Showing()
    async with app.run_test(size=(60, 20)) as pilot:
        table = app.query_one(Counted)
        table.show(rows)
        for _ in range(3):
            await pilot.pause()
        assert set(table.drawn) <= set(range(10)), "ScrollView draws lines that are not in view"
        assert table.virtual_size.height == len(rows) + 1
        table.drawn.clear()
        table.show({**rows, 3: "changed"})
        for _ in range(3):
            await pilot.pause()
        assert set(table.drawn) == {4}, (
            f"refresh(Region) of one line draws {sorted(set(table.drawn))}: a changed row costs "
            "a whole table"
        )
        text = [strip.text for strip in app.screen._compositor.render_strips()]
        assert any("changed" in line for line in text)


async def test_the_first_line_stays_and_the_others_scroll_at_once(rows: dict[int, str]) -> None:
    app = Showing()
    async with app.run_test(size=(60, 20)) as pilot:
        table = app.query_one(Counted)
        table.show(rows)
        await pilot.pause()
        table.scroll_to(y=500, animate=False, force=True)
        assert round(table.scroll_y) == 500, "scroll_to(animate=False) is no longer immediate"
        for _ in range(3):
            await pilot.pause()
        text = [strip.text for strip in app.screen._compositor.render_strips()]
        assert "name" in text[0], "render_line(0) is no longer the first line of the widget"
        assert "row-500" in text[1]


def test_what_a_line_is_made_of() -> None:
    assert {"y", "animate", "force"} <= set(parameters(ScrollView.scroll_to))
    assert parameters(Widget.render_line) == ["self", "y"]
    assert isinstance(inspect.getattr_static(Widget, "rich_style"), property)
    assert "regions" in parameters(Widget.refresh), "Widget.refresh no longer takes regions"
    strip = Strip.blank(7, Style(bold=True))
    assert strip.cell_length == 7
    assert Region(0, 1, 40, 1).height == 1
