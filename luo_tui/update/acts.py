# SPDX-License-Identifier: MIT
"""The acts themselves: plain blocking calls, each of which wants a :class:`Consent`.

A :class:`Window` is one update under way: the lock, the journal and the
orchestrator together. Its acts are the same whether a screen or the command
line asks. Every act refuses by the rule by which the walk offers, on facts read
after the lock was taken and once more directly before the move; writes the
journal before and after; and claims success only after the kernel's state was
read back.
"""

from __future__ import annotations

import contextlib
import errno
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

from luo_tui.errors import ActFailed, Exit, NotDone, Op, explain
from luo_tui.model import KernelImage, Snapshot, State
from luo_tui.orchestrator import Move, Orchestrator
from luo_tui.update.before import before, condition_of
from luo_tui.update.blackout import blackout
from luo_tui.update.consent import Consent, objection, wrong_word
from luo_tui.update.facts import (
    Act,
    Arrival,
    Facts,
    arrival,
    arrival_is_due,
    gone_holder,
)
from luo_tui.update.facts_reader import FactsReader
from luo_tui.update.hook import HookPoint
from luo_tui.update.journal import Journal, JournalReading, open_journal, read_latest
from luo_tui.update.jump import Stayed, Steps, jump
from luo_tui.update.lock import Lock, LockReading, act_lock
from luo_tui.update.lock_folder import UnsafeLock
from luo_tui.update.person import Person
from luo_tui.update.plan import Plan
from luo_tui.update.resource_list import few_of
from luo_tui.update.rules import Refusal, refusal
from luo_tui.update.target import Target
from luo_tui.update.uncarried import uncarried
from luo_tui.update.verdict import verdict
from luo_tui.update.window_hooks import PlannedHooks, failure_is_due, restore_is_due
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
_STILL, _PATIENCE = 0.1, 100
"""Seconds in which nothing more may arrive before anything is called lost, and how many times."""
_REFUSED_BY = "Refused by "


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
        self._reader = FactsReader(orchestrator, folder, self.me)
        self._planned = PlannedHooks(folder, self.window_state, self._write)

    @property
    def mine(self) -> bool:
        """Whether this console has the window open."""
        return self._journal is not None and not self._lock.lost

    def go_by(self, plan: Plan, text: str) -> None:
        """Let the windows that are opened here go by this plan; ``text`` is its file's."""
        self._planned.go_by(plan, text)

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
        lock, plan = self.lock_reading(), self._planned.plan()
        return self._reader.facts_of(snapshot, target, lock, plan, mine=self.mine)

    # -- the acts -----------------------------------------------------------------------

    def take_over(self, consent: Consent) -> None:
        """Take the window over from a holder who is gone, as he was shown."""
        with self._acting(consent, Act.TAKE_OVER):
            self.arrive()

    def load(self, consent: Consent, target: Target) -> None:
        """Load the target for kexec, in place of whatever is loaded."""
        image = target.image
        about = {"image": image.path, "target": image.release, "initrd": image.initrd}
        with self._acting(consent, Act.LOAD, target):
            self._begin(consent, **about)
            self._check_again(consent, target)
            try:
                self._load(target)
            except OSError as error:
                self._fail(Act.LOAD, error)
            self._write(
                "done",
                act=Act.LOAD,
                **about,
                image_digest=image.identity.sha256 if image.identity else "",
                initrd_digest=image.initrd_identity.sha256 if image.initrd_identity else "",
                command_line=target.command_line,
            )

    def unload(self, consent: Consent) -> None:
        """Unload whatever image is loaded; in state normal that closes the window."""
        with self._acting(consent, Act.UNLOAD) as now:
            self._begin(consent)
            self._check_again(consent)
            try:
                self._orchestrator.kexec.unload()
            except OSError as error:
                self._fail(Act.UNLOAD, error)
            self._write("done", act=Act.UNLOAD)
            if now.snapshot.luo.state is State.NORMAL:
                self._close("unloaded")

    def prepare(self, consent: Consent, target: Target) -> None:
        """Move normal -> prepared, with the target loaded by this window."""
        with self._acting(consent, Act.PREPARE, target), self._planned.undoing():
            self._move(consent, target)

    def cancel(self, consent: Consent) -> tuple[str, ...]:
        """Move prepared or frozen -> normal and unload our image. Returns what is left to say."""
        with self._acting(consent, Act.CANCEL) as now:
            self._move(consent)
            left = self._unload_ours() if now.ours_is_loaded else ()
            left += self._planned.after(HookPoint.ON_CANCEL)
            self._close("cancelled")
        return left

    def finish(self, consent: Consent) -> tuple[str, ...]:
        """Move updated -> normal; what no process has is discarded, as it was shown.

        Returns what is left to say.
        """
        with self._acting(consent, Act.FINISH) as now:
            assert self._journal is not None  # noqa: S101 - as in _write()
            try:
                discarded = self._journal.write_discarded(now.discarded)
            except OSError as error:
                raise self._unwritten(error) from error
            run = now.window_state.hooks_run if now.window_state else ()
            first = HookPoint.AFTER_RESTORE
            left = () if first in run else self._planned.after(first)
            told = {"promises": now.promises.record(), **self._judged(now)}
            self._move(consent, discarded=discarded, **told)
            left += self._planned.after(HookPoint.AFTER_FINISH)
            self._close("finished")
        return left

    def kexec(self, consent: Consent, target: Target, hand_back: Callable[[], None]) -> NoReturn:
        """Freeze and jump: the point of no return. Leaves by an exception if it did not happen.

        No terminal is touched here but by ``hand_back``, which leaves it clean;
        see :mod:`luo_tui.update.jump` for the order of things.
        """
        with self._acting(consent, Act.KEXEC, target) as now:
            self.show_doing(f"under way: {Act.KEXEC}")
            # Before the last check: it may take its time.
            picture = before(now.snapshot, condition_of(self._orchestrator))

            def check() -> None:
                self._check(consent, self.facts(target))

            def record() -> None:
                image = target.image
                assert self._journal is not None  # noqa: S101 - as in _write()
                promised = self._journal.write_promised(
                    consent.outgoing, consent.participants, picture
                )
                self._write(
                    "jump",
                    acts=["freeze", "kexec"],
                    image=image.path,
                    target=image.release,
                    release=now.snapshot.host.release,
                    image_digest=image.identity.sha256 if image.identity else "",
                    initrd_digest=image.initrd_identity.sha256 if image.initrd_identity else "",
                    command_line=target.command_line,
                    promised=promised,
                    unpreserved_count=len(uncarried(now)),
                    unpreserved=few_of(g.label for g in uncarried(now)),
                    endangered=[id_ for id_, _ in consent.endangered],
                    typed=consent.typed,
                    confirmed=consent.label,
                    **_agreed(consent),
                )

            def pause() -> None:
                if self._planned.before(HookPoint.BEFORE_FREEZE):
                    check()

            steps = Steps(check, record, lambda: self._load(target), hand_back, pause)
            try:
                jump(self._orchestrator, consent.state, steps)
            except Stayed as stayed:
                raise self._stayed(stayed) from stayed.cause
            except NotDone as refused:
                said = self._planned.undo()
                self._returned(refused.reason)
                raise NotDone(" ".join((refused.reason, *said)), refused.code) from refused
            except (Exception, KeyboardInterrupt, SystemExit):
                self._planned.undo()
                raise

    # -- arriving and leaving -------------------------------------------------------------

    def is_owed(self, now: Facts) -> bool:
        """Whether :meth:`arrive` has anything to do."""
        undo = failure_is_due(now.window_state, now.snapshot.host.boot_id)
        return _due(now) or undo or restore_is_due(now)

    def arrive(self) -> None:
        """Write down, once, what became of the jump of the open window.

        For a console that starts after the kexec; does nothing where there is
        no such window, another console has it, or this one may not act.
        """
        if not self._orchestrator.may_act():
            return
        now = self.facts()
        self._settle_hooks(now)
        if not _due(now):
            return
        with contextlib.suppress(NotDone, ActFailed):
            held = self.mine
            self._take()
            now = self.facts()
            if not _due(now) or (not held and now.gone_holder is not None):
                if not held:
                    self._rest()
                return
            self._open(now)
            self._account(self.settled(now) if now.promises.lost else now)
            self._settle_hooks(self.facts())

    def arrive_unattended(self) -> bool:
        """Write down what became of the jump, for a program that runs without an operator.

        The window stays its holder's, and open for him; that it was written by
        this program stands in the record. Returns whether anything was
        written. NotDone: another console has the window, or this process may
        not act; ActFailed: it could not be written.
        """
        if not self._orchestrator.may_act():
            raise NotDone("Acting needs root: sudo luo-tui arrive", Exit.NOT_PERMITTED)
        now = self.facts()
        self._settle_hooks(now)
        if not _due(now):
            return False
        self._take()
        try:
            now = self.facts()
            if not _due(now):
                return False
            try:
                self._journal, _ = open_journal(self._folder, now.snapshot.host.boot_id)
            except OSError as error:
                raise self._unwritten(error) from error
            found = self.settled(now) if now.promises.lost else now
            self._account(found, by=str(self.me))
            self._settle_hooks(self.facts())
        finally:
            self._rest()
        return True

    def settled(self, now: Facts) -> Facts:
        """Read anew until nothing more arrives. OSError as :meth:`facts`.

        luo.ko says "updated" before it has listed all that came: until then the
        rest looks lost (kernel/luo_core.c).
        """
        for _ in range(_PATIENCE):
            time.sleep(_STILL)
            before, now = now, self.facts()
            if _there(before) == _there(now):
                break
        return now

    def _judged(self, now: Facts) -> dict[str, Any]:
        """Return what a record says of the update: the verdict on it, and its blackout."""
        judged = verdict(now, condition_of(self._orchestrator))
        dark = blackout(now.snapshot.stamps)
        return {
            **({"verdict": judged.record()} if judged else {}),
            **({"blackout": dark.record()} if dark else {}),
        }

    def _account(self, now: Facts, **by: str) -> None:
        snapshot = now.snapshot
        host, source = snapshot.host.release, snapshot.from_release
        match arrival(snapshot, now.window_state):
            case Arrival.ARRIVED:
                promises = now.promises.record()
                told = {"promises": promises, **self._judged(now), **by}
                self._write("arrived", release=host, source=source, **told)
            case Arrival.FINISHED:
                self._write("arrived", release=host, source=source, **self._judged(now), **by)
                self._close("finished by something else")
            case Arrival.LOST:
                lost = now.window_state.promised_count if now.window_state else 0
                self._planned.undo()
                self._write("lost", release=host, promised=lost, **self._judged(now), **by)
                self._close("lost")
            case Arrival.UNKNOWN:
                self._close(f"not known: this kernel took over from {source}")

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
            now = self.facts()
            if now.ours_is_loaded:
                said.extend(self._unload_ours())
            state = now.snapshot.luo.state
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

    def release(self) -> None:
        """Let go of the window as it stands, for the next command or console.

        Nothing is unloaded and nothing written; harmless where it is not open here.
        """
        self._rest()

    def _stays_loaded(self) -> tuple[str, ...]:
        """Say that a window which was never taken over here leaves its image behind."""
        with contextlib.suppress(OSError):
            now = self.facts()
            if now.may_act and now.lock_holder is None and now.ours_is_loaded:
                return (
                    "The kernel image of this window stays loaded: "
                    "an ordinary reboot may kexec into it.",
                )
        return ()

    # -- hooks ----------------------------------------------------------------------------

    def _settle_hooks(self, now: Facts) -> None:
        """Do, once, what the hooks of a console that has died still owe. Never fails.

        Also where the window has to be taken over first: no guest waits for that.
        """
        boot_id = now.snapshot.host.boot_id
        if not failure_is_due(now.window_state, boot_id) and not restore_is_due(now):
            return
        with contextlib.suppress(NotDone, ActFailed, OSError):
            held = self.mine
            self._take()
            try:
                # Another one may have done it before the lock was ours.
                now = self.facts()
                undo = failure_is_due(now.window_state, boot_id)
                if not undo and not restore_is_due(now):
                    return
                if not held:
                    self._journal, _ = open_journal(self._folder, boot_id)
                if undo:
                    self._planned.undo()
                else:
                    self._planned.after(HookPoint.AFTER_RESTORE)
            finally:
                if not held:
                    self._rest()

    # -- rule and consent -----------------------------------------------------------------

    @contextlib.contextmanager
    def _acting(self, consent: Consent, act: Act, target: Target | None = None) -> Iterator[Facts]:
        """Take the locks, hold rules and consent against the facts as they are now, and open.

        While the act is done nobody holds, restores or unpreserves anything.
        """
        if consent.act is not act:
            raise NotDone(f"The consent was to {consent.act}, not to {act}.")
        if not self._orchestrator.may_act():
            raise NotDone("Acting needs root: sudo luo-tui", Exit.NOT_PERMITTED)
        opened = self.mine
        self._take()
        try:
            with self._act_lock(act):
                now = self.facts(target)
                self._check(consent, now)
                self._open(now)
                opened = True
                yield now
        finally:
            # A refused act opens no window; one that was open stays open.
            if not opened:
                self._rest()

    @contextlib.contextmanager
    def _act_lock(self, act: Act) -> Iterator[None]:
        folder = self._orchestrator.lock_folder
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(act_lock(folder, self.me, f"under way: {act}"))
            except OSError as error:
                raise ActFailed.of(Op.LOCK, error, self._state()) from error
            yield

    def _check(self, consent: Consent, now: Facts) -> None:
        """Refuse by the rule, or because the consent no longer holds; NotDone."""
        changed = objection(consent, now) if consent.state is not now.snapshot.luo.state else None
        found: Refusal | None = (
            changed
            or refusal(consent.act, now)
            or objection(consent, now)
            or wrong_word(consent, now)
        )
        if found is not None:
            raise NotDone(found.reason, found.code)

    def _check_again(self, consent: Consent, target: Target | None = None) -> None:
        """Hold everything against the facts once more, directly before the move."""
        try:
            self._check(consent, self.facts(target))
        except NotDone as refused:
            self._write("failed", act=consent.act, why=refused.reason)
            raise

    def _take(self) -> None:
        """Take the lock, unless this console has it."""
        if self._journal is not None and self._lock.lost:
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
            raise ActFailed.of(Op.WINDOW, error, self._state()) from error

    def _open(self, now: Facts) -> None:
        """Open the window, or go on in it; over from a holder who is gone if that was agreed to."""
        if self.mine:
            return
        self._take()
        snapshot = now.snapshot
        gone = gone_holder(now.window_state, snapshot.host.boot_id, self.me)
        try:
            self._journal, _ = open_journal(self._folder, snapshot.host.boot_id)
            if gone:
                self._write("taken", **{"from": asdict(gone), "by": asdict(self.me)})
            else:
                self._write(
                    "opened",
                    who=str(self.me),
                    person=asdict(self.me),
                    host=snapshot.host.name,
                    release=snapshot.host.release,
                )
            self._planned.note()
        except OSError as error:
            self._rest()
            raise ActFailed.of(
                Op.JOURNAL, error, snapshot.luo.state, f"The journal lies in {self._folder}."
            ) from error
        except (ActFailed, NotDone):
            self._rest()
            raise

    # -- what is done -----------------------------------------------------------------------

    def _load(self, target: Target) -> None:
        kexec = self._orchestrator.kexec
        kexec.load(target.image_copy.fd, target.initrd_fd, target.command_line)

    def _begin(self, consent: Consent, **more: object) -> None:
        typed = {"typed": consent.typed} if consent.typed else {}
        given = {**typed, **_agreed(consent)}
        self._write("begin", act=consent.act, confirmed=consent.label, **given, **more)

    def _move(self, consent: Consent, target: Target | None = None, **more: object) -> None:
        act = consent.act
        move, wanted = _MOVES[act]
        self._begin(consent, **more)
        if act is Act.PREPARE:
            self._planned.before(HookPoint.BEFORE_PREPARE, act)
        self._check_again(consent, target)
        try:
            self._orchestrator.move(move)
        except OSError as error:
            self._fail(act, error)
        try:
            reached = self._orchestrator.state()
        except OSError as error:
            self._unverified(act, error)
        if reached is not wanted:
            why = (
                f"The kernel accepted {move}, but its state is {reached} and not {wanted}: "
                "another tool acts on this host."
            )
            self._write("failed", act=act, state=reached, why=why)
            raise NotDone(f"{why} Look again.", Exit.WRONG_STATE)
        self._write("done", act=act, state=reached)

    def _unverified(self, act: Act, error: OSError) -> NoReturn:
        """Say that an act was done and could not be read back: that is no refusal."""
        text = f"The kernel accepted {act}; what came of it could not be read back."
        failure = ActFailed.of(Op.VERIFY, error, None, text, "Look at the state before you go on.")
        try:
            self._write("done", act=act, verified=False, errno=error.errno)
        except ActFailed as unwritten:
            more = (*failure.more, *unwritten.lines())
            raise ActFailed(failure.explanation, None, *more) from error
        raise failure from error

    def _fail(self, act: Act, error: OSError) -> NoReturn:
        failure = ActFailed.of(_OPS[act], error, self._state(), *self._refusal(error))
        try:
            why = _in_short(failure)
            self._write("failed", act=act, errno=error.errno, state=str(failure.state), why=why)
        except ActFailed as unwritten:
            more = (*failure.more, *unwritten.lines())
            raise ActFailed(failure.explanation, failure.state, *more) from error
        raise failure from error

    def _stayed(self, stayed: Stayed) -> ActFailed:
        """Say why the machine did not jump; what had to be undone is undone already."""
        state = self._state()
        error = stayed.cause if isinstance(stayed.cause, OSError) else OSError(repr(stayed.cause))
        more = list(self._planned.undo())
        if stayed.touched and stayed.undo is None:
            more.append("The freeze was cancelled at once: the state is normal again.")
        elif stayed.undo is not None and state is not State.NORMAL:
            undo = stayed.undo if isinstance(stayed.undo, OSError) else OSError(repr(stayed.undo))
            more.append(explain(Op.CANCEL, undo).lines()[0])
        more.extend(self._refusal(error))
        if state is State.NORMAL:
            more.extend(self._unload_ours())
        self.show_doing("")
        failure = ActFailed.of(stayed.op, error, state, *more)
        try:
            self._write(
                "returned",
                op=stayed.op,
                errno=error.errno,
                state=str(state),
                why=_in_short(failure),
            )
            if state is State.NORMAL:
                self._close("failed")
        except ActFailed as unwritten:
            failure = ActFailed.of(stayed.op, error, state, *more, *unwritten.lines())
        return failure

    def _returned(self, why: str) -> None:
        """Write down that a rule stopped the jump at the last moment."""
        self.show_doing("")
        state = self._state()
        with contextlib.suppress(ActFailed):
            self._write("returned", why=why, state=str(state))

    def _refusal(self, error: OSError) -> tuple[str, ...]:
        """Name whoever refused, where the kernel tells."""
        try:
            names = self._look().refused_with(error.errno or 0)
        except OSError:
            return ()
        return (f"{_REFUSED_BY}{', '.join(names)}.",) if names else ()

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


def _agreed(consent: Consent) -> dict[str, str]:
    return {"agreed": consent.agreed} if consent.agreed else {}


def _in_short(failure: ActFailed) -> str:
    """Return one sentence on a failure, and who refused where the kernel tells."""
    said = failure.explanation
    refused = [line for line in failure.more if line.startswith(_REFUSED_BY)]
    return " ".join((f"Could not {said.op}: {said.meaning} ({said.errno_name}).", *refused))


def _there(facts: Facts) -> tuple[frozenset[int], frozenset[tuple[str, str]]]:
    """Return what has arrived so far."""
    parts = facts.snapshot.participants.values()
    return frozenset(facts.snapshot.resources), frozenset((p.id, p.state) for p in parts)


def _due(now: Facts) -> bool:
    return arrival_is_due(now.snapshot, now.window_state)
