# SPDX-License-Identifier: MIT
"""What was promised before the jump, and what has become of it in this kernel. Pure.

Promised is what the operator agreed to see again: each resource by its token,
each device and subsystem that takes part by its name. The jump writes it down;
here it is held against what this kernel shows. What could not be read is not
known, and never kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from enum import StrEnum
from itertools import chain
from typing import Any, NamedTuple

from luo_tui.errors import Op, explain
from luo_tui.model import (
    Participant,
    Resource,
    ResourceState,
    RestoreFailure,
    Snapshot,
    State,
    Work,
)
from luo_tui.update.resource_list import Listed, Promised, few_of
from luo_tui.update.wording import clock_text


class Became(StrEnum):
    """What has become of a promise; the worst first."""

    LOST = "lost"
    FAILED = "failed"
    NOT_KNOWN = "not known"
    NOT_YET = "not yet"
    KEPT = "kept"


class PromiseOutcome(NamedTuple):
    """One promise that is not kept (yet); there may be a hundred thousand."""

    about: Resource | Listed | Participant
    became: Became
    reason: str
    """Why, in words without a full stop."""
    remedy: str = ""
    """What can be done, in sentences."""

    @property
    def label(self) -> str:
        """What an operator calls it."""
        return self.about.label

    @property
    def token(self) -> int:
        """Of the resource that it is about; -1: it is about a participant."""
        return -1 if isinstance(self.about, Participant) else self.about.token

    def __str__(self) -> str:
        """Name it with the reason."""
        return f"{self.label}: {self.reason}"


class Promises(NamedTuple):
    """All promises of one jump: how many are kept, and each that is not."""

    recorded: bool = False
    """Whether it is known what was promised; else only what this kernel tells of itself counts."""
    fault: str = ""
    """Why what was promised cannot be read."""
    kept: int = 0
    open: tuple[PromiseOutcome, ...] = ()
    """What is not kept, the worst first."""

    @property
    def all_kept(self) -> bool:
        """Whether exactly what was promised is there."""
        return self.recorded and not self.open

    @property
    def lost(self) -> tuple[PromiseOutcome, ...]:
        """What is lost."""
        return self.that(Became.LOST)

    def that(self, became: Became) -> tuple[PromiseOutcome, ...]:
        """Return those of which this has become."""
        return tuple(o for o in self.open if o.became is became)

    def record(self) -> dict[str, Any]:
        """Return what a record says of them: numbers, and the first few that are lost by name."""
        numbers = {b.replace(" ", "_"): len(self.that(b)) for b in Became if b is not Became.KEPT}
        names = few_of(str(o) for o in self.lost)
        return {
            "recorded": self.recorded,
            "kept": self.kept,
            **numbers,
            **({"lost_names": names} if names else {}),
        }


def said(outcome: PromiseOutcome) -> str:
    """Tell of a broken promise in one line."""
    word = "RESTORE FAILED" if outcome.became is Became.FAILED else "LOST"
    return f"{word}: {outcome}"


def taking_part(snapshot: Snapshot) -> tuple[Participant, ...]:
    """Return the devices and subsystems that a kexec takes along, by id.

    From prepare on those alone that were called then: what registers later
    waits for the next update (kernel/luo_pci.c, kernel/luo_subsystems.c).
    """
    found = (p for _, p in sorted(snapshot.participants.items()))
    if snapshot.luo.state in (State.PREPARED, State.FROZEN):
        return tuple(p for p in found if p.state in ("prepared", "frozen"))
    return tuple(p for p in found if p.state not in ("refused", "lost"))


def promises_of(
    snapshot: Snapshot,
    promised: Promised | None,
    fault: str = "",
    work: Work | None = None,
    delivered: Set[int] = frozenset(),
) -> Promises:
    """Hold what was promised against this kernel; nothing is promised but in state updated.

    ``promised`` is None where no record tells of it. Then what arrived, and
    what the kernel itself tells of as lost, is all that can be spoken of.
    ``work`` is what runs here, as far as it was looked for; ``delivered`` are the
    tokens of held files that were given back as files.
    """
    if snapshot.luo.state is not State.UPDATED:
        return Promises()
    resources, participants, _ = _listed_as_arrived(snapshot) if promised is None else promised
    found: dict[Became, list[PromiseOutcome]] = {became: [] for became in Became}
    for outcome in _resources(snapshot, resources, work, delivered):
        found[outcome.became].append(outcome)
    for outcome in _participants(snapshot, participants):
        found[outcome.became].append(outcome)
    broken = tuple(chain.from_iterable(found.values()))
    number = len(resources) + len(participants)
    return Promises(
        recorded=promised is not None,
        fault=fault,
        kept=number - len(broken),
        open=broken,
    )


def _listed_as_arrived(snapshot: Snapshot) -> Promised:
    """Return what this kernel itself says that it got."""
    those = (*snapshot.incoming, *snapshot.restored)
    came = ("incoming", "claimed", "unclaimed", "lost")
    return Promised(
        tuple(Listed(r.token, r.name, r.kind, r.bytes, r.pid, r.comm) for r in those),
        tuple(p for p in snapshot.participants.values() if p.state in came),
    )


def _resources(
    snapshot: Snapshot, promised: Iterable[Listed], work: Work | None, delivered: Set[int]
) -> Iterator[PromiseOutcome]:
    there, failed = snapshot.resources, snapshot.failed_restores
    doubt = next(iter(snapshot.doubts("resources")), "")
    for one in promised:
        found = there.get(one.token)
        if found is None:
            yield PromiseOutcome(one, *_missing(doubt))
        elif found.state is ResourceState.UNKNOWN:
            yield PromiseOutcome(one, Became.NOT_KNOWN, "its state could not be read")
        elif not _same(one, found) or found.state is ResourceState.PRESERVED:
            yield PromiseOutcome(one, Became.LOST, f"{found.label} is there in its place")
        elif found.lost:
            reason = f"{found.lost:,} bytes written after the freeze did not come along"
            yield PromiseOutcome(found, Became.LOST, reason)
        elif found.state is ResourceState.INCOMING and found.result:
            yield PromiseOutcome(found, Became.LOST, "what came of it cannot be read", _UNREADABLE)
        elif found.state is ResourceState.INCOMING:
            failure = failed.get(one.token)
            yield _failed(found, failure, work) if failure else _waiting(one, found)
        elif found.abandoned and one.token not in delivered:
            yield PromiseOutcome(one, Became.NOT_YET, "it was restored by a process that is gone")


def _missing(doubt: str) -> tuple[Became, str]:
    if doubt:
        return Became.NOT_KNOWN, f"not everything could be read ({doubt})"
    return Became.LOST, "it did not arrive in this kernel"


def _waiting(one: Listed, found: Resource) -> PromiseOutcome:
    if found.handler:
        # Without it nobody knows how large it is (kernel/luo_resource.c).
        reason = f"it cannot be restored before {found.handler} is there"
        return PromiseOutcome(found, Became.NOT_YET, reason)
    if found.bytes < one.bytes:
        reason = f"{found.bytes:,} of its {one.bytes:,} bytes arrived"
        return PromiseOutcome(found, Became.FAILED, reason, _SHORT)
    return PromiseOutcome(found, Became.NOT_YET, "nobody has restored it yet")


_SHORT = "The kernel's lines (dmesg | grep luo) name what is missing."
_UNREADABLE = "The kernel's lines (dmesg | grep luo) say why."


def _failed(found: Resource, failure: RestoreFailure, work: Work | None) -> PromiseOutcome:
    told = explain(Op.RESTORE, failure.errno)
    reason = f"{told.meaning} ({told.errno_name}), at {clock_text(failure.at)}"
    return PromiseOutcome(found, Became.FAILED, reason, f"{_owner(found, work)} {told.remedy}")


def _owner(resource: Resource, work: Work | None) -> str:
    """Say whether the one who can restore it is there: processes have other ids in this kernel."""
    if not resource.comm:
        return "Whose it was is not known."
    who = f"Its owner was {resource.comm} [{resource.pid}]"
    if work is None or work.names is None:
        return f"{who}; whether that runs in this kernel is not known."
    if resource.comm in work.names:
        return f"{who}, which runs in this kernel."
    return f"{who}, which does NOT run in this kernel: start it."


def _same(one: Listed, found: Resource) -> bool:
    """Whether this is what was promised; of an old window only the token is known."""
    return not one.kind or (one.kind, one.name) == (found.kind, found.name) or bool(found.handler)


_NOBODYS = (
    "no process has it: it was not retrieved, or is finished already, which the kernel does not "
    "tell"
)
_ITS_HOLDER = "Ask whoever was to retrieve it; what nobody retrieves is gone with the next update."
_KEPT = {"pci": "claimed", "subsystem": "incoming"}
"""The kernel's word for a participant that has come over and is in hands again
(kernel/luo_pci_node.c, kernel/luo_subsystems.c)."""
_WAITS = {"pci": "incoming", "subsystem": "unclaimed"}


def _participants(snapshot: Snapshot, promised: Iterable[Participant]) -> Iterator[PromiseOutcome]:
    there = {(p.kind, p.name): p for p in snapshot.participants.values()}
    doubt = next(iter(snapshot.doubts("resources")), "")
    given_back = {r.name for r in snapshot.restored if not r.abandoned}
    for one in promised:
        found = there.get((one.kind, one.name))
        if one.kind == "session":
            # A session of luo-tui's is finished when its file was given back.
            if found is None and one.name not in given_back:
                yield PromiseOutcome(one, Became.NOT_KNOWN, _NOBODYS, _ITS_HOLDER)
            continue
        if found is not None and found.state == _KEPT.get(one.kind, "incoming"):
            continue
        yield PromiseOutcome(one, *_participant(one, found, doubt))


def _participant(one: Participant, found: Participant | None, doubt: str) -> tuple[Became, str]:
    if found is None:
        if doubt:
            return Became.NOT_KNOWN, f"not everything could be read ({doubt})"
        return Became.LOST, "this kernel knows nothing of it"
    if found.state == _WAITS.get(one.kind, "unclaimed"):
        return Became.NOT_YET, "no driver has claimed it yet"
    if found.state == "lost":
        return Became.LOST, found.reason or "the kernel does not say why"
    why = found.reason or f"the kernel says {found.state!r}"
    return Became.LOST, f"it did not come over ({why})"
