# SPDX-License-Identifier: MIT
"""How much memory this host has, and how much of it is left, by the kernel's own account."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from luo_tui.sources.reading import Reading


class Memory(NamedTuple):
    """All in bytes; 0: the kernel does not tell."""

    total: int = 0
    available: int = 0
    """What programs may still take without others being paged out (``MemAvailable``)."""


def read_memory(reading: Reading, proc: Path = Path("/proc")) -> Memory:
    """Read /proc/meminfo; ``reading`` notes what it does not tell."""
    lines = (line.partition(":") for line in reading.text(proc / "meminfo").splitlines())
    table = {name: value.split() for name, _, value in lines}
    return Memory(*(_bytes(table, name, reading) for name in ("MemTotal", "MemAvailable")))


def _bytes(table: dict[str, list[str]], name: str, reading: Reading) -> int:
    number, *_ = table.get(name) or [""]
    if not number.isdecimal():
        reading.lacks("not told by this kernel: {}", "", name)
        return 0
    return int(number) * 1024
