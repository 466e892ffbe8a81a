# SPDX-License-Identifier: MIT
"""``luo-tui-holder``: owns the descriptors of sessions, and answers root on its socket.

It must live until the kexec, so it depends on nothing that a login or a console
takes away, and the kernel's OOM killer passes it over. SIGTERM ends it, and with it
what it has: an outgoing session is dropped then, one that came over finished.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import signal
import socket
import stat
from collections.abc import Mapping
from pathlib import Path

from luo_tui.arrival.headroom import room_left
from luo_tui.arrival.names import Names
from luo_tui.arrival.protocol import BadMessage, Inbox, Object, peer, receive, send
from luo_tui.arrival.store import Here, Kept, Kernel, Refused, Store
from luo_tui.errors import Op
from luo_tui.uapi import luo_sessions

COMM = "luo-tui-holder"
_MOST_CONNECTIONS = 64
_PATIENCE = 1.0
"""Seconds that a peer has to take an answer."""


class Connection:
    """One peer."""

    def __init__(self, end: socket.socket) -> None:
        """``end`` is closed with it."""
        self.end = end
        self.inbox = Inbox()
        self.told: Object | None = None
        """What one that watches was told last; None: it does not watch."""
        end.settimeout(_PATIENCE)

    def close(self) -> None:
        """Close it, and what came over it and nobody took."""
        self.inbox.close()
        self.end.close()


class Holder:
    """Answers requests, one at a time, until it is told to end."""

    def __init__(self, store: Store, listener: socket.socket, owner: int = 0) -> None:
        """Take a socket that is bound and listens; only ``owner``'s processes are answered."""
        self._store, self._listener, self._owner = store, listener, owner
        self._connections: dict[int, Connection] = {}
        self._fault = ""
        self._stop, self._stopped = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        listener.setblocking(False)

    def arrive(self) -> None:
        """Retrieve what came over; why that cannot be done is told with all that it has."""
        try:
            self._store.arrive()
            self._fault = ""
        except Refused as refused:
            self._fault = f"What came over could not be retrieved ({refused.op}: {refused})"
        except (OSError, ValueError) as error:
            self._fault = f"Which sessions came over is not known: {error}"

    def stop(self) -> None:
        """End :meth:`serve`. From a signal handler, or another thread."""
        os.write(self._stopped, b"\0")

    def serve(self) -> None:
        """Answer until :meth:`stop`; then close all."""
        try:
            while True:
                poll = select.poll()
                for fd in (self._stop, self._listener.fileno(), *self._connections):
                    poll.register(fd, select.POLLIN)
                ready = [fd for fd, _ in poll.poll()]
                if self._stop in ready:
                    return
                for fd in ready:
                    if fd == self._listener.fileno():
                        self._accept()
                    elif fd in self._connections:
                        self._hear(self._connections[fd])
                self._tell_watchers()
        finally:
            self._listener.close()
            for connection in self._connections.values():
                connection.close()
            self._connections.clear()
            self._store.close()
            os.close(self._stop)
            os.close(self._stopped)

    # -- peers ---------------------------------------------------------------------------

    def _accept(self) -> None:
        try:
            end, _ = self._listener.accept()
        except OSError:
            return  # It has hung up already.
        if peer(end)[1] != self._owner or len(self._connections) >= _MOST_CONNECTIONS:
            end.close()
            return
        self._connections[end.fileno()] = Connection(end)

    def _hear(self, connection: Connection) -> None:
        """Answer all that is whole of what a peer says; drop one that is not understood."""
        try:
            if not receive(connection.end, connection.inbox):
                self._drop(connection)
                return
            while (found := connection.inbox.next()) is not None:
                self._answer(connection, *found)
        except BadMessage as bad:
            with contextlib.suppress(OSError):
                send(connection.end, _no(Op.OPEN, errno.EPROTO, f"It was not understood: {bad}."))
            self._drop(connection)
        except OSError:
            self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        del self._connections[connection.end.fileno()]
        connection.close()

    def _tell_watchers(self) -> None:
        """Tell all that it has now to who watches, if that is no longer what it was."""
        watching = [c for c in self._connections.values() if c.told is not None]
        told = self._list() if watching else {}
        for connection in watching:
            if connection.told == told:
                continue
            connection.told = told
            try:
                send(connection.end, told)
            except OSError:
                self._drop(connection)

    # -- requests ------------------------------------------------------------------------

    def _answer(self, connection: Connection, request: Object, fd: int) -> None:
        """Carry out one request; ``fd`` came with it, and is closed here."""
        answer, given = _no(Op.OPEN, errno.ENOSYS, "There is no such request."), -1
        try:
            match request:
                case {"call": "list"}:
                    answer = self._list()
                case {"call": "watch"}:
                    answer = connection.told = self._list()
                case {"call": "hold", "name": str(name)} if fd >= 0:
                    self._retry()
                    answer = _yes(token=self._store.hold(name, fd))
                case {"call": "restore", "token": int(token)}:
                    self._retry()
                    given = self._store.restore(token)
                    answer = _yes()
                case {"call": "release", "token": int(token)}:
                    self._store.release(token)
                    answer = _yes()
                case {"call": "finish"}:
                    self._retry()
                    answer = _yes(finished=list(self._store.finish()))
                case {"call": str(call)} if call in ("hold", "restore", "release"):
                    answer = _no(Op.OPEN, errno.EINVAL, "The request lacks something.")
        except Refused as refused:
            answer, given = _no(refused.op, refused.code, refused.said), -1
        finally:
            if fd >= 0:
                os.close(fd)
        send(connection.end, answer, given)

    def _retry(self) -> None:
        """Retrieve what came over, where that failed before: the device may have been held."""
        if self._fault:
            self.arrive()
        if self._fault:
            raise Refused(Op.OPEN, errno.EBUSY, f"{self._fault}. Nothing was done.")

    def _list(self) -> Object:
        here = self._store.here
        return _yes(
            pid=here.pid,
            comm=here.comm,
            boot=here.boot,
            fault=self._fault,
            sessions=[_session(one) for one in self._store.kept()],
        )


