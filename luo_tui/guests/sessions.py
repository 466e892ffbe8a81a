# SPDX-License-Identifier: MIT
"""What guests need of luo-tui-holder when they go on, with next to nothing imported.

The same as :class:`luo_tui.orchestrator.sessions.Sessions` for a holder that runs.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from luo_tui.arrival.protocol import SOCKET, Object, ask, connect, given_out
from luo_tui.state import State

_CAME = ("incoming", "restored", "finished")
"""The holder's words for what came over (luo_tui/arrival/store.py)."""
_PATIENCE = 600.0
"""Seconds that one request may take."""


def answers(path: Path = SOCKET) -> bool:
    """Whether a holder runs and may be asked."""
    try:
        connect(path).close()
    except OSError:
        return False
    return True


class HeldSessions:
    """The sessions of a holder that runs. OSError with the errno of whoever refused."""

    def __init__(self, path: Path = SOCKET, owner: int = 0) -> None:
        """``path`` is the holder's socket, ``owner`` whose it has to be."""
        self._path, self._owner = path, owner

    def make_ready(self) -> None:
        """Nothing has to be started: it runs."""

    def state(self) -> State:
        """Return ``updated`` where something came over, or that could not be found out yet."""
        told = self._ask("list")[0]
        came = any(one["phase"] in _CAME for one in told["sessions"])
        return State.UPDATED if came or told["fault"] else State.NORMAL

    def restore(self, token: int) -> int:
        """Return a copy of the holder's descriptor for what came over, close-on-exec."""
        fd = self._ask("restore", token=token)[1]
        if fd < 0:
            raise OSError(errno.EPROTO, "luo-tui-holder gave no file out")
        return given_out(fd)

    def let_go(self, token: int) -> None:
        """Have the holder finish the session of what it has given out."""
        self._ask("release", token=token)

    def _ask(self, call: str, **more: object) -> tuple[Object, int]:
        with connect(self._path, owner=self._owner) as end:
            answer, given = ask(end, {"call": call, **more}, -1, _PATIENCE)
        if answer.get("ok") is True:
            return answer, given
        if given >= 0:
            os.close(given)
        code, said = answer.get("errno"), answer.get("said")
        known = code if isinstance(code, int) else errno.EIO
        raise OSError(known, str(said or os.strerror(known)).removesuffix("."))
