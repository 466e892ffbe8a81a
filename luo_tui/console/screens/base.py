# SPDX-License-Identifier: MIT
"""What every screen has: a title with host and state, room for its own, and the keys below."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen, Screen
from textual.widget import Widget

from luo_tui.console.session import View
from luo_tui.console.widgets.keys import Keys, Say
from luo_tui.console.widgets.places import PLACES, Places
from luo_tui.console.widgets.presenter import KEY, WORD
from luo_tui.console.widgets.text import Row
from luo_tui.console.widgets.title import Title
from luo_tui.console.widgets.toosmall import LEAST, TooSmall
from luo_tui.update.facts import Act

Result = TypeVar("Result")

ACT_BINDINGS: list[BindingType] = [
    *(Binding(key, f"app.act('{act}')", WORD[act], show=False) for act, key in KEY.items()),
    Binding("t", "app.target", "target", show=False),
    Binding("q", "app.quit", "quit", show=False),
    Binding("question_mark", "app.help", "help", show=False),
    Binding("ctrl+p,colon", "app.palette", "palette", show=False),
    *(Binding(key, f"app.place({name!r})", name, show=False) for name, key in PLACES.items()),
    Binding("plus", "app.pace('faster')", show=False),
    Binding("minus", "app.pace('slower')", show=False),
    Binding("0", "app.pace('still')", show=False),
]

Pairs = list[tuple[str, str]]


def act_keys(view: View) -> Pairs:
    """Return the keys of the acts that are possible now."""
    return [(KEY[a.act], WORD[a.act]) for a in view.walk.actions if a.possible]


def may_choose(view: View) -> bool:
    """Whether choosing a target leads anywhere now."""
    return not view.watching and view.walk.action(Act.LOAD) is not None


class Drawn(Screen[Result]):
    """A screen that is drawn from a :class:`View`; any size of window will do."""

    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012 - Textual declares it without ClassVar
        (0, "-narrow"),
        (LEAST[0], "-mid"),
        (116, "-wide"),
        (160, "-vast"),
    ]
    VERTICAL_BREAKPOINTS = [  # noqa: RUF012
        (0, "-short"),
        (LEAST[1], "-low"),
        (23, "-tall"),
        (32, "-high"),
    ]
    BINDINGS: ClassVar[list[BindingType]] = []

    def __init__(self) -> None:
        """Start out without a view."""
        super().__init__()
        self.view: View | None = None
        self._furnished = False
        self._late = False
        """Whether the view has not been drawn yet."""

    def compose(self) -> ComposeResult:
        """Title, the screen's own widgets, what is said, the keys."""
        yield TooSmall()
        with Vertical(id="room"):
            yield Title()
            yield from self.furniture()
            yield Say(id="say")
            yield from self.footer()

    def furniture(self) -> Iterable[Widget]:
        """Yield the screen's own widgets."""
        return ()

    def footer(self) -> Iterable[Widget]:
        """Yield the last lines."""
        yield Keys(id="keys")

    def about(self) -> Iterable[Row]:
        """Yield what the help says of this screen, and of what has the focus on it."""
        return ()

    def keys(self, view: View) -> Pairs:
        """Return the keys that do something now."""
        del view
        return []

    def draw(self, view: View) -> None:
        """Bring the screen's own widgets up to date."""

    def show(self, view: View, *, seen: bool = True) -> None:
        """Draw this view, from now on; what is not seen is drawn when it is."""
        self.view = view
        self._late = not seen
        # A screen that is being taken apart is no longer displayed.
        if not self._furnished or not seen or not self.display:
            return
        self.query_one(Title).show(view)
        self.query_one(TooSmall).show(view)
        self.query_one(Keys).show(self.keys(view))
        self.draw(view)

    def say(self, text: str) -> None:
        """Say something below, until the next key."""
        if self._furnished:
            self.query_one("#say", Say).show(text)

    def on_mount(self) -> None:
        """Draw what there is to draw."""
        self._furnished = True
        if self.view is not None:
            self.show(self.view)

    def on_screen_resume(self) -> None:
        """Draw what happened while something else was in front."""
        if self._late and self.view is not None:
            self.show(self.view)

    def on_resize(self) -> None:
        """Give the focus back that a too small window took."""
        if self.focused is None:
            self.call_after_refresh(self._focus_again)

    def _focus_again(self) -> None:
        if self.focused is None and isinstance(self.AUTO_FOCUS, str):
            for widget in self.query(self.AUTO_FOCUS):
                widget.focus()
                break


class Place(Drawn[None]):
    """A screen that is reached by a number key from any other, and stays as it was left."""

    WORD: ClassVar[str]
    """Its name in :data:`~luo_tui.console.widgets.places.PLACES`."""
    BINDINGS: ClassVar[list[BindingType]] = [
        *ACT_BINDINGS,
        Binding("escape", "app.place('overview')", show=False),
    ]

    def footer(self) -> Iterable[Widget]:
        """Yield the places, and below them the keys."""
        yield Places(self.WORD)
        yield from super().footer()


class Dialog(Drawn[Result], ModalScreen[Result]):
    """A screen that wants an answer before anything else happens."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "app.help", show=False),
    ]