def _session(one: Kept) -> Mapping[str, object]:
    about = one.manifest
    return {
        "name": about.name,
        "phase": one.phase,
        "token": about.token,
        "bytes": about.bytes,
        "pid": about.pid,
        "comm": about.comm,
        "boot": about.boot,
        "release": about.release,
        "fault": one.fault,
    }


def _yes(**more: object) -> Object:
    return {"ok": True, **more}


def _no(op: Op, code: int, said: str) -> Object:
    return {"ok": False, "op": op, "errno": code, "said": said}


# -- its process ----------------------------------------------------------------------------


def listen(path: Path) -> tuple[socket.socket, int]:
    """Bind and listen. Return the socket, and the lock that is this process's as long as it runs.

    OSError: EADDRINUSE another holder runs; EPERM others may write to the folder.
    """
    folder = path.parent
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    about = folder.lstat()
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.geteuid() or about.st_mode & 0o022:
        raise OSError(errno.EPERM, "others may write there, or it is no folder", str(folder))
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    lock = os.open(path.with_suffix(".lock"), flags, 0o600)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    before = os.umask(0o177)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OSError(errno.EADDRINUSE, "another luo-tui-holder runs", str(path)) from error
        # Left by one that has ended.
        path.unlink(missing_ok=True)
        made.bind(str(path))
        made.listen(_MOST_CONNECTIONS)
    except BaseException:
        made.close()
        os.close(lock)
        raise
    finally:
        os.umask(before)
    return made, lock


def run(path: Path, folder: Path, *, background: bool, kernel: Kernel = luo_sessions) -> None:
    """Be the holder until SIGTERM. OSError: it could not begin.

    With ``background`` the caller's process ends as soon as it is answered on the
    socket, and a child of it is the holder, in a session of its own.
    """
    listener, _lock = listen(path)
    if background and os.fork():
        os._exit(0)
    if background:
        os.setsid()
        os.chdir("/")
        nowhere = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(nowhere, number)
        os.close(nowhere)
    # Whoever started it may hold signals back.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    _be_hard_to_kill()
    here = Here(os.getpid(), COMM, _text("/proc/sys/kernel/random/boot_id"), os.uname().release)
    holder = Holder(Store(here, Names(folder), room_left, kernel), listener, os.geteuid())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: holder.stop())
    holder.arrive()
    _notify()
    holder.serve()


def _be_hard_to_kill() -> None:
    """Give the process its name, and have the OOM killer take any other; only root may."""
    for file, text in (("comm", COMM), ("oom_score_adj", "-1000")):
        with contextlib.suppress(OSError):
            Path("/proc/self", file).write_text(text)


def _notify() -> None:
    """Tell systemd that it is up, where that asks (sd_notify(3))."""
    if not (name := os.environ.pop("NOTIFY_SOCKET", "")):
        return
    address = f"\0{name[1:]}" if name.startswith("@") else name
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as end,
    ):
        end.sendto(b"READY=1", address)


def _text(path: str) -> str:
    return Path(path).read_text().strip()
