# SPDX-License-Identifier: MIT
"""An operator's session: the facts of the moment, and one window to act through.

No Textual here. The console asks the session for a :class:`View` whenever the hub
has news, and hands it consents; the session asks the rules in ``update/``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from luo_tui.errors import NotDone
from luo_tui.model import Event, KernelImage, Snapshot, State
from luo_tui.monitor.event_text import EventDraft
from luo_tui.monitor.hub import Hub
from luo_tui.monitor.log import Log
from luo_tui.orchestrator import Orchestrator
from luo_tui.sources.files import FilesSource
from luo_tui.update.acts import Window
from luo_tui.update.clocks import Moment
from luo_tui.update.consent import Consent, objection
from luo_tui.update.facts import Act, Facts, ours_is_loaded
from luo_tui.update.guest_list import GuestList
from luo_tui.update.history import HistoryReader, PastWindow
from luo_tui.update.images import read_image, scan
from luo_tui.update.offers import Action, Ask
from luo_tui.update.person import Person
from luo_tui.update.plan import Plan
from luo_tui.update.promises import Became, PromiseOutcome, said
from luo_tui.update.rehearsal.record import RehearsalReader, Rehearsed
from luo_tui.update.rules import refusal
from luo_tui.update.target import Target, read_loaded, read_target
from luo_tui.update.walk import Walk, walk
from luo_tui.update.window_state import WindowState
from luo_tui.update.wording import count_text

LATEST = 8
"""Events that are shown outside the event log."""
_NAMED = 50
"""Broken promises that are told one by one: a whole handover has a hundred thousand."""


@dataclass(frozen=True, slots=True)
class View:
    """Everything the screens draw, at one instant."""

    facts: Facts
    walk: Walk
    title: str
    """What stands behind the console: LUO v2, or simulated."""
    demo: bool
    ours: bool
    """Whether the image that is loaded was loaded by this window."""
    target: Target | None = None
    """The target with its sealed copies; None where none is chosen, or it cannot be read."""
    latest: tuple[Event, ...] = ()
    """The last few things that happened, the newest last."""
    log: Log = field(default_factory=Log)
    """Everything that happened since the console began to watch."""

    history: tuple[PastWindow, ...] = ()
    """All windows of this host, the newest first."""
    history_fault: str = ""
    """Why they could not be read."""
    rehearsals: tuple[Rehearsed, ...] = ()
    """The latest rehearsals in a machine, the newest first."""
    rehearsals_fault: str = ""
    """Why they could not be read."""
    last_restored: Moment | None = None
    """When the latest restore was seen here; None: none was."""
    guests: GuestList | None = None
    """The guests of this host; None while nobody looks at them."""

    @property
    def snapshot(self) -> Snapshot:
        """The picture that the walk was decided on."""
        return self.facts.snapshot

    @property
    def watching(self) -> bool:
        """Whether this console cannot act: no privilege, or the window is another's."""
        if not self.facts.may_act or self.facts.lock_holder is not None:
            return True
        return self.walk.action(Act.TAKE_OVER) is not None


@dataclass(frozen=True, slots=True)
class Question:
    """An act as it was put to the operator, with the facts it was put on."""

    action: Action
    view: View

    @property
    def target(self) -> Target | None:
        """The target that was shown."""
        return self.view.target

    def why_not(self, view: View) -> str:
        """Say what has changed so that the question no longer stands; empty while it does."""
        found = objection(self.consent(), view.facts) or refusal(self.action.act, view.facts)
        return found.reason if found is not None else ""

    def consent(self, typed: str = "") -> Consent:
        """Turn the operator's yes into a consent to exactly what was shown."""
        asked = self.action.ask is not Ask.NOTHING
        return Consent.to(
            self.action.act,
            self.view.facts,
            typed=typed,
            label=self.action.label if asked else "",
        )


