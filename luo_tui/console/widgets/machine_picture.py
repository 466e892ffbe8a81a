# SPDX-License-Identifier: MIT
"""The state machine as a picture of five lines: boxes, the way on and the way back. Pure.

The present state is told by a heavier box and capitals, so that it is found
without colour. What is drawn is one update; the moves are those of the LUO v2
RFC (Documentation/admin-guide/liveupdate.rst there), or of a mainline session.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from luo_tui.model import State


@dataclass(frozen=True, slots=True)
class StateBox:
    """A state of one update."""

    state: State
    on: str = ""
    """What leads on to the next one."""
    back: str = ""
    """What leads back to the first one."""


KEXEC = "kexec"
"""What leads into the next kernel."""

STATE_MACHINE = (
    StateBox(State.NORMAL, "prepare"),
    StateBox(State.PREPARED, "freeze", "cancel"),
    StateBox(State.FROZEN, KEXEC, "cancel"),
    StateBox(State.UPDATED, back="finish"),
)
SESSIONS = (
    StateBox(State.NORMAL, "preserve"),
    StateBox(State.PRESERVING, KEXEC, "unpreserve"),
    StateBox(State.UPDATED, back="finish"),
)
"""The same of mainline's sessions; there the state is derived."""

_LIGHT = {"ascii": tuple("+-+||+-+"), "box": tuple("┌─┐││└─┘")}
_HEAVY = {"ascii": tuple("########"), "box": tuple("┏━┓┃┃┗━┛")}
_LINES = {"ascii": tuple("-|>^+++"), "box": tuple("─│▶▲└┴┘")}

Part = tuple[str, State | None]
"""A piece of a line; the present state where it belongs to its box."""


def machine_picture(
    stops: Sequence[StateBox], present: State, *, ascii_only: bool
) -> tuple[tuple[Part, ...], ...]:
    """Return the five lines, all of them :func:`width_of` cells wide or less."""
    charset = "ascii" if ascii_only else "box"
    boxes = [_box(s.state, charset, here=s.state is present) for s in stops]
    lines: list[list[Part]] = [[], [], []]
    middles = []
    column = 0
    for stop, box in zip(stops, boxes, strict=True):
        mark = present if stop.state is present else None
        for line, part in zip(lines, box, strict=True):
            line.append((part, mark))
        middles.append(column + len(box[0]) // 2)
        column += len(box[0]) + len(_way(stop, charset))
        if stop.on:
            way = _way(stop, charset)
            for line, part in zip(lines, (" " * len(way), way, " " * len(way)), strict=True):
                line.append((part, None))
    names, turns = _back(stops, middles, charset)
    return (*(tuple(line) for line in lines), ((names, None),), ((turns, None),))


def width_of(stops: Sequence[StateBox]) -> int:
    """Return how many cells the picture needs."""
    boxes = sum(len(s.state) + 4 for s in stops)
    return boxes + sum(len(_way(s, "ascii")) for s in stops)


def _box(state: State, charset: str, *, here: bool) -> tuple[str, str, str]:
    a, line, b, left, right, c, under, d = (_HEAVY if here else _LIGHT)[charset]
    name = state.upper() if here else str(state)
    across = len(name) + 2
    return a + line * across + b, f"{left} {name} {right}", c + under * across + d


def _way(stop: StateBox, charset: str) -> str:
    """Return the arrow to the next state, with what leads there in it."""
    line, head = _LINES[charset][0], _LINES[charset][2]
    return f"{line}{line} {stop.on} {line}{head}" if stop.on else ""


def _back(stops: Sequence[StateBox], middles: Sequence[int], charset: str) -> tuple[str, str]:
    """Draw the ways back to the first state: their names, and the line that they share."""
    line, up, _, head, first, turn, last = _LINES[charset]
    names = list(" " * (middles[-1] + 12))
    ends = [m for s, m in zip(stops, middles, strict=True) if s.back]
    names[middles[0]] = head
    for stop, middle in zip(stops, middles, strict=True):
        if stop.back:
            names[middle] = up
            names[middle - len(stop.back) - 1 : middle - 1] = stop.back
    turns = [" "] * middles[0] + [first] + [line] * (ends[-1] - middles[0] - 1) + [last]
    for end in ends[:-1]:
        turns[end] = turn
    return "".join(names).rstrip(), "".join(turns)


def text_of(lines: Sequence[Sequence[Part]]) -> Iterator[str]:
    """Yield the lines as text."""
    for line in lines:
        yield "".join(part for part, _ in line)
