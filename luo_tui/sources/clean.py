# SPDX-License-Identifier: MIT
"""Foreign text made harmless, before it enters the model.

Names come from other processes. Whatever could move a cursor, change a colour
or hide a character is shown escaped, and nothing is longer than it may be.
"""

from __future__ import annotations

LIMIT = 256


def clean(text: str) -> str:
    """Return ``text`` in printable characters alone, at most :data:`LIMIT` of them."""
    return printable(text[:LIMIT])[:LIMIT]


def printable(text: str) -> str:
    """Return ``text`` in printable characters alone, all of it."""
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(char: str) -> str:
    if char.isprintable():
        return char
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
