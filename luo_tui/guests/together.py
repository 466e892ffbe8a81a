# SPDX-License-Identifier: MIT
"""Does one thing with all guests at the same time."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable

from luo_tui.guests.record import Record

_ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


def together(records: Iterable[Record], do: Callable[[Record], object]) -> tuple[str, ...]:
    """Do something with all guests side by side; return what failed, in their order."""
    faults: dict[str, str] = {}

    def one(record: Record) -> None:
        try:
            do(record)
        except Exception as error:
            # It would end with the thread, unseen.
            faults[record.name] = str(error)

    wanted = list(records)
    if len(wanted) == 1:
        one(wanted[0])
    elif wanted:
        import threading

        threads = [threading.Thread(target=one, args=(r,), daemon=True) for r in wanted]
        # A guest must not be left halfway because somebody presses Ctrl+C.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return tuple(faults[r.name] for r in wanted if r.name in faults)
