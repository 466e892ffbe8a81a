# SPDX-License-Identifier: MIT
"""One animated SVG out of pictures of the console, each shown for its time. Pure.

It runs without a script: each picture is a group that a style sheet's animation
shows in its turn. Whoever prefers no motion sees the first one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

_FONTS = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)
_NAME = re.compile(r"terminal-\d+")
_COLOURS = re.compile(r"\.(terminal-\d+)-(r\d+) (\{[^}]*\})")
_OWN, _CLASS = re.compile(r'class="terminal-\d+-(r\d+)"'), r'class="\1"'
"""The class of a colour, and what it is within a frame's group."""
_CONTENT = re.compile(r'<g transform="translate\(9, 41\)".*</g>', re.DOTALL)


class Frame(NamedTuple):
    """A picture, and how long it stands."""

    svg: str
    """As Textual exports it; all frames of one recording have one size."""
    seconds: float


def without_fonts(svg: str) -> str:
    """Take out the fonts that Textual has loaded from elsewhere: a picture loads nothing."""
    return _FONTS.sub("", svg)


def recording(frames: Sequence[Frame]) -> str:
    """Return the animated picture. ValueError: a picture is not laid out as Textual does it."""
    total = sum(f.seconds for f in frames)
    first = without_fonts(frames[0].svg)
    kept = _part(_CONTENT, first)
    styles, groups, begin = [], [], 0.0
    for number, frame in enumerate(frames):
        content = _part(_CONTENT, frame.svg)
        groups.append(f'<g class="frame f{number}">{_OWN.sub(_CLASS, content)}</g>')
        styles += [f".f{number} .{r} {rule}" for _, r, rule in _COLOURS.findall(frame.svg)]
        end = begin + frame.seconds
        styles.append(_turn(number, begin / total, end / total))
        begin = end
    rules = "\n".join(
        (
            ".frame { visibility: hidden }",
            ".f0 { visibility: visible }",
            "@media (prefers-reduced-motion: no-preference) {",
            f".frame {{ animation-duration: {total:g}s; animation-iteration-count: infinite; "
            "animation-timing-function: step-end }",
            *(f".f{n} {{ animation-name: f{n} }}" for n in range(len(frames))),
            "}",
            *styles,
        )
    )
    whole = _COLOURS.sub("", first).replace(kept, "".join(groups))
    return _NAME.sub("terminal", whole.replace("</style>", f"{rules}\n</style>", 1))


def _turn(number: int, begin: float, end: float) -> str:
    """Return when a picture is to be seen, as parts of the whole."""
    before = "0% { visibility: hidden } " if begin else ""
    after = f"{end:.3%} {{ visibility: hidden }} " if end < 1 else ""
    return f"@keyframes f{number} {{ {before}{begin:.3%} {{ visibility: visible }} {after}}}"


def _part(pattern: re.Pattern[str], svg: str) -> str:
    found = pattern.search(svg)
    if found is None:
        raise ValueError("this is no picture as Textual exports it")
    return found.group()
