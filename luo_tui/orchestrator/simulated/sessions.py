# SPDX-License-Identifier: MIT
"""The same simulated host with a kernel that has sessions: no moves, and a derived state.

Each process that preserves something there holds a session of its command's name.
Nothing is frozen: a reboot takes along what is held at that moment. Where the
simulated kernel is asked for moves, it is only to hand over.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from typing import NoReturn

from luo_tui.arrival.store import RESERVED
from luo_tui.model import LuoState, Participant, Resource, ResourceState, State
from luo_tui.orchestrator import Abilities, Move
from luo_tui.orchestrator.simulated.host import SimulatedHost
from luo_tui.orchestrator.simulated.kept import error
from luo_tui.orchestrator.simulated.orchestrator import SimulatedKexec, SimulatedOrchestrator
from luo_tui.orchestrator.simulated.sources import SimulatedSource
from luo_tui.sources import Source
from luo_tui.sources.changes import Change, LuoChanged, ParticipantsRead, ResourcesRead
from luo_tui.uapi.luo_sessions import LONGEST

SESSIONS_NOT_IMITATED = (
    "what a process holds outlives it, and files' lines in the log are luo.ko's",
    "what is in a session is known of every holder, not of luo-tui-holder alone",
)
"""Where this kernel is not like the real one, besides."""
_HELD = (ResourceState.PRESERVED, ResourceState.RESTORED)
"""What a process has; what only came over is in no session that anybody sees."""


class DirectKexec(SimulatedKexec):
    """Kexec of a kernel that serialises its sessions in the reboot itself."""

    def reboot(self) -> NoReturn:
        """Jump; whatever fails leaves the host as it was."""
        with self._host.acting:
            if not self._host.image:
                raise error(errno.EINVAL)
            if self._host.state is State.UPDATED:
                # What came over and was not finished is not handed over again.
                super().reboot()
            self._host.move(Move.PREPARE)
            try:
                super().reboot()
            except OSError:
                if self._host.state is State.PREPARED:
                    self._host.move(Move.CANCEL)
                raise


class SimulatedSessions(SimulatedOrchestrator):
    """Commands to such a host."""

    title = "simulated sessions (demo)"
    abilities = Abilities(moves=False, holders_must_live=True)

    def __init__(self, host: SimulatedHost, *, may_act: bool = True) -> None:
        """``may_act`` False shows what an unprivileged user sees."""
        super().__init__(host, may_act=may_act)
        self.kexec = DirectKexec(host)

    def state(self) -> State:
        """Derive the state."""
        return derived(self._host).state

    def move(self, move: Move) -> None:
        """Finish; there is no other move (EOPNOTSUPP)."""
        if move is not Move.FINISH:
            raise error(errno.EOPNOTSUPP)
        super().move(move)

    def preserve(self, fd: int, name: str = "") -> int:
        """Keep a memfd in a session of this name."""
        if name in RESERVED:
            raise error(errno.EPERM)
        if not 0 < len(os.fsencode(name)) <= LONGEST:
            raise error(errno.EINVAL)
        if any(resource.name == name for resource in self._host.resources()):
            raise error(errno.EEXIST)
        try:
            return self._host.preserve(fd, name=name)
        except FileExistsError:
            # Not its token is in use, but the file.
            raise error(errno.EBUSY) from None

    def restore(self, token: int) -> int:
        """Give out what came over."""
        if self._host.state is not State.UPDATED:
            raise error(errno.ENOENT)
        return super().restore(token)

    def sources(self) -> Sequence[Source]:
        """Return what tells of sessions."""
        return (SimulatedSessionSource(self._host),)


class SimulatedSessionSource(SimulatedSource):
    """Tells of the derived state, of what holders tell, and of who holds a session."""

    def enumerate(self) -> Sequence[Change]:
        """Look at everything."""
        resources = self._host.resources()
        return (
            LuoChanged(derived(self._host), from_release=self._host.from_release),
            ResourcesRead(resources),
            ParticipantsRead(tuple(_sessions(resources))),
        )

    def drain(self) -> Sequence[Change] | None:
        """Look again, if anything stirred."""
        heard = super().drain()
        return self.enumerate() if heard else heard


def derived(host: SimulatedHost) -> LuoState:
    """Derive the state from who holds what and from how this kernel began."""
    held = len(list(_sessions(host.resources())))
    began = f"a live update from {host.from_release}" if host.from_release else "no live update"
    evidence = (f"{held:,} sessions held by processes here", f"{began} led into this kernel")
    if host.state is State.UPDATED:
        return LuoState(State.UPDATED, "", evidence)
    preserved = any(r.state is ResourceState.PRESERVED for r in host.resources())
    return LuoState(State.PRESERVING if preserved else State.NORMAL, "", evidence)


def _sessions(resources: Sequence[Resource]) -> Iterator[Participant]:
    """Yield a session for each process that has something."""
    seen = dict.fromkeys((r.comm, r.pid) for r in resources if r.state in _HELD)
    for comm, pid in seen:
        name = f"{comm}-{pid}"
        yield Participant(f"session {name}", "session", name, f"held by {comm} [{pid}]")
