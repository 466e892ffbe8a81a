# SPDX-License-Identifier: MIT
"""Questions. The harmless answer has the focus, Escape is no, and buttons name outcomes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widget import Widget

from luo_tui.console.screens.base import Dialog, Pairs
from luo_tui.console.session import Question, View
from luo_tui.console.widgets.choice_button import ChoiceButton
from luo_tui.console.widgets.more_below import MoreBelow
from luo_tui.console.widgets.navigation import navigation
from luo_tui.console.widgets.paragraphs import Paragraphs
from luo_tui.console.widgets.presenter import action_rows
from luo_tui.console.widgets.text import Row
from luo_tui.update.offers import Action

GRACE = 0.4
"""Seconds after a withdrawal in which nothing is pressed: it was meant for what stood before."""
_BACK, _AGAIN = "Go back", "Ask again, as it is now"


class Asking(Dialog[bool]):
    """A question with two outcomes. Ends with True for ``go`` alone."""

    AUTO_FOCUS = "#keep"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "app.focus_next", "choose", key_display="Tab", tooltip="choose an answer"),
        *navigation("read on", up="page('up')", down="page('down')", pageup="page('page_up')"),
        Binding("pagedown", "page('page_down')", "read on", key_display="PgDn", tooltip="read on"),
        Binding("escape", "no", "back", key_display="Esc", tooltip="change nothing"),
    ]

    def __init__(self, heading: str, rows: Sequence[Row], keep: str, go: str) -> None:
        """``keep`` and ``go`` say what will be so afterwards."""
        super().__init__()
        self._heading, self._rows, self._keep, self._go = heading, rows, keep, go

    def furniture(self) -> Iterable[Widget]:
        """Yield the host, the question, the consequences, the answers."""
        yield Paragraphs(id="heading")
        with VerticalScroll(id="page", can_focus=False):
            yield Paragraphs(self._rows, id="body")
        yield MoreBelow("#page")
        yield from self.answers()

    def answers(self) -> Iterable[Widget]:
        """Yield the harmless answer first."""
        yield ChoiceButton(self._keep, id="keep")
        yield ChoiceButton(self._go, id="go")

    def draw(self, view: View) -> None:
        """Name the host."""
        host = view.snapshot.host.name
        self.query_one("#heading", Paragraphs).show(
            [Row(host, "On host", style="bold"), Row(self._heading, "Act", style="bold")]
        )

    def keys(self, view: View) -> Pairs:
        """Return the keys, that of no with what is so then."""
        named = [(key, self._keep if key == "Esc" else word) for key, word in super().keys(view)]
        return self.less_dead(named)

    def less_dead(self, keys: Pairs) -> Pairs:
        """Return them without the one that scrolls, where there is nothing to scroll."""
        goes_on = any(more.goes_on for more in self.query(MoreBelow))
        return [(key, word) for key, word in keys if goes_on or key != "PgDn"]

    def about(self) -> Iterable[Row]:
        """Say how a question is answered."""
        yield Row(
            "A question. Nothing is done before it is answered, and the answer that changes "
            "nothing has the focus. If the host changes meanwhile, the question is withdrawn."
        )

    def action_no(self) -> None:
        """Answer no."""
        self.dismiss(False)

    def action_page(self, how: str) -> None:
        """Scroll what is to be read, wherever the focus is."""
        page = self.query_one("#page", VerticalScroll)
        getattr(page, f"scroll_{how}")(animate=False)

    @property
    def answerable(self) -> bool:
        """Whether a yes counts."""
        return True

    @on(ChoiceButton.Pressed)
    def _pressed(self, pressed: ChoiceButton.Pressed) -> None:
        self.answer(pressed.button.id == "go")

    def answer(self, go: bool) -> None:
        """End with the answer of a button."""
        if not go or self.answerable:
            self.dismiss(go)


class AskAct(Asking):
    """Asks for the consent to one act; it is withdrawn when the facts change under it.

    Then it stays until that was acknowledged, says what has changed, and can be
    asked again on the facts of then.
    """

    def __init__(self, question: Question) -> None:
        """``question`` holds the act and the facts that it rests on."""
        self.question = question
        self.stale = False
        self.again = False
        """Whether it ended in order to be asked again."""
        self._withdrawn_at = 0.0
        action = question.action
        super().__init__(action.label, self.lines(action), action.keep, action.label)

    def lines(self, action: Action) -> Sequence[Row]:
        """Return what has to be read before the answer."""
        return tuple(action_rows(action))

    @property
    def typed(self) -> str:
        """What was typed to prove that the right host is meant."""
        return ""

    def draw(self, view: View) -> None:
        """See whether the question still stands."""
        super().draw(view)
        if not self.stale and (why := self.question.why_not(view)):
            self.stale = True
            self.withdraw(why)

    def withdraw(self, why: str) -> None:
        """Take the act away and say ``why``, on top of what was asked."""
        self._withdrawn_at = time.monotonic()
        self._keep, self._go = _BACK, _AGAIN
        keep, go = (self.query_one(f"#{id_}", ChoiceButton) for id_ in ("keep", "go"))
        keep.relabel(_BACK)
        go.relabel(_AGAIN)
        go.disabled = False
        keep.focus()
        withdrawn = Row(why, "Withdrawn", style="bold $text-error")
        self.query_one("#body", Paragraphs).show((withdrawn, *self._rows))
        self.query_one("#page", VerticalScroll).scroll_home(animate=False)
        # What was said before was about an answer that is gone.
        self.say("")

    def answer(self, go: bool) -> None:
        """End with the answer of a button; what was withdrawn can only be asked again."""
        if not self.stale:
            super().answer(go)
        elif time.monotonic() - self._withdrawn_at >= GRACE:
            self.again = go
            self.dismiss(False)

    @property
    def answerable(self) -> bool:
        """Whether the question still stands."""
        return not self.stale
