# SPDX-License-Identifier: MIT
"""What the records of a window add up to: who had it, what was done, how it stands. Pure."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from luo_tui.update.person import Person

_MOST = 60
"""Lines of a timeline that are kept: three windows' worth."""


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the journal."""

    event: str
    at: str
    """UTC, ISO 8601, milliseconds. The clock may step at the kexec; ``up`` does not lie."""
    boot: str
    """Boot id in which it was written."""
    up: float
    """CLOCK_BOOTTIME in seconds."""
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Done:
    """One line of a window's timeline: an act, or what else became of the window."""

    what: str
    """The act's name in the journal, or ``opened``, ``taken``, ``left``, ``arrived`` ..."""
    at: str
    """When it began; UTC, ISO 8601, as in the record."""
    by: str = ""
    confirmed: str = ""
    """The outcome that was agreed to, as its button said it."""
    ended: str = ""
    """When its end was written down; empty while that has not come."""
    result: str = ""
    """How it ended, with the state that was read back; empty while it is under way."""


@dataclass(frozen=True, slots=True)
class WindowState:
    """What the records of one window add up to."""

    window: str
    opened_by: str = ""
    opened_at: str = ""
    boot: str = ""
    """Boot id in which the window was opened."""
    release: str = ""
    target: str = ""
    image: str = ""
    initrd: str = ""
    image_digest: str = ""
    """SHA-256 of the image that was loaded; empty in records of older versions."""
    initrd_digest: str = ""
    command_line: str = ""
    """What the loaded image is to be started with."""
    loaded_in: str = ""
    """Boot id in which our image is loaded; empty when we loaded none, or unloaded it."""
    under_way: str = ""
    """An act that began and of which no end was recorded."""
    prepared: bool = False
    jumped_from: str = ""
    """Boot id from which the jump was made; empty before, and again if the reboot returned."""
    jumped_at: str = ""
    jumped_release: str = ""
    """Release of the kernel from which the jump was made."""
    tokens: tuple[int, ...] = ()
    arrived: bool = False
    lost_in: str = ""
    """Boot id of the kernel that should have taken the handover over and had not."""
    closed: str = ""
    """How the window ended; empty while it is open."""
    holder: Person | None = None
    """Who had the window last, whether or not he has it still."""
    held_in: str = ""
    """Boot id in which he had it."""
    taken_from: Person | None = None
    """From whom the holder took it over; None when he did not."""
    acts: tuple[Done, ...] = ()
    """The timeline, newest last; of a very long one the last part."""


def window_state_of(window: str, records: Iterable[Record]) -> WindowState:
    """Fold the records of one window into its state. Unknown events are passed over."""
    window_state = WindowState(window)
    for r in records:
        window_state = _noted(_folded(window_state, r), r)
    return window_state


def _folded(window_state: WindowState, r: Record) -> WindowState:
    match r.event:
        case "opened":
            return replace(
                window_state,
                opened_by=window_state.opened_by or str(r.data.get("who", "")),
                opened_at=window_state.opened_at or r.at,
                boot=window_state.boot or r.boot,
                release=window_state.release or str(r.data.get("release", "")),
                holder=_person(r.data.get("person")) or window_state.holder,
                held_in=r.boot,
                taken_from=None,
            )
        case "taken":
            return replace(
                window_state,
                holder=_person(r.data.get("by")) or window_state.holder,
                held_in=r.boot,
                taken_from=_person(r.data.get("from")),
            )
        case "begin":
            return replace(window_state, under_way=str(r.data.get("act", "")))
        case "done" | "failed":
            return replace(_ended(window_state, r), under_way="")
        case "jump":
            return replace(
                window_state,
                under_way="",
                jumped_from=r.boot,
                jumped_at=r.at,
                jumped_release=str(r.data.get("release", "")),
                target=str(r.data.get("target", window_state.target)),
                tokens=tuple(int(t) for t in r.data.get("tokens", ())),
            )
        case "returned":
            return replace(
                window_state,
                jumped_from="",
                jumped_at="",
                # A jump that failed before the freeze leaves the host prepared, by us.
                prepared=r.data.get("state") == "prepared",
            )
        case "lost":
            return replace(window_state, lost_in=r.boot)
        case "arrived":
            return replace(window_state, arrived=True)
        case "closed":
            return replace(window_state, closed=str(r.data.get("how", "closed")))
    return window_state


def _ended(window_state: WindowState, r: Record) -> WindowState:
    if r.event != "done":
        return window_state
    match r.data.get("act"):
        case "load":
            return replace(
                window_state,
                loaded_in=r.boot,
                target=str(r.data.get("target", "")),
                image=str(r.data.get("image", "")),
                initrd=str(r.data.get("initrd", "")),
                image_digest=str(r.data.get("image_digest", "")),
                initrd_digest=str(r.data.get("initrd_digest", "")),
                command_line=str(r.data.get("command_line", "")),
            )
        case "unload":
            return replace(window_state, loaded_in="")
        case "prepare":
            return replace(window_state, prepared=True)
        case "cancel":
            return replace(window_state, prepared=False)
    return window_state


def _noted(window_state: WindowState, r: Record) -> WindowState:
    """Carry the timeline on by one record."""
    acts = window_state.acts
    by = str(window_state.holder) if window_state.holder else window_state.opened_by
    match r.event:
        case "begin" | "jump":
            what = str(r.data.get("act", "")) if r.event == "begin" else "kexec"
            confirmed = str(r.data.get("confirmed", ""))
            if confirmed and r.data.get("typed"):
                confirmed += f", {r.data['typed']} typed"
            acts += (Done(what, r.at, by, confirmed),)
        case "done" | "failed" | "returned":
            what = "kexec" if r.event == "returned" else str(r.data.get("act", ""))
            acts = _with_end(acts, what, r)
        case "opened" | "taken" | "left" | "arrived" | "lost" | "closed":
            if r.event in ("opened", "taken"):
                acts = _given_up(acts)
            if r.event == "arrived" or r.event == "lost":
                acts = _with_end(acts, "kexec", r)
            text = str(r.data.get("how") or r.data.get("why") or r.data.get("release") or "")
            if r.event == "taken" and window_state.taken_from:
                text = f"from {window_state.taken_from}"
            acts += (Done(r.event, r.at, by, ended=r.at, result=text),)
        case _:
            return window_state
    return replace(window_state, acts=acts[-_MOST:])


def _with_end(acts: tuple[Done, ...], what: str, r: Record) -> tuple[Done, ...]:
    """Write the end of ``what`` down at its beginning; by itself if that is not known."""
    state = str(r.data.get("state") or "")
    result = {"returned": "failed"}.get(r.event, r.event) + (f", {state}" if state else "")
    code = r.data.get("errno")
    if isinstance(code, int):
        result += f" ({errno.errorcode.get(code, code)})"
    for at in range(len(acts) - 1, -1, -1):
        if acts[at].what == what and not acts[at].ended:
            return (*acts[:at], replace(acts[at], ended=r.at, result=result), *acts[at + 1 :])
    return (*acts, Done(what, r.at, ended=r.at, result=result))


def _given_up(acts: tuple[Done, ...]) -> tuple[Done, ...]:
    """Say of what began under an owner who is gone that nobody knows its end; a jump has one."""
    return tuple(
        a if a.ended or a.result or a.what == "kexec" else replace(a, result="its end is not known")
        for a in acts
    )


def _person(raw: object) -> Person | None:
    if isinstance(raw, Mapping):
        with contextlib.suppress(ValueError, KeyError, TypeError, OverflowError):
            return Person.of(raw)
    return None
