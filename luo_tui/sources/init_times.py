# SPDX-License-Identifier: MIT
"""When systemd ended the kernel before this one, as it hands on over a live update.

Source: org.freedesktop.systemd1(5), ``PreviousShutdownStartTimestamp`` and the
others (systemd 262): microseconds, and 0 but after a kexec that handed systemd's
own session over. An older systemd does not know them.
"""

from __future__ import annotations

import json
from pathlib import Path

from luo_tui.model import InitTimes
from luo_tui.sources import systemctl
from luo_tui.sources.reading import Reading

_BUS = "org.freedesktop.systemd1"
_PROPERTIES = (
    "PreviousShutdownStartTimestamp",
    "PreviousShutdownFinishTimestamp",
    "PreviousShutdownLateStartTimestamp",
    "PreviousShutdownLateFinishTimestamp",
    "UserspaceTimestamp",
)
_GET = (
    *("--json=short", "get-property", _BUS, "/org/freedesktop/systemd1", f"{_BUS}.Manager"),
    *_PROPERTIES,
)


def read_init_times(systemd: Path = systemctl.RUNS, path: str = systemctl.PATH) -> InitTimes | None:
    """Ask systemd, where it runs; None where it does not tell. Never fails."""
    if not systemd.is_dir():
        return None
    # An older one does not know the question, which is nothing that is missing.
    lines = systemctl.ask(_GET, "", Reading(), path, "busctl") or ()
    try:
        found = [int(json.loads(line)["data"]) / 1e6 for line in lines]
    except (ValueError, TypeError, LookupError):
        return None
    return InitTimes(*found) if len(found) == len(_PROPERTIES) and all(found) else None
