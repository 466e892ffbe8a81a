# SPDX-License-Identifier: MIT
"""Ends the QEMU of an attempt to load a guest that was itself ended halfway.

It waits for a state that nobody will tell it of, and keeps the guest's disks locked.
It has never run: a guest is written down as loaded before it may.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Sequence
from pathlib import Path

from luo_tui.guests.failed import GuestFailed
from luo_tui.guests.proc import ends, words
from luo_tui.sources.processes import running
from luo_tui.sources.qemu import is_qemu

_PATIENCE = 10.0
"""Seconds that a process has to end."""
_DESCRIPTOR = re.compile(r"/proc/self/fd/\d+")


def end_leftovers(argv: Sequence[str], proc: Path = Path("/proc")) -> None:
    """End each QEMU that was started with ``argv``, but for the numbers of its descriptors.

    GuestFailed: one does not end. OSError where this process has no descriptor left.
    """
    wanted = _plain(argv)
    for pid in running(proc, is_qemu).pids:
        try:
            process = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            # Looked at only now: from here on the number stands for this process alone.
            if _plain(words(proc / str(pid) / "cmdline")) != wanted:
                continue
            signal.pidfd_send_signal(process, signal.SIGKILL)
            if not ends(process, _PATIENCE):
                raise GuestFailed(f"process {pid}, of an earlier attempt, does not end")
        except (FileNotFoundError, ProcessLookupError):
            continue
        finally:
            os.close(process)


def _plain(argv: Sequence[str]) -> tuple[str, ...]:
    return tuple(_DESCRIPTOR.sub("/proc/self/fd/", word) for word in argv)
