# SPDX-License-Identifier: MIT
"""What every screen has: a title with host and state, room for its own, and the keys below."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar, TypeVar

from textual import on
from textual.app import App, ComposeResult
from textual.await_complete import AwaitComplete
from textual.binding import ActiveBinding, Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen, Screen
from textual.widget import Widget

from luo_tui.console.session import View
from luo_tui.console.widgets.keys import Keys, Say
from luo_tui.console.widgets.more_below import MoreBelow
from luo_tui.console.widgets.places import PLACES, Places
from luo_tui.console.widgets.presenter import KEY, WORD
from luo_tui.console.widgets.text import Charset, Row
from luo_tui.console.widgets.title import Title
from luo_tui.console.widgets.toosmall import LEAST, TooSmall
from luo_tui.update.facts import Act

Result = TypeVar("Result")

ACT_BINDINGS: list[BindingType] = [
    *(
        Binding(key, f"app.act('{act}')", WORD[act], key_display=key, tooltip=WORD[act])
        for act, key in KEY.items()
    ),
    Binding(
        "t",
        "app.target",
        "target",
        key_display="t",
        tooltip="choose the target kernel; the checks run at once",
    ),
    *(
        Binding(
            key,
            f"app.place({name!r})",
            key_display=key,
            show=False,
            tooltip=", ".join(PLACES),
        )
        for name, key in PLACES.items()
    ),
    *(
        Binding(
            key,
            "app.palette",
            key_display=shown,
            show=False,
            tooltip="everything that can be done, by name",
        )
        for key, shown in (("colon", ":"), ("ctrl+p", "Ctrl+P"))
    ),
    *(
        Binding(
            key,
            f"app.pace({how!r})",
            key_display=shown,
            show=False,
            tooltip="the demo's host: faster, slower, stand still or go on",
        )
        for key, how, shown in (
            ("plus", "faster", "+"),
            ("minus", "slower", "-"),
            ("0", "still", "0"),
        )
    ),
    Binding("question_mark", "app.help", "help", key_display="?", tooltip="this help"),
    Binding("f1", "app.help", key_display="F1", show=False, tooltip="this help"),
    Binding(
        "q",
        "app.quit",
        "quit",
        key_display="q",
        tooltip="leave; the host stays as it is, and the image is unloaded",
    ),
]
"""What can be done from every place: each key, its word below and its sentence in the help."""

KEY_OF = {
    b.action: b.key_display or b.key for b in reversed(list(Binding.make_bindings(ACT_BINDINGS)))
}
"""The key of each action that every place has."""

_ACTS = {f"app.act('{act}')": act for act in KEY}
_LAST = ("app.help", "app.quit")

Pairs = list[tuple[str, str]]


def possible(action: str, view: View) -> bool:
    """Whether what a key is bound to does anything now, except to say why it does not."""
    if action in _ACTS:
        act = view.walk.action(_ACTS[action])
        return act is not None and act.possible
    if action == "app.target":
        return may_choose(view)
    return view.demo or not action.startswith("app.pace(")


def may_choose(view: View) -> bool:
    """Whether choosing a target leads anywhere now."""
    return not view.watching and view.walk.action(Act.LOAD) is not None


def footer(bindings: Iterable[ActiveBinding], view: View) -> Pairs:
    """Return keys and words of what can be done now; help and leaving come last."""
    found: dict[str, list[Binding]] = {}
    for binding in _in_order(bindings):
        if binding.show and possible(binding.action, view):
            found.setdefault(binding.description, []).append(binding)
    return [(_keys(those), word) for word, those in found.items()]


def help_rows(bindings: Iterable[ActiveBinding], view: View) -> Iterator[Row]:
    """Yield what each key does, and whether it can be done now."""
    found: dict[str, list[Binding]] = {}
    for binding in _in_order(bindings):
        if binding.tooltip and (view.demo or "app.pace" not in binding.action):
            found.setdefault(binding.tooltip, []).append(binding)
    for sentence, those in found.items():
        later = "" if any(possible(b.action, view) for b in those) else " (not now)"
        yield Row(f"{sentence}{later}", _keys(those))


def _in_order(bindings: Iterable[ActiveBinding]) -> list[Binding]:
    """Put what belongs to the screen alone before what every place has."""

    def rank(active: ActiveBinding) -> int:
        if active.binding.action in _LAST:
            return 2
        return int(active.binding.action in KEY_OF or isinstance(active.node, App))

    return [active.binding for active in sorted(bindings, key=rank)]


def _keys(bindings: Iterable[Binding]) -> str:
    return " ".join(b.key_display or b.key for b in bindings)


class Drawn(Screen[Result]):
    """A screen that is drawn from a :class:`View`; any size of terminal will do."""

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
        (42, "-grand"),
    ]
    BINDINGS: ClassVar[list[BindingType]] = []
    CHOICE_ACTS: ClassVar[bool] = False
    """Whether what is chosen, picked or typed here is done at once: a key does it only alone."""

    def __init__(self) -> None:
        """Start out without a view."""
        super().__init__()
        self.view: View | None = None
        self._furnished = False
        self._late = False
        """Whether the view has not been drawn yet."""
        self._ended = False
        self._answer: tuple[Result | None] | None = None
        """What this screen ends with as soon as it is in front; None while nothing is decided."""
        self._keys_now: Sequence[ActiveBinding] = ()
        """Those that are active, by where the focus is."""

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
        return footer(self._keys_now, view)

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
        self.set_class(Charset.ascii_only, "-ascii")
        self.bindings_updated_signal.subscribe(self, self._focus_moved)
        self._focus_moved(self)
        if self.view is not None:
            self.show(self.view)

    @property
    def is_covered(self) -> bool:
        """Whether nothing is seen but that the terminal is too small."""
        return self._furnished and self.query_one(TooSmall).display

    @property
    def is_ready(self) -> bool:
        """Whether the keys go where they are meant to: what wants the focus has it."""
        if not self._furnished:
            return False
        # What is covered has no focus, and lets no key act.
        if self.focused is not None or self.is_covered or not isinstance(self.AUTO_FOCUS, str):
            return True
        return not any(widget.focusable for widget in self.query(self.AUTO_FOCUS))

    def bound(self) -> Sequence[ActiveBinding]:
        """Return what the keys are bound to, less those that are typed into a field."""
        focused = self.focused
        return [
            active
            for active in self.active_bindings.values()
            # Textual does not know of each name of a key which character it is.
            if focused is None
            or len(shown := active.binding.key_display or "") != 1
            or not focused.check_consume_key(active.binding.key, shown)
        ]

    def _focus_moved(self, _: Screen[Result]) -> None:
        """Take note of what the keys do, now that the focus is elsewhere."""
        self._keys_now = self.bound()
        if self.view is not None and self.display:
            self.query_one(Keys).show(self.keys(self.view))

    def dismiss(self, result: Result | None = None) -> AwaitComplete:
        """End, once, and not before this screen is in front: Textual ends whichever is."""
        if self._ended:
            return AwaitComplete()
        self._answer = self._answer or (result,)
        # Not ``is_current``: that is true of what a dialog covers, too.
        if self.app.screen is not self:
            return AwaitComplete()
        self._ended = True
        return super().dismiss(*self._answer)

    @on(MoreBelow.Changed)
    def _fits_or_not(self) -> None:
        """Name the keys that scroll only where there is something to scroll."""
        if self.view is not None and self.display:
            self.query_one(Keys).show(self.keys(self.view))

    @on(Keys.Clicked)
    async def _key_clicked(self, event: Keys.Clicked) -> None:
        """Do what the key does; a key that is bound to several things does the first."""
        first = event.keys.split(" ")[0]
        for active in self._keys_now:
            if (active.binding.key_display or active.binding.key) == first:
                await self.app.run_action(active.binding.action, active.node)
                return

    def on_screen_resume(self) -> None:
        """Draw what happened while something else was in front; end if that was decided."""
        if self._answer is not None:
            self.dismiss(*self._answer)
            return
        if self._late and self.view is not None:
            self.show(self.view)

    def on_resize(self) -> None:
        """Give the focus back that a too small terminal took."""
        for more in self.query(MoreBelow):
            more.look()
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
        Binding(
            "escape",
            "app.place('overview')",
            "back",
            key_display="Esc",
            show=False,
            tooltip="back to the overview",
        ),
    ]

    def footer(self) -> Iterable[Widget]:
        """Yield the places, and below them the keys."""
        yield Places(self.WORD)
        yield from super().footer()


class Dialog(Drawn[Result], ModalScreen[Result]):
    """A screen that wants an answer before anything else happens."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "app.help", key_display="?", show=False, tooltip="this help"),
        Binding("f1", "app.help", key_display="F1", show=False, tooltip="this help"),
    ]
