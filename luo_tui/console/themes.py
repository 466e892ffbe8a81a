# SPDX-License-Identifier: MIT
"""Palettes: dark and light for terminals with many colours, plain for sixteen, mono for none.

The plain one takes the terminal's own colours and leaves no grey where
NO_COLOR is set. Nothing is told by colour alone in either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from textual.theme import Theme

_RICH = Theme(
    name="dark",
    primary="#7fa8c9",
    secondary="#8fb3a5",
    warning="#d9b26a",
    error="#e08a7d",
    success="#93c79a",
    accent="#7fa8c9",
    foreground="#d3d7da",
    background="#14181b",
    surface="#14181b",
    panel="#1d2327",
    dark=True,
    variables={
        "state-normal": "#8fb3a5",
        "state-prepared": "#d9b26a",
        "state-frozen": "#79b8e6",
        "state-updated": "#a8c97f",
        "state-none": "#e08a7d",
        "text-quiet": "#98a2a9",
        "text-note": "#d9b26a",
        "text-error": "#e08a7d",
        "text-key": "#9cc3e2",
        "text-say": "#d9b26a",
        "text-demo": "#d9b26a",
        "focus": "#2b3a45",
        "line": "#3d4a52",
    },
)
_PLAIN = Theme(
    name="plain",
    ansi=True,
    primary="ansi_cyan",
    secondary="ansi_cyan",
    warning="ansi_yellow",
    error="ansi_red",
    success="ansi_green",
    accent="ansi_cyan",
    foreground="ansi_default",
    background="ansi_default",
    surface="ansi_default",
    panel="ansi_default",
    boost="ansi_default",
    dark=True,
    variables={
        "ansi-background": "ansi_black",
        "ansi-foreground": "ansi_white",
        "border-blurred": "ansi_black",
        "block-cursor-foreground": "ansi_black",
        "block-cursor-background": "ansi_white",
        "input-cursor-background": "ansi_white",
        "input-cursor-foreground": "ansi_black",
        "input-cursor-text-style": "reverse",
        "state-normal": "ansi_green",
        "state-prepared": "ansi_yellow",
        "state-frozen": "ansi_cyan",
        "state-updated": "ansi_bright_green",
        "state-none": "ansi_red",
        "text-quiet": "ansi_default",
        "text-note": "ansi_yellow",
        "text-error": "ansi_red",
        "text-key": "ansi_cyan",
        "text-say": "ansi_yellow",
        "text-demo": "ansi_yellow",
        "focus": "ansi_default",
        "line": "ansi_default",
    },
)


_LIGHT = Theme(
    name="light",
    primary="#2f5f86",
    secondary="#2f6b58",
    warning="#825400",
    error="#a8321f",
    success="#2d6b35",
    accent="#2f5f86",
    foreground="#1d2327",
    background="#f7f7f4",
    surface="#f7f7f4",
    panel="#e8e9e4",
    dark=False,
    variables={
        "state-normal": "#2f6b58",
        "state-prepared": "#825400",
        "state-frozen": "#14639c",
        "state-updated": "#3f6d12",
        "state-none": "#a8321f",
        "text-quiet": "#5a636a",
        "text-note": "#825400",
        "text-error": "#a8321f",
        "text-key": "#14558c",
        "text-say": "#825400",
        "text-demo": "#825400",
        "focus": "#d5dfe6",
        "line": "#b4bcc0",
    },
)
_MONO = replace(
    _PLAIN,
    name="mono",
    primary="ansi_default",
    secondary="ansi_default",
    warning="ansi_default",
    error="ansi_default",
    success="ansi_default",
    accent="ansi_default",
    variables={
        name: "ansi_default" if name.startswith(("state-", "text-")) else value
        for name, value in _PLAIN.variables.items()
    },
)
_ALL = {t.name: t for t in (_RICH, _LIGHT, _PLAIN, _MONO)}
NAMES = tuple(_ALL)
"""What an operator can ask for."""


def theme_for(environ: Mapping[str, str], wanted: str = "") -> Theme:
    """Return the palette that is wanted, or the one that this terminal can show.

    NO_COLOR outranks both: https://no-color.org.
    """
    if "NO_COLOR" in environ:
        return _MONO
    if wanted in _ALL:
        return _ALL[wanted]
    many = environ.get("COLORTERM") in ("truecolor", "24bit") or "256color" in environ.get(
        "TERM", ""
    )
    return _RICH if many else _PLAIN


def is_without_colour(name: str) -> bool:
    """Whether the palette of that name tells nothing by colour at all."""
    return name == _MONO.name


def themes_beside(theme: Theme) -> Sequence[Theme]:
    """Return the palettes that a console can change between which has begun with ``theme``.

    The terminal's own colours and others do not mix within one run of Textual.
    """
    return [t for t in _ALL.values() if t.ansi == theme.ansi]
