# SPDX-License-Identifier: MIT
"""What came of a rehearsal: pass or fail, why, by which lines, how long each part took. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from luo_tui.errors import Exit, Op, explain
from luo_tui.model import Condition, Stamps
from luo_tui.update.blackout import Blackout, Phase, blackout
from luo_tui.update.rehearsal.lines import Lines, Told

STEPS = ("booted", "preserved", "loaded", "prepared", "jumping", "arrived", "restored", "finished")
"""The events of one that goes well, in their order; mainline's sessions have no ``prepared``."""
BESIDE = (
    "devices and their drivers: the machine has a serial line and nothing else",
    "the firmware, and this host's memory: its size, its nodes, its faults",
    "this host's own programs: how long they take up to luo.ko, and whether they start",
    "resources other than memfds",
    "this host's own kernel command line, except for what is asked for",
)
"""What no rehearsal in a machine tells anything of."""
_OPS = {
    "open": Op.OPEN,
    "preserve": Op.PRESERVE,
    "load": Op.LOAD,
    "prepare": Op.PREPARE,
    "freeze": Op.FREEZE,
    "kexec": Op.KEXEC,
    "restore": Op.RESTORE,
    "finish": Op.FINISH,
}
_OPS_OF_SESSIONS = {"preserve": Op.KEEP, "restore": Op.TAKE, "finish": Op.END}
_LAST = 5
_WITHOUT_KVM = "--accel tcg does without KVM."


class End(StrEnum):
    """How the machine came to its end."""

    DONE = "done"
    FAILED = "failed"
    PANIC = "panic"
    STOPPED = "stopped"
    """It was switched off, or started again, without a word."""
    TIMED_OUT = "timed out"
    SILENT = "silent"
    """Nothing was printed at all."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be told of a rehearsal."""

    passed: bool
    why: str = ""
    """A sentence; empty where it passed."""
    code: Exit = Exit.OK
    lines: tuple[str, ...] = ()
    """The kernel's own."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """What each step took."""
    blackout: Blackout | None = None


def judge(lines: Lines, end: End, began: float, limit: float, sessions: bool) -> Verdict:
    """Say what came of it.

    ``began`` is when the machine was started, by the clock of ``lines``; ``limit`` how many
    seconds it had.
    """
    seconds = dict(_seconds(lines, began))
    dark = _dark(lines)
    if end is End.DONE:
        return Verdict(True, lines=lines.why(), seconds=seconds, blackout=dark)
    why, code = _why(lines, end, limit, sessions)
    shown = lines.why() or lines.last(_LAST)
    return Verdict(False, why, code, shown, seconds, dark)


def where(lines: Lines) -> str:
    """Say what is going on in the machine, for whoever waits."""
    latest = lines.told[-1] if lines.told else None
    if latest is None:
        return "the running kernel boots"
    done = sum(1 for step in STEPS if lines.event(step) is not None)
    if latest.event == "progress":
        text = "{} {} of {}".format(*(latest.data.get(k, "?") for k in ("step", "done", "of")))
    elif latest.event == "jumping":
        text = "the target boots"
    else:
        text = latest.event
    return f"{done} of {len(STEPS)} steps: {text}"


def _why(lines: Lines, end: End, limit: float, sessions: bool) -> tuple[str, Exit]:
    jumped = lines.event("jumping") is not None
    which = "the target" if jumped else "the running kernel"
    if end is End.FAILED:
        failed = lines.event("failed")
        return _failed(failed.data if failed is not None else {}, which, sessions), Exit.BLOCKED
    if end is End.PANIC:
        return f"In the machine {which} gave up: {lines.panic}", Exit.BLOCKED
    if end is End.STOPPED:
        return f"The machine ended without a word, in {which}.", Exit.BLOCKED
    if end is End.SILENT:
        return (
            f"Nothing was printed in {limit:.0f} s: this kernel does not boot in such a machine, "
            f"or has no serial console (CONFIG_SERIAL_8250_CONSOLE). {_WITHOUT_KVM}",
            Exit.TIMED_OUT,
        )
    step = f"after {lines.told[-1].event}" if lines.told else "before the first step"
    # In a machine that is one itself, a kernel may begin with KVM, and hang at its first timer.
    do = "--timeout gives it longer." + ("" if lines.told else f" {_WITHOUT_KVM}")
    return f"It was not through in {limit:.0f} s: {which} ran, {step}. {do}", Exit.TIMED_OUT


def _failed(data: Mapping[str, Any], which: str, sessions: bool) -> str:
    step, text, number = data.get("step"), str(data.get("text", "")), data.get("errno")
    if step == "arrive" and not text.startswith("the new kernel"):
        text = f"nothing that was preserved has come: {text}"
    op = (_OPS_OF_SESSIONS.get(str(step)) if sessions else None) or _OPS.get(str(step))
    if op is not None and isinstance(number, int) and number:
        meaning = explain(op, number)
        return f"In {which}: could not {op}: {meaning.meaning} ({meaning.errno_name})."
    return f"In {which}: {text.rstrip('.')}."


def _seconds(lines: Lines, began: float) -> Iterator[tuple[str, float]]:
    """Yield how long each step took: by the machine's own clock where it tells it, else by ours."""
    boots = [t for t in lines.told if t.event == "booted"]
    if boots:
        yield "boot", round(boots[0].at - began, 3)
    for event, name in (
        ("preserved", "preserve"),
        ("loaded", "load"),
        ("prepared", "prepare"),
        ("saved", "save"),
    ):
        yield from _took(lines.event(event), name)
    jumping = lines.event("jumping")
    if jumping is not None and len(boots) > 1:
        yield "kexec", round(boots[1].at - jumping.at, 3)
    for event, name in (("restored", "restore"), ("finished", "finish")):
        yield from _took(lines.event(event), name)


def _took(told: Told | None, name: str) -> Iterator[tuple[str, float]]:
    took = told.data.get("seconds") if told is not None else None
    if isinstance(took, (int, float)):
        yield name, round(float(took), 6)


def _dark(lines: Lines) -> Blackout | None:
    """Work out the blackout: by the kernel's stamps, else by when its lines came."""
    arrived, jumping = lines.event("arrived"), lines.event("jumping")
    if arrived is None:
        return None
    init, at = (_number(arrived.data.get(k)) for k in ("init_up", "arrived_up"))
    stamps = arrived.data.get("stamps")
    if isinstance(stamps, dict):
        known = {k: v for k, v in stamps.items() if k in Stamps._fields and isinstance(v, int)}
        return blackout(Stamps(**known), Condition(init_up=init, arrived_up=at))
    booted = [t for t in lines.told if t.event == "booted"][-1]
    up = _number(booted.data.get("up"))
    if jumping is None or up is None or init is None or init > up:
        return None
    # What the program took to start is this machine's own.
    total = (booted.at - jumping.at - (up - init)) * 1e3
    if total < init * 1e3:
        return None
    return Blackout(
        total,
        (
            Phase("freeze, device shutdown, jump and decompression", total - init * 1e3),
            Phase("kernel boot, until the first program", init * 1e3),
        ),
    )


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None
