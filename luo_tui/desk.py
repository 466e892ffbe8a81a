# SPDX-License-Identifier: MIT
"""What lies on the operator's desk: the facts of the moment, and one window to act through.

No Textual here. The console asks the desk for a :class:`View` whenever the hub
has news, and hands it consents; the desk asks the rules in ``window/``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from luo_tui.hub import Hub
from luo_tui.log import Log
from luo_tui.model import Event, KernelImage, Snapshot, State
from luo_tui.orchestrator import Orchestrator
from luo_tui.sources.files import FilesSource
from luo_tui.window.acts import Consent, Plan, Window
from luo_tui.window.checks import run_checks
from luo_tui.window.images import read_image, scan
from luo_tui.window.owner import Who
from luo_tui.window.story import Story
from luo_tui.window.walk import Act, Action, Ask, Facts, Walk, ours_is_loaded, walk

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
        if not self.facts.may_act or self.facts.owner is not None:
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
        act, story = self.action.act, self.view.facts.story
        return Consent.to(
            act,
            self.view.snapshot,
            target=story.target if story and act is Act.KEXEC else "",
            typed=typed if act is Act.KEXEC else "",
            label=self.action.label if self.action.ask is not Ask.NOTHING else "",
            holder=str(story.holder or "") if story and act is Act.TAKE_OVER else "",
        )


class Desk:
    """One console's facts and its window. The acts block: call them from one worker at a time."""

    def __init__(
        self,
        orchestrator: Orchestrator,
        folder: Path,
        look: Callable[[], Snapshot],
        me: Who | None = None,
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
        files = FilesSource(self.orchestrator.kexec.boot_folder, self.folder)
        hub = Hub(self.orchestrator, wake, (*self.orchestrator.surroundings(), files))
        self._log = hub.log
        return hub

    def view(self, snapshot: Snapshot) -> View:
        """Decide what this snapshot has come to, with the journal and the owner as of now."""
        story = self.window.story()
        image = self._image(snapshot, story)
        facts = Facts(
            snapshot=snapshot,
            may_act=self.orchestrator.may_act(),
            image=image,
            findings=run_checks(snapshot, image, self._command_line) if image else (),
            story=story,
            owner=self.window.owner(),
            me=self.window.me,
            mine=self.window.mine,
        )
        return View(
            facts=facts,
            walk=walk(facts),
            title=self.orchestrator.title,
            demo=self.orchestrator.demo,
            ours=ours_is_loaded(snapshot, story),
            latest=self._log.since(self._log.last - LATEST),
            log=self._log,
        )

    def stirred(self, view: View) -> bool:
        """Whether journal or owner are no longer what ``view`` shows."""
        facts = view.facts
        return self.window.story() != facts.story or self.window.owner() != facts.owner

    def targets(self, running: str) -> Sequence[KernelImage]:
        """Read the images that could be loaded; takes its time on a slow disk."""
        kexec = self.orchestrator.kexec
        return scan(kexec.boot_folder, kexec.modules_folder, running)

    def choose(self, image: KernelImage) -> None:
        """Make ``image`` the target from now on."""
        self._chosen = image
        self.tell(f"target chosen: {image.release}")

    def tell(self, doing: str) -> None:
        """Let the consoles that watch know what is being done here."""
        self.window.tell(doing)

    def ask(self, view: View, act: Act) -> Question | None:
        """Put an act to the operator as it stands in ``view``; None where it makes no sense."""
        action = view.walk.action(act)
        if action is None:
            return None
        image = view.facts.image
        if act is Act.KEXEC:
            image = self._loaded(view.snapshot, view.facts.story)
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

    def _image(self, snapshot: Snapshot, story: Story | None) -> KernelImage | None:
        """Return the target: what was chosen here, unless an update is under way with another."""
        loaded = self._loaded(snapshot, story)
        if loaded is None or snapshot.luo.state is State.NORMAL:
            return self._chosen or loaded
        return loaded

    def _loaded(self, snapshot: Snapshot, story: Story | None) -> KernelImage | None:
        """Return the image that this window has loaded, read again after a restart."""
        if story is None or not story.image or not ours_is_loaded(snapshot, story):
            return None
        for known in (self._chosen, self._resumed):
            if known is not None and known.path == story.image:
                return known
        modules = self.orchestrator.kexec.modules_folder
        self._resumed = read_image(Path(story.image), modules)
        return self._resumed
