# SPDX-License-Identifier: MIT
"""Arms guests, saves them directly before the jump, and lets them go on if it does not happen.

In this order: :func:`arm` while nothing is prepared and the guest runs; prepare, where
the kernel has that; :func:`save`, which pauses it; the kexec, or else :func:`resume`, at
once and first of all, and :func:`disarm` when nothing is prepared any more. A guest is
never left paused: where it cannot be saved, it goes on before that is told.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from luo_tui.errors import HolderError
from luo_tui.guests import arguments
from luo_tui.guests.context import read_context
from luo_tui.guests.control import migration_status, set_capability, status
from luo_tui.guests.facts import STATE_NAME, Disk
from luo_tui.guests.failed import GuestFailed
from luo_tui.guests.machine import read_disks
from luo_tui.guests.proc import ends, lives
from luo_tui.guests.qmp import LIMIT, Qmp, QmpError, QmpGone, QmpRefused
from luo_tui.guests.record import Kept, Phase, Record, Records
from luo_tui.guests.rules import Guest
from luo_tui.guests.state_pipe import StatePipe

STATE_BYTES = 64 << 20
"""Room for the devices' state, of which some 0.5 MB are used; the file is sparse."""
WHOLE_STATE_BYTES = 8 << 20
"""The same where preserving takes memory for all of it."""
_STATE = "(devices)"
"""What its state is called among what is preserved; no memory object has such an id."""
_TO_WRITE = "luo-state-now"
"""The end of the pipe that a save writes to, and closes."""
SAVING = 20.0
"""Seconds that a guest has to be saved; it takes 0.1 s."""
_ENDING = 1.0
"""Seconds that a process has to end that does not listen any more."""
_POLL = 0.005
_FAST = 1 << 40
"""Bytes a second: no limit on how fast the state is written."""


class Keeper(Protocol):
    """What keeps memfds through the kexec: an orchestrator's part. OSError with its errno."""

    def preserve(self, fd: int, name: str = "") -> int:
        """Keep the file behind ``fd``, under ``name`` if it needs one; return its token."""
        ...

    def unpreserve(self, token: int) -> None:
        """Give it up."""
        ...


def arm(
    keeper: Keeper,
    guest: Guest,
    boot: str,
    records: Records,
    state_bytes: int = STATE_BYTES,
) -> Record:
    """Have a guest's memory preserved, give QEMU a file for the state, and write all down.

    It runs on. GuestFailed: nothing is preserved then, unless the words say so.
    """
    facts = guest.facts
    if guest.refusals or facts.machine is None:
        reasons = "; ".join(reason.text for reason in guest.refusals)
        raise GuestFailed(f"{guest.name} cannot be carried: {reasons}.")
    proc, process, machine = Path("/proc"), facts.process, facts.machine
    sizes = {memory.id: memory.bytes for memory in machine.memories}
    done: list[int] = []
    try:
        said = arguments.options(process.argv)
        sockets = [os.path.join(process.cwd, p) for p in arguments.socket_paths(said)]  # noqa: PTH118
        record = Record(
            guest.name, Phase.ARMED, boot, process.pid, process.started, process.argv,
            process.exe.removesuffix(" (deleted)"), process.cwd, facts.socket, machine.type,
            read_context(proc, process.pid, sockets),
        )  # fmt: skip
        memory = {}
        for id_, fd in facts.descriptors.items():
            with _opened(proc / str(process.pid) / "fd" / str(fd)) as ours:
                about = os.fstat(ours)
                known = next(m for m in process.memfds if m.fd == fd)
                if (about.st_dev, about.st_ino) != known.file or not lives(
                    record.pid, record.started
                ):
                    raise GuestFailed(f"{guest.name} has changed meanwhile: look again.")
                name = f"guest {guest.name} {id_}"
                done.append(keeper.preserve(ours, name))
            memory[id_] = Kept(done[-1], sizes[id_], about.st_ino, name)
        state = os.memfd_create(f"{STATE_NAME}-{guest.name}", os.MFD_CLOEXEC)
        try:
            os.ftruncate(state, state_bytes)
            inode = os.fstat(state).st_ino
            name = f"guest {guest.name} {_STATE}"
            done.append(keeper.preserve(state, name))
            with _monitor(record) as qmp:
                # It holds the file from now on, whoever of us ends.
                qmp.command("getfd", {"fdname": STATE_NAME}, fds=(state,))
        finally:
            os.close(state)
        kept = Kept(done[-1], state_bytes, inode, name)
        record = record._replace(memory=memory, state=kept)
        records.log(record.name).unlink(missing_ok=True)
        records.write(record)
    except BaseException as error:
        left = _give_up(keeper, done)
        if isinstance(error, GuestFailed):
            raise GuestFailed(f"{error}{left}") from error
        if isinstance(error, OSError | QmpError | ValueError | KeyError):
            raise GuestFailed(
                f"{guest.name} could not be armed: {_why(error)}. It runs on.{left}"
            ) from error
        raise
    return record


