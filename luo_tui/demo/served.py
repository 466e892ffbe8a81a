# SPDX-License-Identifier: MIT
"""A simulated host that other processes of the same user speak to: ``luo-tui demo --serve``.

A socket in the demo's folder, which nobody else may enter, takes connections:
one for commands, one for each source that is watched. What goes over them is
pickled, so both ends first make sure that the other one is the same user.
A jump starts the serving process anew, and with it every connection ends, as
every process does in a real one.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import stat
import struct
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

from luo_tui.demo.answering import Answering
from luo_tui.demo.remote_orchestrator import RemoteKexec, RemoteOrchestrator
from luo_tui.errors import Exit, NotDone
from luo_tui.orchestrator.simulated import SimulatedHost, SimulatedJump, SimulatedOrchestrator
from luo_tui.sources import Source
from luo_tui.sources.changes import Change

VARIABLE = "LUO_TUI_DEMO"
"""Names the folder of the host that commands speak to instead of this machine."""
_SOCKET = "served"
_COMMANDS = "commands"
"""What a connection begins with that is no source's name."""
_NEWS = "news"
"""Told to who watches; he fetches it when he likes."""
_PATIENCE, _AGAIN = 10.0, 0.1
"""Seconds in which the other end has to answer, and between two attempts at that."""


