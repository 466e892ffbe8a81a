# SPDX-License-Identifier: MIT
"""What is asked for once, when a person wants to know it, and is not watched.

Each of these reads files or asks a daemon: not for a thread that draws.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from luo_tui.sources.devices import details
from luo_tui.sources.kmsg import is_kernel_console


def device_details(id_: str) -> Sequence[tuple[str, str]]:
    """Return what sysfs and udev know of a device, by name; empty where it is not there."""
    return details(id_)


def prints_on_our_terminal() -> bool:
    """Whether standard input is a terminal that the kernel prints on (/proc/consoles)."""
    try:
        tty = os.ttyname(0).removeprefix("/dev/")
        return is_kernel_console(tty, Path("/proc/consoles").read_text())
    except OSError:
        return False
