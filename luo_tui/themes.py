# SPDX-License-Identifier: MIT
"""Two palettes: one for terminals with many colours, one for those with sixteen or none.

The plain one takes the terminal's own colours and leaves no grey where
NO_COLOR is set. Nothing is told by colour alone in either.
"""

from __future__ import annotations

from collections.abc import Mapping

from textual.theme import Theme

_RICH = Theme(
    name="luo",
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
        "text-quiet": "#8b959c",
        "text-note": "#d9b26a",
        "text-error": "#e08a7d",
        "text-key": "#9cc3e2",
        "text-say": "#d9b26a",
        "text-demo": "#d9b26a",
        "focus": "#2b3a45",
    },
)
_PLAIN = Theme(
    name="luo-plain",
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
    },
)


def theme_for(environ: Mapping[str, str]) -> Theme:
    """Return the palette that this terminal can show."""
    many = environ.get("COLORTERM") in ("truecolor", "24bit") or "256color" in environ.get(
        "TERM", ""
    )
    return _RICH if many and "NO_COLOR" not in environ else _PLAIN
