# SPDX-License-Identifier: MIT
"""Mainline's orchestrator (Linux 6.19 and later): sessions behind ``/dev/liveupdate``.

It is watched and not driven. A session's owner is the process that has its
descriptor, and no other can act for it; the device lets one process in at a time,
so nothing here opens it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import NoReturn

from luo_tui.model import LuoState, State
from luo_tui.orchestrator import Move
from luo_tui.orchestrator.this_host import ThisHost
from luo_tui.sources import Source
from luo_tui.uapi import luo_sessions


class Sessions(ThisHost):
    """The sessions of this host, as far as they can be seen from outside."""

    title = "mainline sessions (Linux 6.19 and later)"

    def cannot(self) -> str:
        """Say that it only watches, and what an operator can do."""
        return (
            "This kernel has mainline's sessions, which this version watches and does not drive. "
            "Whoever holds a session keeps it until the kexec; for luo.ko boot with liveupdate=off."
        )

    def state(self) -> State:
        """Derive the state anew. OSError where this process has no descriptor left."""
        return self._derived().state

    def move(self, move: Move) -> None:
        """Refuse: there are no moves (EOPNOTSUPP)."""
        del move
        self._refuse()

    def preserve(self, fd: int) -> int:
        """Refuse: a session's holder does that (EOPNOTSUPP)."""
        del fd
        self._refuse()

    def unpreserve(self, token: int) -> None:
        """Refuse: a session's holder does that (EOPNOTSUPP)."""
        del token
        self._refuse()

    def restore(self, token: int) -> int:
        """Refuse: a session's holder does that (EOPNOTSUPP)."""
        del token
        self._refuse()

    def sources(self) -> Sequence[Source]:
        """Return the one source that tells of sessions."""
        from luo_tui.sources.sessions import SessionSource

        return (SessionSource(),)

    def _derived(self) -> LuoState:
        from pathlib import Path

        from luo_tui.sources.processes import open_files
        from luo_tui.sources.sessions import derived, read_arrival

        return derived(open_files(Path("/proc"), luo_sessions.LINK), read_arrival())

    def _refuse(self) -> NoReturn:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP), luo_sessions.DEVICE)
