# SPDX-License-Identifier: MIT
"""Goes on with a guest in the new kernel: a QEMU like the old one, its memory, its state.

Until the guest is told to go on, it has run no instruction: whatever fails before
leaves it as it was saved, and it can be tried again.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from luo_tui.guests.arguments import to_load
from luo_tui.guests.control import migration_status, set_capability, status
from luo_tui.guests.failed import GuestFailed
from luo_tui.guests.proc import started
from luo_tui.guests.qmp import LIMIT, Qmp, QmpError, QmpGone
from luo_tui.guests.record import Phase, Record, Records
from luo_tui.guests.restore import Keeper, restore_all
from luo_tui.guests.start import make_folders, start
from luo_tui.sources.clean import clean

STARTING = 60.0
"""Seconds that QEMU has to start, and to read the state."""
_POLL = 0.005


def load(keeper: Keeper, record: Record, records: Records, limit: float = STARTING) -> Record:
    """Have a saved guest go on; return its record with the process that it is now.

    GuestFailed: it does not run; its memory and its state are preserved as they
    were, or else the words say what is known. ``limit`` is in seconds, for QEMU.
    """
    if record.phase is not Phase.SAVED:
        raise GuestFailed(f"{record.name} was not saved: it is {record.phase}.")
    _hold_disks(record)
    fds: list[int] = []
    pid, may_run = 0, False
    log = records.log(record.name)
    try:
        if log.exists():
            _end_earlier(record)
        memory = {}
        fds += restore_all(keeper, record.tokens, record.context)
        for fd, one in zip(fds, record.kept, strict=True):
            if os.fstat(fd).st_size < one.bytes:
                raise GuestFailed(f"what came under token {one.token} is not what was preserved")
        *memories, state = fds
        kept = record.memory.items()
        memory = {id_: (fd, one.bytes) for fd, (id_, one) in zip(memories, kept, strict=True)}
        os.lseek(state, 0, os.SEEK_SET)
        # QEMU closes the one that it reads; with another one it has restored it, until finish.
        fds.append(os.dup(state))
        make_folders(record.context)
        argv = to_load(record.argv, record.machine, memory)
        # How long a restore takes is the kernel's, and no fault of QEMU's.
        end = time.monotonic() + limit
        pid = start(record.exe, argv, record.cwd, record.context, fds, log)
        with _connect(record, pid, end) as qmp:
            pid = qmp.peer
            began = started(Path("/proc") / str(pid))
            loaded = record._replace(phase=Phase.LOADED, pid=pid, started=began)
            set_capability(qmp, on=True)
            qmp.command("migrate-incoming", {"uri": _source(qmp, state)}, limit=limit)
            _wait_loaded(qmp, end)
            set_capability(qmp, on=False)
            # From here on it may have run: nothing may be tried again.
            records.write(loaded)
            may_run = True
            if record.goes_on:
                qmp.command("cont")
                if (now := status(qmp)) != "running":
                    raise GuestFailed(f"its state is {now}")
                loaded = loaded._replace(went_on=time.time())
                with contextlib.suppress(OSError):
                    records.write(loaded)
    except (OSError, QmpError, GuestFailed, ValueError, KeyError) as error:
        why = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
        if may_run:
            raise GuestFailed(
                f"{record.name} is loaded and may not run: {why}. See its monitor, {record.socket}."
            ) from error
        said = _end(pid, log)
        raise GuestFailed(
            f"{record.name} could not be loaded: {why}.{said} Its memory and state are preserved "
            "as they were: remove the cause and load it again, before finish."
        ) from error
    except BaseException:
        if not may_run:
            _end(pid, log)
        raise
    finally:
        for fd in fds:
            os.close(fd)
    return loaded


def _end_earlier(record: Record) -> None:
    """End what an earlier attempt has left, which may have been ended halfway."""
    from luo_tui.guests.leftover import end_leftovers

    memory = {id_: (0, one.bytes) for id_, one in record.memory.items()}
    end_leftovers(to_load(record.argv, record.machine, memory))


def _source(qmp: Qmp, state: int) -> str:
    """Return how QEMU is told where the state is, in the file behind its descriptor."""
    # By its descriptor up to QEMU 10 alone; by a path from 8.2 on.
    return f"file:/proc/self/fd/{state}" if qmp.version >= (8, 2, 0) else f"fd:{state}"


def _hold_disks(record: Record) -> None:
    """Refuse where somebody has written to a disk since the guest was saved."""
    for path, (size, at) in record.disks.items():
        try:
            about = Path(path).stat()
        except OSError as error:
            raise GuestFailed(
                f"{record.name} could not be loaded: its disk {path} is not there "
                f"({error.strerror}). Its memory is preserved: mount it, and load it again."
            ) from error
        if (about.st_size, about.st_mtime_ns) != (size, at):
            raise GuestFailed(
                f"{record.name} must not be loaded: its disk {path} was written to since it was "
                "saved, and what it remembers of it would destroy it. Start it anew."
            )


def _connect(record: Record, pid: int, end: float) -> Qmp:
    """Return a connection as soon as QEMU listens. GuestFailed: it has ended, or is late."""
    while True:
        _still_there(pid)
        try:
            # It listens before it has made its machine, and greets nobody until then.
            qmp = Qmp.connect(record.socket, limit=max(LIMIT, end - time.monotonic()))
        except QmpGone:
            if time.monotonic() > end:
                raise GuestFailed("QEMU does not listen") from None
            time.sleep(_POLL)
            continue
        # With -daemonize it is a child of the one that was started.
        if qmp.peer != pid and "-daemonize" not in record.argv:
            qmp.close()
            raise GuestFailed(f"process {qmp.peer} listens on {record.socket}, not QEMU")
        return qmp


def _still_there(pid: int) -> None:
    found, code = os.waitpid(pid, os.WNOHANG) if _is_child(pid) else (0, 0)
    if found and code:
        raise GuestFailed("QEMU has ended")


def _is_child(pid: int) -> bool:
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _wait_loaded(qmp: Qmp, end: float) -> None:
    _until(lambda: status(qmp) != "inmigrate", end)
    now, why = migration_status(qmp)
    if now not in ("completed", ""):
        raise GuestFailed(f"QEMU has not read its state ({why or now})")


def _until(holds: Callable[[], bool], end: float) -> None:
    while not holds():
        if time.monotonic() > end:
            raise GuestFailed("QEMU does not come to an end with its state")
        time.sleep(_POLL)


def _end(pid: int, log: Path) -> str:
    """End the QEMU that was started, if any; return the last that it said, as a sentence."""
    if not pid:
        return ""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return f" It said: {clean(lines[-1])}." if lines else ""
