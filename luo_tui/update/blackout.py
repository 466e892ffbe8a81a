# SPDX-License-Identifier: MIT
"""What an update cost: the blackout, phase by phase, from the kernel's own stamps.

Blackout is the time from the beginning of the freeze, after which nothing
preserved may change, to the moment when the new kernel's orchestrator has
taken over and restoring is possible. It is measured with the TSC, which runs
on through the jump.

A guest stands still for longer: until its own memory is restored. No kernel
stamps that, so it is told as it was seen, by the wall clock, which the jump may
have moved by up to 0.8 s; where it was moved by more, that is not told.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

from luo_tui.model import Condition, Snapshot, Stamps
from luo_tui.update.clocks import Moment, is_of, ran_on, seconds_of
from luo_tui.update.window_state import WindowState
from luo_tui.update.wording import clock_text


class Phase(NamedTuple):
    """One stretch of an update."""

    name: str
    milliseconds: float


class Blackout(NamedTuple):
    """The blackout and its phases, in their order."""

    total: float
    """Milliseconds."""
    phases: tuple[Phase, ...]

    def record(self) -> dict[str, Any]:
        """Return what a record says of it."""
        phases = [[p.name, round(p.milliseconds, 3)] for p in self.phases]
        return {"total_ms": round(self.total, 3), "phases": phases}


def blackout(stamps: Stamps, condition: Condition | None = None) -> Blackout | None:
    """Work the blackout out; None where no update has crossed into this kernel.

    ``condition`` has what the new kernel's log tells of its own boot: with it the time
    after the jump is told in three phases instead of one.
    """
    total = stamps.milliseconds(stamps.freeze_begin, stamps.arrived)
    if total is None:
        return None
    borders = (
        ("freeze", stamps.freeze_begin, stamps.freeze_end),
        ("device shutdown, until the jump", stamps.freeze_end, stamps.jump),
    )
    phases = []
    for name, begin, end in borders:
        took = stamps.milliseconds(begin, end)
        if took is not None:
            phases.append(Phase(name, took))
    after = stamps.milliseconds(stamps.jump, stamps.arrived)
    if after is not None:
        phases += _after_jump(after, condition)
    return Blackout(total, tuple(phases))


def _after_jump(milliseconds: float, condition: Condition | None) -> tuple[Phase, ...]:
    """Return what the time from the jump to the arrival was made of, as far as is known."""
    init = condition.init_up if condition is not None else None
    arrived = condition.arrived_up if condition is not None else None
    # An orchestrator that is built in arrives before user space; a log that tells
    # of more time than there was is another boot's.
    if init is None or arrived is None or not init <= arrived <= milliseconds / 1000:
        return (Phase("jump, kernel boot, userspace up to luo.ko", milliseconds),)
    return (
        Phase(
            "jump and decompression, until the kernel's clock runs", milliseconds - arrived * 1e3
        ),
        Phase("kernel boot, until the first program", init * 1e3),
        Phase("userspace up to luo.ko", (arrived - init) * 1e3),
    )


def by_systemd(condition: Condition) -> Blackout | None:
    """Work out how long a kexec by systemd took; None where it made none, or the clock was set.

    From the order to its start in the new kernel, by the wall clock. Services
    stand still for all of it, and for their own start besides.
    """
    times = condition.init_times
    if times is None or list(times) != sorted(times):
        return None
    names = (
        "units stop",
        "until systemd-shutdown runs",
        "what still runs is ended, file systems are unmounted",
        "jump, kernel boot, until systemd runs",
    )
    phases = (
        Phase(name, (b - a) * 1e3) for name, (a, b) in zip(names, pairwise(times), strict=True)
    )
    return Blackout((times.started - times.began) * 1e3, tuple(phases))


def guests_text(
    snapshot: Snapshot, window_state: WindowState | None, last_restored: Moment | None
) -> str:
    """Say until when guests stood still after the jump; empty where nothing came over.

    ``last_restored`` is when the latest restore was seen; None: none was.
    """
    if waiting := len(snapshot.incoming):
        return f"each stands still until its memory is restored: {waiting:,} not yet"
    if not snapshot.restored:
        return ""
    if last_restored is None:
        return "all memory was restored before this was looked at: how long each stood is not known"
    took = _since_jump(snapshot, window_state, last_restored)
    return f"the last memory was restored at {clock_text(last_restored.at)}{took}"


def _since_jump(snapshot: Snapshot, window_state: WindowState | None, moment: Moment) -> str:
    jumped = seconds_of(window_state.jumped_at) if window_state is not None else None
    if jumped is None:
        return ""
    if not (ran_on(snapshot, window_state) and is_of(moment, snapshot)):
        return "; how long after the jump is not known: the clock was set meanwhile"
    return f", about {max(0, round(moment.at - jumped)):,} s after the jump began"
