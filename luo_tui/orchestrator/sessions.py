# SPDX-License-Identifier: MIT
"""Mainline's orchestrator (Linux 6.19 and later): sessions behind ``/dev/liveupdate``.

A session's owner is the process that has its descriptor, and no other can act for
it. What luo-tui holds is in sessions of luo-tui-holder, which is asked over its
socket; nothing here opens the device, which lets one process in at a time, and no
session's descriptor ever comes here. The sessions of others are watched.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from luo_tui.errors import HolderError, Op
from luo_tui.model import LuoState, State
from luo_tui.orchestrator import Abilities, Move
from luo_tui.orchestrator.this_host import ThisHost, boot_id
from luo_tui.sources import Source
from luo_tui.uapi import luo_sessions

if TYPE_CHECKING:
    from luo_tui.arrival.protocol import Object

LUOD = Path("/run/luod/liveupdate.sock")
"""There where luod runs, which keeps the device open."""
_LUODS = (
    f"luod has this host's live updates ({LUOD} is there): the device and its sessions are its "
    "own, and this version does not speak with it. Update by luod's own tools, or end it."
)


class Sessions(ThisHost):
    """The sessions of this host: those of luo-tui-holder to act on, the rest to look at."""

    title = "mainline sessions (Linux 6.19 and later)"
    abilities = Abilities(moves=False, holders_must_live=True, takes_holes=True)

    def cannot(self) -> str:
        """Say so where the device is another orchestrator's own; else only the rules speak."""
        return _LUODS if LUOD.exists() else ""

    def make_ready(self) -> None:
        """Start the holder, which retrieves what came over. HolderError: why it does not run."""
        from luo_tui.orchestrator import holder_client

        if why := self.cannot():
            raise HolderError(Op.OPEN, errno.EBUSY, why)
        if not holder_client.is_running():
            holder_client.start()

    def state(self) -> State:
        """Derive the state anew. OSError where this process has no descriptor left."""
        return self._derived().state

    def move(self, move: Move) -> None:
        """Finish the sessions of luo-tui-holder; the kernel has no other move (EOPNOTSUPP)."""
        if move is not Move.FINISH:
            code = errno.EOPNOTSUPP
            raise OSError(code, os.strerror(code), luo_sessions.DEVICE)
        from luo_tui.sources.sessions import write_finished

        self._ask("finish")
        # That the update is over nobody but us can say, so it is written down for this boot.
        write_finished(self.lock_folder, boot_id())

    def preserve(self, fd: int, name: str = "") -> int:
        """Have the holder keep the file in a session of this name; return its token."""
        token = self._ask("hold", fd, name=name)[0].get("token")
        if not isinstance(token, int):
            raise HolderError(Op.HOLDER, errno.EPROTO)
        return token

    def unpreserve(self, token: int) -> None:
        """Have the holder drop an outgoing session, or finish one whose file was given back."""
        self._ask("release", token=token)

    def restore(self, token: int) -> int:
        """Return a copy of the holder's descriptor for what came over, close-on-exec."""
        from luo_tui.arrival.protocol import given_out

        fd = self._ask("restore", token=token)[1]
        if fd < 0:
            raise HolderError(Op.HOLDER, errno.EPROTO)
        return given_out(fd)

    def let_go(self, token: int) -> None:
        """Have the holder finish the session of what it has given out."""
        with contextlib.suppress(HolderError):
            # Refused where it is done already, or the file was never asked for.
            self._ask("release", token=token)

    def sources(self) -> Sequence[Source]:
        """Return what tells of sessions, and what tells of the holder's files."""
        from luo_tui.sources.holder import HolderSource
        from luo_tui.sources.sessions import SessionSource

        return (SessionSource(), HolderSource())

    def _derived(self) -> LuoState:
        from luo_tui.sources.processes import open_files
        from luo_tui.sources.sessions import derived, is_finished, read_arrival

        held = open_files(Path("/proc"), luo_sessions.LINK)
        return derived(held, read_arrival(), finished=is_finished())

    def _ask(self, call: str, fd: int = -1, **more: object) -> tuple[Object, int]:
        from luo_tui.orchestrator import holder_client

        try:
            return holder_client.request(call, fd, **more)
        except HolderError as error:
            if error.op is Op.OPEN and error.errno == errno.EBUSY and not error.said:
                raise HolderError(error.op, errno.EBUSY, _owner()) from error
            raise


def _owner() -> str:
    """Say who has the device open, as far as that can be seen."""
    from luo_tui.sources.processes import open_files

    found = open_files(Path("/proc"), luo_sessions.DEVICE).of(luo_sessions.DEVICE)
    if not found:
        return "Whoever had it has closed it again: try again."
    return f"It is open in {', '.join(map(str, found))}."
