# SPDX-License-Identifier: MIT
"""The simulated kernel: LUO v2's moves, errnos and tokens, on real memfds with their bytes.

Every refusal is an OSError with the errno of luo.ko. Whoever acts holds the
state lock, and who only looks never waits. What changes is told of as luo.ko's
events tell of it, and what luo.ko and KHO print is printed (kernel/*.c).
``scenarios.NOT_IMITATED`` says where it is not like the real one.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from luo_tui.model import LuoState, Participant, Resource, ResourceState, Stamps, State
from luo_tui.orchestrator import Move
from luo_tui.orchestrator.simulated.boot import COMPATIBLE
from luo_tui.orchestrator.simulated.kept import Kept, error, is_open, tsc, who_holds
from luo_tui.orchestrator.simulated.news import News
from luo_tui.orchestrator.simulated.pace import Pace
from luo_tui.sources.changes import (
    KernelSaid,
    LuoChanged,
    ParticipantPut,
    ResourceGone,
    ResourcePut,
)
from luo_tui.sources.clean import clean

LUO, LINES = "resources", "kernel lines"
"""What there is news of; the names of the sources too."""
REFUSES = "subsystem-vfio-v1"
"""Who refuses in the scenarios where somebody does."""
_MOVES: Mapping[tuple[State, Move], State] = MappingProxyType(
    {
        (State.NORMAL, Move.PREPARE): State.PREPARED,
        (State.PREPARED, Move.FREEZE): State.FROZEN,
        (State.PREPARED, Move.CANCEL): State.NORMAL,
        (State.FROZEN, Move.CANCEL): State.NORMAL,
        (State.UPDATED, Move.FINISH): State.NORMAL,
    }
)
"""The legal moves of LUO v2, from the RFC of May 2025: (from, move) -> to."""
PRINTED = 500
"""Lines of the kernel that are kept."""
_KHZ = 1_000_000
_SHORT = 16 << 30
"""Bytes from which on a restore fails while memory is short."""


class SimulatedKernel:
    """State, resources and participants, and what they do."""

    def __init__(self, scenario: str, delay: float | None) -> None:
        """``delay`` is what a prepare takes in seconds; None: as the pace says."""
        self.scenario = scenario
        self.delay = delay
        self.pace = Pace()
        self.news = News()
        self.state = State.NORMAL
        self.release = ""
        self.from_release = ""
        self.veto = "kprobe"
        self.stamps = Stamps()
        self.next_token = 0
        self.boots = 1
        """Counts the kernels."""
        self.short_of_memory = False
        self.participants: dict[str, Participant] = {}
        self.lines: list[KernelSaid] = []
        """What the kernel has printed since it began."""
        self.acting = threading.RLock()
        """Held by every call that acts, as the kernel's state lock is."""
        self._kept: dict[int, Kept] = {}
        self._table = threading.Lock()
        """Held while what is kept changes: nobody looks at a descriptor that is being closed."""
        self._files: set[tuple[int, int]] = set()
        """What is preserved now, by device and inode."""
        self.lowest_fd = 3
        """What is kept is kept in descriptors from this number on."""

    # Looking

    def luo(self) -> LuoChanged:
        """Return the state with all that stands beside it."""
        luo = LuoState(self.state)
        return LuoChanged(luo, self.stamps, COMPATIBLE, self.from_release, self.veto)

    def resources(self) -> tuple[Resource, ...]:
        """Return what the class shows."""
        with self._table:
            gone = self._abandoned()
            found = tuple(k.resource() for k in self._kept.values())
            if not gone:
                return found
            return tuple(r._replace(abandoned=True) if r.token in gone else r for r in found)

    def _abandoned(self) -> frozenset[int]:
        """Return the tokens of what was restored and nobody has any more.

        A descriptor of this process counts, and nothing else: no other has any.
        """
        back = [
            k for k in self._kept.values() if k.state is ResourceState.RESTORED and not k.by_agent
        ]
        if not back:
            return frozenset()
        holds = who_holds({k.file for k in back})
        return frozenset(k.token for k in back if holds.get(k.file, 0) <= 1)

    # Moves

    def move(self, move: Move) -> None:
        """Make a move of the state machine."""
        with self.acting:
            target = _MOVES.get((self.state, move))
            if target is None:
                raise error(errno.EINVAL)
            getattr(self, f"_{move}")()
            self._enter(target)

    def _prepare(self) -> None:
        self.stamps = Stamps(tsc_khz=_KHZ, prepare_begin=tsc())
        self._tell()
        self._take(1 / 2)
        self._call("prepared", self.scenario == "prepare-refused", 1 / 2)
        self.stamps = self.stamps._replace(prepare_end=tsc())

    def _freeze(self) -> None:
        self.stamps = self.stamps._replace(freeze_begin=tsc())
        try:
            self._call("frozen", self.scenario == "freeze-refused", 1 / 4)
        except OSError:
            self._enter(State.NORMAL)
            raise
        self.stamps = self.stamps._replace(freeze_end=tsc())

    def _cancel(self) -> None:
        """Tokens and resources stay."""
        self._are("registered")

    def _finish(self) -> None:
        lost = sum(k.state is ResourceState.INCOMING for k in self._kept.values())
        lost += len(self._abandoned())
        if lost:
            self.say(f"luo: finish discards {lost} resources that nobody holds")
        self._take(1)
        self._are("registered")
        self._drop(lambda kept: kept.state is not ResourceState.PRESERVED)

    def _call(self, word: str, refused: bool, share: float) -> None:
        """Call the participants one by one; after a refusal those that were called are undone."""
        fit = [p for p in self.participants.values() if p.state not in ("refused", "lost")]
        if word == "frozen":
            # What registered after prepare waits for the next one.
            fit = [p for p in fit if p.state == "prepared"]
        for p in fit:
            began = time.perf_counter_ns()
            self._take(share / len(fit))
            took = time.perf_counter_ns() - began
            times = {"prepare_ns": took} if word == "prepared" else {"freeze_ns": took}
            if refused and p.id == REFUSES:
                self._put(p._replace(state="registered", result=errno.EIO, **times))  # type: ignore[arg-type]
                step = "prepare" if word == "prepared" else "freeze"
                self.say(f"luo: {step} refused ({-errno.EIO}) by {p.label}")
                self._are("registered")
                raise error(errno.EIO)
            self._put(p._replace(state=word, result=0, **times))  # type: ignore[arg-type]

    def _are(self, word: str) -> None:
        """Let every participant be as ``word`` says, but those that cannot take part."""
        for p in list(self.participants.values()):
            if p.state not in (word, "refused"):
                self._put(p._replace(state=word, reason=""))

    def _put(self, participant: Participant) -> None:
        self.participants[participant.id] = participant
        self.news.announce(LUO, ParticipantPut(participant))

    # Descriptors

    def preserve(self, fd: int, pid: int = 0, comm: str = "", name: str = "") -> int:
        """Keep a memfd, as ``comm`` [``pid``]'s, or as this process's; return its token.

        It is known by ``name``, or by its own.
        """
        with self.acting:
            self._preservable()
            target = str(Path(f"/proc/self/fd/{fd}").readlink()) if is_open(fd) else ""
            if not target:
                raise error(errno.EBADF)
            if not target.startswith("/memfd:"):
                raise error(errno.ENOENT)
            about = os.fstat(fd)
            if (about.st_dev, about.st_ino) in self._files:
                raise error(errno.EEXIST)
            name = name or clean(target.removeprefix("/memfd:").removesuffix(" (deleted)"))
            comm = comm or clean(_comm())
            copy = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, self.lowest_fd)
            return self._keep(Kept(self.next_token, copy, name, pid or os.getpid(), comm))

    def unpreserve(self, *tokens: int) -> None:
        """Give kept memfds up."""
        with self.acting:
            self._preservable()
            for token in tokens:
                kept = self._kept.get(token)
                if kept is None or kept.state is not ResourceState.PRESERVED:
                    raise error(errno.ENOENT)
            going = frozenset(tokens)
            self._drop(lambda k: k.token in going)

    def restore(self, token: int, *, by_agent: bool = False) -> int:
        """Give out what came over, as often as it is asked for."""
        with self.acting:
            if self.state is not State.UPDATED:
                raise error(errno.EBUSY)
            kept = self._kept.get(token)
            if kept is None or kept.state is ResourceState.PRESERVED:
                raise error(errno.ENOENT)
            if self.short_of_memory and kept.resource().bytes >= _SHORT:
                self.say(f"luo: restore of token {token} failed ({-errno.ENOMEM})")
                raise error(errno.ENOMEM)
            fd = os.dup(kept.fd)
            kept.state = ResourceState.RESTORED
            kept.by_agent = kept.by_agent or by_agent
            self.news.announce(LUO, ResourcePut(kept.resource()))
            return fd

    def resize(self, token: int, size: int) -> None:
        """Let the owner of a kept memfd resize it; EPERM from prepare to cancel."""
        with self.acting:
            if self.state in (State.PREPARED, State.FROZEN):
                raise error(errno.EPERM)
            kept = self._kept[token]
            os.ftruncate(kept.fd, size)
            self.news.announce(LUO, ResourcePut(kept.resource()))

    def _preservable(self) -> None:
        if self.state not in (State.NORMAL, State.UPDATED):
            raise error(errno.EBUSY)

    def _keep(self, kept: Kept) -> int:
        with self._table:
            self._kept[kept.token] = kept
        self._files.add(kept.file)
        self.next_token = kept.token + 1
        self.news.announce(LUO, ResourcePut(kept.resource()))
        return kept.token

    def _drop(self, which: Callable[[Kept], bool]) -> None:
        with self._table:
            gone = [k for k in self._kept.values() if which(k)]
            for kept in gone:
                os.close(self._kept.pop(kept.token).fd)
                if kept.state is ResourceState.PRESERVED:
                    self._files.discard(kept.file)
        self.news.announce(LUO, *(ResourceGone(k.token) for k in gone))

    # Leaving and arriving

    def leave(self) -> None:
        """Freeze what is still only prepared, before a kexec; OSError if that is refused."""
        unrestored = sum(k.state is ResourceState.INCOMING for k in self._kept.values())
        outgoing = sum(k.state is ResourceState.PRESERVED for k in self._kept.values())
        match self.state:
            case State.PREPARED:
                try:
                    self.move(Move.FREEZE)
                except OSError as refused:
                    self.say(f"luo: kexec refused ({-(refused.errno or 0)})")
                    raise
            case State.NORMAL if outgoing:
                self.say(
                    f"luo: kexec in state normal: {outgoing} preserved resources "
                    "are not handed over"
                )
            case State.UPDATED:
                self.say(
                    "luo: kexec in state updated: nothing is handed over, what came with the "
                    f"last update is lost ({unrestored} not restored)"
                )
        self.stamps = self.stamps._replace(jump=tsc())
        self.say("kexec_core: Starting new kernel")

    def arrive(self, release: str, compatible: str) -> None:
        """Begin as the kernel ``release`` with what the one before handed over."""
        frozen = self.state is State.FROZEN
        came = frozen and compatible == COMPATIBLE
        self.lines = []
        if frozen:
            self.say("KHO: found kexec handover data.")
            self.say(f"KHO: exec from: {self.release} (count {self.boots - 1})")
        self.say("luo: loading out-of-tree module taints kernel.")
        if frozen and not came:
            self.say(
                f"luo: handover refused: it is '{COMPATIBLE}', "
                f"this module reads only '{compatible}'",
                grave=True,
            )
        self._drop(lambda kept: not came or kept.state is not ResourceState.PRESERVED)
        for kept in self._kept.values():
            kept.state = ResourceState.INCOMING
        self._files.clear()
        self.from_release = self.release if came else ""
        self.release = release
        self.next_token = max(self._kept, default=-1) + 1
        self.stamps = self.stamps._replace(arrived=tsc()) if came else Stamps()
        if came:
            self._take_over()
            self.short_of_memory = self.scenario == "memory-short"
        else:
            self._are("registered")
        self.state = State.UPDATED if came else State.NORMAL
        self.say(f"luo: loaded, state {self.state}")

    def _take_over(self) -> None:
        fit = [p for p in self.participants.values() if p.state == "frozen"]
        subsystems = sum(p.kind == "subsystem" for p in fit)
        self.say(
            f"luo: took over {len(self._kept)} files and {subsystems} subsystems "
            f"from {self.from_release}"
        )
        for p in fit:
            word, reason = ("claimed" if p.kind == "pci" else "incoming"), ""
            if p.kind == "pci" and self.scenario == "device-lost":
                word, reason = "lost", "it was switched off on the way"
                self.say(f"luo: {p.id}: lost on the way: {reason}", grave=True)
            self._put(p._replace(state=word, reason=reason, result=0, prepare_ns=0, freeze_ns=0))

    # What is told

    def say(self, text: str, *, grave: bool = False) -> None:
        """Print a line to the kernel's log."""
        # No two at the same instant: a line is known by its time.
        at = max(time.time(), self.lines[-1].at + 1e-6 if self.lines else 0.0)
        said = KernelSaid(text, grave, at)
        self.lines = [*self.lines[1 - PRINTED :], said]
        self.news.announce(LINES, said)

    def _enter(self, state: State) -> None:
        old, self.state = self.state, state
        self._tell()
        self.say(f"luo: {old} -> {state}")

    def _tell(self) -> None:
        """Tell of the state."""
        self.news.announce(LUO, self.luo())

    def _take(self, share: float) -> None:
        """Take that share of the time that a prepare takes."""
        time.sleep(share * (self.delay if self.delay is not None else 1 / self.pace.moving))


def keep_all(kernel: SimulatedKernel, kept: Iterable[Kept]) -> None:
    """Let the kernel hold descriptors that it held in the boot before."""
    for one in kept:
        kernel._kept[one.token] = one


def _comm() -> str:
    """Return this process's name; it may be any bytes."""
    return Path("/proc/self/comm").read_text(errors="surrogateescape").removesuffix("\n")
