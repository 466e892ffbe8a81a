# SPDX-License-Identifier: MIT
"""What the records of a window add up to: who had it, what was done, how it stands. Pure.

A record may come from another version of this program, or from a damaged disk.
Whatever is in it, the fold goes on: a field of another type counts as missing,
an unknown event as not there. Of a record in a newer format one thing is known,
for every format keeps it: ``closed`` ends the window.
"""

# Annotations are no strings here: NamedTuple would compile each, and all begin with this.
import contextlib
import errno
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from luo_tui.sources.clean import clean
from luo_tui.update.hook import HookPoint
from luo_tui.update.person import Person

FORMAT = 1
"""Format of the records that are written here; those before it had no number and count as 0."""
_BEFORE = (HookPoint.BEFORE_PREPARE, HookPoint.BEFORE_FREEZE)
_UNDO = (HookPoint.ON_FAILURE, HookPoint.ON_CANCEL, HookPoint.AFTER_RESTORE)
_MOST = 60
"""Lines of a timeline that are kept: three windows' worth."""


class Record(NamedTuple):
    """One line of the journal."""

    event: str
    at: str
    """UTC, ISO 8601, milliseconds. The clock may step at the kexec; ``up`` does not lie."""
    boot: str
    """Boot id in which it was written."""
    up: float
    """CLOCK_BOOTTIME in seconds."""
    data: Mapping[str, Any] = {}
    format: int = FORMAT


class Done(NamedTuple):
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


class Failed(NamedTuple):
    """An act that was refused or failed, and has not been done since."""

    act: str
    at: str
    """UTC, ISO 8601, as in the record."""
    boot: str
    """Boot id in which that was."""
    why: str
    """A sentence; empty in records of older versions."""


class WindowState(NamedTuple):
    """What the records of one window add up to."""

    window: str
    """Its id: the name of its file."""
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
    failed: Failed | None = None
    """The latest act that failed; None as soon as it has been done after all."""
    prepared: bool = False
    prepared_up: float = 0.0
    """CLOCK_BOOTTIME in seconds at which the latest prepare began; 0: none did."""
    prepared_in: str = ""
    """Boot id in which that was."""
    jumped_from: str = ""
    """Boot id from which the jump was made; empty before, and again if the reboot returned."""
    jumped_directly: bool = False
    """Whether the kernel that it was made from has no freeze."""
    jumped_at: str = ""
    jumped_release: str = ""
    """Release of the kernel from which the jump was made."""
    through: str = ""
    """Init system that made the jump; empty: it was made directly."""
    ended_guests: tuple[str, ...] = ()
    """Those that the jump ended: they were named as not preserved when it was agreed to."""
    tokens: tuple[int, ...] = ()
    """What was preserved when it jumped, in windows of format 0 alone; see
    :func:`luo_tui.update.resource_list.promised`."""
    promised_count: int = 0
    """How many resources were preserved when it jumped."""
    promised_bytes: int = 0
    """Their bytes in all."""
    promised_digest: str = ""
    """:func:`luo_tui.update.resource_list.token_digest` of them; empty in format 0."""
    promised_file: str = ""
    """SHA-256 of the file beside the journal that names them; empty where there is none."""
    left_at: str = ""
    """When the last record was written in the boot from which the jump was made; as in the record,
    by that kernel's clock."""
    arrived: bool = False
    arrived_in: str = ""
    """Boot id of the kernel that took the handover over."""
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
    plan_digest: str = ""
    """SHA-256 of the plan that the window goes by; empty where there is none."""
    change: str = ""
    reason: str = ""
    approved_by: str = ""
    """What the plan says of itself."""
    hook_open: str = ""
    """Hook whose act was not done yet: what it did has to be undone, or made good."""
    hooks_run: tuple[str, ...] = ()
    """Hooks that have ended, well or not."""
    newer_format: bool = False
    """Whether a newer version of this program has written into it. Then only that it is
    closed can be trusted, and nothing may be written into it."""

    @property
    def unwritable(self) -> str:
        """Why nothing can be done in this window by this program; empty where it can."""
        if self.closed or not self.newer_format:
            return ""
        return (
            f"The open window was written by a newer luo-tui (windows/{self.window}.jsonl): "
            "go on with that version, or move the file away if the window is over."
        )


def window_state_of(window: str, records: Iterable[Record]) -> WindowState:
    """Fold the records of one window into its state. Unknown events are passed over."""
    window_state = WindowState(window)
    for r in records:
        if r.format > FORMAT:
            closed = _text(r, "how") or "closed" if r.event == "closed" else window_state.closed
            window_state = window_state._replace(newer_format=True, closed=closed)
        else:
            window_state = _noted(_failing(_folded(window_state, r), r), r)
            if r.boot == window_state.jumped_from:
                window_state = window_state._replace(left_at=r.at)
    return window_state


