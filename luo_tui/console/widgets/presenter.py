# SPDX-License-Identifier: MIT
"""Rows of text from values: the only place where a view becomes sentences about the machine."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterable, Iterator, Sequence

from luo_tui.console.session import View
from luo_tui.console.widgets.memory_bar import legend, memory_bar
from luo_tui.console.widgets.text import Charset, Row
from luo_tui.model import ResourceState, Snapshot
from luo_tui.update.blackout import blackout, guests_text
from luo_tui.update.came_over import devices_after, devices_summary
from luo_tui.update.device_outcome import alarms, device_outcomes
from luo_tui.update.facts import Act, Finding, Level, Step, handover_lost
from luo_tui.update.offers import Action
from luo_tui.update.promises import Became
from luo_tui.update.report import bars
from luo_tui.update.wording import count_text, milliseconds, size_text, timeline_line

KEY = {
    Act.LOAD: "l",
    Act.PREPARE: "p",
    Act.KEXEC: "k",
    Act.CANCEL: "c",
    Act.FINISH: "f",
    Act.UNLOAD: "u",
    Act.TAKE_OVER: "o",
}
"""The key of each act; the wording of the acts themselves is the walk's."""

WORD = {
    Act.LOAD: "load",
    Act.PREPARE: "prepare",
    Act.KEXEC: "freeze and kexec",
    Act.CANCEL: "cancel the update",
    Act.FINISH: "finish",
    Act.UNLOAD: "unload",
    Act.TAKE_OVER: "take over",
}

_OF_STEP = {
    Step.CHECK: Act.LOAD,
    Step.LOAD: Act.LOAD,
    Step.PREPARE: Act.PREPARE,
    Step.KEXEC: Act.KEXEC,
    Step.RESTORE: Act.FINISH,
    Step.FINISH: Act.FINISH,
}

_DEVICES, _ACTIVITY = "devices", "host activity"
"""Names of the sources whose gaps stand beside what they tell."""
_FEW_SESSIONS = 4
"""Sessions that are named where other things are shown, too."""
_BARS = 52
"""Columns of the blackout's bars; with their label they fit into 80."""
MOST = 200
"""Lines of one list in a question; longer ones are in the list of resources anyway."""
_ELSEWHERE = "; Esc goes back, and the list of resources has them"
"""Where the rest of a list stands that is too long for a question, whose keys lead nowhere else."""


def headline(view: View) -> Iterator[Row]:
    """Yield what has come of the update, and what has to be known besides."""
    grave = is_grave(view)
    lost = handover_lost(view.snapshot, view.facts.window_state)
    yield Row(view.walk.headline, style="bold $text-error" if grave and not lost else "bold")
    # The loss of a handover comes first among the notes, and must not look like the others.
    style = "bold $text-error" if lost else ""
    for note in view.walk.notes:
        yield Row(note, style=style)
        style = ""
    yield from faults(view.snapshot)


def is_grave(view: View) -> bool:
    """Whether something that was promised is lost, or could not be restored."""
    promises = view.facts.promises
    if promises.lost or promises.that(Became.FAILED):
        return True
    return handover_lost(view.snapshot, view.facts.window_state)


def faults(snapshot: Snapshot) -> Iterator[Row]:
    """Yield the sources that are not alive, and since when; then what others could not learn.

    What devices and vitals do not know stands with them.
    """
    for health in snapshot.health.values():
        if health.fault:
            ago = time.clock_gettime(time.CLOCK_BOOTTIME) - health.since
            at = time.strftime("%H:%M:%S", time.localtime(time.time() - ago))
            yield Row(f"{health.name}: not live since {at}: {health.fault}", style="$text-error")
    for health in snapshot.health.values():
        if health.name not in (_DEVICES, _ACTIVITY):
            yield from _missing(snapshot, health.name, f"{health.name}: ")


def _missing(snapshot: Snapshot, name: str, before: str = "", label: str = "") -> Iterator[Row]:
    """Yield what a source could not learn although it lives: to be known, no alarm."""
    health = snapshot.health.get(name)
    for sentence in health.missing if health is not None else ():
        yield Row(f"{before}{sentence}", label, style="$text-note")


