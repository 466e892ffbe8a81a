# SPDX-License-Identifier: MIT
"""The palette: everything that the console can do, by name, and whether it can be done now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Input, Static

from luo_tui.console.screens.base import KEY_OF, Dialog, Pairs, may_choose
from luo_tui.console.session import View
from luo_tui.console.widgets.choices import Choice, Choices
from luo_tui.console.widgets.field import Field
from luo_tui.console.widgets.places import PLACES
from luo_tui.console.widgets.text import Row


@dataclass(frozen=True, slots=True)
class Command:
    """Something that can be chosen."""

    name: str
    action: str
    """The application's action, as a binding names it."""
    blocked: str = ""
    """Why it cannot be done now; empty when it can."""

    def matches(self, words: str) -> bool:
        """Whether every word that was typed is in the name."""
        return all(word in self.name.lower() for word in words.lower().split())

    def choice(self, key: str) -> Choice:
        """Return the entry for it: name, key, and why not now."""
        with_key = f"  key {key}" if key else ""
        later = f"  not now: {self.blocked}" if self.blocked else ""
        return Choice(self.action, f"{self.name}{with_key}{later}", quiet=bool(self.blocked))


def commands(view: View, themes: Iterable[str] = ()) -> Iterator[Command]:
    """Yield everything there is in this view; what cannot be done now comes last."""
    offered = list(_offered(view, themes))
    yield from (c for c in offered if not c.blocked)
    yield from (c for c in offered if c.blocked)


def _offered(view: View, themes: Iterable[str]) -> Iterator[Command]:
    for action in view.walk.actions:
        yield Command(action.label, f"app.act('{action.act}')", action.blocked)
    if may_choose(view):
        yield Command("Choose the target kernel", "app.target")
    for place in PLACES:
        yield Command(f"Go to: {place}", f"app.place('{place}')")
    yield Command("Help", "app.help")
    yield Command("Draw the screen anew", "app.repaint")
    for theme in themes:
        yield Command(f"Theme: {theme}", f"app.theme('{theme}')")
    yield Command("Leave the console", "app.quit")


class Palette(Dialog[str]):
    """Type to narrow, choose, Enter. Ends with the action that was chosen."""

    AUTO_FOCUS = "Field"
    CHOICE_ACTS = True
    BINDINGS: ClassVar[list[BindingType]] = [
        # Before the line to type into, which has the focus all the time.
        *(
            Binding(
                key,
                f"go({how!r})",
                "choose",
                key_display=shown,
                show=shows,
                priority=True,
                tooltip="go through the list",
            )
            for key, how, shown, shows in (
                ("up", "cursor_up", "Up", True),
                ("down", "cursor_down", "Down", True),
                ("pageup", "page_up", "PgUp", False),
                ("pagedown", "page_down", "PgDn", False),
            )
        ),
        Binding(
            "enter",
            "choose",
            "do it",
            key_display="Enter",
            priority=True,
            tooltip="do what is marked; what cannot be done now says why",
        ),
        Binding("escape", "no", "back", key_display="Esc", tooltip="back"),
    ]

    def __init__(self, themes: Iterable[str] = ()) -> None:
        """``themes`` can be chosen between."""
        super().__init__()
        self._themes = tuple(themes)
        self._commands: dict[str, Command] = {}

    def furniture(self) -> Iterable[Widget]:
        """Yield the line to type into, below it what matches."""
        with Horizontal(id="field"):
            yield Static("Do: ")
            yield Field(id="words")
        yield Static("Nothing matches. Backspace takes letters back.", id="none")
        yield Choices()

    def keys(self, view: View) -> Pairs:
        """Return the keys of the palette."""
        return [("type", "to narrow"), *super().keys(view)]

    def about(self) -> Iterable[Row]:
        """Say what the list is."""
        yield Row("Everything that can be done, by name. A key does the same without the list.")

    def draw(self, view: View) -> None:
        """List what matches, as it stands now."""
        words = self.query_one(Field).value
        shown = [c for c in commands(view, self._themes) if c.matches(words)]
        self._commands = {c.action: c for c in shown}
        self.query_one("#none").display = not shown
        self.query_one(Choices).show(c.choice(self._key(c.action)) for c in shown)

    def _key(self, action: str) -> str:
        """Return the key that does the same from a place."""
        own = [b for b in self.app.BINDINGS if isinstance(b, Binding)]
        keys = {f"app.{b.action}": b.key_display or "" for b in own}
        return KEY_OF.get(action) or keys.get(action, "")

    @on(Input.Changed)
    def _narrowed(self) -> None:
        if self.view is not None:
            self.draw(self.view)
            self.query_one(Choices).mark_first()
            self.say("")

    @on(Choices.OptionSelected)
    def _selected(self, event: Choices.OptionSelected) -> None:
        command = self._commands.get(event.option_id or "")
        if command is None:
            return
        if command.blocked:
            self.say(command.blocked)
        else:
            self.dismiss(command.action)

    def action_choose(self) -> None:
        """Take the marked one."""
        choices = self.query_one(Choices)
        if choices.chosen is not None:
            choices.action_select()
        elif self._commands:
            self.say("What was marked is gone. Up and Down mark another one.")
        else:
            self.say("Nothing matches: nothing was done.")

    def action_go(self, how: str) -> None:
        """Move the mark."""
        self.say("")
        getattr(self.query_one(Choices), f"action_{how}")()

    def action_no(self) -> None:
        """Choose nothing."""
        self.dismiss("")
