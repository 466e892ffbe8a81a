# SPDX-License-Identifier: MIT
"""A host's memory as a bar: what is preserved, what is in use besides, what is available. Pure."""

from __future__ import annotations

CELLS = 32
"""How wide it is drawn."""
_SIGNS = {True: ("#", "-", "."), False: ("█", "▒", "·")}


def memory_bar(total: int, available: int, preserved: int, *, ascii_only: bool) -> str:
    """Return the bar; all three are bytes, and what is preserved is part of what is in use.

    What there is of something is seen: it has a cell at least.
    """
    if total <= 0:
        return ""
    used = max(0, total - max(0, available))
    kept = min(max(0, preserved), used)
    cells = [_cells(kept, total), _cells(used - kept, total)]
    while sum(cells) > CELLS:
        cells[cells.index(max(cells))] -= 1
    signs = _SIGNS[ascii_only]
    return "".join(s * n for s, n in zip(signs, (*cells, CELLS - sum(cells)), strict=True))


def legend(*, ascii_only: bool) -> tuple[str, str, str]:
    """Return the signs for preserved, in use and available."""
    return _SIGNS[ascii_only]


def _cells(part: int, total: int) -> int:
    return max(1, round(part * CELLS / total)) if part else 0
