# SPDX-License-Identifier: MIT
"""The acts themselves: plain blocking calls, each of which wants a :class:`Consent`.

A :class:`Window` is one update under way: the lock, the journal and the
orchestrator together. Its acts are the same whether a screen or the command
line asks. Every act reads the facts again between consent and deed and refuses
if they are no longer those that were shown; writes the journal before and
after; and claims success only after the kernel's state was read back.
"""

from __future__ import annotations

import contextlib
import errno
import signal
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

from luo_tui.errors import ActFailed, Exit, NotDone, Op, explain
from luo_tui.model import KernelImage, Snapshot, State
from luo_tui.orchestrator import Move, Orchestrator
from luo_tui.update.journal import Journal, JournalReading, open_journal, read_latest
from luo_tui.update.lock import Lock, LockReading
from luo_tui.update.lock_folder import UnsafeLock
from luo_tui.update.person import Person
from luo_tui.update.walk import Act, gone_holder, ours_is_loaded, typed_word
from luo_tui.update.window_state import WindowState

_OPS = {
    Act.LOAD: Op.LOAD,
    Act.UNLOAD: Op.UNLOAD,
    Act.PREPARE: Op.PREPARE,
    Act.CANCEL: Op.CANCEL,
    Act.KEXEC: Op.KEXEC,
    Act.FINISH: Op.FINISH,
}
_MOVES = {
    Act.PREPARE: (Move.PREPARE, State.PREPARED),
    Act.CANCEL: (Move.CANCEL, State.NORMAL),
    Act.FINISH: (Move.FINISH, State.NORMAL),
}
_HELD_BACK = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGTSTP)