def save(record: Record, records: Records, limit: float = SAVING) -> Record:
    """Pause a guest and write its state. GuestFailed: it goes on again, unless the words say not.

    ``limit`` is in seconds, for all of it.
    """
    if not lives(record.pid, record.started):
        raise GuestFailed(f"{record.name} has ended since it was armed.")
    ran = False
    try:
        with _monitor(record) as qmp:
            ran = status(qmp) == "running"
            disks = tuple(read_disks(qmp))
            # On the disk before it is paused: whoever comes after a crash lets it go on.
            record = record._replace(phase=Phase.SAVING, goes_on=ran)
            records.write(record)
            with (
                _opened(_state_file(record)) as state,
                contextlib.closing(StatePipe(state, record.state.bytes)) as pipe,
            ):
                qmp.command("getfd", {"fdname": _TO_WRITE}, fds=(pipe.end,))
                pipe.give_away()
                paused = time.time()
                qmp.command("stop")
                with _set_up(qmp):
                    qmp.command("migrate", {"uri": f"fd:{_TO_WRITE}"})
                    _wait_saved(qmp, pipe, time.monotonic() + limit)
        record = record._replace(phase=Phase.SAVED, disks=_seen(record, disks), paused=paused)
        records.write(record)
    except BaseException as error:
        after = _go_on(record, running=ran)
        if isinstance(error, GuestFailed | QmpError | OSError):
            raise GuestFailed(
                f"{record.name} could not be saved: {_words(error)} {after}"
            ) from error
        raise
    return record


def resume(record: Record, records: Records) -> Record:
    """Let a guest go on that was saved; it is armed as before, and can be saved again.

    Harmless where it runs. GuestFailed: it does not. A guest that was paused before
    it was saved stays so.
    """
    if record.phase is Phase.ARMED:
        return record
    _continue(record, running=record.goes_on)
    record = record._replace(phase=Phase.ARMED, goes_on=True, disks={}, paused=0.0)
    try:
        records.write(record)
    except OSError as error:
        raise GuestFailed(
            f"{record.name} goes on, but that could not be written down: {error.strerror or error}."
        ) from error
    return record


def disarm(keeper: Keeper, record: Record, records: Records) -> None:
    """Give up what was preserved for a guest, and its record. State normal or updated alone.

    GuestFailed: a part is still preserved, and the record is kept.
    """
    with contextlib.suppress(QmpError):
        if lives(record.pid, record.started):
            with _monitor(record) as qmp:
                qmp.command("closefd", {"fdname": STATE_NAME})
    if left := _give_up(keeper, list(record.tokens)):
        raise GuestFailed(f"{record.name} runs on.{left}")
    records.forget(record.name)


@contextlib.contextmanager
def _set_up(qmp: Qmp) -> Iterator[None]:
    """Set what this migration needs, and set it back: a later one is to take the memory along."""
    before = qmp.command("query-migrate-parameters")
    bandwidth = before.get("max-bandwidth") if isinstance(before, dict) else None
    try:
        set_capability(qmp, on=True)
        qmp.command("migrate-set-parameters", {"max-bandwidth": _FAST})
        yield
    finally:
        with contextlib.suppress(QmpError):
            set_capability(qmp, on=False)
            if isinstance(bandwidth, int):
                qmp.command("migrate-set-parameters", {"max-bandwidth": bandwidth})


