# SPDX-License-Identifier: MIT
"""The palette: everything that the console can do, by name, and whether it can be done now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widget import Widget
from textual.widgets import Input, Static

from luo_tui.console.screens.base import Dialog, Pairs, may_choose
from luo_tui.console.session import View
from luo_tui.console.widgets.choice_button import ChoiceButton
from luo_tui.console.widgets.field import Field
from luo_tui.console.widgets.places import PLACES
from luo_tui.console.widgets.presenter import KEY


@dataclass(frozen=True, slots=True)
class Command:
    """Something that can be chosen."""

    name: str
    key: str
    action: str
    """The application's action, as a binding names it."""
    blocked: str = ""
    """Why it cannot be done now; empty when it can."""

    def matches(self, words: str) -> bool:
        """Whether every word that was typed is in the name."""
        return all(word in self.name.lower() for word in words.lower().split())


def commands(view: View, themes: Iterable[str] = ()) -> Iterator[Command]:
    """Yield everything there is in this view; what cannot be done now comes last."""
    offered = list(_offered(view, themes))
    yield from (c for c in offered if not c.blocked)
    yield from (c for c in offered if c.blocked)


def _offered(view: View, themes: Iterable[str]) -> Iterator[Command]:
    for action in view.walk.actions:
        yield Command(action.label, KEY[action.act], f"app.act('{action.act}')", action.blocked)
    if may_choose(view):
        yield Command("Choose the target kernel", "t", "app.target")
    for place, key in PLACES.items():
        yield Command(f"Go to: {place}", key, f"app.place('{place}')")
    yield Command("Help", "?", "app.help")
    yield Command("Draw the screen anew", "Ctrl+L", "app.repaint")
    for theme in themes:
        yield Command(f"Theme: {theme}", "", f"app.theme('{theme}')")
    yield Command("Leave the console", "q", "app.quit")


class Palette(Dialog[str]):
    """Type to narrow, choose, Enter. Ends with the action that was chosen."""

    AUTO_FOCUS = "Field"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "no", show=False),
        Binding("up", "move(-1)", show=False, priority=True),
        Binding("down", "move(1)", show=False, priority=True),
    ]

    def __init__(self, themes: Iterable[str] = ()) -> None:
        """``themes`` can be chosen between."""
        super().__init__()
        self._themes = tuple(themes)
        self._shown: tuple[Command, ...] = ()

    def furniture(self) -> Iterable[Widget]:
        """Yield the line to type into, below it what matches."""
        with Horizontal(id="field"):
            yield Static("Do: ")
            yield Field(id="words")
        yield VerticalScroll(id="page", can_focus=False)

    def keys(self, view: View) -> Pairs:
        """Return the keys of the palette."""
        del view
        return [("type", "to narrow"), ("Up Down", "choose"), ("Enter", "do it"), ("Esc", "back")]

    def draw(self, view: View) -> None:
        """List what matches, as it stands now."""
        words = self.query_one(Field).value
        shown = tuple(c for c in commands(view, self._themes) if c.matches(words))
        if shown == self._shown:
            return
        self._shown = shown
        page = self.query_one("#page")
        page.remove_children()
        page.mount(*(Entry(c) for c in shown))

    @on(Input.Changed)
    def _narrowed(self) -> None:
        if self.view is not None:
            self.draw(self.view)

    @on(Input.Submitted)
    def _first(self) -> None:
        for entry in self.query(Entry):
            self._choose(entry)
            return

    @on(ChoiceButton.Pressed)
    def _pressed(self, event: ChoiceButton.Pressed) -> None:
        if isinstance(event.button, Entry):
            self._choose(event.button)

    def _choose(self, entry: Entry) -> None:
        if entry.command.blocked:
            self.say(entry.command.blocked)
        else:
            self.dismiss(entry.command.action)

    def action_move(self, by: int) -> None:
        """Go through the entries; above the first one is the line to type into."""
        chain: list[Widget] = [self.query_one(Field), *self.query(Entry)]
        at = chain.index(self.focused) if self.focused in chain else 0
        chain[max(0, min(len(chain) - 1, at + by))].focus()

    def action_no(self) -> None:
        """Choose nothing."""
        self.dismiss("")


class Entry(ChoiceButton):
    """One command in the list."""

    def __init__(self, command: Command) -> None:
        """Show name and key; what cannot be done now is in parentheses."""
        key = f"  key {command.key}" if command.key else ""
        later = "  not now" if command.blocked else ""
        super().__init__(f"{command.name}{key}{later}")
        self.command = command
