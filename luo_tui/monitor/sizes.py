# SPDX-License-Identifier: MIT
"""How sizes and counts are written. Pure."""

from __future__ import annotations

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def count_text(number: int, what: str) -> str:
    """Write a number of things: ``1 device``, ``2 devices``."""
    return f"{number} {what}" if number == 1 else f"{number:,} {what}s"


def size_text(number: int) -> str:
    """Write a number of bytes in binary units, to three figures, never rounded up past a unit."""
    return "{} {}".format(*_in_unit(number, _unit(number)))


def change_text(before: int, after: int) -> str:
    """Write how a size changed: ``9 -> 10.1 GiB``; in bytes where three figures show nothing."""
    old, was = _in_unit(before, _unit(before))
    new, now = _in_unit(after, _unit(after))
    if (old, was) == (new, now):
        return f"{before:,} -> {after:,} bytes"
    return f"{old} -> {new} {now}" if was == now else f"{old} {was} -> {new} {now}"


def _unit(number: int) -> int:
    """Return the place of the largest unit of which there is at least one."""
    at = 0
    while at < len(_UNITS) - 1 and number >= 1 << 10 * (at + 1):
        at += 1
    return at


def _in_unit(number: int, unit: int) -> tuple[str, str]:
    value = number / (1 << 10 * unit)
    # Three figures have no room for a thousand: it would be written as a power of ten.
    whole = unit == 0 or value >= 999.5
    return (f"{int(value)}" if whole else f"{value:.3g}"), _UNITS[unit]
