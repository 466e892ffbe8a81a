# SPDX-License-Identifier: MIT
"""``/sys/kernel/liveupdate``: an attribute that notifies, and what stands beside it.

``state`` is announced by sysfs_notify() at each change: poll(2) wakes with
POLLPRI|POLLERR after it was read once (kernel/luo_sysfs.c). Where the folder
is missing there is nothing to poll: the source then waits silently, and the
hub opens it again on the uevent of ``/dev/liveupdate``, by which the module's
coming is known.
"""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Sequence
from pathlib import Path

from luo_tui.model import LuoState, Stamps, State
from luo_tui.sources.changes import Change, LuoChanged, ReadingDone
from luo_tui.sources.clean import clean
from luo_tui.sources.reading import ABSENT, Reading
from luo_tui.uapi import kho, luo_v2

FOLDER = Path("/sys/kernel/liveupdate")


def read_state(folder: Path = FOLDER) -> LuoState:
    """Return the state, or ``unavailable`` with the reason, or ``unknown`` with the word.

    OSError where there is one and it cannot be read: that is no state.
    """
    try:
        text = (folder / "state").read_text(errors="surrogateescape")
    except OSError as error:
        if error.errno not in ABSENT:
            raise
        return LuoState(State.UNAVAILABLE, _why())
    return LuoState.parse(clean(text[:80].strip()))


def read_luo(folder: Path = FOLDER, reading: Reading | None = None) -> LuoChanged:
    """Return the state with all that stands beside it; what is beside it may be missing.

    OSError as for :func:`read_state`.
    """
    reading = reading or Reading()
    luo = read_state(folder)
    if not luo.state.usable:
        return LuoChanged(luo)
    stamps = {name: _number(folder / "times" / name, reading) for name in Stamps._fields}
    beside = ("compatible", "from_release", "veto", "abi")
    compatible, release, veto, abi = (clean(reading.text(folder / name)) for name in beside)
    return LuoChanged(luo, Stamps(**stamps), compatible, release, veto, abi)


def _why() -> str:
    if Path(luo_v2.DEVICE).exists():
        return (
            "/dev/liveupdate speaks the sessions interface of Linux 6.19 and later, which this "
            "version does not drive (boot with liveupdate=off and load luo.ko)"
        )
    return clean(kho.why_unavailable())


def _number(path: Path, reading: Reading) -> int:
    text = reading.text(path)
    try:
        return int(text or "0")
    except ValueError:
        reading.lacks("{} is no number", text, str(path))
        return 0


class StateSource:
    """Blocks on the state attribute."""

    name = "state"
    events = select.POLLPRI | select.POLLERR

    def __init__(self, folder: Path = FOLDER) -> None:
        """``folder`` is the kernel's, or a test's."""
        self._folder = folder
        self._fd = -1

    def fileno(self) -> int:
        """Return the descriptor of the attribute."""
        return self._fd

    def reopen(self) -> None:
        """Open the attribute, or where there is none something that never wakes."""
        self.close()
        try:
            self._fd = os.open(self._folder / "state", os.O_RDONLY | os.O_CLOEXEC)
            # The kernel announces changes only to those who have read.
            os.read(self._fd, 64)
        except OSError as error:
            if error.errno not in ABSENT:
                raise
            self.close()
            self._fd = os.eventfd(0, os.EFD_CLOEXEC)

    def enumerate(self) -> Sequence[Change]:
        """Read the state and what stands beside it; a missing one is a state too."""
        reading = Reading()
        luo = read_luo(self._folder, reading)
        return (luo, ReadingDone(self.name, reading.missing))

    def drain(self) -> Sequence[Change] | None:
        """Take the news; None when the attribute has gone with the module."""
        try:
            os.lseek(self._fd, 0, os.SEEK_SET)
            os.read(self._fd, 64)
        except OSError as error:
            if error.errno == errno.ENODEV:
                return None
            raise
        return self.enumerate()

    def close(self) -> None:
        """Release the descriptor."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
