# SPDX-License-Identifier: MIT
"""The acts themselves: plain blocking calls, each of which wants a :class:`Consent`.

The acts of a :class:`Window` are the same whether a screen or the command
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
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from luo_tui.errors import ActFailed, Exit, NotDone, Op, explain
from luo_tui.model import ResourceState, Snapshot, State
from luo_tui.orchestrator import HasInit, Move, Orchestrator
from luo_tui.update.accounting import Accounting
from luo_tui.update.before import before, condition_of
from luo_tui.update.consent import Consent, objection, wrong_word
from luo_tui.update.facts import Act, Facts
from luo_tui.update.hook import HookPoint
from luo_tui.update.jump import Stayed, Steps, jump, order
from luo_tui.update.lock import act_lock
from luo_tui.update.open_window import OpenWindow
from luo_tui.update.own_checks import own_blockers
from luo_tui.update.person import Person
from luo_tui.update.resource_list import few_of
from luo_tui.update.rules import Refusal, refusal
from luo_tui.update.target import Target
from luo_tui.update.uncarried import uncarried

_OPS = {
    Act.LOAD: Op.LOAD,
    Act.UNLOAD: Op.UNLOAD,
    Act.PREPARE: Op.PREPARE,
    Act.CANCEL: Op.CANCEL,
    Act.KEXEC: Op.KEXEC,
    Act.FINISH: Op.FINISH,
}
_STAYS_LOADED = "The image stays loaded: an ordinary reboot may kexec into it."
_UNLOADED = "The kernel image was unloaded."
_MOVES = {
    Act.PREPARE: (Move.PREPARE, (State.PREPARED,)),
    Act.CANCEL: (Move.CANCEL, (State.NORMAL,)),
    Act.FINISH: (Move.FINISH, (State.NORMAL, State.PRESERVING)),
}
_REFUSED_BY = "Refused by "


class Window(OpenWindow):
    """One update of one host, with all that an operator does in it."""

    def __init__(
        self,
        orchestrator: Orchestrator,
        folder: Path,
        look: Callable[[], Snapshot],
        me: Person | None = None,
    ) -> None:
        """See :class:`OpenWindow`."""
        super().__init__(orchestrator, folder, look, me)
        self._accounting = Accounting(self)

    def is_owed(self, now: Facts) -> bool:
        """Whether :meth:`arrive` has anything to do."""
        return self._accounting.is_owed(now)

    def arrive(self) -> None:
        """Write down, once, what became of the jump; see :meth:`Accounting.arrive`."""
        self._accounting.arrive()

    def settled(self, now: Facts) -> Facts:
        """Read anew until nothing more arrives. OSError as :meth:`facts`."""
        return self._accounting.settled(now)

    # -- the acts -----------------------------------------------------------------------

    def take_over(self, consent: Consent) -> None:
        """Take the window over from a holder who is gone, as he was shown."""
        with self._acting(consent, Act.TAKE_OVER):
            if self.guests is not None:
                # Whoever is gone may have saved them, and not jumped.
                self.guests.resume()
            self.arrive()

    def load(self, consent: Consent, target: Target) -> None:
        """Load the target for kexec, in place of whatever is loaded."""
        image = target.image
        about = {"image": image.path, "target": image.release, "initrd": image.initrd}
        with self._acting(consent, Act.LOAD, target) as now:
            self._begin(consent, **about)
            self._ask_own_checks(now, Act.LOAD)
            self._check_again(consent, target)
            with self._armed_by_loading():
                try:
                    self._load(target)
                except OSError as error:
                    self._fail(Act.LOAD, error)
            self.write(
                "done",
                act=Act.LOAD,
                **about,
                image_digest=image.identity.sha256 if image.identity else "",
                initrd_digest=image.initrd_identity.sha256 if image.initrd_identity else "",
                command_line=target.command_line,
            )

    def unload(self, consent: Consent) -> tuple[str, ...]:
        """Unload whatever image is loaded; in state normal that closes the window.

        Returns what is left to say. ActFailed says, too, what became of the image.
        """
        became = _STAYS_LOADED
        try:
            with self._acting(consent, Act.UNLOAD) as now:
                self._begin(consent)
                self._check_again(consent)
                try:
                    self.orchestrator.kexec.unload()
                except OSError as error:
                    self._fail(Act.UNLOAD, error)
                became = _UNLOADED
                left = self._disarm()
                self.write("done", act=Act.UNLOAD)
                if now.snapshot.luo.state.at_rest:
                    self.close("unloaded")
        except ActFailed as failed:
            raise ActFailed(failed.explanation, failed.state, *failed.more, became) from failed
        return left

    def prepare(self, consent: Consent, target: Target) -> None:
        """Move normal -> prepared, with the target loaded by this window."""
        acting = self._acting(consent, Act.PREPARE, target)
        with acting, self.planned.undoing(), self._guests_armed():
            self._move(consent, target)

    def cancel(self, consent: Consent) -> tuple[str, ...]:
        """Move prepared or frozen -> normal and unload our image. Returns what is left to say."""
        with self._acting(consent, Act.CANCEL) as now:
            self._move(consent)
            left = self._unload_ours() if now.ours_is_loaded else ()
            left += self._disarm()
            left += self.planned.after(HookPoint.ON_CANCEL)
            self.close("cancelled")
        return left

    def finish(self, consent: Consent) -> tuple[str, ...]:
        """Move updated -> normal; what no process has is discarded, as it was shown.

        Returns what is left to say.
        """
        with self._acting(consent, Act.FINISH) as now:
            try:
                discarded = self.journal.write_discarded(now.discarded)
            except OSError as error:
                raise self.unwritten(error) from error
            run = now.window_state.hooks_run if now.window_state else ()
            first = HookPoint.AFTER_RESTORE
            left = () if first in run else self.planned.after(first)
            told = {"promises": now.promises.record(), **self._accounting.judged(now)}
            self._move(consent, discarded=discarded, **told)
            left += self.planned.after(HookPoint.AFTER_FINISH)
            if self.guests is not None:
                with contextlib.suppress(OSError, NotDone):
                    self.guests.forget_loaded()
            self.close("finished")
        return left

    def kexec(self, consent: Consent, target: Target, hand_back: Callable[[], None]) -> NoReturn:
        """Freeze and jump: the point of no return. Leaves by an exception if it did not happen.

        No terminal is touched here but by ``hand_back``, which leaves it clean;
        see :mod:`luo_tui.update.jump` for the order of things.
        """
        self._leave_kernel(consent, target, hand_back)
        raise AssertionError("unreachable")

    def kexec_through_init(
        self, consent: Consent, target: Target, hand_back: Callable[[], None]
    ) -> None:
        """Order the init system to stop the services and to jump; returns when it has the order.

        Then all that is left to do is to end. Leaves by an exception if it did not take it.
        """
        self._leave_kernel(consent, target, hand_back)

    def _leave_kernel(
        self, consent: Consent, target: Target, hand_back: Callable[[], None]
    ) -> None:
        with self._acting(consent, Act.KEXEC, target) as now:
            self.show_doing(f"under way: {Act.KEXEC}")
            # Before the last check: they may take their time.
            self._ask_own_checks(now, Act.KEXEC)
            picture = before(now.snapshot, condition_of(self.orchestrator))

            def check() -> None:
                self._check(consent, self.facts(target))

            def record() -> None:
                image = target.image
                promised = self.journal.write_promised(
                    consent.outgoing, consent.participants, picture
                )
                self.write(
                    "jump",
                    acts=["freeze", "kexec"] if self.orchestrator.abilities.moves else ["kexec"],
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
                    **_through(consent),
                    **({"predicted": now.predicted.record()} if now.predicted else {}),
                    typed=consent.typed,
                    confirmed=consent.label,
                    **_agreed(consent),
                )

            def pause() -> None:
                if self.planned.before(HookPoint.BEFORE_FREEZE):
                    # What it wrote is in memory alone, and would be lost by the jump.
                    self.orchestrator.kexec.sync()
                    check()

            steps = Steps(check, record, lambda: self._load(target), hand_back, pause=pause)
            if self.guests is not None:
                steps = replace(steps, save=self.guests.save, resume=self.guests.resume)
            try:
                if consent.through:
                    order(self.orchestrator, consent.state, steps, self._order)
                    return
                jump(self.orchestrator, consent.state, steps)
            except Stayed as stayed:
                raise self._stayed(stayed) from stayed.cause
            except NotDone as refused:
                said = (*self._paused(), *self.planned.undo())
                self._returned(refused.reason)
                raise NotDone(" ".join((refused.reason, *said)), refused.code) from refused
            except (Exception, KeyboardInterrupt, SystemExit):
                self.planned.undo()
                raise

    def _order(self) -> None:
        """Let go of the shutdown that is held back here, and order one."""
        if self._shutdown is not None:
            self._shutdown.release()
        if isinstance(self.orchestrator, HasInit):
            self.orchestrator.kexec_by_init()

    # -- arriving and leaving -------------------------------------------------------------

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
                    self.write("left", why=why, state=state)
                self.release()
            else:
                said.extend(self._disarm())
                with contextlib.suppress(ActFailed):
                    self.close(f"left: {why}")
        self.release()
        return tuple(said)

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

    # -- guests ---------------------------------------------------------------------------

    @contextlib.contextmanager
    def _guests_armed(self) -> Iterator[None]:
        """Have guests armed for what is done within; given up again where that fails."""
        if self.guests is None:
            yield
            return
        self.guests.arm()
        try:
            yield
        except (Exception, KeyboardInterrupt, SystemExit) as error:
            self.guests.undo()
            for line in self.guests.left:
                error.add_note(line)
            raise

    @contextlib.contextmanager
    def _armed_by_loading(self) -> Iterator[None]:
        """Have guests armed together with the image, where the kernel has no prepare for it."""
        if self.orchestrator.abilities.moves:
            yield
            return
        with contextlib.ExitStack() as armed:
            try:
                armed.enter_context(self._guests_armed())
            except NotDone as refused:
                self.write("failed", act=Act.LOAD, why=refused.reason)
                raise
            yield

    def _disarm(self) -> tuple[str, ...]:
        """Give up what is preserved for guests; return what could not be, in sentences."""
        if self.guests is None:
            return ()
        self.guests.undo()
        return self.guests.left

    def _paused(self) -> tuple[str, ...]:
        """Say which guests do not go on after a jump that did not happen."""
        return self.guests.left if self.guests is not None else ()

    # -- rule and consent -----------------------------------------------------------------

    @contextlib.contextmanager
    def _acting(self, consent: Consent, act: Act, target: Target | None = None) -> Iterator[Facts]:
        """Take the locks, hold rules and consent against the facts as they are now, and open.

        While the act is done nobody holds, restores or unpreserves anything.
        """
        if consent.act is not act:
            raise NotDone(f"The consent was to {consent.act}, not to {act}.")
        if not self.orchestrator.may_act():
            raise NotDone("Acting needs root: sudo luo-tui", Exit.NOT_PERMITTED)
        opened = self.mine
        self.take()
        try:
            with self._act_lock(act):
                now = self.facts(target)
                self._check(consent, now)
                self.open(now)
                opened = True
                yield now
        finally:
            # A refused act opens no window; one that was open stays open.
            if not opened:
                self.release()

    @contextlib.contextmanager
    def _act_lock(self, act: Act) -> Iterator[None]:
        folder = self.orchestrator.lock_folder
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(act_lock(folder, self.me, f"under way: {act}"))
            except OSError as error:
                raise ActFailed.of(Op.LOCK, error, self.state()) from error
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

    def _check_again(self, consent: Consent, target: Target | None = None) -> Facts:
        """Hold everything against the facts once more, directly before the move; return them."""
        try:
            now = self.facts(target)
            self._check(consent, now)
            return now
        except NotDone as refused:
            self.write("failed", act=consent.act, why=refused.reason)
            raise

    def _ask_own_checks(self, now: Facts, act: Act) -> None:
        """Run the host's own checks; NotDone where one of them blocks."""
        for why in own_blockers(self.orchestrator.checks_folder, now):
            reason = f"A check of this host's own blocks: {why}"
            self.write("failed", act=act, why=reason)
            raise NotDone(reason, Exit.BLOCKED)

    # -- what is done -----------------------------------------------------------------------

    def _load(self, target: Target) -> None:
        kexec = self.orchestrator.kexec
        kexec.load(target.image_copy.fd, target.initrd_fd, target.command_line)

    def _begin(self, consent: Consent, **more: object) -> None:
        typed = {"typed": consent.typed} if consent.typed else {}
        given = {**typed, **_agreed(consent)}
        self.write("begin", act=consent.act, confirmed=consent.label, **given, **more)

    def _move(self, consent: Consent, target: Target | None = None, **more: object) -> None:
        act = consent.act
        move, wanted = _MOVES[act]
        self._begin(consent, **more)
        if act is Act.PREPARE:
            self.planned.before(HookPoint.BEFORE_PREPARE, act)
        kept = self._check_again(consent, target).snapshot.bytes_in(ResourceState.PRESERVED)
        began = time.monotonic()
        try:
            self.orchestrator.move(move)
        except OSError as error:
            self._fail(act, error)
        took = round((time.monotonic() - began) * 1e3, 3)
        try:
            reached = self.orchestrator.state()
        except OSError as error:
            self._unverified(act, error)
        if reached not in wanted:
            why = (
                f"The kernel accepted {move}, but its state is {reached} and not {wanted[0]}: "
                "another tool acts on this host."
            )
            self.write("failed", act=act, state=reached, why=why)
            raise NotDone(f"{why} Look again.", Exit.WRONG_STATE)
        size = {"bytes": kept, "took_ms": took} if act is Act.PREPARE else {}
        self.write("done", act=act, state=reached, **size)

    def _unverified(self, act: Act, error: OSError) -> NoReturn:
        """Say that an act was done and could not be read back: that is no refusal."""
        text = f"The kernel accepted {act}; what came of it could not be read back."
        failure = ActFailed.of(Op.VERIFY, error, None, text, "Look at the state before you go on.")
        try:
            self.write("done", act=act, verified=False, errno=error.errno)
        except ActFailed as unwritten:
            more = (*failure.more, *unwritten.lines())
            raise ActFailed(failure.explanation, None, *more) from error
        raise failure from error

    def _fail(self, act: Act, error: OSError) -> NoReturn:
        failure = ActFailed.of(_OPS[act], error, self.state(), *self._refusal(error))
        try:
            why = _in_short(failure)
            self.write("failed", act=act, errno=error.errno, state=str(failure.state), why=why)
        except ActFailed as unwritten:
            more = (*failure.more, *unwritten.lines())
            raise ActFailed(failure.explanation, failure.state, *more) from error
        raise failure from error

    def _stayed(self, stayed: Stayed) -> ActFailed:
        """Say why the machine did not jump; what had to be undone is undone already."""
        state = self.state()
        error = stayed.cause if isinstance(stayed.cause, OSError) else OSError(repr(stayed.cause))
        more = [self.where] if stayed.op is Op.JOURNAL else []
        more.extend(self.planned.undo())
        if stayed.touched and stayed.undo is None:
            more.append("The freeze was cancelled at once: the state is normal again.")
        elif stayed.undo is not None and state is not State.NORMAL:
            undo = stayed.undo if isinstance(stayed.undo, OSError) else OSError(repr(stayed.undo))
            more.append(explain(Op.CANCEL, undo).lines()[0])
        if stayed.op is Op.ORDER:
            return self._not_ordered(error, state, more)
        more.extend(self._refusal(error))
        more.extend(self._paused())
        at_rest = state is not None and state.at_rest
        if at_rest:
            more.extend(self._disarm())
            more.extend(self._unload_ours())
        self.show_doing("")
        failure = ActFailed.of(stayed.op, error, state, *more)
        try:
            self.write(
                "returned",
                op=stayed.op,
                errno=error.errno,
                state=str(state),
                why=_in_short(failure),
            )
            if at_rest:
                self.close("failed")
        except ActFailed as unwritten:
            failure = ActFailed.of(stayed.op, error, state, *more, *unwritten.lines())
        return failure

    def _not_ordered(self, error: OSError, state: State | None, more: list[str]) -> ActFailed:
        """Say that the init system did not take the order. The image stays loaded.

        Where it did not answer it may have taken it: then the jump counts as made.
        """
        self.show_doing("")
        said = f"It said: {error.strerror}." if error.strerror else ""
        failure = ActFailed.of(Op.ORDER, error, state, *filter(None, (said, *more)))
        if error.errno != errno.ETIMEDOUT:
            with contextlib.suppress(ActFailed):
                why = f"{_in_short(failure)} {said}".strip()
                self.write("returned", op=Op.ORDER, errno=error.errno, state=str(state), why=why)
        return failure

    def _returned(self, why: str) -> None:
        """Write down that a rule stopped the jump at the last moment."""
        self.show_doing("")
        state = self.state()
        with contextlib.suppress(ActFailed):
            self.write("returned", why=why, state=str(state))

    def _refusal(self, error: OSError) -> tuple[str, ...]:
        """Name whoever refused, where the kernel tells."""
        try:
            names = self._look().refused_with(error.errno or 0)
        except OSError:
            return ()
        return (f"{_REFUSED_BY}{', '.join(names)}.",) if names else ()

    def _unload_ours(self) -> tuple[str, ...]:
        try:
            self.orchestrator.kexec.unload()
            self.write("done", act=Act.UNLOAD)
        except OSError as error:
            return (
                explain(Op.UNLOAD, error).lines()[0],
                _STAYS_LOADED,
            )
        except ActFailed as unwritten:
            return unwritten.lines()
        return (_UNLOADED,)


def _through(consent: Consent) -> dict[str, object]:
    """Return what a jump's record says of the init system, where that makes it."""
    return {"through": consent.through} if consent.through else {}


def _agreed(consent: Consent) -> dict[str, str]:
    return {"agreed": consent.agreed} if consent.agreed else {}


def _in_short(failure: ActFailed) -> str:
    """Return one sentence on a failure, and who refused where the kernel tells."""
    said = failure.explanation
    refused = [line for line in failure.more if line.startswith(_REFUSED_BY)]
    return " ".join((f"Could not {said.op}: {said.meaning} ({said.errno_name}).", *refused))
