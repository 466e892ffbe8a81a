# SPDX-License-Identifier: MIT
"""What an act is decided on, as values, and what follows from them alone. Pure."""

# Annotations are no strings here: NamedTuple would compile each, and all begin with this.
from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from luo_tui.model import InitSystem, KernelImage, Resource, Snapshot, State, Work
from luo_tui.orchestrator import ALL_MOVES, Abilities
from luo_tui.update.person import Person
from luo_tui.update.promises import Promises, promises_of
from luo_tui.update.resource_list import Promised
from luo_tui.update.window_state import WindowState

# It needs hashlib, which `luo-tui status` does without.
if TYPE_CHECKING:
    from luo_tui.update.plan import Plan
    from luo_tui.update.prediction import Prediction, PrepareTime


class Act(StrEnum):
    """What an operator can do; the value is what the journal says."""

    LOAD = "load"
    UNLOAD = "unload"
    PREPARE = "prepare"
    CANCEL = "cancel"
    KEXEC = "kexec"
    FINISH = "finish"
    TAKE_OVER = "take over"


class Level(StrEnum):
    """How a check ended."""

    OK = "ok"
    UNKNOWN = "unknown"
    """It could not be found out; never as good as :attr:`OK`."""
    WARNING = "warning"
    BLOCKER = "blocker"


class Step(StrEnum):
    """The steps of an update, in their order."""

    CHECK = "check"
    LOAD = "load"
    PREPARE = "prepare"
    KEXEC = "freeze and kexec"
    RESTORE = "restore"
    FINISH = "finish"


class Finding(NamedTuple):
    """The outcome of one check, with its remedy."""

    check: str
    level: Level
    text: str
    remedy: str = ""
    why: str = ""
    """What would come of it; empty only where the check found nothing amiss."""
    code: str = ""
    """``LUO-C-001`` and so on: the check's, the same in all versions of this program."""
    evidence: str = ""
    """Where the answer was read."""


class GoesAlong(NamedTuple):
    """A guest of QEMU that was armed: it is saved directly before the jump, and goes on after."""

    name: str
    pid: int
    bytes: int
    """Of its memory."""
    tokens: tuple[int, ...]
    """Under which its memory and its state are preserved."""
    paused: float = 0.0
    """CLOCK_REALTIME in seconds when it was paused to be saved; 0: it runs."""
    ended: bool = False
    """Whether its process has ended since: then the kexec is refused."""


class Stands(StrEnum):
    """What has become of a guest of QEMU that was saved for the jump into this kernel."""

    GOES_ON = "goes on"
    WAITS = "stands still: it is saved, and was not loaded"
    PAUSED = "was loaded, and is not known to run: ask its monitor"
    ENDED = "was loaded, and has ended since"
    LOST = "was not saved before the jump"


class CameOver(NamedTuple):
    """A guest of QEMU that was saved for the jump into this kernel."""

    name: str
    stands: Stands
    seconds: float = 0.0
    """How long it was paused, by the host's clock, which a kexec may put wrong by a second; 0: not
    known."""
    pid: int = 0
    """Of the process that has it; of one that waits, in the kernel before this one."""
    bytes: int = 0
    """Of its memory."""
    paused: float = 0.0
    """CLOCK_REALTIME in seconds when it was paused to be saved."""
    clock_set: bool = False
    """Whether its clock was put right since it goes on."""
    clock_fault: str = ""
    """Why it was not, to follow on a colon; empty where nobody has tried."""

    @property
    def pause(self) -> str:
        """How long it was paused and what that did to its clock, to follow its state; or empty."""
        after = f", after about {self.seconds:,.0f} s" if self.seconds else ""
        if self.clock_set:
            return f"{after}; its clock was set"
        if self.clock_fault:
            behind = ", by which its clock is behind" if after else "; its clock is behind"
            return f"{after}{behind}: {self.clock_fault}"
        return after


ONLY_LOOKS = "This console only looks: it was opened with --read-only."
"""Why it refuses whatever is asked of it."""


