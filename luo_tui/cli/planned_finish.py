# SPDX-License-Identifier: MIT
"""The end of an update without an operator: waits for what is to be restored, and finishes.

For `luo-tui arrive`. It finishes by a plan alone that says so, and only what is
good: what is missing, bad or not known is left to an operator.
"""

from __future__ import annotations

import argparse
import os
import select
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from luo_tui.errors import ActFailed, NotDone
from luo_tui.model import Snapshot, State
from luo_tui.monitor.hub import Hub
from luo_tui.monitor.reading import reader
from luo_tui.orchestrator import Orchestrator
from luo_tui.update.promises import Became
from luo_tui.update.verdict import Grade, Verdict
from luo_tui.update.wording import size_text

if TYPE_CHECKING:
    from luo_tui.update.facts import Facts
    from luo_tui.update.open_window import OpenWindow
    from luo_tui.update.plan import Plan


class Restored(NamedTuple):
    """A resource that was restored, as it was seen."""

    label: str
    up: float
    """CLOCK_BOOTTIME in seconds."""


def wait_for_restores(
    orchestrator: Orchestrator, window: OpenWindow, seconds: float, show: Callable[[str], None]
) -> tuple[Restored, ...]:
    """Return once nothing that was promised is still to come, or after ``seconds``.

    Whatever changes on the host wakes it; nothing is polled. ``show`` is told what is
    done of how much, where that has changed. What was restored meanwhile is returned
    with when it was seen. OSError: the host cannot be read.
    """
    end = time.monotonic() + seconds
    news = os.eventfd(0, os.EFD_CLOEXEC)
    hub = Hub(orchestrator, lambda: os.eventfd_write(news, 1), orchestrator.surroundings())
    hub.start()
    try:
        seen = {r.token: Restored(r.label, 0.0) for r in hub.snapshot.restored}
        before, told = len(seen), ""
        while True:
            snapshot = hub.snapshot
            now = time.clock_gettime(time.CLOCK_BOOTTIME)
            for resource in snapshot.restored:
                seen.setdefault(resource.token, Restored(resource.label, now))
            waits = _waits(window.facts_of(snapshot))
            if (text := progress(snapshot)) != told and (waits or told):
                show(text)
                told = text
            if not waits or (left := end - time.monotonic()) <= 0:
                return tuple(seen.values())[before:]
            if select.select([news], [], [], left)[0]:
                os.eventfd_read(news)
    finally:
        hub.stop()
        os.close(news)


def progress(snapshot: Snapshot) -> str:
    """Say how much of what came over is restored."""
    done, all_ = snapshot.restored, len(snapshot.restored) + len(snapshot.incoming)
    size = sum(r.bytes for r in (*done, *snapshot.incoming))
    those = f"{size_text(sum(r.bytes for r in done))} of {size_text(size)}"
    return f"restored: {len(done):,} of {all_:,}, {those}"


def _waits(facts: Facts) -> bool:
    if facts.snapshot.luo.state is not State.UPDATED:
        return False
    return bool(facts.promises.that(Became.NOT_YET) or facts.promises.that(Became.FAILED))


def planned_wait(plan: Plan | None) -> float:
    """Return the seconds that a window's plan has the new kernel wait for restores."""
    return plan.wait if plan is not None and plan.finish else 0.0


def finish_by_plan(
    orchestrator: Orchestrator, folder: Path, judged: Verdict | None
) -> tuple[bool, tuple[str, ...]]:
    """Finish where the window's plan says so and the verdict is good.

    Returns whether that was done, and what there is to say of it. Never fails.
    """
    from luo_tui.cli.window import Command
    from luo_tui.update.acts import Window
    from luo_tui.update.agreement import Given
    from luo_tui.update.facts import Act

    look = reader(orchestrator, orchestrator.surroundings())
    window = Window(orchestrator, folder, look)
    facts = window.facts()
    plan = facts.plan
    if plan is None or not plan.finish or facts.snapshot.luo.state is not State.UPDATED:
        return False, ()
    if judged is None or judged.grade is not Grade.GOOD or not facts.promises.all_kept:
        grade = judged.grade if judged else Grade.UNKNOWN
        why = f"The plan's finish is left to an operator: the verdict is {grade}."
        return False, (why,)
    given = Given(yes=True, host=facts.snapshot.host.name)
    said: list[str] = []
    try:
        acts = [Act.TAKE_OVER] if facts.gone_holder is not None else []
        for act in (*acts, Act.FINISH):
            line = argparse.Namespace(command=str(act), target="", initrd=None, show=False)
            done, _ = Command(orchestrator, window, act, line, plan).perform(given)
            said.extend(done["said"])
    except NotDone as refused:
        return False, ("The plan's finish was not done.", refused.reason)
    except ActFailed as failed:
        return False, ("The plan's finish was not done.", *failed.lines())
    return True, tuple(said)