class Session:
    """One console's facts and its window. The acts block: call them from one worker at a time."""

    def __init__(
        self,
        orchestrator: Orchestrator,
        folder: Path,
        look: Callable[[], Snapshot],
        me: Person | None = None,
        plan: tuple[Plan, str] | None = None,
    ) -> None:
        """``look`` reads the facts anew from the kernel, in whatever thread calls it.

        ``me`` acts; the one who runs this process, where that is not said. Its
        windows go by ``plan``, which is one with its file's text. BadPlan: it
        would change the command line into another one than it says.
        """
        self.orchestrator = orchestrator
        self.folder = folder
        self.window = Window(orchestrator, folder, look, me)
        self.busy = threading.Lock()
        """Held while an act is under way."""
        self.shows_guests = False
        """Whether views are to tell of guests: to look through all processes costs."""
        self._history, self._rehearsals = HistoryReader(folder), RehearsalReader(folder)
        self._log = Log()
        self._waiting: tuple[str, int, Moment | None] = ("", 0, None)
        """The boot, how many wait there to be restored, and when that last became fewer."""
        self._telling = threading.Lock()
        self._told: set[tuple[str, str, Became]] = set()
        """Of which promises the log has been told that they are broken, by boot and name."""
        self._targets = threading.Lock()
        """Held while a target is looked for: views are built in several threads."""
        self._chosen: Target | KernelImage | None = None
        self._resumed: Target | KernelImage | None = None
        self._resumed_for = ("", "", "")
        """Window, path and digest for which :attr:`_resumed` was read."""
        self._command_line = orchestrator.kexec.command_line()
        self.planned = plan[0] if plan is not None else None
        """The plan that this console was opened with."""
        if plan is not None:
            self.window.go_by(*plan)
            self._command_line = plan[0].command_line(self._command_line)

    def hub(self, wake: Callable[[], None]) -> Hub:
        """Return a hub that watches this host, its files, and what other consoles write."""
        orchestrator = self.orchestrator
        files = FilesSource(orchestrator.kexec.boot_folder, self.folder, orchestrator.lock_folder)
        # A console that comes after a jump which did not happen goes on in the same log.
        return Hub(self.orchestrator, wake, (*orchestrator.surroundings(), files), self._log)

    def view(self, snapshot: Snapshot) -> View:
        """Decide what this snapshot has come to. Reads journal, lock and the target's files."""
        window_state = self.window.window_state()
        target = self._target(snapshot, window_state)
        facts = self.window.facts_of(snapshot, target)
        self._tell(facts)
        return View(
            facts=facts,
            walk=walk(facts),
            title=self.orchestrator.title,
            demo=self.orchestrator.demo,
            ours=facts.ours_is_loaded,
            target=target if isinstance(target, Target) else None,
            latest=self._log.since(self._log.last - LATEST),
            log=self._log,
            history=self._history.read(),
            history_fault=self._history.fault,
            rehearsals=self._rehearsals.read(),
            rehearsals_fault=self._rehearsals.fault,
            last_restored=self._last_restore(snapshot),
            guests=self.window.guest_list(facts) if self.shows_guests else None,
        )

    def _last_restore(self, snapshot: Snapshot) -> Moment | None:
        """Note when fewer wait to be restored than before; nothing else tells the moment."""
        boot, waiting = snapshot.host.boot_id, len(snapshot.incoming)
        before, was, at = self._waiting
        if boot != before:
            at = None
        elif waiting < was and snapshot.luo.state is State.UPDATED:
            at = Moment(time.time(), time.clock_gettime(time.CLOCK_BOOTTIME))
        self._waiting = boot, waiting, at
        return at

    def _tell(self, facts: Facts) -> None:
        """Let the log have each promise that turned out to be broken; once in a boot."""
        if not (broken := self._untold(facts)):
            return
        with self._telling:
            sure = {_of(facts, o) for o in self._untold(self.window.settled(facts))}
            new = [o for o in broken if _of(facts, o) in sure]
            self._told.update(_of(facts, o) for o in new)
            told = [EventDraft("promise", said(o), o.label, grave=True) for o in new[:_NAMED]]
            if more := len(new) - len(told):
                text = f"{count_text(more, 'promise')} more broken; the window (key 5) says which"
                told.append(EventDraft("promise", text, grave=True))
            self._log.add(told)

    def _untold(self, facts: Facts) -> list[PromiseOutcome]:
        promises = facts.promises
        broken = (*promises.lost, *promises.that(Became.FAILED))
        return [o for o in broken if _of(facts, o) not in self._told]

    def targets(self, running: str) -> Sequence[KernelImage]:
        """Read the images that could be loaded, the plan's first; takes its time on a slow disk."""
        kexec = self.orchestrator.kexec
        found = scan(kexec.boot_folder, kexec.modules_folder, running)
        if self.planned is None:
            return found
        wanted = self.planned.target
        return sorted(found, key=lambda i: wanted not in (i.release, Path(i.path).name, i.path))

    def read_image(self, path: Path, initrd: Path | None) -> KernelImage:
        """Read one image that was named by hand; what speaks against it is in its faults."""
        modules = self.orchestrator.kexec.modules_folder
        return read_image(path, modules, initrd, look_inside=False)

    def choose(self, path: Path, initrd: Path | None = None) -> KernelImage:
        """Make the kernel at ``path`` the target from now on: it is read and copied. Blocks.

        What speaks against it is in the image's ``fault``.
        """
        modules = self.orchestrator.kexec.modules_folder
        if initrd is None and self.planned is not None and self.planned.initrd:
            initrd = Path(self.planned.initrd)
        target = read_target(path, modules, self._command_line, initrd)
        self._chosen = target
        image = target.image if isinstance(target, Target) else target
        self.show_doing(f"target chosen: {image.release}")
        return image

    def show_doing(self, doing: str) -> None:
        """Let the consoles that watch know what is being done here."""
        self.window.show_doing(doing)

    def ask(self, view: View, act: Act) -> Question | None:
        """Put an act to the operator as it stands in ``view``; None where it makes no sense."""
        action = view.walk.action(act)
        return Question(action, view) if action is not None else None

    def do(self, consent: Consent, target: Target | None) -> tuple[str, ...]:
        """Do one act, except the kexec. Blocks; returns what is left to say."""
        match consent.act:
            case Act.LOAD if target is not None:
                self.window.load(consent, target)
            case Act.UNLOAD:
                return self.window.unload(consent)
            case Act.PREPARE if target is not None:
                self.window.prepare(consent, target)
            case Act.CANCEL:
                return self.window.cancel(consent)
            case Act.FINISH:
                return self.window.finish(consent)
            case Act.TAKE_OVER:
                self.window.take_over(consent)
            case Act.LOAD | Act.PREPARE:
                raise NotDone("Choose a target kernel first.")
            case _:
                raise ValueError(f"{consent.act} is not done from here")
        return ()

    def _target(
        self, snapshot: Snapshot, window_state: WindowState | None
    ) -> Target | KernelImage | None:
        """Return the target: what was chosen here, unless an update is under way with another."""
        with self._targets:
            loaded = self._loaded(snapshot, window_state)
            if loaded is None or snapshot.luo.state is State.NORMAL:
                return self._chosen or loaded
            return loaded

    def _loaded(
        self, snapshot: Snapshot, window_state: WindowState | None
    ) -> Target | KernelImage | None:
        """Return what this window has loaded; read and copied again after a restart."""
        if window_state is None or not window_state.image:
            return None
        if not ours_is_loaded(snapshot, window_state):
            return None
        if isinstance(self._chosen, Target) and _is(self._chosen, window_state):
            return self._chosen
        loaded = (window_state.window, window_state.image, window_state.image_digest)
        if isinstance(self._resumed, Target) and self._resumed_for == loaded:
            return self._resumed
        self._resumed_for = loaded
        modules = self.orchestrator.kexec.modules_folder
        self._resumed = read_loaded(snapshot, window_state, modules, self._command_line)
        return self._resumed


def _of(facts: Facts, outcome: PromiseOutcome) -> tuple[str, str, Became]:
    return facts.snapshot.host.boot_id, outcome.label, outcome.became


def _is(target: Target, window_state: WindowState) -> bool:
    """Whether these copies are what the window says it has loaded."""
    image, initrd = target.image.identity, target.image.initrd_identity
    if image is None or target.image.path != window_state.image:
        return False
    if target.command_line != window_state.command_line:
        return False
    return (image.sha256, initrd.sha256 if initrd else "") == (
        window_state.image_digest,
        window_state.initrd_digest,
    )
