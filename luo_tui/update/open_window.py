# SPDX-License-Identifier: MIT
"""One window with its lock, its journal and the orchestrator: what every act stands on.

Nothing here decides whether an act may be done: see :mod:`luo_tui.update.acts`
for what an operator does, and :mod:`luo_tui.update.accounting` for what the next
kernel writes down of it.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from luo_tui.errors import ActFailed, Exit, NotDone, Op, load_texts
from luo_tui.model import KernelImage, Snapshot, State
from luo_tui.orchestrator import CarriesGuests, HoldsShutdown, Orchestrator
from luo_tui.update.facts import Facts, gone_holder
from luo_tui.update.facts_reader import FactsReader
from luo_tui.update.guest_list import GuestList
from luo_tui.update.journal import Journal, JournalReading, open_journal, read_latest
from luo_tui.update.lock import Lock, LockReading
from luo_tui.update.lock_folder import UnsafeLock
from luo_tui.update.person import Person
from luo_tui.update.plan import Plan
from luo_tui.update.retention import prune
from luo_tui.update.target import Target
from luo_tui.update.window_hooks import PlannedHooks
from luo_tui.update.window_state import WindowState

# Loaded where there can be any.
if TYPE_CHECKING:
    from luo_tui.guests.participants import Guests


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a window is for, as whoever opens it says; each of one line, or empty."""

    change: str = ""
    """Number of the change in the operator's own records."""
    reason: str = ""

    def record(self) -> dict[str, str]:
        """Return what a record says of it: nothing where nothing was said."""
        said = {"change": self.change, "reason": self.reason}
        return {name: text for name, text in said.items() if text}


def _guests(orchestrator: Orchestrator, folder: Path) -> Guests | None:
    """Return the guests that go along with this host's updates; None where none can."""
    if not isinstance(orchestrator, CarriesGuests):
        return None
    from luo_tui.guests.participants import Guests

    return Guests.of(orchestrator, folder)


_WHY = "a live update of this host is under way"
"""What whoever orders a shutdown meanwhile is told."""


