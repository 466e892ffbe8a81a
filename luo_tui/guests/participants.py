# SPDX-License-Identifier: MIT
"""All guests of this host as participants of an update: armed, saved, and on again, together.

Which there are is written in their records: the commands of one update may be
different processes, and one of them may have died.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, Self

from luo_tui.arrival.headroom import holes
from luo_tui.errors import NotDone
from luo_tui.guests.carry import (
    STATE_BYTES,
    WHOLE_STATE_BYTES,
    Keeper,
    arm,
    disarm,
    resume,
    save,
)
from luo_tui.guests.failed import GuestFailed
from luo_tui.guests.find import find_guests
from luo_tui.guests.record import FOLDER, Phase, Record, Records, armed_in
from luo_tui.guests.rules import Guest, judge
from luo_tui.guests.together import together
from luo_tui.orchestrator import CarriesGuests

_ASKING = 10.0
"""Seconds that a guest has for each answer while it is looked at; who is silent is not carried."""
_SPARE = 64 << 20
"""Bytes of memory that arming must leave free, where it takes any."""


class Host(Keeper, Protocol):
    """What keeps the guests' memory."""

    def make_ready(self) -> None:
        """Start whatever has to run before anything is preserved. OSError."""
        ...


class Guests:
    """The guests of one host and boot. Not thread-safe."""

    def __init__(
        self,
        keeper: Host,
        records: Records,
        boot: str,
        proc: Path,
        *,
        wanted: bool = True,
        takes_holes: bool = False,
    ) -> None:
        """``boot`` is this kernel's boot id, ``proc`` where its processes are found.

        Where they are not ``wanted`` none is armed; what was armed before is still
        undone, or goes on. ``takes_holes`` says that preserving takes memory for all of a file.
        """
        self._wanted, self._takes_holes = wanted, takes_holes
        self._keeper, self._records = keeper, records
        self._boot, self._proc = boot, proc
        self.left: tuple[str, ...] = ()
        """What the last undoing could not do, as whole sentences."""

    @classmethod
    def of(cls, orchestrator: CarriesGuests, folder: Path) -> Self:
        """Return the guests of a host, whose journal lies in ``folder``."""
        boot, wanted = orchestrator.host().boot_id, orchestrator.guests_wanted
        proc = orchestrator.guests_proc
        takes_holes = orchestrator.abilities.takes_holes
        records = Records(folder / FOLDER)
        return cls(orchestrator, records, boot, proc, wanted=wanted, takes_holes=takes_holes)

    def arm(self) -> tuple[str, ...]:
        """Arm every guest that can be carried; return their names. While nothing is prepared.

        What an earlier arming has left is given up first. NotDone: one could not be
        armed; none is then.
        """
        self.undo()
        if self.left:
            raise NotDone(" ".join(self.left))
        if not self._wanted:
            return ()
        found = judge(find_guests(self._proc, _ASKING).guests)
        wanted = [guest for guest in found if not guest.refusals]
        if not wanted:
            return ()
        names = []
        try:
            self._get_ready(wanted)
            size = WHOLE_STATE_BYTES if self._takes_holes else STATE_BYTES
            for guest in wanted:
                arm(self._keeper, guest, self._boot, self._records, size)
                names.append(guest.name)
        except GuestFailed as failed:
            self.undo()
            raise NotDone(" ".join((str(failed), "Nothing was done.", *self.left))) from failed
        except BaseException:
            self.undo()
            raise
        return tuple(names)

    def save(self) -> None:
        """Pause and save all that are armed, side by side.

        NotDone: one could not be; all go on then, unless the words say otherwise.
        """
        try:
            faults = together(self._armed(), lambda one: _saved(one, self._records))
        except BaseException:
            self.resume()
            raise
        if faults:
            self.resume()
            raise NotDone(" ".join((*faults, *self.left)))

    def resume(self) -> None:
        """Let all that were saved go on, as they were before; what could not be is in ``left``."""
        try:
            self.left = together(self._armed(), lambda one: _resumed(one, self._records))
        except NotDone as failed:
            self.left = (failed.reason,)

    def undo(self) -> None:
        """Let all go on, and give up what is preserved for them. State normal or updated alone.

        What could not be done is in ``left``, and its record is kept.
        """
        self.resume()
        left = list(self.left)
        try:
            for record in self._armed():
                try:
                    disarm(self._keeper, record, self._records)
                except GuestFailed as failed:
                    left.append(str(failed))
        except (NotDone, OSError) as failed:
            left.append(str(failed))
        self.left = tuple(dict.fromkeys(left))

    def forget_loaded(self) -> None:
        """Remove the records of guests that have gone on; after finish. OSError, NotDone."""
        for record in self._all():
            if record.phase is Phase.LOADED:
                self._records.forget(record.name)

    def _get_ready(self, guests: Sequence[Guest]) -> None:
        """See to it that all can be preserved, before one is. GuestFailed: why not."""
        if self._takes_holes:
            need = sum(_holes(guest) + WHOLE_STATE_BYTES for guest in guests)
            free = _available()
            if not free:
                raise GuestFailed("How much memory is available could not be read: none is armed.")
            if need + _SPARE > free:
                raise GuestFailed(
                    f"Arming takes memory for all that guests have not touched yet: {need:,} bytes "
                    f"for {len(guests):,} of them, and {free:,} are available."
                )
        try:
            self._keeper.make_ready()
        except OSError as error:
            why = getattr(error, "said", "") or error.strerror or str(error)
            raise GuestFailed(f"No guest could be armed: {why}") from error

    def _armed(self) -> tuple[Record, ...]:
        return armed_in(self._all(), self._boot)

    def _all(self) -> tuple[Record, ...]:
        try:
            return self._records.all()
        except (OSError, ValueError) as error:
            why = (error.strerror if isinstance(error, OSError) else "") or str(error)
            raise NotDone(
                f"What was written down of guests cannot be read ({why}): look at each guest, and "
                f"remove its record in {self._records.folder} when it runs."
            ) from error


def _holes(guest: Guest) -> int:
    """Return the bytes of a guest's memory files for which there is no memory yet."""
    folder = Path("/proc") / str(guest.facts.process.pid) / "fd"
    missing = 0
    for fd in guest.facts.descriptors.values():
        with contextlib.suppress(FileNotFoundError):
            missing += holes((folder / str(fd)).stat())
    return missing


def _available() -> int:
    """Return the bytes of memory that this host can still give; 0: not known."""
    from luo_tui.sources.memory import read_memory
    from luo_tui.sources.reading import Reading

    return read_memory(Reading()).available


def _saved(record: Record, records: Records) -> None:
    save(record, records)


def _resumed(record: Record, records: Records) -> None:
    resume(record, records)
