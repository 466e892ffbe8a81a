# SPDX-License-Identifier: MIT
"""How sizes, times, counts and resources are written, wherever they are shown. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import overload

from luo_tui.model import Resource
from luo_tui.monitor.sizes import change_text as change_text
from luo_tui.monitor.sizes import count_text as count_text
from luo_tui.monitor.sizes import size_text as size_text
from luo_tui.update.window_state import Done


def local_time(at: str) -> str:
    """Write a record's time as the operator's clock shows it, to the second."""
    try:
        return datetime.fromisoformat(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return at


def clock_text(at: float) -> str:
    """Write CLOCK_REALTIME in seconds as the operator's clock shows it."""
    return datetime.fromtimestamp(at).astimezone().strftime("%H:%M:%S")


def milliseconds(number: float) -> str:
    """Write a time with a figure that can be compared."""
    return f"{number:,.0f} ms" if number >= 10 else f"{number:.1f} ms"


def of_about(seconds: int, expected: float) -> str:
    """Say how long something has taken so far, of how long it should; both in seconds.

    Where that is not known, or past, only how long it has taken.
    """
    so_far = f"{seconds:,} s"
    return f"{so_far} of about {expected:,.0f} s" if expected > seconds else so_far


def timeline_line(done: Done) -> str:
    """Write one line of a window's timeline, its time first."""
    result = done.result or ("" if done.ended else "under way")
    took = f" at {local_time(done.ended)[11:]}" if done.ended not in ("", done.at) else ""
    parts = [
        f"{local_time(done.at)} {done.what}",
        f"{result}{took}" if result else "",
        f"confirmed: {done.confirmed}" if done.confirmed else "",
        f"by {done.by}" if done.by else "",
    ]
    return "; ".join(p for p in parts if p)


class Names(Sequence[str]):
    """Resources named one by one, and what else comes after them.

    There may be a hundred thousand: a name is made when it is asked for, and
    how many there are is known without.
    """

    def __init__(
        self,
        parts: tuple[tuple[tuple[Resource, ...], str], ...],
        more: tuple[str, ...] = (),
        first: tuple[str, ...] = (),
    ) -> None:
        """``parts`` are resources, each with a format that takes name and size, and the owner.

        ``first`` stands before them, and ``more`` behind.
        """
        self.parts, self.more, self.first = parts, more, first

    def __len__(self) -> int:
        """Count them."""
        named = sum(len(resources) for resources, _ in self.parts)
        return len(self.first) + named + len(self.more)

    def __iter__(self) -> Iterator[str]:
        """Name them in their order."""
        yield from self.first
        for resources, how in self.parts:
            for r in resources:
                yield how.format(f"{r.label}, {size_text(r.bytes)}", _owner(r))
        yield from self.more

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[str, ...]: ...
    def __getitem__(self, at: int | slice) -> str | tuple[str, ...]:
        """Name one, or some; IndexError if there is no such one."""
        chosen = range(len(self))[at]
        if isinstance(chosen, int):
            return next(islice(self, chosen, None))
        first = islice(self, max(chosen, default=-1) + 1)
        return tuple(n for at, n in enumerate(first) if at in chosen)

    def __eq__(self, other: object) -> bool:
        """Compare by the names; the same resources have them without naming them."""
        if not isinstance(other, Names):
            return tuple(self) == other
        if (self.first, self.parts, self.more) == (other.first, other.parts, other.more):
            return True
        return len(self) == len(other) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        """Agree with equality, to a tuple of the names as well."""
        return hash(tuple(self))


def before_jump(running: str, target: str, afterwards: str, init: str = "") -> tuple[str, ...]:
    """Return the last lines that the running kernel prints.

    ``afterwards`` is the command with which the operator goes on after his
    login has ended; empty where no login ends. ``init`` has the order to jump, if
    it is not done directly.
    """
    jumping = f"Jumping from {running} into {target} ..."
    if init:
        jumping = f"{init} stops the services, and jumps from {running} into {target} ..."
    return (jumping, f"This login ends. Afterwards: {afterwards}") if afterwards else (jumping,)


def _owner(resource: Resource) -> str:
    if not resource.pid:
        return "an unknown process"
    return f"{resource.comm or 'process'} [{resource.pid}]"


def few(texts: Sequence[str], most: int = 3, between: str = ", ") -> str:
    """Name a few things, and say how many more there are."""
    more = f" and {len(texts) - most:,} more" if len(texts) > most else ""
    return between.join(texts[:most]) + more
