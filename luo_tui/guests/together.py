# SPDX-License-Identifier: MIT
"""Does one thing with all guests at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from luo_tui.guests.record import Record


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
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return tuple(faults[r.name] for r in wanted if r.name in faults)
