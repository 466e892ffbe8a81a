# SPDX-License-Identifier: MIT
"""Something to lose: a file's bytes, held in memory across an update.

``hold`` copies a file into a memfd, seals it, has the orchestrator preserve it
and writes down what the kernel then says of it, with the SHA-256. ``restore``
gives the bytes back in the new kernel and proves them. From ``hold`` on the
kernel keeps the memory; no process has to stay, but the one that the orchestrator
needs for it on a kernel whose sessions end with their owner.

They are acts as others are, with rules, records and a lock: the host's act
lock, for they need no window and are done while somebody else has one. The
facts are read anew under it. From the kernel's restore on the bytes belong to
this process alone, so they are preserved anew before anything else, and given
up only when they are safe in their file: whatever ends the delivery, the kernel
still has them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from luo_tui.errors import ActFailed, Exit, NotDone, Op
from luo_tui.model import Snapshot
from luo_tui.orchestrator import Orchestrator
from luo_tui.update.act_log import ActLog
from luo_tui.update.delivery import TooLong, copy, deliver, file_for, keeper_for
from luo_tui.update.held import (
    HOLDS,
    NAME,
    Held,
    HeldRecords,
    is_gone,
    refuse_hold,
    refuse_restore,
    refuse_unpreserve,
)
from luo_tui.update.lock import ActUnderWay, act_lock
from luo_tui.update.person import Person
from luo_tui.update.regular_file import NotRegular, open_regular
from luo_tui.update.signals import signals_held_back

_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
_HEADROOM = 64 << 20
"""Bytes of memory that holding a file must leave free."""


@dataclass(frozen=True, slots=True)
class _Turn:
    """An act's turn: the facts as they are under the lock, and where it is recorded."""

    now: Snapshot
    lock: ActUnderWay
    log: ActLog
    act: str