class OpenWindow:
    """The window of one update of one host, as this process has it or not.

    Not thread-safe: one act at a time, from one thread.
    """

    def __init__(
        self,
        orchestrator: Orchestrator,
        folder: Path,
        look: Callable[[], Snapshot],
        me: Person | None = None,
    ) -> None:
        """``folder`` holds the journal; ``look`` reads the facts anew, from the kernel.

        ``me`` acts; the one who runs this process, where that is not said.
        """
        self.me = me or Person.here()
        self.orchestrator = orchestrator
        self.purpose = Purpose()
        """What the window is for; written down when it is opened, or gone on in."""
        self._folder = folder
        self._look = look
        self._lock = Lock(orchestrator.lock_folder)
        self._journal: Journal | None = None
        self._shutdown = (
            orchestrator.shutdown_inhibitor() if isinstance(orchestrator, HoldsShutdown) else None
        )
        self._reader = FactsReader(orchestrator, folder, self.me)
        self.guests = _guests(orchestrator, folder)
        self.planned = PlannedHooks(folder, self.window_state, self.write)

    @property
    def mine(self) -> bool:
        """Whether this console has the window open."""
        return self._journal is not None and not self._lock.lost

    def go_by(self, plan: Plan, text: str) -> None:
        """Let the windows that are opened here go by this plan; ``text`` is its file's."""
        self.planned.go_by(plan, text)

    def go_through_init(self) -> None:
        """Have the kexec go through the init system, which stops the services first."""
        self._reader.through_init = True

    def only_look(self) -> None:
        """Refuse every act from now on, whoever asks."""
        self._reader.only_looks = True

    def window_state(self) -> WindowState | None:
        """Return the state of the newest window; None where there never was one.

        None as well where :meth:`journal_reading` says why it could not be read.
        """
        return self.journal_reading().window_state

    def journal_reading(self) -> JournalReading:
        """Return the newest window's state, and why it could not be read where that is so."""
        return read_latest(self._folder)

    def holder(self) -> Person | None:
        """Return who has the window open in another console; None when nobody has.

        None as well where :meth:`lock_reading` says why it could not be read.
        """
        return self.lock_reading().person

    def lock_reading(self) -> LockReading:
        """Return who has the window, and why that could not be read where that is so."""
        return self._lock.reading()

    def show_doing(self, doing: str) -> None:
        """Let the consoles that watch know what is being done here. Never fails.

        Nothing is written where this console has not the window open.
        """
        self._lock.show_doing(doing)

    def facts(self, target: Target | None = None) -> Facts:
        """Read everything anew that an act is decided on. OSError if the host cannot be read."""
        self._reader.forget()
        return self.facts_of(self._look(), target)

    def facts_of(self, snapshot: Snapshot, target: Target | KernelImage | None = None) -> Facts:
        """Read what belongs to ``snapshot``: journal, lock, and the target's files."""
        lock, plan = self.lock_reading(), self.planned.plan()
        return self._reader.facts_of(snapshot, target, lock, plan, mine=self.mine)

    def guest_list(self, facts: Facts) -> GuestList:
        """Look for the guests of this host, to show them: no decision rests on it."""
        return self._reader.guest_list(facts)

    def take(self) -> None:
        """Take the lock, unless this console has it.

        NotDone: EBUSY, somebody else has the window, or the lock cannot be trusted;
        ActFailed: it could not be taken.
        """
        if self._journal is not None and self._lock.lost:
            self.release()
        load_texts()
        try:
            self._lock.take(self.me)
        except UnsafeLock as unsafe:
            raise NotDone(f"{unsafe.strerror} Nothing was done.") from unsafe
        except OSError as error:
            if error.errno == errno.EAGAIN:
                holder = self.holder()
                raise NotDone(
                    f"The window is open in another console: {holder or 'nobody knows by whom'}.",
                    Exit.BUSY,
                ) from error
            raise ActFailed.of(Op.WINDOW, error, self.state()) from error

    def open(self, now: Facts) -> None:
        """Open the window, or go on in it; over from a holder who is gone if that was agreed to.

        Take over only what was agreed to: the caller has asked. ActFailed: the
        journal cannot be written; NotDone: the window goes by another plan.
        """
        if self.mine:
            return
        self.take()
        snapshot = now.snapshot
        gone = gone_holder(now.window_state, snapshot.host.boot_id, self.me)
        try:
            self._journal, _ = open_journal(self._folder, snapshot.host.boot_id)
            held = self._hold_shutdown()
            if gone:
                self.write("taken", **{"from": gone._asdict(), "by": self.me._asdict()}, **held)
            else:
                self.write(
                    "opened",
                    who=str(self.me),
                    person=self.me._asdict(),
                    host=snapshot.host.name,
                    release=snapshot.host.release,
                    **self.purpose.record(),
                    **held,
                )
            self.planned.note()
        except OSError as error:
            self.release()
            raise ActFailed.of(Op.JOURNAL, error, snapshot.luo.state, self.where) from error
        except (ActFailed, NotDone):
            self.release()
            raise

    def _hold_shutdown(self) -> dict[str, str]:
        """Hold an ordinary shutdown back while the window is open here; return what to record."""
        if self._shutdown is None:
            return {}
        fault = self._shutdown.take(_WHY)
        return {"shutdown": f"NOT held back: {fault}" if fault else "held back by logind"}

    def reopen(self, boot_id: str) -> None:
        """Open the journal of the window as it stands, without taking it from its holder.

        ActFailed: it could not be opened.
        """
        try:
            self._journal, _ = open_journal(self._folder, boot_id)
        except OSError as error:
            raise self.unwritten(error) from error

    @property
    def journal(self) -> Journal:
        """Return the journal, which is open: every act begins with :meth:`open`."""
        assert self._journal is not None  # noqa: S101
        return self._journal

    def write(self, event: str, **data: object) -> None:
        """Write a record, and tell those who watch what begins and ends. ActFailed: ENOSPC."""
        try:
            if event == "begin":
                self.show_doing(f"under way: {data['act']}")
            elif event in ("done", "failed"):
                self.show_doing("")
            self.journal.write(event, **data)
        except OSError as error:
            raise self.unwritten(error) from error

    def unwritten(self, error: OSError) -> ActFailed:
        """Return what to raise where the journal could not be written."""
        return ActFailed.of(Op.JOURNAL, error, self.state(), self.where)

    @property
    def where(self) -> str:
        """Say where the journal lies, to who has to make room for it."""
        return f"The journal lies in {self._folder}."

    def close(self, how: str) -> None:
        """End the window, as ``how`` says, and let go of it. ActFailed: it stays open."""
        self.write("closed", how=how)
        self.journal.close(trim=True)
        prune(self._folder)
        self.release()

    def state(self) -> State | None:
        """Return the kernel's state; None where it could not be read."""
        try:
            return self.orchestrator.state()
        except OSError:
            return None

    def release(self) -> None:
        """Let go of lock and journal as they stand, for the next command or console.

        Nothing is unloaded and nothing written; harmless where it is not open here.
        """
        if self._journal is not None:
            self._journal.close(trim=False)
            self._journal = None
        if self._shutdown is not None:
            self._shutdown.release()
        self._lock.release()