def _wait_saved(qmp: Qmp, pipe: StatePipe, end: float) -> None:
    whole = False
    while True:
        whole = whole or pipe.take(_POLL)
        now, why = migration_status(qmp)
        if now == "completed" and whole:
            return
        if now in ("failed", "cancelled") or time.monotonic() > end:
            raise GuestFailed(f"QEMU has not written its state ({why or now}).")
        if whole:
            time.sleep(_POLL)


def _continue(record: Record, *, running: bool) -> None:
    if not lives(record.pid, record.started):
        raise GuestFailed(f"{record.name} has ended.")
    try:
        with _monitor(record) as qmp:
            end = time.monotonic() + SAVING
            now, _ = migration_status(qmp)
            while now in ("setup", "active", "device", "cancelling"):
                if now != "cancelling":
                    qmp.command("migrate_cancel")
                if time.monotonic() > end:
                    raise GuestFailed(
                        f"{record.name} is still being saved: its monitor has to go on."
                    )
                time.sleep(_POLL)
                now, _ = migration_status(qmp)
            with contextlib.suppress(QmpRefused):
                set_capability(qmp, on=False)
            if running and status(qmp) != "running":
                qmp.command("cont")
                if (now := status(qmp)) != "running":
                    raise GuestFailed(f"{record.name} does not go on: its state is {now}.")
    except QmpError as error:
        if isinstance(error, QmpGone) and _ends(record):
            raise GuestFailed(f"{record.name} has ended.") from error
        raise GuestFailed(
            f"{record.name} may be paused: {error}. Have it go on by its monitor: cont."
        ) from error


def _ends(record: Record) -> bool:
    """Whether a guest's process has ended, or does so now: its sockets are closed before."""
    try:
        process = os.pidfd_open(record.pid)
    except ProcessLookupError:
        return True
    try:
        return not lives(record.pid, record.started) or ends(process, _ENDING)
    finally:
        os.close(process)


def _go_on(record: Record, *, running: bool) -> str:
    try:
        _continue(record, running=running)
    except GuestFailed as failed:
        return str(failed)
    return "It goes on."


def _monitor(record: Record) -> Qmp:
    return Qmp.connect(record.socket, pid=record.pid, limit=LIMIT)


def _state_file(record: Record) -> Path:
    """Return where the file for the state can be opened: QEMU has it. GuestFailed: it has not."""
    folder = Path("/proc") / str(record.pid) / "fd"
    wanted = f"/memfd:{STATE_NAME}-{record.name} (deleted)"
    for path in sorted(folder.iterdir()):
        with contextlib.suppress(FileNotFoundError):
            if str(path.readlink()) == wanted and path.stat().st_ino == record.state.inode:
                return path
    raise GuestFailed("QEMU has not the file any more that was to take its state.")


def _seen(record: Record, disks: Iterable[Disk]) -> Mapping[str, tuple[int, int]]:
    """Return size and time of all images, by which one that was written to is known."""
    found = {}
    images = [*arguments.disk_files(arguments.options(record.argv))]
    images += (below for disk in disks for below in disk.below)
    for file in map(arguments.image_path, images):
        path = Path(record.cwd, file)
        if file and path.is_file():
            about = path.stat()
            found[str(path)] = about.st_size, about.st_mtime_ns
    return found


def _give_up(keeper: Keeper, tokens: list[int]) -> str:
    """Unpreserve; return a sentence of what could not be."""
    left = []
    for token in tokens:
        try:
            keeper.unpreserve(token)
        except OSError as error:
            if error.errno == errno.ENOENT:
                continue
            left.append(f"{token} ({error.strerror or error})")
    return f" Still preserved are the tokens {', '.join(left)}." if left else ""


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    # The memfd itself, with a position of its own: whoever has it open notices nothing.
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _why(error: BaseException) -> str:
    """Say why, without a full stop."""
    if isinstance(error, HolderError) and error.said:
        return error.said.removesuffix(".")
    return (error.strerror if isinstance(error, OSError) else "") or str(error)


def _words(error: BaseException) -> str:
    text = str(error)
    return text if text.endswith(".") else f"{text}."