class _Fields(NamedTuple):
    """The facts; what follows from them is remembered in :class:`Facts`, once it was asked for."""

    snapshot: Snapshot
    may_act: bool
    cannot: str = ""
    """Why no act can be done with this kind of kernel; empty where acts can."""
    abilities: Abilities = ALL_MOVES
    """What this kind of kernel can."""
    dropped: tuple[str, ...] = ()
    """Names of what was held in this boot and nobody has any more: its holder has ended."""
    image: KernelImage | None = None
    """The target as its files are now; None while none is chosen."""
    command_line: str = ""
    """What the target is to be started with."""
    findings: tuple[Finding, ...] = ()
    """What the checks say of the target."""
    window_state: WindowState | None = None
    lock_holder: Person | None = None
    """Who has the window open in another console; None when it is free or ours."""
    lock_fault: str = ""
    """Why it could not be read who has it; then :attr:`lock_holder` says nothing."""
    journal_fault: str = ""
    """Why the newest window could not be read; then :attr:`window_state` may be an older one."""
    me: Person | None = None
    """Who looks; None for a program that only looks."""
    mine: bool = False
    """Whether this console has the window open."""
    acts_seen: int = 0
    """Counts the acts on this host that need no window: hold, restore, unpreserve."""
    promised: Promised | None = None
    """What was to survive the jump into this kernel; None where no record tells of one."""
    promised_fault: str = ""
    """Why that record cannot be read."""
    work: Work | None = None
    """What runs here and ends with this kernel; None while nothing rests on it."""
    plan: "Plan | None" = None
    """By which the window goes, or will; None where there is none, or it cannot be read."""
    only_looks: bool = False
    """Whether nothing may be done since the console was opened to look, by whoever could act."""
    predicted: "Prediction | None" = None
    """How long the blackout will take, by earlier ones; None where none was measured here."""
    prepare_time: "PrepareTime | None" = None
    """How long a prepare will take, by earlier ones; None where that is not known."""
    arms_guests: bool = False
    """Whether the guests of QEMU that can be carried are armed: by prepare or, without, by load."""
    armed: tuple[GoesAlong, ...] = ()
    """The guests that are armed in this boot; empty as well where only root may know."""
    unarmed: tuple[str, ...] = ()
    """Names of guests that were armed in this boot and are no more: who held their memory ended."""
    came_over: tuple[CameOver, ...] = ()
    """The guests that were saved for the jump into this kernel."""
    through: InitSystem | None = None
    """The init system that the kexec is to go through; None: it goes directly."""
    delivered: frozenset[int] = frozenset()
    """Tokens of held files that were given back as files in this boot."""


class Facts(_Fields):
    """Everything that an offer and an act are decided on."""

    @cached_property
    def promises(self) -> Promises:
        """What has become of what was promised."""
        return promises_of(
            self.snapshot, self.promised, self.promised_fault, self.work, self.delivered
        )

    @cached_property
    def discarded(self) -> tuple[Resource, ...]:
        """What came over and no process has, restored or not: finish throws it away.

        A held file that was given back is not lost with the memory it lay in.
        """
        return tuple(
            r for r in self.snapshot.discarded if not (r.abandoned and r.token in self.delivered)
        )

    @property
    def blockers(self) -> tuple[Finding, ...]:
        """What speaks against the target so that nothing may be done with it."""
        return tuple(f for f in self.findings if f.level is Level.BLOCKER)

    @property
    def ours_is_loaded(self) -> bool:
        """Whether the image that the kernel holds was loaded by this window, in this boot."""
        return ours_is_loaded(self.snapshot, self.window_state)

    @property
    def foreign_is_loaded(self) -> bool:
        """Whether the kernel holds an image that this window did not load."""
        return self.snapshot.kexec.loaded and not self.ours_is_loaded

    @property
    def gone_holder(self) -> Person | None:
        """From whom :attr:`me` would have to take the window over; None where there is no need."""
        if self.me is None or self.mine or self.lock_holder is not None:
            return None
        if arrival(self.snapshot, self.window_state) is Arrival.INTERRUPTED:
            return None  # What he had went with his kernel.
        return gone_holder(self.window_state, self.snapshot.host.boot_id, self.me)


def ours_is_loaded(snapshot: Snapshot, window_state: WindowState | None) -> bool:
    """Whether the image that the kernel holds was loaded by this window, in this boot."""
    return bool(
        snapshot.kexec.loaded
        and window_state
        and not window_state.closed
        and window_state.loaded_in == snapshot.host.boot_id
    )


class Arrival(StrEnum):
    """What became of the jump that the journal tells of."""

    NONE = "none"
    """There is no jump to account for, or what became of it stands in the journal."""
    ARRIVED = "arrived"
    """This kernel took the handover over and the update waits for its finish."""
    FINISHED = "finished elsewhere"
    """It arrived, and something other than this program finished the update."""
    LOST = "lost"
    """This kernel took nothing over, or one before it did and was not finished."""
    UNKNOWN = "unknown"
    """This kernel took over from another one than the jump was made from, or nobody can tell."""
    INTERRUPTED = "interrupted"
    """No jump was made, and the kernel in which the window was left is gone."""