def _text(r: Record, key: str, missing: str = "") -> str:
    """Return a field that is shown; one of another type is missing."""
    value = r.data.get(key)
    return clean(value) if isinstance(value, str) else missing


def _exact(r: Record, key: str) -> str:
    """Return a path or a command line byte for byte; empty where it could not be one."""
    value = r.data.get(key)
    if isinstance(value, str) and "\0" not in value:
        with contextlib.suppress(UnicodeEncodeError):
            value.encode(errors="surrogateescape")
            return value
    return ""


def _number(raw: object) -> int:
    """Return a count; 0 where there is none that a machine could have."""
    if isinstance(raw, int) and not isinstance(raw, bool) and 0 <= raw < 1 << 64:
        return raw
    return 0


def _folded(window_state: WindowState, r: Record) -> WindowState:
    match r.event:
        case "opened":
            return window_state._replace(
                opened_by=window_state.opened_by or _text(r, "who"),
                opened_at=window_state.opened_at or r.at,
                boot=window_state.boot or r.boot,
                release=window_state.release or _text(r, "release"),
                change=_text(r, "change") or window_state.change,
                reason=_text(r, "reason") or window_state.reason,
                holder=_person(r.data.get("person")) or window_state.holder,
                held_in=r.boot,
                taken_from=None,
            )
        case "taken":
            return window_state._replace(
                holder=_person(r.data.get("by")) or window_state.holder,
                held_in=r.boot,
                taken_from=_person(r.data.get("from")),
            )
        case "begin":
            begun = window_state._replace(under_way=_text(r, "act"))
            if begun.under_way != "prepare":
                return begun
            return begun._replace(prepared_up=r.up, prepared_in=r.boot)
        case "done" | "failed":
            return _ended(window_state, r)._replace(under_way="")
        case "plan":
            return window_state._replace(
                plan_digest=_text(r, "sha256"),
                change=_text(r, "change") or window_state.change,
                reason=_text(r, "reason") or window_state.reason,
                approved_by=_text(r, "approved_by"),
            )
        case "hook":
            return _hook(window_state, _text(r, "point"), _text(r, "phase"))
        case "jump":
            return window_state._replace(
                under_way="",
                jumped_from=r.boot,
                jumped_directly=r.data.get("acts") == ["kexec"],
                jumped_at=r.at,
                jumped_release=_text(r, "release"),
                target=_text(r, "target", window_state.target),
                through=_text(r, "through"),
                ended_guests=_texts(r, "unpreserved"),
                # A window may have seen an earlier jump, which was accounted for.
                arrived=False,
                arrived_in="",
                lost_in="",
                hooks_run=tuple(p for p in window_state.hooks_run if p in _BEFORE),
                **_promised(r),
            )
        case "returned":
            return window_state._replace(
                jumped_from="",
                through="",
                ended_guests=(),
                jumped_at="",
                # A jump that failed before the freeze leaves the host prepared, by us.
                prepared=r.data.get("state") == "prepared",
            )
        case "lost":
            return window_state._replace(lost_in=r.boot)
        case "arrived":
            return window_state._replace(arrived=True, arrived_in=r.boot)
        case "closed":
            return window_state._replace(closed=_text(r, "how") or "closed")
    return window_state


def _texts(r: Record, key: str) -> tuple[str, ...]:
    found = r.data.get(key)
    texts = found if isinstance(found, list) else ()
    return tuple(clean(text) for text in texts if isinstance(text, str))


def _hook(window_state: WindowState, point: str, phase: str) -> WindowState:
    if phase == "begin":
        return window_state._replace(hook_open=point) if point in _BEFORE else window_state
    run = (*window_state.hooks_run, point) if point in list(HookPoint) else window_state.hooks_run
    undone = phase == "done" and point in _UNDO
    return window_state._replace(hooks_run=run, hook_open="" if undone else window_state.hook_open)


def _failing(window_state: WindowState, r: Record) -> WindowState:
    """Keep what failed, until the same act is done."""
    act = "kexec" if r.event in ("jump", "returned") else _text(r, "act")
    if r.event in ("failed", "returned"):
        return window_state._replace(failed=Failed(act, r.at, r.boot, _text(r, "why")))
    before = window_state.failed
    if r.event in ("done", "jump") and before is not None and before.act == act:
        return window_state._replace(failed=None)
    return window_state