@dataclass(frozen=True, slots=True)
class Consent:
    """An operator's yes to one act, with the facts that were on the screen when it was given."""

    act: Act
    state: State
    outgoing: tuple[int, ...] = ()
    """Tokens shown as preserved."""
    incoming: tuple[int, ...] = ()
    """Tokens shown as not restored."""
    target: str = ""
    """Release shown as the target; for the kexec alone."""
    typed: str = ""
    """What was typed; for the kexec alone."""
    label: str = ""
    """The outcome as the answer named it; empty where nothing was asked."""
    holder: str = ""
    """Person was shown as gone; for taking over alone."""

    @classmethod
    def to(
        cls,
        act: Act,
        shown: Snapshot,
        *,
        target: str = "",
        typed: str = "",
        label: str = "",
        holder: str = "",
    ) -> Consent:
        """Build a consent from the picture that the operator saw."""
        return cls(
            act,
            shown.luo.state,
            tuple(r.token for r in shown.outgoing),
            tuple(r.token for r in shown.incoming),
            target,
            typed,
            label,
            holder,
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be loaded."""

    image: KernelImage
    command_line: str


class Window:
    """One update of one host. Not thread-safe: one act at a time, from one thread."""

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
        self._orchestrator = orchestrator
        self._folder = folder
        self._look = look
        self._lock = Lock(orchestrator.lock_folder)
        self._journal: Journal | None = None

    @property
    def mine(self) -> bool:
        """Whether this console has the window open."""
        return self._journal is not None and not self._lock.lost

    def window_state(self) -> WindowState | None:
        """Return the state of the newest window; None where there never was one.

        None as well where :meth:`journal_fault` says why it could not be read.
        """
        return self.journal_reading().window_state

    def journal_fault(self) -> str:
        """Return why the journal could not be read; empty when it could."""
        return self.journal_reading().fault

    def journal_reading(self) -> JournalReading:
        """Return both, as of one moment."""
        return read_latest(self._folder)

    def holder(self) -> Person | None:
        """Return who has the window open in another console; None when nobody has.

        None as well where :meth:`lock_fault` says why it could not be read.
        """
        return self.lock_reading().person

    def lock_fault(self) -> str:
        """Return why it could not be read who has the window; empty when it could."""
        return self.lock_reading().fault

    def lock_reading(self) -> LockReading:
        """Return both, as of one moment."""
        return self._lock.reading()

    def show_doing(self, doing: str) -> None:
        """Let the consoles that watch know what is being done here. Never fails.

        Nothing is written where this console has not the window open.
        """
        self._lock.show_doing(doing)

    def take_over(self, consent: Consent) -> None:
        """Take the window over from an owner who is gone, as he was shown."""
        if consent.act is not Act.TAKE_OVER:
            raise NotDone(f"The consent was to {consent.act}, not to {Act.TAKE_OVER}.")
        if not self._orchestrator.may_act():
            raise NotDone("Acting needs root: sudo luo-tui", Exit.NOT_PERMITTED)
        self._open(self._look(), consent.holder)
        self.arrive()

    def load(self, consent: Consent, plan: Plan) -> None:
        """Load the plan's image for kexec, in place of whatever is loaded."""
        self._begin(consent, Act.LOAD)
        self._write(
            "begin",
            act=Act.LOAD,
            confirmed=consent.label,
            image=plan.image.path,
            target=plan.image.release,
        )
        try:
            self._load(plan)
        except OSError as error:
            self._fail(Act.LOAD, error)
        self._write(
            "done",
            act=Act.LOAD,
            image=plan.image.path,
            target=plan.image.release,
            initrd=plan.image.initrd,
            command_line=plan.command_line,
        )

    def unload(self, consent: Consent) -> None:
        """Unload whatever image is loaded; in state normal that closes the window."""
        now = self._begin(consent, Act.UNLOAD)
        self._write("begin", act=Act.UNLOAD, confirmed=consent.label)
        try:
            self._orchestrator.kexec.unload()
        except OSError as error:
            self._fail(Act.UNLOAD, error)
        self._write("done", act=Act.UNLOAD)
        if now.luo.state is State.NORMAL:
            self._close("unloaded")

    def prepare(self, consent: Consent) -> None:
        """Move normal -> prepared, with our image loaded."""
        now = self._begin(consent, Act.PREPARE)
        if not ours_is_loaded(now, self.window_state()):
            self._rest()
            raise NotDone("The target kernel is not loaded any more: load it again.")
        self._move(Act.PREPARE, confirmed=consent.label)

    def cancel(self, consent: Consent) -> tuple[str, ...]:
        """Move prepared or frozen -> normal and unload our image. Returns what is left to say."""
        now = self._begin(consent, Act.CANCEL)
        ours = ours_is_loaded(now, self.window_state())
        self._move(Act.CANCEL, confirmed=consent.label)
        left = self._unload_ours() if ours else ()
        self._close("cancelled")
        return left

    def finish(self, consent: Consent) -> None:
        """Move updated -> normal; what nobody restored is discarded, as it was shown."""
        now = self._begin(consent, Act.FINISH)
        assert self._journal is not None  # noqa: S101 - as in _write()
        try:
            discarded = self._journal.write_discarded(now.incoming)
        except OSError as error:
            raise self._unwritten(error) from error
        self._move(Act.FINISH, confirmed=consent.label, discarded=discarded)
        self._close("finished")

    def arrive(self) -> None:
        """Write down, once, that the jump of the open window reached this kernel, or did not.

        For a console that starts after the kexec; does nothing where there is
        no such window, another console has it, or this one may not act.
        """
        window_state = self.window_state()
        if (
            window_state is None
            or window_state.closed
            or window_state.arrived
            or window_state.lost_in
        ):
            return
        now = self._look()
        if window_state.jumped_from in ("", now.host.boot_id) or not self._orchestrator.may_act():
            return
        with contextlib.suppress(NotDone, ActFailed):
            self._open(now)
            if now.luo.state is State.UPDATED:
                self._write("arrived", release=now.host.release, source=now.from_release)
            elif now.luo.state is State.NORMAL:
                lost = window_state.promised_count
                self._write("lost", release=now.host.release, promised=lost)
                self._close("lost")

    def leave(self, why: str) -> tuple[str, ...]:
        """Leave the window standing where it is, safely; return what the operator must know.

        Our image is unloaded, so that an ordinary reboot does not kexec into
        it. A window in state normal ends there; in any other state it stays
        open for the next console.
        """
        if not self.mine:
            return self._stays_loaded()
        said: list[str] = []
        with contextlib.suppress(OSError):
            now = self._look()
            if ours_is_loaded(now, self.window_state()):
                said.extend(self._unload_ours())
            state = now.luo.state
            if state in (State.PREPARED, State.FROZEN, State.UPDATED):
                said.append(f"This host stays {state}. Run luo-tui to go on or to go back.")
                with contextlib.suppress(ActFailed):
                    self._write("left", why=why, state=state)
                self._rest()
            else:
                with contextlib.suppress(ActFailed):
                    self._close(f"left: {why}")
        self._rest()
        return tuple(said)

    def _stays_loaded(self) -> tuple[str, ...]:
        """Say that a window which was never taken over here leaves its image behind."""
        with contextlib.suppress(OSError):
            window_state = self.window_state()
            may = self._orchestrator.may_act() and self.holder() is None
            if may and ours_is_loaded(self._look(), window_state):
                return (
                    "The kernel image of this window stays loaded: "
                    "an ordinary reboot may kexec into it.",
                )
        return ()

    def kexec(self, consent: Consent, plan: Plan, hand_back: Callable[[], None]) -> NoReturn:
        """Freeze and jump: the point of no return. Leaves by an exception if it did not happen.

        No terminal is touched here. In this order: the facts are read again,
        the file systems synced, the last record written, the image loaded
        afresh, ``hand_back`` called (it leaves the terminal clean), HUP, INT,
        QUIT, TERM and TSTP held back; then freeze and reboot, with nothing in
        between. If the jump does not happen, the freeze is cancelled at once
        and then it is told.
        """
        now = self._begin(consent, Act.KEXEC)
        word = typed_word(now, plan.image.release)
        if not word or consent.typed != word or consent.target != plan.image.release:
            self._rest()
            raise NotDone(f"What was typed is not {word!r}: nothing was done.")
        kexec = self._orchestrator.kexec
        self.show_doing(f"under way: {Act.KEXEC}")
        op = Op.SYNC
        try:
            kexec.sync()
            op = Op.JOURNAL
            assert self._journal is not None  # noqa: S101 - as in _write()
            promised = self._journal.write_promised(now.outgoing)
            self._write(
                "jump",
                acts=["freeze", "kexec"],
                image=plan.image.path,
                target=plan.image.release,
                command_line=plan.command_line,
                promised=promised,
                typed=consent.typed,
                confirmed=consent.label,
            )
            op = Op.LOAD
            self._load(plan)
            op = Op.TERMINAL
            hand_back()
            with _signals_held_back():
                if now.luo.state is State.PREPARED:
                    op = Op.FREEZE
                    self._orchestrator.move(Move.FREEZE)
                op = Op.KEXEC
                kexec.reboot()
        except OSError as error:
            raise self._stayed(op, error) from error

    def _stayed(self, op: Op, error: OSError) -> ActFailed:
        """Undo after a jump that did not happen, and say so."""
        more: list[str] = list(self._refusal(error))
        state = self._state()
        if state is State.FROZEN:
            try:
                self._orchestrator.move(Move.CANCEL)
                more.append("The freeze was cancelled at once: frozen -> normal.")
            except OSError as again:
                more.append(explain(Op.CANCEL, again).lines()[0])
            state = self._state()
        if state is State.NORMAL:
            more.extend(self._unload_ours())
        failure = ActFailed.of(op, error, state, *more)
        self.show_doing("")
        try:
            self._write("returned", op=op, errno=error.errno, state=str(state))
            if state is State.NORMAL:
                self._close("failed")
        except ActFailed as unwritten:
            failure = ActFailed.of(op, error, state, *more, *unwritten.lines())
        return failure

    def _begin(self, consent: Consent, act: Act) -> Snapshot:
        """Open the window if need be, and hold the consent against the facts as they are now."""
        if consent.act is not act:
            raise NotDone(f"The consent was to {consent.act}, not to {act}.")
        if not self._orchestrator.may_act():
            raise NotDone("Acting needs root: sudo luo-tui", Exit.NOT_PERMITTED)
        now = self._look()
        _hold_against(consent, now)
        fresh = not self.mine
        self._open(now)
        try:
            # Between the first look and the lock somebody else may have acted.
            now = self._look()
            _hold_against(consent, now)
        except NotDone:
            if fresh:
                self._rest()
            raise
        return now

    def _open(self, now: Snapshot, shown_gone: str = "") -> None:
        """Open the window, or go on in it; from ``shown_gone``, if that is still how it stands."""
        if self._journal is not None:
            if not self._lock.lost:
                return
            self._rest()
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
            raise ActFailed.of(Op.WINDOW, error, now.luo.state) from error
        gone = gone_holder(self.window_state(), now.host.boot_id, self.me)
        if str(gone or "") != shown_gone:
            self._rest()
            raise NotDone(
                f"The window was left open by {gone}: take it over first."
                if gone
                else "There is nothing to take over any more: look again.",
                Exit.BUSY,
            )
        try:
            self._journal, _ = open_journal(self._folder, now.host.boot_id)
            if gone:
                self._write("taken", **{"from": asdict(gone), "by": asdict(self.me)})
            else:
                self._write(
                    "opened",
                    who=str(self.me),
                    person=asdict(self.me),
                    host=now.host.name,
                    release=now.host.release,
                )
        except OSError as error:
            self._rest()
            raise ActFailed.of(
                Op.JOURNAL, error, now.luo.state, f"The journal lies in {self._folder}."
            ) from error
        except (ActFailed, NotDone):
            self._rest()
            raise

    def _load(self, plan: Plan) -> None:
        self._orchestrator.kexec.load(plan.image.path, plan.image.initrd, plan.command_line)

    def _move(self, act: Act, **more: object) -> None:
        move, wanted = _MOVES[act]
        self._write("begin", act=act, **more)
        try:
            self._orchestrator.move(move)
            reached = self._orchestrator.state()
        except OSError as error:
            self._fail(act, error)
        if reached is not wanted:
            self._write("failed", act=act, state=reached)
            raise NotDone(
                f"The kernel accepted {move}, but its state is {reached} and not {wanted}: "
                "another tool acts on this host. Look again.",
                Exit.WRONG_STATE,
            )
        self._write("done", act=act, state=reached)

    def _fail(self, act: Act, error: OSError) -> NoReturn:
        failure = ActFailed.of(_OPS[act], error, self._state(), *self._refusal(error))
        try:
            self._write("failed", act=act, errno=error.errno, state=str(failure.state))
        except ActFailed as unwritten:
            more = (*failure.more, *unwritten.lines())
            raise ActFailed(failure.explanation, failure.state, *more) from error
        raise failure from error

    def _refusal(self, error: OSError) -> tuple[str, ...]:
        """Name whoever refused, where the kernel tells."""
        names = self._look().refused_with(error.errno or 0)
        return (f"Refused by {', '.join(names)}.",) if names else ()

    def _unload_ours(self) -> tuple[str, ...]:
        try:
            self._orchestrator.kexec.unload()
            self._write("done", act=Act.UNLOAD)
        except OSError as error:
            return (
                explain(Op.UNLOAD, error).lines()[0],
                "The image stays loaded: an ordinary reboot may kexec into it.",
            )
        except ActFailed as unwritten:
            return unwritten.lines()
        return ("The kernel image was unloaded.",)

    def _state(self) -> State | None:
        try:
            return self._orchestrator.state()
        except OSError:
            return None

    def _write(self, event: str, **data: object) -> None:
        assert self._journal is not None  # noqa: S101 - every act begins with _open()
        try:
            if event == "begin":
                self.show_doing(f"under way: {data['act']}")
            elif event in ("done", "failed"):
                self.show_doing("")
            self._journal.write(event, **data)
        except OSError as error:
            raise self._unwritten(error) from error

    def _unwritten(self, error: OSError) -> ActFailed:
        lies = f"The journal lies in {self._folder}."
        return ActFailed.of(Op.JOURNAL, error, self._state(), lies)

    def _close(self, how: str) -> None:
        self._write("closed", how=how)
        if self._journal is not None:
            self._journal.close(trim=True)
        self._rest()

    def _rest(self) -> None:
        """Let go of lock and journal; the file stays as it is."""
        if self._journal is not None:
            self._journal.close(trim=False)
            self._journal = None
        self._lock.release()


def _hold_against(consent: Consent, now: Snapshot) -> None:
    """Refuse a consent that was given to facts which are no longer so."""
    changed = ""
    if consent.state is not now.luo.state:
        changed = f"The state was {consent.state} and is now {now.luo.state}."
    elif consent.act in (Act.PREPARE, Act.KEXEC):
        if tuple(r.token for r in now.outgoing) != consent.outgoing:
            changed = "What is preserved is no longer what was shown."
    elif consent.act is Act.FINISH and {r.token for r in now.incoming} - set(consent.incoming):
        changed = "More is unrestored than was shown."
    if changed:
        raise NotDone(f"{changed} Nothing was done: look again.", Exit.WRONG_STATE)


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD_BACK)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
