# SPDX-License-Identifier: MIT
"""What a command prints for a person: lines in which no name can move the cursor."""

from __future__ import annotations

from collections.abc import Iterable

from luo_tui.sources.clean import printable


def print_lines(lines: Iterable[str]) -> None:
    """Print ``lines``; a file's name, which may be anything, is shown harmless in them."""
    print("\n".join(map(printable, lines)))
