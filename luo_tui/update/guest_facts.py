# SPDX-License-Identifier: MIT
"""Reads what is written down of guests of QEMU, as facts of an update."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from luo_tui.model import Snapshot
from luo_tui.orchestrator import CarriesGuests, Orchestrator
from luo_tui.sources.clean import clean
from luo_tui.update.clocks import ran_on
from luo_tui.update.facts import CameOver, GoesAlong, Stands
from luo_tui.update.window_state import WindowState

# Loaded where there are any.
if TYPE_CHECKING:
    from luo_tui.guests.record import Record

_FOLDER = "guests"
"""Of the records, in the journal's."""


def arms_guests(orchestrator: Orchestrator) -> bool:
    """Whether guests are armed on this host, by prepare or, where there is none, by load."""
    return isinstance(orchestrator, CarriesGuests) and orchestrator.guests_wanted


def recorded(orchestrator: Orchestrator, folder: Path) -> tuple[Record, ...]:
    """Return what is written down; empty as well where only root may know.

    Records that cannot be read are told by the acts that rest on them.
    """
    if not isinstance(orchestrator, CarriesGuests):
        return ()
    try:
        # Also whether it is there may be root's alone to know.
        if not (folder / _FOLDER).is_dir():
            return ()
        from luo_tui.guests.record import Records

        return Records(folder / _FOLDER).all()
    except (OSError, ValueError):
        return ()


def armed(
    records: tuple[Record, ...], snapshot: Snapshot, *, named: bool = False
) -> tuple[GoesAlong, ...]:
    """Return the guests that are armed in this boot.

    The kernel outranks the record: one whose memory or state is no longer
    preserved is not armed, whatever is written down. ``named`` says that what is
    preserved is known by its name, for its token may be another file's since.
    """
    return tuple(_armed(records, snapshot, named=named))


def no_more(records: tuple[Record, ...], snapshot: Snapshot) -> tuple[str, ...]:
    """Name the guests that were armed in this boot, and whose memory is preserved no more."""
    if not records:
        return ()
    from luo_tui.guests.record import armed_in

    there = {one.name for one in _armed(records, snapshot, named=True)}
    here = armed_in(records, snapshot.host.boot_id)
    return tuple(one.name for one in here if one.name not in there)


def _armed(records: tuple[Record, ...], snapshot: Snapshot, *, named: bool) -> Iterator[GoesAlong]:
    if records:
        from luo_tui.guests.proc import lives
        from luo_tui.guests.record import armed_in

        preserved = {r.token: r.name if named else "" for r in snapshot.outgoing}
        for one in armed_in(records, snapshot.host.boot_id):
            if all(
                preserved.get(kept.token) == (clean(kept.name) if named else "")
                for kept in one.kept
            ):
                ended = not lives(one.pid, one.started)
                yield GoesAlong(one.name, one.pid, _memory(one), one.tokens, one.paused, ended)


def _memory(record: Record) -> int:
    return sum(kept.bytes for kept in record.memory.values())


def came_over(
    records: tuple[Record, ...], window: WindowState | None, snapshot: Snapshot
) -> tuple[CameOver, ...]:
    """Return the guests that were saved for the jump into this boot."""
    if window is None or window.jumped_from in ("", snapshot.host.boot_id):
        return ()
    timed = ran_on(snapshot, window)
    return tuple(_came_over(r, timed=timed) for r in records if r.boot == window.jumped_from)


def _came_over(record: Record, *, timed: bool) -> CameOver:
    """Tell of one guest; ``timed`` says whether the host's clock ran on through the jump."""
    from luo_tui.guests.record import CLOCK_SET

    is_set = record.clock == CLOCK_SET
    return CameOver(
        record.name,
        _stands(record),
        max(0.0, record.went_on - record.paused) if record.went_on and timed else 0.0,
        record.pid,
        _memory(record),
        record.paused,
        clock_set=is_set,
        clock_fault="" if is_set else record.clock,
    )


def _stands(record: Record) -> Stands:
    from luo_tui.guests.proc import lives
    from luo_tui.guests.record import Phase

    if record.phase is Phase.SAVED:
        return Stands.WAITS
    if record.phase is not Phase.LOADED:
        return Stands.LOST
    if not lives(record.pid, record.started):
        return Stands.ENDED
    return Stands.GOES_ON if record.went_on or not record.goes_on else Stands.PAUSED
