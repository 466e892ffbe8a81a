# SPDX-License-Identifier: MIT
"""Text as it may go to a terminal: foreign words made harmless, lines that hang.

Names of files, processes and kernels come from elsewhere. They are never read
as markup (they only travel as :class:`Content`), and what is no visible
character, escape sequences and bidirectional marks among them, shows as ``?``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from textual.content import Content


class Charset:
    """Which characters the terminal has; set once, before anything is drawn."""

    ascii_only = False


_SMALL = ("linux", "vt100", "vt102", "vt220", "vt320", "ansi", "cons25")
"""Terminals whose character set is not Unicode, or not enough of it."""


def has_only_ascii(environ: Mapping[str, str]) -> bool:
    """Whether this terminal must not be sent more than ASCII.

    Its own name decides first, then the locale, by which the operator says what
    he has; a locale that is not set says nothing, and is taken for the least.
    """
    if environ.get("TERM", "") in _SMALL:
        return True
    locale = environ.get("LC_ALL") or environ.get("LC_CTYPE") or environ.get("LANG") or ""
    return "utf" not in locale.lower()


def plain(text: str) -> str:
    """Return ``text`` with everything that the terminal cannot show as ``?``."""
    if text.isascii() and text.isprintable():
        return text
    if Charset.ascii_only:
        return "".join(c if " " <= c <= "~" else "?" * max(1, cell_len(c)) for c in text)
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def clip(text: str, width: int) -> str:
    """Fit ``text`` into exactly ``width`` cells; what is cut off is marked by ``~``."""
    if width <= 0:
        return ""
    clean = plain(text)
    if cell_len(clean) <= width:
        return set_cell_size(clean, width)
    return set_cell_size(clean, width - 1) + "~"


def fit_right(text: str, width: int) -> str:
    """Fit ``text`` into exactly ``width`` cells, to the right."""
    clean = plain(text)
    room = width - cell_len(clean)
    return " " * room + clean if room >= 0 else clip(text, width)


@dataclass(frozen=True, slots=True)
class Row:
    """One paragraph with a label to its left."""

    text: str
    label: str = ""
    style: str = ""
    label_style: str = "bold"


def hang(rows: Iterable[Row], width: int) -> list[Content]:
    """Lay ``rows`` out as lines of at most ``width`` cells, the texts aligned behind the labels."""
    every = list(rows)
    indent = max((cell_len(plain(r.label)) + 2 for r in every if r.label), default=0)
    if width - indent < 12:
        indent = max(0, width - 12)
    lines: list[Content] = []
    for row in every:
        label = clip(row.label, indent)
        body = Content.styled(plain(row.text), row.style) if row.text else Content("")
        for part in body.wrap(max(4, width - indent)):
            lines.append(Content.assemble((label, row.label_style), part))
            label = " " * indent
    return lines
