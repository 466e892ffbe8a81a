# SPDX-License-Identifier: MIT
"""An operator's session: the facts of the moment, and one window to act through.

No Textual here. The console asks the session for a :class:`View` whenever the hub
has news, and hands it consents; the session asks the rules in ``update/``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from luo_tui.model import Event, KernelImage, Snapshot, State
from luo_tui.monitor.hub import Hub
from luo_tui.monitor.log import Log
from luo_tui.orchestrator import Orchestrator
from luo_tui.sources.files import FilesSource
from luo_tui.update.acts import Consent, Plan, Window
from luo_tui.update.checks.target import run_checks
from luo_tui.update.images import read_image, scan
from luo_tui.update.journal import JournalReading
from luo_tui.update.lock import LockReading
from luo_tui.update.person import Person
from luo_tui.update.walk import Act, Action, Ask, Facts, Walk, ours_is_loaded, walk
from luo_tui.update.window_state import WindowState

LATEST = 8
"""Events that are shown outside the event log."""


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
    latest: tuple[Event, ...] = ()
    """The last few things that happened, the newest last."""
    log: Log = field(default_factory=Log)
    """Everything that happened since the console began to watch."""

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
    plan: Plan | None

    def still(self, view: View) -> bool:
        """Whether the facts that the question rests on are the same in ``view``."""
        now, then = view.snapshot, self.view.snapshot
        action = view.walk.action(self.action.act)
        # What is lost is told as it was; only what was said to survive must still do so.
        if action is None or replace(action, lost=()) != replace(self.action, lost=()):
            return False
        if now.luo.state is not then.luo.state:
            return False
        if self.action.act in (Act.PREPARE, Act.KEXEC):
            return [r.token for r in now.outgoing] == [r.token for r in then.outgoing]
        if self.action.act is Act.FINISH:
            return [r.token for r in now.incoming] == [r.token for r in then.incoming]
        return True

    def consent(self, typed: str = "") -> Consent:
        """Turn the operator's yes into a consent to exactly what was shown."""
        act, window_state = self.action.act, self.view.facts.window_state
        return Consent.to(
            act,
            self.view.snapshot,
            target=window_state.target if window_state and act is Act.KEXEC else "",
            typed=typed if act is Act.KEXEC else "",
            label=self.action.label if self.action.ask is not Ask.NOTHING else "",
            holder=str(window_state.holder or "") if window_state and act is Act.TAKE_OVER else "",
        )


class Session:
    """One console's facts and its window. The acts block: call them from one worker at a time."""

    def __init__(
        self,
        orchestrator: Orchestrator,
        folder: Path,
        look: Callable[[], Snapshot],
        me: Person | None = None,
    ) -> None:
        """``look`` reads the facts anew from the kernel, in whatever thread calls it.

        ``me`` acts; the one who runs this process, where that is not said.
        """
        self.orchestrator = orchestrator
        self.folder = folder
        self.window = Window(orchestrator, folder, look, me)
        self.busy = threading.Lock()
        """Held while an act is under way."""
        self._log = Log()
        self._chosen: KernelImage | None = None
        self._resumed: KernelImage | None = None
        self._command_line = orchestrator.kexec.command_line()

    def hub(self, wake: Callable[[], None]) -> Hub:
        """Return a hub that watches this host, its files, and what other consoles write."""
        orchestrator = self.orchestrator
        files = FilesSource(orchestrator.kexec.boot_folder, self.folder, orchestrator.lock_folder)
        hub = Hub(self.orchestrator, wake, (*self.orchestrator.surroundings(), files))
        self._log = hub.log
        return hub

    def view(self, snapshot: Snapshot) -> View:
        """Decide what this snapshot has come to, with the journal and the owner as of now."""
        journal, lock = self.window.journal_reading(), self.window.lock_reading()
        window_state = journal.window_state
        image = self._image(snapshot, window_state)
        facts = Facts(
            snapshot=snapshot,
            may_act=self.orchestrator.may_act(),
            image=image,
            findings=run_checks(snapshot, image, self._command_line) if image else (),
            window_state=window_state,
            lock_holder=lock.person,
            lock_fault=lock.fault,
            journal_fault=journal.fault,
            me=self.window.me,
            mine=self.window.mine,
        )
        return View(
            facts=facts,
            walk=walk(facts),
            title=self.orchestrator.title,
            demo=self.orchestrator.demo,
            ours=ours_is_loaded(snapshot, window_state),
            latest=self._log.since(self._log.last - LATEST),
            log=self._log,
        )

    def stirred(self, view: View) -> bool:
        """Whether journal or lock are no longer what ``view`` shows."""
        facts = view.facts
        journal = JournalReading(facts.window_state, facts.journal_fault)
        lock = LockReading(facts.lock_holder, facts.lock_fault)
        return self.window.journal_reading() != journal or self.window.lock_reading() != lock

    def targets(self, running: str) -> Sequence[KernelImage]:
        """Read the images that could be loaded; takes its time on a slow disk."""
        kexec = self.orchestrator.kexec
        return scan(kexec.boot_folder, kexec.modules_folder, running)

    def choose(self, image: KernelImage) -> None:
        """Make ``image`` the target from now on."""
        self._chosen = image
        self.show_doing(f"target chosen: {image.release}")

    def show_doing(self, doing: str) -> None:
        """Let the consoles that watch know what is being done here."""
        self.window.show_doing(doing)

    def ask(self, view: View, act: Act) -> Question | None:
        """Put an act to the operator as it stands in ``view``; None where it makes no sense."""
        action = view.walk.action(act)
        if action is None:
            return None
        image = view.facts.image
        if act is Act.KEXEC:
            image = self._loaded(view.snapshot, view.facts.window_state)
        return Question(action, view, Plan(image, self._command_line) if image else None)

    def do(self, consent: Consent, plan: Plan | None) -> tuple[str, ...]:
        """Do one act, except the kexec. Blocks; returns what is left to say."""
        match consent.act:
            case Act.LOAD if plan is not None:
                self.window.load(consent, plan)
            case Act.UNLOAD:
                self.window.unload(consent)
            case Act.PREPARE:
                self.window.prepare(consent)
            case Act.CANCEL:
                return self.window.cancel(consent)
            case Act.FINISH:
                self.window.finish(consent)
            case Act.TAKE_OVER:
                self.window.take_over(consent)
            case _:
                raise ValueError(f"{consent.act} is not done from here")
        return ()

    def _image(self, snapshot: Snapshot, window_state: WindowState | None) -> KernelImage | None:
        """Return the target: what was chosen here, unless an update is under way with another."""
        loaded = self._loaded(snapshot, window_state)
        if loaded is None or snapshot.luo.state is State.NORMAL:
            return self._chosen or loaded
        return loaded

    def _loaded(self, snapshot: Snapshot, window_state: WindowState | None) -> KernelImage | None:
        """Return the image that this window has loaded, read again after a restart."""
        if (
            window_state is None
            or not window_state.image
            or not ours_is_loaded(snapshot, window_state)
        ):
            return None
        for known in (self._chosen, self._resumed):
            if known is not None and known.path == window_state.image:
                return known
        modules = self.orchestrator.kexec.modules_folder
        self._resumed = read_image(Path(window_state.image), modules)
        return self._resumed