def machine(view: View) -> Iterator[Row]:
    """Yield what stands on the machine: image, blackout."""
    window_state = view.facts.window_state
    what = f"{window_state.target}, " if view.ours and window_state is not None else ""
    yield Row(f"{what}{holder(view)}", "kexec image")
    yield from sessions(view.snapshot, _FEW_SESSIONS)
    if told := taking_part(view.snapshot):
        refused = any(p.result for p in view.snapshot.participants.values())
        style = "$text-error" if refused else ""
        yield Row(told, "takes part", style=style)
    if view.snapshot.devices or view.snapshot.doubts(_DEVICES):
        told = "; ".join(alarms(device_outcomes(view.snapshot)))
        if not told and view.snapshot.doubts(_DEVICES):
            told = "none is known that is in use and is reset; not all is known"
        told = told or "none that is in use is reset"
        if came := ", ".join(devices_summary(devices_after(view.facts))):
            told = f"this update: {came}. The next one: {told}"
        yield Row(told, "devices")
        yield from _missing(view.snapshot, _DEVICES)
    dark = blackout(view.snapshot.stamps)
    if dark is not None:
        phases = "; ".join(f"{p.name}: {milliseconds(p.milliseconds)}" for p in dark.phases)
        yield Row(f"the kernel's: {milliseconds(dark.total)}. {phases}", "blackout")
        if said := guests_text(view.snapshot, view.facts.window_state, view.last_restored):
            yield Row(said, "guests")


def vitals(snapshot: Snapshot) -> Iterator[Row]:
    """Yield how the machine is."""
    now = snapshot.vitals
    if now.memory_total:
        yield from _memory(snapshot)
    if now.cpus:
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(now.booted_at))
        up = f"up since {since}; " if now.booted_at else ""
        kdump = "armed" if snapshot.kexec.crash_loaded else "not armed"
        yield Row(f"{now.load:g} on {now.cpus} CPUs; {up}kdump {kdump}", "load")
    if now.watchdogs:
        yield Row("; ".join(now.watchdogs), "watchdog")
    if now.users:
        yield Row("; ".join(now.users), "logged in")
    if now.holders:
        yield Row("; ".join(now.holders), "LUO open in")
    yield from _missing(snapshot, _ACTIVITY, label="unknown")


def _memory(snapshot: Snapshot) -> Iterator[Row]:
    total, available = snapshot.vitals.memory_total, snapshot.vitals.memory_available
    preserved = sum(map(snapshot.bytes_in, (ResourceState.PRESERVED, ResourceState.INCOMING)))
    bar = memory_bar(total, available, preserved, ascii_only=Charset.ascii_only)
    yield Row(f"[{bar}] of {size_text(total)}", "memory")
    kept, used, free = legend(ascii_only=Charset.ascii_only)
    besides = max(0, total - available - preserved)
    yield Row(
        f"{kept} {size_text(preserved)} preserved, {used} {size_text(besides)} other, "
        f"{free} {size_text(available)} available"
    )


def taking_part(snapshot: Snapshot) -> str:
    """Count who takes part besides the resources; name whoever refused or cannot."""
    found = [p for _, p in sorted(snapshot.participants.items())]
    parts = []
    for kind, word in (("subsystem", "subsystems"), ("pci", "PCI devices")):
        number = sum(p.kind == kind and p.state not in ("refused", "lost") for p in found)
        if number:
            parts.append(f"{number:,} {word if number > 1 else word.removesuffix('s')}")
    parts += [
        f"{p.label} REFUSED ({errno.errorcode.get(p.result, p.result)})" for p in found if p.result
    ]
    parts += [f"{p.label} cannot" for p in found if p.state == "refused"]
    parts += [f"{p.label} is lost: {p.reason}" for p in found if p.state == "lost"]
    return ", ".join(parts)


def sessions(snapshot: Snapshot, most: int) -> Iterator[Row]:
    """Yield each session with who holds it; of more than ``most`` the number of the others."""
    found = [p for _, p in sorted(snapshot.participants.items()) if p.kind == "session"]
    for one in found[:most]:
        yield Row(f"{one.name}: {one.state}", "session")
    if len(found) > most:
        yield Row(f"and {len(found) - most:,} more", "")


def holder(view: View) -> str:
    """Say whether an image is loaded for kexec, and by whom."""
    if not view.snapshot.kexec.loaded:
        return "none loaded"
    if not view.ours:
        return "loaded by somebody else, by no window"
    if (other := view.facts.lock_holder) is not None:
        return f"loaded by the window of {other}"
    if (gone := view.facts.gone_holder) is not None:
        return f"loaded by the window that {gone} left open"
    return "loaded by this window"


def tally(snapshot: Snapshot) -> str:
    """Count the resources by state; of sessions the kernel does not tell what is in them."""
    parts = []
    for name, state in (
        ("preserved", ResourceState.PRESERVED),
        ("not restored", ResourceState.INCOMING),
        ("restored", ResourceState.RESTORED),
        ("in an unknown state", ResourceState.UNKNOWN),
    ):
        if number := len(snapshot.resources.by_state[state]):
            parts.append(f"{number:,} {name} ({size_text(snapshot.bytes_in(state))})")
    if snapshot.luo.evidence:
        number = sum(p.kind == "session" for p in snapshot.participants.values())
        parts.append(
            f"{count_text(number, 'session')} seen; what is in one is known to its holder alone"
        )
    return ", ".join(parts) or "none"