def arrival(snapshot: Snapshot, window_state: WindowState | None) -> Arrival:
    """Decide what became of the jump of an open window, from what this kernel proves.

    A handover proves itself by the state ``updated``, and after its finish by
    the release it came from and by the stamps (kernel/luo_sysfs.c keeps both).
    """
    boot_id = snapshot.host.boot_id
    if window_state is None or window_state.closed or window_state.lost_in:
        return Arrival.NONE
    if window_state.jumped_from == boot_id or window_state.arrived_in == boot_id:
        return Arrival.NONE
    if not window_state.jumped_from:
        here = window_state.held_in in ("", boot_id)
        return Arrival.NONE if here or not snapshot.luo.state.at_rest else Arrival.INTERRUPTED
    if bool(snapshot.luo.evidence) is not window_state.jumped_directly:
        return Arrival.UNKNOWN  # The jump was made on a kernel of another kind.
    updated = snapshot.luo.state is State.UPDATED
    if updated and not window_state.arrived_in:
        return Arrival.ARRIVED
    if not snapshot.luo.state.usable or snapshot.doubts("state"):
        return Arrival.UNKNOWN
    if not (updated or snapshot.from_release or snapshot.stamps.arrived):
        return Arrival.LOST
    if window_state.arrived_in:
        return Arrival.UNKNOWN  # There was another jump since, which nobody wrote down.
    if window_state.jumped_release not in ("", snapshot.from_release):
        return Arrival.UNKNOWN
    return Arrival.FINISHED


def arrival_is_due(snapshot: Snapshot, window_state: WindowState | None) -> bool:
    """Whether there is a jump to account for, and this kernel tells enough to do it."""
    if not snapshot.luo.state.usable or snapshot.doubts("state"):
        return False
    directly = bool(snapshot.luo.evidence)
    if window_state and window_state.jumped_from and directly is not window_state.jumped_directly:
        return False
    return arrival(snapshot, window_state) is not Arrival.NONE


def handover_lost(snapshot: Snapshot, window_state: WindowState | None) -> bool:
    """Whether the journal tells of a jump whose handover did not reach this kernel."""
    if window_state is None or not snapshot.luo.state.at_rest:
        return False
    if window_state.lost_in:
        return window_state.lost_in == snapshot.host.boot_id
    return arrival(snapshot, window_state) is Arrival.LOST


def gone_holder(window_state: WindowState | None, boot_id: str, me: Person) -> Person | None:
    """Return from whom ``me`` would have to take the window over; None where he may just go on.

    For a window whose lock is free. Its last holder is gone. Another person has
    to take over; the same one only at another terminal, and only in the boot in
    which the window was held: after a jump its console is gone of necessity.
    """
    if window_state is None or window_state.closed or window_state.holder is None:
        return None
    last = window_state.holder
    if last.user == me.user and (last.is_at_the_same_place(me) or window_state.held_in != boot_id):
        return None
    return last


def typed_word(snapshot: Snapshot, target: str) -> str:
    """Return what must be typed before the kexec: the host's name, or the target if it has none."""
    return snapshot.host.name if snapshot.host.has_real_name else target


def steps_of(abilities: Abilities) -> Mapping[Step, str]:
    """Return the steps of an update on such a kernel, in their order, each with its word."""
    if abilities.moves:
        return {s: str(s) for s in Step}
    return {s: "kexec" if s is Step.KEXEC else str(s) for s in Step if s is not Step.PREPARE}


def step_of(facts: Facts) -> tuple[Step | None, Sequence[Step]]:
    """Return the step that is next, and those that are done; no step where there can be none."""
    if facts.cannot:
        return None, ()
    steps = list(steps_of(facts.abilities))
    snapshot = facts.snapshot
    match snapshot.luo.state:
        case State.NORMAL | State.PRESERVING:
            if facts.ours_is_loaded:
                at = Step.PREPARE if facts.abilities.moves else Step.KEXEC
            elif facts.image and not facts.blockers:
                at = Step.LOAD
            else:
                at = Step.CHECK
        case State.PREPARED | State.FROZEN:
            at = Step.KEXEC
        case State.UPDATED:
            at = Step.RESTORE if facts.discarded else Step.FINISH
        case _:
            return None, ()
    return at, steps[: steps.index(at)]
