# SPDX-License-Identifier: MIT
"""The questions before a loss, that of the kexec among them: a word has to be typed.

The keys to the end: Tab (from the harmless answer to the field), the word (the
host's name before the kexec), Tab (to the answer that is armed by then), Enter.
No key held down and no Enter pressed twice gets there: Enter in the field
presses nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual import on
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.events import Paste
from textual.widget import Widget
from textual.widgets import Input, Static

from luo_tui.console.screens.asking import AskAct
from luo_tui.console.screens.base import Pairs
from luo_tui.console.session import Question, View
from luo_tui.console.widgets.choice_button import ChoiceButton
from luo_tui.console.widgets.field import Field
from luo_tui.console.widgets.presenter import MOST, listed
from luo_tui.console.widgets.text import Row, plain
from luo_tui.update.offers import Action

_BESIDE = 40
"""Cells of the question up to which the field stands beside it."""


class Proof(Field):
    """Takes keys alone: what is typed proves that its writer knows where he is."""

    def on_paste(self, event: Paste) -> None:
        """Refuse what the terminal pastes."""
        event.prevent_default()
        event.stop()
        self.action_paste()

    def action_paste(self) -> None:
        """Refuse what was copied in the console."""
        screen = self.screen
        if isinstance(screen, AskTyped):
            screen.say("Pasting proves nothing: type it.")


class AskTyped(AskAct):
    """Opens with the loss; armed by typing the act's word, and by nothing else."""

    BINDINGS: ClassVar[list[BindingType]] = []
    THERE = "Enter there does it"
    """What comes of Enter on the answer that is armed."""

    def __init__(self, question: Question) -> None:
        """``question`` is that of an act that loses something."""
        super().__init__(question)
        self._word = question.action.typed

    def lines(self, action: Action) -> Sequence[Row]:
        """Return the loss, then what survives it."""
        return (
            *listed("Lost", action.lost_shown or action.lost, MOST, style="$text-error"),
            *listed("Survives", action.survives or ("Nothing.",), MOST),
            *listed("Does", action.does, MOST),
            Row(action.way_back, "Way back"),
        )

    def answers(self) -> Iterable[Widget]:
        """Yield the harmless answer, the field, the other one."""
        yield ChoiceButton(self._keep, id="keep")
        ask = f"  To arm it, type {plain(self._word)}:"
        beside = len(ask) < _BESIDE
        if not beside:
            yield Static(Content(ask), id="above")
        with Horizontal(id="field"):
            yield Static(Content(f"{ask if beside else ' '} ["), id="ask")
            yield Proof(id="typed")
            yield Static(Content("]"))
        yield ChoiceButton(self._go, id="go", disabled=True)

    def keys(self, view: View) -> Pairs:
        """Return the keys; the word is typed into the field."""
        del view
        return self.less_dead(
            [("Tab", "next"), ("Enter", "press"), ("PgDn", "read on"), ("Esc", self._keep)]
        )

    @property
    def typed(self) -> str:
        """What stands in the field."""
        return self.query_one(Field).value

    @property
    def answerable(self) -> bool:
        """Whether exactly the right word was typed, to a question that still stands."""
        return bool(self._word) and self.typed == self._word and not self.stale

    @on(Input.Changed)
    def _typing(self) -> None:
        if not self.stale:
            self.say("")
            self.query_one("#go", ChoiceButton).disabled = not self.answerable

    @on(Input.Blurred)
    def _left_field(self) -> None:
        if self.typed and not self.answerable and not self.stale:
            self.say(self._wrong)

    @property
    def _wrong(self) -> str:
        return f"{self.typed!r} is not {self._word!r}: nothing was done."

    @on(Input.Submitted)
    def _entered(self) -> None:
        if self.stale:
            return
        if self.answerable:
            self.say(f"That is right. Tab goes to the answer below, {self.THERE}.")
        else:
            self.say(self._wrong)

    def withdraw(self, why: str) -> None:
        """Take the act away."""
        super().withdraw(why)
        self.query_one(Field).disabled = True


class AskKexec(AskTyped):
    """The question of the kexec: what is typed is the host's name."""

    THERE = "Enter there ends this kernel"