def next_action(view: View) -> Action | None:
    """Return the act of the step that is next, or the load that has to come before it."""
    if view.walk.step is None:
        return None
    if taking := view.walk.action(Act.TAKE_OVER):
        return taking
    own = view.walk.action(_OF_STEP[view.walk.step])
    if own is not None and own.possible:
        return own
    load = view.walk.action(Act.LOAD)
    return load if load is not None and load.possible else own


def next_rows(view: View, most: int = MOST) -> Iterator[Row]:
    """Yield what is next: the choice of a target, or an act at full length."""
    if view.walk.step is Step.CHECK and not view.watching and view.facts.image is None:
        yield Row("Choose the target kernel", "key t", style="bold", label_style="bold $text-key")
        yield Row("Reads the kernel images of this host and checks the one that is chosen.", "Does")
        yield Row("Nothing is loaded or changed.", "Lost")
        return
    action = next_action(view)
    if action is not None:
        yield from named(action)
        # Only what can be done asks, and so has a place where everything is listed.
        rest = f"; key {KEY[action.act]} lists them before it asks" if action.possible else ""
        yield from action_rows(action, most, rest)


def named(action: Action) -> Iterator[Row]:
    """Yield an act by key and outcome, and what blocks it."""
    yield Row(action.label, f"key {KEY[action.act]}", style="bold", label_style="bold $text-key")
    if action.blocked:
        yield Row(action.blocked, "Not now", style="$text-note")


def action_rows(action: Action, most: int = MOST, rest: str = _ELSEWHERE) -> Iterator[Row]:
    """Yield what an act does, what survives it, what does not, and the way back.

    ``rest`` says where the others are listed of which there are more than ``most``.
    """
    if action.lost:
        yield from listed("Lost", action.lost_shown or action.lost, most, rest, style="$text-error")
    yield from listed("Does", action.does, most, rest)
    yield from listed("Survives", action.survives or ("Nothing.",), most, rest)
    if not action.lost:
        yield Row("Nothing.", "Lost")
    yield Row(action.way_back, "Way back")


def listed(
    label: str, texts: Sequence[str], most: int, rest: str = _ELSEWHERE, style: str = ""
) -> Iterator[Row]:
    """Yield one row a text, the label before the first; a long list says how much it leaves out."""
    for at, text in enumerate(texts[:most]):
        yield Row(text, "" if at else label, style)
    if len(texts) > most:
        yield Row(f"and {len(texts) - most:,} more{rest}", style=style)


def blackout_drawn(view: View) -> Iterator[Row]:
    """Draw the blackout of the update that led into this kernel, phase below phase."""
    dark = blackout(view.snapshot.stamps)
    if dark is None:
        return
    lines = [f"the kernel's: {dark.total:,.0f} ms, from the beginning of the freeze to the arrival"]
    lines += bars([(p.name, p.milliseconds) for p in dark.phases], _BARS)
    for number, line in enumerate(lines):
        yield Row(line, "" if number else "blackout")
    if said := guests_text(view.snapshot, view.facts.window_state, view.last_restored):
        yield Row(said, "guests")


def timeline(view: View) -> Iterator[Row]:
    """Yield what was done in the window, the newest last: the same to its owner and to others."""
    window_state = view.facts.window_state
    if window_state is None:
        return
    for at, done in enumerate(window_state.acts):
        yield Row(timeline_line(done), "" if at else "window")


def checked(view: View) -> str:
    """Count how the checks of the target ended."""
    levels = [f.level for f in view.facts.findings]
    parts = [
        f"{levels.count(level)} {word}"
        for level, word in (
            (Level.BLOCKER, "BLOCKING"),
            (Level.WARNING, "to look at"),
            (Level.UNKNOWN, "unknown"),
            (Level.OK, "ok"),
        )
        if level in levels
    ]
    return ", ".join(parts)


def doubts(view: View) -> Iterator[Row]:
    """Yield the findings that are not good, while the target can still be changed."""
    if view.walk.step in (Step.CHECK, Step.LOAD, Step.PREPARE):
        yield from finding_rows(f for f in view.facts.findings if f.level is not Level.OK)


def finding_rows(findings: Iterable[Finding]) -> Iterator[Row]:
    """Yield the checks, the worst first, each with its remedy and what would come of it."""
    worst_first = tuple(reversed(Level))
    styles = {Level.BLOCKER: "$text-error", Level.OK: ""}
    for finding in sorted(findings, key=lambda f: worst_first.index(f.level)):
        text = f"{finding.check}: {finding.text} {finding.remedy}".rstrip()
        yield Row(
            text, str(finding.level), label_style=f"bold {styles.get(finding.level, '$text-note')}"
        )
        if finding.why:
            yield Row(finding.why, "why", style="$text-quiet")