class Holds:
    """The held files of one host."""

    def __init__(
        self, orchestrator: Orchestrator, folder: Path, look: Callable[[], Snapshot]
    ) -> None:
        """``folder`` is where the journal lies too; ``look`` reads the facts from the kernel."""
        self.done: Held | None = None
        """What the latest act did, also when a signal ended the program right after it."""
        self.left: tuple[str, ...] = ()
        """What is left to say of it."""
        self._orchestrator = orchestrator
        self._folder = folder
        self._records = HeldRecords(folder / HOLDS)
        self._look = look
        self._me = Person.here()

    def records(self) -> tuple[Held, ...]:
        """Return what is written down, by name; a damaged record is left out. OSError."""
        return self._records.all()

    def hold(self, file: Path, name: str, out: Path | None = None) -> Held:
        """Hold the bytes of ``file`` under ``name``, a word of letters, digits and ``._-``.

        In the new kernel they are given back to ``out`` without an operator, where it is said.
        NotDone where the name is bad or taken or memory is short; ActFailed
        with the kernel's errno otherwise. Nothing is left preserved then.
        """
        if not NAME.fullmatch(name):
            raise NotDone(
                "A name is 1 to 64 letters, digits, dots, dashes or underscores.", Exit.USAGE
            )
        if out is not None and not out.absolute().parent.is_dir():
            raise NotDone(f"There is no folder for {out}: nothing was held.", Exit.USAGE)
        self._may_act()
        # Once before the bytes are copied, which takes its time, and once under the lock.
        refuse_hold(self._records.find(name), self._facts())
        with contextlib.ExitStack() as opened:
            try:
                source = opened.enter_context(open_regular(file))
            except NotRegular as other:
                raise NotDone(
                    f"{file} {other.strerror}: nothing was held. Copy what is to survive into one.",
                    Exit.USAGE,
                ) from other
            except OSError as error:
                raise ActFailed.of(Op.FILE, error, None, f"The file is {file}.") from error
            most = _room(os.fstat(source).st_size)
            fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            try:
                try:
                    size, digest = copy(source, fd, most)
                except TooLong:
                    raise _no_room(most + 1, most) from None
                except OSError as error:
                    raise ActFailed.of(Op.FILE, error, None, f"The file is {file}.") from error
                fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
                with self._turn("hold", name) as turn:
                    refuse_hold(self._records.find(name), turn.now)
                    held = self._new(name, size, digest, str(file.absolute()), turn.now)
                    held = replace(held, out=str(out.absolute()) if out is not None else "")
                    return self._preserve(fd, held, turn)
            finally:
                os.close(fd)

    def restore(self, name: str, out: Path, *, force: bool = False) -> Held:
        """Write the bytes held under ``name`` to ``out`` and prove them by size and SHA-256.

        The room for ``out`` is taken before the kernel gives the bytes back.
        If they cannot be written after that, or are not those that were held,
        they stay preserved, so that nothing is lost by the failure.
        """
        self._may_act()
        self._known(name)
        # Beside others who restore: each has its own to write, and that takes its time.
        with self._turn("restore", name, shared=True) as turn:
            held = self._known(name)
            refuse_restore(held, turn.now)
            if out.exists() and not force:
                raise NotDone(f"{out} exists; --force replaces it.", Exit.USAGE)
            with file_for(out, held.bytes, turn.now.luo.state) as (target, temporary):
                self._begin(turn, held, out=str(out.absolute()))
                with signals_held_back():
                    self._restore(held, target, temporary, out, turn)
        return held

    def unpreserve(self, name: str) -> Held:
        """Give up what is held under ``name``: its memory is free again."""
        self._may_act()
        self._known(name)
        with self._turn("unpreserve", name) as turn:
            held = self._known(name)
            try:
                refuse_unpreserve(held, turn.now)
            except NotDone as refused:
                if not is_gone(held, turn.now):
                    raise
                self._records.forget(name)
                raise NotDone(f"{refused.reason} Its record was removed.", refused.code) from None
            self._begin(turn, held)
            with signals_held_back():
                try:
                    self._orchestrator.unpreserve(held.token)
                except OSError as error:
                    self._end(turn, "failed", held, errno=error.errno)
                    raise ActFailed.of(Op.UNPRESERVE, error, turn.now.luo.state) from error
                self._records.forget(name)
                self._end(turn, "done", held)
        return held

    def _preserve(self, fd: int, held: Held, turn: _Turn) -> Held:
        """Have it preserved and write it down, or leave nothing preserved."""
        self._begin(turn, held)
        with signals_held_back():
            try:
                token = self._orchestrator.preserve(fd, held.name)
            except OSError as error:
                self._end(turn, "failed", held, errno=error.errno)
                raise ActFailed.of(Op.PRESERVE, error, turn.now.luo.state) from error
            held = replace(held, token=token)
            try:
                held = self._as_told(held)
                self._records.write(held)
            except BaseException as error:
                said = self._give_up(token)
                self._end(turn, "failed", held, why=said)
                if not isinstance(error, OSError):
                    error.add_note(said)
                    raise
                more = f"The record could not be written; {said}"
                raise ActFailed.of(Op.FILE, error, turn.now.luo.state, more) from error
            self._end(turn, "done", held)
        return held

    def _restore(self, held: Held, target: int, temporary: Path, out: Path, turn: _Turn) -> None:
        """Take the bytes over, have the kernel keep them, deliver them, and only then let go."""
        state = turn.now.luo.state
        try:
            fd = self._orchestrator.restore(held.token)
        except OSError as error:
            self._end(turn, "failed", held, errno=error.errno)
            raise ActFailed.of(Op.RESTORE, error, state) from error
        try:
            keeper = keeper_for(self._orchestrator, self._records, self._as_told, held, fd)
            try:
                keeper.keep()
                size, digest = deliver(held, fd, target, temporary, out)
            except BaseException as error:
                said = keeper.say()
                code = error.errno if isinstance(error, OSError) else errno.ENOMEM
                self._end(turn, "failed", held, errno=code, why=said)
                if isinstance(error, (OSError, MemoryError)):
                    raise ActFailed.of(Op.FILE, code or 0, state, said) from error
                error.add_note(said)
                raise
            if (size, digest) != (held.bytes, held.sha256):
                said = keeper.say()
                self._end(turn, "failed", held, why=said)
                raise NotDone(
                    f"What came back as {held.name} is not what was held: {size} of {held.bytes} "
                    f"bytes, SHA-256 {digest}, held {held.sha256}. {said}",
                    Exit.MISMATCH,
                )
            self.left += keeper.let_go()
            self._end(turn, "done", held)
        finally:
            os.close(fd)

    def _new(self, name: str, size: int, digest: str, file: str, now: Snapshot) -> Held:
        at = datetime.now(UTC).isoformat(timespec="seconds")
        boot, release = now.host.boot_id, now.host.release
        return Held(name, -1, size, digest, file, boot, at, str(self._me), release)

    def _as_told(self, held: Held) -> Held:
        """Add what the kernel says of it: by that it will be known. OSError."""
        now = self._look()
        found = now.resources.get(held.token)
        pid, comm = (found.pid, found.comm) if found is not None else (0, "")
        boot, release = now.host.boot_id, now.host.release
        return replace(held, boot=boot, release=release, pid=pid, comm=comm)

    def _give_up(self, token: int) -> str:
        try:
            self._orchestrator.unpreserve(token)
        except OSError as error:
            why = os.strerror(error.errno or 0)
            return f"token {token} stays preserved, for it could not be given up ({why})."
        return "nothing is held."

    @contextlib.contextmanager
    def _turn(self, act: str, name: str, *, shared: bool = False) -> Iterator[_Turn]:
        """Wait for the act lock, and read the facts under it."""
        self.done, self.left = None, ()
        folder = self._orchestrator.lock_folder
        with contextlib.ExitStack() as stack:
            try:
                lock = act_lock(folder, self._me, f"{act} {name}", shared=shared)
                under_way = stack.enter_context(lock)
            except OSError as error:
                more = f"The lock lies in {folder}. Nothing was done."
                raise ActFailed.of(Op.LOCK, error, None, more) from error
            now = self._facts()
            yield _Turn(now, under_way, ActLog(self._folder, now.host.boot_id), act)

    def _facts(self) -> Snapshot:
        """Read the facts; refuse where they could not be read, or there is no orchestrator."""
        now = self._look()
        for health in now.health.values():
            if health.fault:
                raise NotDone(
                    f"What the kernel holds could not be read ({health.name}: {health.fault}). "
                    "Nothing was done.",
                    Exit.FAILED,
                )
        if not now.luo.state.usable:
            try:
                self._orchestrator.state()
            except OSError as error:
                raise ActFailed.of(Op.OPEN, error, None) from error
            raise NotDone(
                f"The state is {now.luo.state}: {now.luo.detail}. Nothing was done.",
                Exit.UNAVAILABLE,
            )
        return now

    def _begin(self, turn: _Turn, held: Held, **more: object) -> None:
        """Write down that it begins, and let standing consents become stale."""
        about = {"name": held.name, "bytes": held.bytes, "sha256": held.sha256, **more}
        token = None if held.token < 0 else held.token
        try:
            turn.log.begin(turn.act, who=str(self._me), token=token, **about)
            turn.lock.begin()
        except OSError as error:
            more_ = f"The journal lies in {self._folder}. Nothing was done."
            raise ActFailed.of(Op.JOURNAL, error, turn.now.luo.state, more_) from error

    def _end(self, turn: _Turn, event: str, held: Held, **more: object) -> None:
        """Write down how it ended. What was done stands, whether or not that can be written."""
        if event == "done":
            self.done = held
        try:
            turn.log.end(event, turn.act, name=held.name, token=held.token, **more)
        except OSError as error:
            said = f"Its end could not be written to the journal in {self._folder}"
            self.left += (f"{said} ({error.strerror or error}).",)

    def _may_act(self) -> None:
        if not self._orchestrator.may_act():
            raise NotDone("Acting needs root: run the same command with sudo.", Exit.NOT_PERMITTED)
        try:
            self._orchestrator.make_ready()
        except OSError as error:
            raise ActFailed.of(Op.HOLDER, error, None, "Nothing was done.") from error

    def _known(self, name: str) -> Held:
        held = self._records.find(name)
        if held is None:
            raise NotDone(f"Nothing is held under the name {name}.", Exit.NOT_FOUND)
        return held


def _room(size: int) -> int:
    """Return how many bytes may be held; NotDone where ``size`` are more."""
    # Slow to import, and of no use to a command that only looks.
    import psutil

    free = psutil.virtual_memory().available
    if size + _HEADROOM > free:
        raise _no_room(size, free)
    return int(free) - _HEADROOM


def _no_room(size: int, free: int) -> NotDone:
    return NotDone(
        f"Holding {size} bytes would leave this host without memory: {free} are available.",
        Exit.NO_SPACE,
    )
