# SPDX-License-Identifier: MIT
"""Everything read once, in the caller's thread: for one look, for an act, for the hub.

A reading never fails: what could not be read, and what was read in part, stands in
the snapshot's health.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from luo_tui.model import Host, KexecState, LuoState, Snapshot, State
from luo_tui.monitor.fold import fold
from luo_tui.sources import Source
from luo_tui.sources.changes import Change, KexecChanged, ReadingDone, SourceAlive, SourceFailed
from luo_tui.sources.clean import clean

_HOST = "host"
"""Name under which a failure to read host or kexec is shown."""


class Watchable(Protocol):
    """What the hub asks of an orchestrator, which stands above this room."""

    @property
    def kexec(self) -> KexecWatchable:
        """What is loaded for kexec."""
        ...

    def host(self) -> Host:
        """Return the machine as it is now."""
        ...

    def sources(self) -> Sequence[Source]:
        """Return fresh, unopened sources."""
        ...


class KexecWatchable(Protocol):
    """The part of kexec that is shown."""

    def state(self) -> KexecState:
        """Return what is loaded now."""
        ...


def reader(orchestrator: Watchable, surroundings: Sequence[Source] = ()) -> Callable[[], Snapshot]:
    """Return what reads all of a host anew at each call; ``surroundings`` as the hub has them.

    OSError where not even the host's name can be read; what it returns never fails.
    """
    base = blank(orchestrator.host())
    return lambda: read(orchestrator, [*orchestrator.sources(), *surroundings], base)


def blank(host: Host) -> Snapshot:
    """Return the picture of which nothing is known yet but the host."""
    return Snapshot(host, LuoState(State.UNAVAILABLE, "not read yet"))


def read(orchestrator: Watchable, sources: Iterable[Source], base: Snapshot) -> Snapshot:
    """Return ``base`` with what the sources, host and kexec tell now."""
    host, changes = unannounced(orchestrator, base)
    for source in sources:
        changes.extend(enumerated(source))
    return fold(base._replace(host=host), changes)


def unannounced(orchestrator: Watchable, known: Snapshot) -> tuple[Host, list[Change]]:
    """Read what nobody announces: host and kexec. A failure is the host's fault then."""
    try:
        host = orchestrator.host()
        changes: list[Change] = [KexecChanged(orchestrator.kexec.state())]
    except Exception as error:
        return known.host, [failed(_HOST, error)]
    if _HOST in known.health:
        changes.append(SourceAlive(_HOST))
    return host, changes


def enumerated(source: Source) -> Sequence[Change]:
    """Read a source; how its reading ended is always among the changes."""
    try:
        read = source.enumerate()
    except Exception as error:
        return (failed(source.name, error),)
    if any(isinstance(change, ReadingDone) for change in read):
        return read
    return (*read, ReadingDone(source.name))


def failed(name: str, error: Exception) -> SourceFailed:
    """Put into words why a source died, or could not be read."""
    if isinstance(error, OSError):
        fault = error.strerror or str(error)
        if error.filename:
            fault = f"{clean(str(error.filename))}: {fault}"
    else:
        fault = clean(f"an error of this program, not of the host: {type(error).__name__}: {error}")
    return SourceFailed(name, fault, time.clock_gettime(time.CLOCK_BOOTTIME))
