# SPDX-License-Identifier: MIT
"""Has guests go on that an earlier kernel has saved: what is done first in the new one.

They stand still until then, so next to nothing is imported here, nor by what is.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from luo_tui.guests.load import load
from luo_tui.guests.record import FOLDER, Record, Records, waiting
from luo_tui.guests.restore import Keeper
from luo_tui.guests.start import make_folders
from luo_tui.guests.together import together
from luo_tui.state import State
from luo_tui.uapi import luo_v2

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Device:
    """luo.ko's device, opened for each call. OSError with the kernel's errno."""

    def state(self) -> State:
        """Ask the kernel."""
        with self._opened() as device:
            return luo_v2.check(device)

    def restore(self, token: int) -> int:
        """Return a new descriptor for what came over."""
        with self._opened() as device:
            return luo_v2.restore(device, token)

    def make_ready(self) -> None:
        """Nothing has to run: the kernel keeps what is preserved."""

    def let_go(self, token: int) -> None:
        """Nothing is to be done: the kernel keeps what was restored, in use, until finish."""

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        device = luo_v2.open_device()
        try:
            yield device
        finally:
            os.close(device)


class Kernel(Keeper, Protocol):
    """What kept the guests' memory, and tells its state."""

    def make_ready(self) -> None:
        """Start whatever has to run before anything is restored. OSError."""
        ...

    def let_go(self, token: int) -> None:
        """Say that a guest has what came over under ``token``, and runs. OSError."""
        ...

    def state(self) -> State:
        """Return the state now. OSError."""
        ...


def _go_on(kernel: Kernel, record: Record, records: Records) -> None:
    """Load one, let go of what it has now, and put its clock right once it runs."""
    loaded = load(kernel, record, records)
    for token in loaded.tokens:
        with contextlib.suppress(OSError):
            kernel.let_go(token)
    if loaded.went_on:
        # No guest waits for it.
        from luo_tui.guests.clock import put_right

        with contextlib.suppress(OSError):
            records.write(loaded._replace(clock=put_right(loaded)))


def go_on(folder: Path, kernel: Kernel, boot: str = "") -> tuple[str, ...]:
    """Load all guests that wait for it; return why each of the others is not, as sentences.

    ``folder`` is the journal's, ``boot`` this kernel's boot id where the caller knows it.
    Harmless where none waits, and again.
    """
    records = Records(folder / FOLDER)
    try:
        boot = boot or _BOOT_ID.read_text().strip()
        if not waiting(records.all(), boot):
            return ()
        with records.locked():
            return _all_go_on(records, kernel, boot)
    except (OSError, ValueError) as error:
        return (f"Guests could not be loaded: {error}. Remove the cause, and run it again.",)


def _all_go_on(records: Records, kernel: Kernel, boot: str) -> tuple[str, ...]:
    # Another one may have loaded them before it was our turn.
    there = waiting(records.all(), boot)
    if not there:
        return ()
    kernel.make_ready()
    state = kernel.state()
    if state is not State.UPDATED:
        names = ", ".join(record.name for record in there)
        return (
            f"These guests were saved for another kernel, and the state is {state}: {names}. "
            f"Start them anew, and remove their records in {records.folder}.",
        )
    for record in there:
        # Two may share one: made here, it is whole before either of them needs it.
        with contextlib.suppress(OSError):
            make_folders(record.context)
    return together(there, lambda record: _go_on(kernel, record, records))