def _promised(r: Record) -> dict[str, Any]:
    """Return what a jump says of what it carries: numbers, or in format 0 all tokens."""
    listed = r.data.get("tokens")
    if isinstance(listed, list):
        tokens = tuple(t for t in listed if _number(t) == t and not isinstance(t, bool))
        return {"tokens": tokens, "promised_count": len(tokens)}
    about = r.data.get("promised")
    said = Record("", "", "", 0, about if isinstance(about, dict) else {})
    return {
        "tokens": (),
        "promised_count": _number(said.data.get("count")),
        "promised_bytes": _number(said.data.get("bytes")),
        "promised_digest": _text(said, "tokens_sha256"),
        "promised_file": _text(said, "file_sha256"),
    }


def _ended(window_state: WindowState, r: Record) -> WindowState:
    if r.event != "done":
        return window_state
    match r.data.get("act"):
        case "load":
            return window_state._replace(
                loaded_in=r.boot,
                target=_text(r, "target"),
                image=_exact(r, "image"),
                initrd=_exact(r, "initrd"),
                image_digest=_text(r, "image_digest"),
                initrd_digest=_text(r, "initrd_digest"),
                command_line=_exact(r, "command_line"),
            )
        case "unload":
            return window_state._replace(loaded_in="")
        case "prepare":
            return window_state._replace(prepared=True, hook_open="")
        case "cancel":
            return window_state._replace(prepared=False)
    return window_state


def _noted(window_state: WindowState, r: Record) -> WindowState:
    """Carry the timeline on by one record."""
    acts = window_state.acts
    by = str(window_state.holder) if window_state.holder else window_state.opened_by
    match r.event:
        case "begin" | "jump":
            what = _text(r, "act") if r.event == "begin" else "kexec"
            confirmed = _text(r, "confirmed")
            if confirmed and (typed := _text(r, "typed")):
                confirmed += f", {typed} typed"
            acts += (Done(what, r.at, by, confirmed),)
        case "hook" if _text(r, "phase") == "begin":
            acts += (Done(f"hook {_text(r, 'point')}", r.at, by),)
        case "hook":
            acts = _with_end(acts, f"hook {_text(r, 'point')}", _hook_end(r))
        case "plan":
            text = _text(r, "change") or _text(r, "path")
            acts += (Done("plan", r.at, by, ended=r.at, result=text),)
        case "done" | "failed" | "returned":
            what = "kexec" if r.event == "returned" else _text(r, "act")
            acts = _with_end(acts, what, r)
        case "restored":
            count, last = _number(r.data.get("count")), _number(r.data.get("last_ms"))
            text = f"{count:,}, the last {last:,} ms after the arrival"
            acts += (Done("restored", r.at, _text(r, "by"), ended=r.at, result=text),)
        case "opened" | "taken" | "left" | "arrived" | "lost" | "closed":
            if r.event in ("opened", "taken", "closed"):
                acts = _given_up(acts)
            if r.event == "arrived" or r.event == "lost":
                acts = _with_end(acts, "kexec", r)
            text = _text(r, "how") or _text(r, "why") or _text(r, "release")
            if r.event == "arrived" and (lost := _lost_number(r)):
                text = f"{text}; LOST: {lost:,} of what was promised"
            if r.event == "taken" and window_state.taken_from:
                text = f"from {window_state.taken_from}"
            acts += (Done(r.event, r.at, by, ended=r.at, result=text),)
        case _:
            return window_state
    return window_state._replace(acts=acts[-_MOST:])


def _hook_end(r: Record) -> Record:
    """Return a hook's end in the words of an act's."""
    why = _text(r, "why")
    return r._replace(event=f"{_text(r, 'phase')}: {why}" if why else _text(r, "phase"), data={})


def _lost_number(r: Record) -> int:
    promises = r.data.get("promises")
    return _number(promises.get("lost")) if isinstance(promises, dict) else 0


def _with_end(acts: tuple[Done, ...], what: str, r: Record) -> tuple[Done, ...]:
    """Write the end of ``what`` down at its beginning; by itself if that is not known."""
    state = _text(r, "state")
    result = {"returned": "failed"}.get(r.event, r.event) + (f", {state}" if state else "")
    code = r.data.get("errno")
    if code and isinstance(code, int) and _number(code) == code:
        result += f" ({errno.errorcode.get(code, code)})"
    for at in range(len(acts) - 1, -1, -1):
        if acts[at].what == what and not acts[at].ended:
            return (*acts[:at], acts[at]._replace(ended=r.at, result=result), *acts[at + 1 :])
    return (*acts, Done(what, r.at, ended=r.at, result=result))


def _given_up(acts: tuple[Done, ...]) -> tuple[Done, ...]:
    """Say of what began and is not under way any more that nobody knows its end; a jump has one."""
    return tuple(
        a if a.ended or a.result or a.what == "kexec" else a._replace(result="its end is not known")
        for a in acts
    )


def _person(raw: object) -> Person | None:
    if isinstance(raw, Mapping):
        with contextlib.suppress(KeyError, TypeError):
            return Person.of(raw)
    return None
