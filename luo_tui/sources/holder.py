# SPDX-License-Identifier: MIT
"""What luo-tui-holder tells of the sessions that it owns: the resources of such a host.

The kernel lists nothing of what is in a session, so this is told, and known as far
as the holder is asked: what others hold shows as a session alone. The holder
sends all it has at each change; where it does not run, its socket is looked for
every so often.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from luo_tui.arrival.names import Names
from luo_tui.arrival.protocol import SOCKET, BadMessage, Inbox, Object, connect, receive, send
from luo_tui.model import Resource, ResourceState
from luo_tui.sources.changes import Change, ReadingDone, ResourcesRead
from luo_tui.sources.clean import clean
from luo_tui.sources.reading import EXHAUSTED

_ABSENT = (errno.ENOENT, errno.ECONNREFUSED, errno.ENOTDIR)
_STATES: Mapping[str, ResourceState] = {
    "outgoing": ResourceState.PRESERVED,
    "incoming": ResourceState.INCOMING,
    "restored": ResourceState.RESTORED,
    "finished": ResourceState.RESTORED,
}
"""By the holder's word for it (luo_tui/arrival/store.py); what is lost is no resource."""
_PATIENCE = 2.0


def resources_of(told: Object) -> tuple[Resource, ...]:
    """Return what the holder told as resources. Pure; BadMessage: it makes no sense."""
    try:
        return tuple(_resource(one) for one in told["sessions"] if one["phase"] in _STATES)
    except (KeyError, TypeError, ValueError) as error:
        raise BadMessage("what it has makes no sense") from error


def _resource(one: Mapping[str, Any]) -> Resource:
    return Resource(
        token=int(one["token"]),
        kind="memfd",
        state=_STATES[one["phase"]],
        name=clean(str(one["name"])),
        bytes=int(one["bytes"]),
        pid=int(one["pid"]),
        comm=clean(str(one["comm"])),
        # Until it is given back it is the holder's alone, and can be had again.
        abandoned=one["phase"] == "restored",
    )


def faults_of(told: Object) -> tuple[str, ...]:
    """Return what the holder could not find out, as sentences without their full stops. Pure."""
    return (clean(str(told["fault"])),) if told.get("fault") else ()


class HolderSource:
    """Blocks on an epoll descriptor, of the connection to the holder while there is one."""

    name = "resources"
    events = select.POLLIN
    every = 2.0
    """Seconds between two attempts to reach a holder that does not run."""

    def __init__(
        self,
        path: Path = SOCKET,
        names: Names | None = None,
        boot_id: Callable[[], str] = lambda: _text("/proc/sys/kernel/random/boot_id"),
        owner: int = 0,
    ) -> None:
        """Take the holder's socket and files, or a test's."""
        self._path, self._owner, self._boot_id = path, owner, boot_id
        self._names = names or Names()
        self._epoll: select.epoll | None = None
        self._end: socket.socket | None = None
        self._inbox = Inbox()

    def fileno(self) -> int:
        """Return the epoll descriptor; -1 while it is closed."""
        return self._epoll.fileno() if self._epoll is not None else -1

    def reopen(self) -> None:
        """Begin to wait. OSError where that cannot be."""
        self.close()
        self._epoll = select.epoll()

    def enumerate(self) -> Sequence[Change]:
        """Ask the holder for all it has. OSError: it is not understood, or does not answer."""
        self._hang_up()
        told = self._begin()
        if self._epoll is None:
            self._hang_up()  # It was only asked once.
        return self._absent() if told is None else _told(told)

    def drain(self) -> Sequence[Change] | None:
        """Take what the holder told; reach for it where it did not run.

        None as soon as it told anything, came or ended: the state is derived from
        sessions, so what else tells of them has to look again, too.
        """
        if self._end is None:
            return () if self._begin() is None else None
        if self._epoll is None or not self._epoll.poll(0):
            return ()
        told = False
        try:
            alive = receive(self._end, self._inbox)
            while self._inbox.next() is not None:
                told = True
        except ConnectionResetError:
            return None
        except BadMessage as bad:
            raise OSError(errno.EPROTO, f"luo-tui-holder is not understood: {bad}") from bad
        return None if told or not alive else ()

    def close(self) -> None:
        """Release all descriptors."""
        self._hang_up()
        if self._epoll is not None:
            self._epoll.close()
            self._epoll = None

    def _begin(self) -> Object | None:
        """Connect, and have it told at each change; None where no holder runs."""
        try:
            self._end = connect(self._path, _PATIENCE, self._owner)
        except PermissionError as error:
            if error.errno != errno.EACCES:
                raise
            return None
        except OSError as error:
            if error.errno in EXHAUSTED or error.errno not in _ABSENT:
                raise
            return None
        try:
            send(self._end, {"call": "watch"})
            while (found := self._inbox.next()) is None:
                if not receive(self._end, self._inbox):
                    raise OSError(errno.ECONNRESET, "luo-tui-holder hung up")
            resources_of(found[0])
        except BadMessage as bad:
            self._hang_up()
            raise OSError(errno.EPROTO, f"luo-tui-holder is not understood: {bad}") from bad
        except OSError:
            self._hang_up()
            raise
        if self._epoll is not None:
            self._epoll.register(self._end.fileno(), select.EPOLLIN)
        return found[0]

    def _hang_up(self) -> None:
        self._inbox.close()
        self._inbox = Inbox()
        if self._end is None:
            return
        if self._epoll is not None:
            with contextlib.suppress(OSError):
                self._epoll.unregister(self._end.fileno())
        self._end.close()
        self._end = None

    def _absent(self) -> Sequence[Change]:
        """Say what is known where no holder answers: none has anything, or nobody knows."""
        return (ResourcesRead(()), ReadingDone(self.name, tuple(self._waiting())))

    def _waiting(self) -> Sequence[str]:
        if os.geteuid() != self._owner:
            return ("what luo-tui-holder has is known to root alone",)
        try:
            boot = self._boot_id()
            waiting = sorted(n for n, b in self._names.read().items() if b != boot)
        except ValueError as error:
            return (f"which sessions came over is not known: {clean(str(error))}",)
        if not waiting:
            return ()
        named = clean(", ".join(waiting[:3])) + (" and others" if len(waiting) > 3 else "")
        return (
            f"luo-tui-holder does not run, which is to retrieve {named}: "
            "`luo-tui arrive` starts it",
        )


def _told(told: Object) -> Sequence[Change]:
    return (ResourcesRead(resources_of(told)), ReadingDone(HolderSource.name, faults_of(told)))


def _text(path: str) -> str:
    return Path(path).read_text().strip()
