# SPDX-License-Identifier: MIT
"""What is drawn of the state machine and of memory, and that every colour can be read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.color import Color
from textual.theme import Theme

from luo_tui.console.themes import NAMES, theme_for
from luo_tui.console.widgets.machine_picture import (
    SESSIONS,
    STATE_MACHINE,
    machine_picture,
    text_of,
    width_of,
)
from luo_tui.console.widgets.memory_bar import CELLS, legend, memory_bar
from luo_tui.model import State

PREPARED = """\
+--------+             ############            +--------+           +---------+
| normal |-- prepare -># PREPARED #-- freeze ->| frozen |-- kexec ->| updated |
+--------+             ############            +--------+           +---------+
     ^                cancel |               cancel |             finish |
     +-----------------------+----------------------+--------------------+"""


def test_the_present_state_is_found_without_colour() -> None:
    lines = machine_picture(STATE_MACHINE, State.PREPARED, ascii_only=True)
    assert "\n".join(text_of(lines)) == PREPARED
    marked = [part for line in lines for part, state in line if state is State.PREPARED]
    assert marked == ["############", "# PREPARED #", "############"]


@pytest.mark.parametrize("stops", [STATE_MACHINE, SESSIONS])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_the_picture_keeps_its_size_whatever_the_state(
    stops: tuple[object, ...], ascii_only: bool
) -> None:
    machine = STATE_MACHINE if stops is STATE_MACHINE else SESSIONS
    sizes = set()
    for state in State:
        lines = list(text_of(machine_picture(machine, state, ascii_only=ascii_only)))
        assert len(lines) == 5
        assert all(line.isascii() for line in lines) is ascii_only
        assert [s.state.upper() for s in machine if s.state.upper() in lines[1]] == [
            s.state.upper() for s in machine if s.state is state
        ]
        sizes.add(max(map(len, lines)))
    assert sizes == {width_of(machine)}


GIB = 1 << 30


@given(st.integers(1, 1 << 50), st.data(), st.booleans())
def test_the_bar_shows_whatever_there_is(total: int, data: st.DataObject, ascii_only: bool) -> None:
    available = data.draw(st.integers(0, total))
    preserved = data.draw(st.integers(0, 2 * total))
    bar = memory_bar(total, available, preserved, ascii_only=ascii_only)
    kept, used, free = legend(ascii_only=ascii_only)
    assert len(bar) == CELLS
    assert bar == kept * bar.count(kept) + used * bar.count(used) + free * bar.count(free)
    assert (kept in bar) is (preserved > 0 and available < total)
    assert (used in bar) is (total - available > preserved)


def test_the_bar_is_to_scale() -> None:
    assert memory_bar(256 * GIB, 192 * GIB, 32 * GIB, ascii_only=True) == "####----" + 24 * "."
    assert memory_bar(0, 0, 0, ascii_only=True) == ""


def contrast(one: Color, other: Color) -> float:
    """Return the ratio by WCAG 2.1: https://www.w3.org/TR/WCAG21/#dfn-contrast-ratio."""

    def luminance(colour: Color) -> float:
        parts = (c / 255 for c in colour.rgb)
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def readable(theme: Theme) -> dict[str, str]:
    """Return the colours that text is drawn in."""
    named = {n: c for n, c in theme.variables.items() if n.startswith(("state-", "text-"))}
    return {**named, "foreground": theme.foreground or ""}


@pytest.mark.parametrize("name", [n for n in NAMES if not theme_for({}, n).ansi])
def test_every_text_has_contrast_enough(name: str) -> None:
    theme = theme_for({}, name)
    grounds = [theme.background, theme.variables["focus"]]
    assert len(readable(theme)) > 10
    low = {
        (what, ground): round(ratio, 2)
        for what, colour in readable(theme).items()
        for ground in grounds
        if (ratio := contrast(Color.parse(colour), Color.parse(ground or ""))) < 4.5
    }
    assert low == {}


def test_all_themes_name_the_same_colours() -> None:
    known = {n: set(readable(theme_for({}, n))) | {"line", "focus"} for n in NAMES}
    for name in NAMES:
        assert known[name] == known[NAMES[0]]
        assert {"line", "focus"} <= set(theme_for({}, name).variables)
