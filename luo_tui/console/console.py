# SPDX-License-Identifier: MIT
"""The console: one application, pushed screens, and at most one act at a time.

The hub's thread wakes it; it asks the session for a view and has the screens draw
it. Acts block, so they run in a worker; the kexec does not run here at all:
the application ends with a :class:`KexecRequest`, and its runner jumps.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar

from rich.console import Console as Report
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.screen import Screen

from luo_tui.console.act_app import ActApp, Done
from luo_tui.console.messages import ShutDown, Wake
from luo_tui.console.screens.asking import AskAct, Asking
from luo_tui.console.screens.base import Drawn, Place, help_rows
from luo_tui.console.screens.notice import Notice
from luo_tui.console.screens.overview import Overview
from luo_tui.console.session import Question, Session, View
from luo_tui.console.shutdown import Shutdown, terminal_is_gone
from luo_tui.console.themes import theme_for, themes_beside
from luo_tui.console.viewer import Viewer
from luo_tui.console.widgets.overprint import Overprint
from luo_tui.console.widgets.places import PLACES
from luo_tui.console.widgets.presenter import WORD
from luo_tui.console.widgets.scrollbar import use_plain_bars
from luo_tui.console.widgets.text import Charset, Row, has_only_ascii
from luo_tui.console.wishes import Wishes
from luo_tui.model import KernelImage, State
from luo_tui.orchestrator import Paced
from luo_tui.update.consent import Consent
from luo_tui.update.facts import Act, Step, arrival_is_due
from luo_tui.update.offers import Ask
from luo_tui.update.rules import why_not
from luo_tui.update.target import Target

_GUESTS, _WINDOW = "guests", "window"
"""Words of places."""
_AGAIN = 2.0
"""Seconds after which guests are looked for again, while their place is in front."""


@dataclass(frozen=True, slots=True)
class KexecRequest:
    """The console ended in order to jump."""

    consent: Consent
    target: Target


@dataclass(frozen=True, slots=True)
class Left:
    """The console ended; what is left to say goes below the prompt."""

    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImagesRead:
    """The kernel images are read: they can be offered."""

    images: Sequence[KernelImage]


def _place(word: str) -> Screen[Any]:
    from luo_tui.console.screens.others import OTHERS

    return OTHERS[word]()


class Console(ActApp[KexecRequest | Left]):
    """The operator's console."""

    TITLE = "luo-tui"
    CSS_PATH = "luo_tui.tcss"
    ENABLE_COMMAND_PALETTE = False
    ALLOW_SELECT = False
    SCREENS: ClassVar[dict[str, Callable[[], Screen[Any]]]] = {
        word: partial(_place, word) for word in PLACES if word != Overview.WORD
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+q", "quit", show=False, priority=True),
        Binding("ctrl+c", "no_quit", show=False, priority=True),
        Binding("ctrl+z", "stop", show=False, priority=True),
        Binding(
            "ctrl+l",
            "repaint",
            key_display="Ctrl+L",
            show=False,
            priority=True,
            tooltip="draw the screen anew",
        ),
        Binding(
            "ctrl+backslash",
            "leave_now",
            key_display="Ctrl+\\",
            show=False,
            priority=True,
            tooltip="leave at once, after the call in flight",
        ),
    ]

    def __init__(
        self,
        session: Session,
        notice: Sequence[str] = (),
        shutdown: Shutdown | None = None,
        wishes: Wishes | None = None,
    ) -> None:
        """``notice`` has to be acknowledged before anything else."""
        self._wishes = wishes or Wishes()
        self.place = self._wishes.place
        """The place that is in front, or below what is."""
        Charset.ascii_only = has_only_ascii(os.environ)
        use_plain_bars()
        theme = theme_for(os.environ, self._wishes.theme)
        # Said here, since Textual decides now how it leaves colours out.
        super().__init__(shutdown, bell=self._wishes.bell, ansi_color=theme.ansi or None)
        self.animation_level = "none"
        for other in themes_beside(theme):
            self.register_theme(other)
        self.theme = theme.name
        self.session = session
        self.hub = session.hub(lambda: self.viewer.ask())
        self.viewer = Viewer(lambda: session.view(self.hub.snapshot), lambda: self._tell(Wake()))
        self.view = session.view(self.hub.snapshot)
        self.fault: BaseException | None = None
        """What ended the console, if something did that should not have."""
        # Textual's own report has the values of local variables: nobody gets to see it.
        self.error_console = Report(file=io.StringIO(), width=120)
        self._unaccounted: Exception | None = None
        """Why the jump that led here could not be accounted for."""
        self._notice = tuple(notice)
        self._overprint = Overprint(self, self.action_repaint)

    def get_default_screen(self) -> Overview:
        """Return the overview: it is always there, under whatever else is."""
        overview = Overview()
        overview.show(self.view)
        return overview

    # -- what comes in ----------------------------------------------------------------

    def on_load(self) -> None:
        """Start watching, so that the first thing drawn is the whole picture."""
        self.hub.start()
        self.view = self.session.view(self.hub.snapshot)
        facts = self.view.facts
        if facts.may_act and arrival_is_due(facts.snapshot, facts.window_state):
            self._arrive()
        self.viewer.start(self.view)

    def _arrive(self) -> None:
        """Account for the jump before the first picture, so that no key has to wait for it."""
        try:
            self.session.window.arrive()
        except Exception as error:
            self._unaccounted = error
        self.view = self.session.view(self.hub.snapshot)

    def on_mount(self) -> None:
        """Go where the operator wants to be, and say what happened before."""
        self._guests_again = self.set_interval(_AGAIN, self.viewer.ask, pause=True)
        self.action_place(self._wishes.place)
        self.app_resume_signal.subscribe(self, lambda _: self.action_repaint())
        if self._notice:
            self.push(Notice("The update did not go on.", self._notice))
        if self._leaving is not None:
            self._own_stop_signals(self._leaving)
            self._leaving.attend(self._shut_down_now, self._end)
        if self._unaccounted is not None:
            self._failed("account for the jump", self._unaccounted)
        self.call_after_refresh(self._bring_others)

    def _bring_others(self) -> None:
        """Import the other places and the dialogs, so that the first picture need not wait.

        Not when they are asked for: the package may be replaced while a window is open.
        """
        import luo_tui.console.screens.others  # noqa: F401

    def on_unmount(self) -> None:
        """Stop watching."""
        self.hub.stop()
        self.viewer.stop()

    def _tell(self, message: Message) -> None:
        """From any thread; the console's loop may have ended since."""
        with contextlib.suppress(RuntimeError):
            self.post_message(message)

    def on_wake(self) -> None:
        """Draw the newest picture."""
        if self.viewer.fault is not None:
            self._say(f"This is an older picture: {self.viewer.fault}")
        self.look_again()

    def look_again(self) -> None:
        """Draw the newest picture."""
        view = self.viewer.latest
        if view is not None:
            self._overprint.printed(view.snapshot.printed)
            self._look(view)

    def on_key(self) -> None:
        """Take back what was said; see whether another console came or went."""
        self._say("")
        self.viewer.ask()

    def on_result(self, result: object) -> None:
        """Offer the images that were read."""
        if isinstance(result, ImagesRead):
            self._offer_images(result.images)

    def _offer_images(self, images: Sequence[KernelImage]) -> None:
        from luo_tui.console.screens.others import TargetScreen

        snapshot, kexec = self.view.snapshot, self.session.orchestrator.kexec
        screen = TargetScreen(
            str(kexec.boot_folder),
            images,
            snapshot.host.release,
            self.session.read_image,
        )
        self.session.show_doing("choosing the target")
        self.push(screen, self._chosen)

    def on_shut_down(self, message: ShutDown) -> None:
        """End, after everything was done that had to be."""
        self.exit(Left(tuple(message.lines)))

    # -- what is drawn ----------------------------------------------------------------

    def push(self, screen: Drawn[Any], callback: Callable[[Any], None] | None = None) -> None:
        """Show a screen, drawn from the picture of now."""
        self._say("")
        screen.show(self.view)
        self.push_screen(screen, callback)

    def _look(self, view: View) -> None:
        if view != self.view:
            before, self.view = self.view.walk.step, view
            if before is Step.RESTORE and view.walk.step is Step.FINISH:
                self._ring()
            self._draw()

    def _draw(self) -> None:
        seen = True
        for screen in reversed(self.screen_stack):
            if isinstance(screen, Drawn):
                screen.show(self.view, seen=seen)
            # A place covers what is under it; what a dialog covers may still be seen.
            seen = seen and not isinstance(screen, Place)

    # -- what the keys do -------------------------------------------------------------

    def action_place(self, word: str) -> None:
        """Go to a place; it is as it was left."""
        here = self.screen
        if not isinstance(here, Place) or word == here.WORD:
            return
        self._say("")
        self.place = word
        self._watch_guests(here=word == _GUESTS)
        if word == Overview.WORD:
            self.pop_screen()
            return
        place = self.get_screen(word, Drawn)
        place.show(self.view)
        if here.WORD == Overview.WORD:
            self.push_screen(word)
        else:
            self.switch_screen(word)

    def _watch_guests(self, *, here: bool) -> None:
        """Look for guests while their place is in front: nobody notifies of them."""
        self.session.shows_guests = here
        if here:
            self._guests_again.reset()
            self._guests_again.resume()
            self.viewer.ask()
        else:
            self._guests_again.pause()

    def action_help(self) -> None:
        """Open the help that belongs here."""
        from luo_tui.console.screens.others import Help

        here = self.screen
        if isinstance(here, Drawn):
            self.push(Help(here.about(), help_rows(here.bound(), self.view)))

    def action_palette(self) -> None:
        """Open the palette."""
        from luo_tui.console.screens.others import Palette

        names = [t.name for t in themes_beside(theme_for(os.environ, self.theme))]
        self.push(Palette(names), self._chosen_command)

    def _chosen_command(self, action: str | None) -> None:
        if action:
            self.call_later(self.run_action, action)

    def action_theme(self, name: str) -> None:
        """Draw in other colours."""
        self.theme = name

    def action_pace(self, how: str) -> None:
        """Let the simulated host live faster or slower."""
        orchestrator = self.session.orchestrator
        if isinstance(orchestrator, Paced):
            getattr(orchestrator, how)()
            speed = orchestrator.speed
            how = f"lives at speed {speed:g}" if speed else "stands still"
            self._say(f"The simulated host {how}.")

    def action_repaint(self) -> None:
        """Draw every cell anew."""
        self.screen.refresh(layout=True)

    def action_target(self) -> None:
        """Read the images, then offer them."""
        load = self.session.ask(self.view, Act.LOAD)
        if load is None:
            self._say(why_not(Act.LOAD, self.view.facts))
        elif self.view.watching:
            self._say(load.action.blocked)
        elif self._may_begin():
            self._work("read the kernel images", self._read_targets)

    def action_act(self, name: str) -> None:
        """Ask for the consent to an act, if it is possible; say why not, if it isn't."""
        act = Act(name)
        question = self.session.ask(self.view, act)
        if question is None:
            self._say(why_not(act, self.view.facts))
        elif question.action.blocked:
            self._say(question.action.blocked)
        elif self._may_begin():
            if question.action.ask is Ask.NOTHING:
                self._do(question, "")
                return
            screen = _asking(question)
            self.session.show_doing(f"asked to confirm: {WORD[act]}")
            self.push(screen, lambda yes: self._answered(screen, yes is True))

    async def action_quit(self) -> None:
        """Leave; what stays behind is asked first."""
        state = self.view.snapshot.luo.state
        if self.under_way:
            self._say(f"Under way: {self.under_way}. Leaving waits until it has ended.")
        elif isinstance(self.screen, Asking | Notice):
            self._say("Answer first: Esc changes nothing.")
        elif self.view.watching or state not in (State.PREPARED, State.FROZEN):
            self._work("leave", partial(self._leave, "quit"))
        else:
            rows = [
                Row(self.view.walk.headline),
                Row("An image that this window loaded is unloaded."),
            ]
            keep, go = "Go on here", f"Stay {state} and leave"
            screen = Asking(go, rows, keep, go)
            self.push(screen, lambda yes: self._work_if(yes, "leave", partial(self._leave, "quit")))

    def action_no_quit(self) -> None:
        """Say how to leave."""
        asked = isinstance(self.screen, Asking | Notice)
        self._say(
            "Ctrl+C ends nothing here. " + ("Esc goes back." if asked else "To leave: Ctrl+Q")
        )

    def action_stop(self) -> None:
        """Say that nothing stops here: a stopped console would hold the window and see nothing."""
        self._say("Ctrl+Z stops nothing here. Use another terminal, or leave with q.")

    def action_leave_now(self) -> None:
        """Leave as if told by the signal."""
        if self._leaving is not None:
            self._leaving.ask(signal.SIGQUIT)
        else:
            self._work("leave", partial(self._leave, "asked to quit at once"))

    # -- what is done, in the worker --------------------------------------------------

    def _chosen(self, image: object) -> None:
        self.session.show_doing("")
        if isinstance(image, KernelImage):
            self._work("read the target", lambda: self._choose(image))
            self.action_place(_WINDOW)

    def _answered(self, screen: AskAct, yes: bool) -> None:
        question = screen.question
        self.session.show_doing("")
        if screen.again:
            self.action_act(question.action.act.value)
        if not yes:
            return
        if question.action.act is Act.KEXEC and question.target is not None:
            self.exit(KexecRequest(question.consent(screen.typed), question.target))
        else:
            self._do(question, screen.typed)

    def _do(self, question: Question, typed: str) -> None:
        consent = question.consent(typed)
        label = question.action.label

        def work() -> Done:
            said = self.session.do(consent, question.target)
            return self._done(f"Done: {label}.", *said)

        time = question.view.facts.prepare_time
        should_take = time.seconds if time and question.action.act is Act.PREPARE else 0.0
        self._work(WORD[question.action.act], work, should_take)

    def _choose(self, image: KernelImage) -> Done:
        initrd = Path(image.initrd) if image.initrd else None
        self.session.choose(Path(image.path), initrd)
        return self._done()

    def _read_targets(self) -> ImagesRead:
        return ImagesRead(self.session.targets(self.view.snapshot.host.release))

    def _leave(self, why: str) -> None:
        self.post_message(ShutDown(self.session.window.leave(why)))

    def _shut_down_now(self, why: str) -> tuple[str, ...]:
        """In the thread of the shutdown: after the call in flight, leave the window."""
        with self.session.busy:
            return self.session.window.leave(why)

    def _end(self, lines: tuple[str, ...]) -> None:
        self.post_message(ShutDown(lines))

    def input_failed(self, error: Exception) -> None:
        """Tell a lost terminal from a fault of our own."""
        if self._leaving is not None and terminal_is_gone():
            self._leaving.terminal_lost()
        else:
            raise error

    def _handle_exception(self, error: Exception) -> None:
        """Keep the first error, for the report; Textual ends the application by it."""
        self.fault = self.fault or error
        super()._handle_exception(error)

    def _own_stop_signals(self, shutdown: Shutdown) -> None:
        """Refuse to be stopped; stopped all the same, come back only to draw, not to leave.

        Textual would stop itself with SIGSTOP, which the kernel obeys also where
        no shell is left to bring it back.
        """
        go_on = signal.getsignal(signal.SIGCONT)

        def own_go_on(number: int, frame: FrameType | None) -> None:
            if not shutdown.asked and callable(go_on):
                go_on(number, frame)

        signal.signal(signal.SIGTSTP, signal.SIG_IGN)
        signal.signal(signal.SIGCONT, own_go_on)


def _asking(question: Question) -> AskAct:
    """Return the screen that asks; one with a field where something is lost."""
    if question.action.ask is not Ask.TYPE:
        return AskAct(question)
    from luo_tui.console.screens.others import AskKexec, AskTyped

    return AskKexec(question) if question.action.act is Act.KEXEC else AskTyped(question)