class Served:
    """The serving end."""

    def __init__(self, host: SimulatedHost) -> None:
        """Begin to listen. OSError if it cannot."""
        self._host = host
        self._path = host.folder / _SOCKET
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # It gets its name when it listens: of two boots one is always there, or refuses.
        new = self._path.with_suffix(".new")
        new.unlink(missing_ok=True)
        self._socket.bind(str(new))
        new.chmod(0o600)
        self._socket.listen()
        new.rename(self._path)
        threading.Thread(target=self._accept, name="serve", daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        while True:
            try:
                one, _ = self._socket.accept()
            except OSError:
                return
            if _peer(one) != os.geteuid():
                one.close()
                continue
            link = Connection(one.detach())
            threading.Thread(target=self._serve, args=(link,), name="client", daemon=True).start()

    def _serve(self, link: Connection) -> None:
        with link, contextlib.suppress(EOFError, OSError):
            wanted = link.recv()
            orchestrator = SimulatedOrchestrator(self._host)
            if wanted == _COMMANDS:
                Answering(orchestrator).serve(link)
                return
            every = (*orchestrator.sources(), *orchestrator.surroundings())
            _tell({s.name: s for s in every}[wanted], link)


def _tell(source: Source, link: Connection) -> None:
    """Answer for one source, and say when it has news, until the other end has gone."""
    try:
        source.reopen()
    except OSError as dead:
        link.send(dead)
        return
    link.send(None)
    told = False
    try:
        while True:
            poll = select.poll()
            poll.register(link.fileno(), select.POLLIN)
            if not told:
                poll.register(source.fileno(), source.events)
            ready = dict(poll.poll())
            if link.fileno() in ready:
                asked = link.recv()
                try:
                    answer: object = source.enumerate() if asked == "enumerate" else source.drain()
                except OSError as dead:
                    answer = dead
                told = False
                link.send((answer,))
            elif ready:
                told = True
                link.send(_NEWS)
    finally:
        source.close()


class RemoteSource:
    """A source of a served host; its descriptor is the connection."""

    events = select.POLLIN

    def __init__(self, name: str, connect: Callable[[], Connection]) -> None:
        """Nothing is opened yet."""
        self.name = name
        self._connect = connect
        self._link: Connection | None = None

    def fileno(self) -> int:
        """Return the connection's; -1 while there is none."""
        return self._link.fileno() if self._link is not None else -1

    def reopen(self) -> None:
        """Connect. OSError while nobody serves, or the source over there is dead."""
        self.close()
        self._link = link = self._connect()
        link.send(self.name)
        answer = _receive(link)
        if isinstance(answer, OSError):
            self.close()
            raise answer

    def enumerate(self) -> Sequence[Change]:
        """Read everything; one that is not opened is so for that alone."""
        if self._link is not None:
            return self._ask("enumerate") or ()
        self.reopen()
        try:
            return self._ask("enumerate") or ()
        finally:
            self.close()

    def drain(self) -> Sequence[Change] | None:
        """Fetch the news; None if some were lost."""
        return self._ask("drain")

    def close(self) -> None:
        """Disconnect; harmless twice."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def _ask(self, what: str) -> Sequence[Change] | None:
        if self._link is None:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        try:
            self._link.send(what)
            while (answer := _receive(self._link)) == _NEWS:
                pass
        except EOFError as gone:
            raise OSError(errno.ECONNRESET, "the simulated host is gone") from gone
        found: Sequence[Change] | OSError | None = answer[0]
        if isinstance(found, OSError):
            raise found
        return found


def _receive(link: Connection) -> Any:
    """Receive; OSError ETIMEDOUT if nothing comes for long."""
    if not link.poll(_PATIENCE):
        raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
    return link.recv()


class ServedKexec(RemoteKexec):
    """Kexec over there."""

    def reboot(self) -> NoReturn:
        """Jump; this process ends as every process of the old kernel does."""
        try:
            super().reboot()
        except SimulatedJump:
            sys.stdout.flush()
            print(
                "luo-tui: The simulated host has jumped. A real one would have ended this shell, "
                "too.",
                file=sys.stderr,
                flush=True,
            )
            os._exit(0)


class ServedOrchestrator(RemoteOrchestrator):
    """The orchestrator of a host that another process serves; connects anew after its jump."""

    def __init__(self, folder: Path) -> None:
        """NotDone: nobody serves there, or somebody whom this user must not believe."""
        self._folder = folder
        _check(folder)
        super().__init__(self._command_link(), folder / "boot")
        self.kexec = ServedKexec(self._ask, folder / "boot")

    def sources(self) -> Sequence[Source]:
        """Return what tells of LUO over there."""
        return (RemoteSource("resources", self._connect),)

    def surroundings(self) -> Sequence[Source]:
        """Return what tells of the machine over there."""
        return tuple(RemoteSource(name, self._connect) for name in _SURROUNDINGS)

    def _ask(self, name: str, *arguments: object, handles: Sequence[int] = ()) -> Any:
        try:
            return super()._ask(name, *arguments, handles=handles)
        except (EOFError, BrokenPipeError, ConnectionResetError) as gone:
            if name == "reboot":
                raise
            if handles or name in _ACTS:
                raise OSError(errno.ECONNRESET, "the simulated host is gone") from gone
            with self._asking:
                # Over there another boot has begun.
                self._link = self._command_link()
                return super()._ask(name, *arguments)

    def _connect(self) -> Connection:
        one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            one.connect(str(self._folder / _SOCKET))
        except OSError:
            one.close()
            raise
        if _peer(one) != os.geteuid():
            one.close()
            raise OSError(errno.EPERM, "another user serves there")
        return Connection(one.detach())

    def _command_link(self) -> Connection:
        link = self._connect()
        link.send(_COMMANDS)
        return link


_SURROUNDINGS = ("devices", "host activity", "kernel lines")
_ACTS = frozenset({"move", "load", "unload", "preserve", "unpreserve", "restore"})


def open_served(environ: Mapping[str, str]) -> tuple[ServedOrchestrator, Path] | None:
    """Return the served host that the environment names, with its folder; None where none is.

    NotDone: nobody serves there, or it is another user's.
    """
    if not (named := environ.get(VARIABLE)):
        return None
    folder, end = Path(named), time.monotonic() + _PATIENCE
    while True:
        try:
            return ServedOrchestrator(folder), folder
        except (FileNotFoundError, ConnectionRefusedError) as nobody:
            # In a jump nobody listens, and the socket's name is there.
            if isinstance(nobody, ConnectionRefusedError) and time.monotonic() < end:
                time.sleep(_AGAIN)
                continue
        raise NotDone(
            f"No simulated host is served in {folder} ({VARIABLE}): begin one with "
            f"`luo-tui demo --serve`, or unset {VARIABLE}.",
            Exit.UNAVAILABLE,
        )


def _check(folder: Path) -> None:
    """Make sure that nobody but this user can have put a socket there."""
    about = folder.stat()
    if about.st_uid != os.geteuid() or stat.S_IMODE(about.st_mode) & 0o077:
        raise NotDone(
            f"{folder} ({VARIABLE}) is not this user's alone: nothing was done.",
            Exit.NOT_PERMITTED,
        )


def _peer(one: socket.socket) -> int:
    """Return the user at the other end."""
    raw = one.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", raw)
    return int(uid)
