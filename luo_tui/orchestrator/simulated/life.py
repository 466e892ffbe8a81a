# SPDX-License-Identifier: MIT
"""What happens on the simulated host by itself: the script of the demo.

Something every ten to twenty seconds at speed 1: guests start, grow and stop,
a device is put in and taken out, somebody logs in, a kernel is installed. What
the kernel refuses meanwhile, from prepare to finish, the guests' agents are
told, and try again later. The same seed lets the same things happen.
"""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from luo_tui.model import Resource, ResourceState, State
from luo_tui.orchestrator.simulated import boot, machinery
from luo_tui.orchestrator.simulated.clock import Clock
from luo_tui.orchestrator.simulated.host import AGENTS, GUESTS, SimulatedHost
from luo_tui.orchestrator.simulated.kernel import LUO
from luo_tui.orchestrator.simulated.news import MOST

_GIB = 1 << 30
_NAMES = ("web2", "cache1", "batch1", "build1", "mail1", "proxy1", "test1", "batch2", "build2")
_VISITORS = ("deploy on pts/2 from 198.51.100.20", "backup on pts/3 from 198.51.100.31")
_FEWEST, _MOST = len(GUESTS), 11
_HOST_USES = 17 * _GIB
_FULL = 190 * _GIB
"""Bytes of guests from which on none grows or starts any more."""
_INSTALLED_AT = 45.0
_MEMORY_AT = 30.0


@dataclass(frozen=True, slots=True)
class Guest:
    """A process of user space whose memory the kernel is to keep."""

    name: str
    size: int
    pid: int
    comm: str


class Life:
    """The script, on the host's clock."""

    def __init__(self, host: SimulatedHost, seed: int = 1) -> None:
        """Nothing happens before :meth:`start`, or :meth:`Clock.step`."""
        self._host = host
        self._random = random.Random(f"{seed} {host.boots}")  # noqa: S311 - no secret
        self._guests = {
            r.name: Guest(r.name, r.bytes, r.pid, r.comm)
            for r in host.resources()
            if r.comm in AGENTS
        }
        self._waiting: set[str] = set()
        """Guests whose memory came over and which have not got it back."""
        self._in_vain: set[int] = set()
        """Tokens that could not be restored, until there is memory."""
        self._pid = 2300 + 100 * host.boots
        host.lively = True
        self.clock = Clock(host.pace, host.acting)
        self.clock.after(1.0, self._tend)
        self.clock.after(6.0, self._happen)
        if not (host.boot_folder / f"vmlinuz-{boot.LATER}").exists():
            self.clock.after(_INSTALLED_AT, self._install)
        if host.short_of_memory:
            self.clock.after(_MEMORY_AT, self._memory_is_free)
        if host.scenario == "source-dies":
            self.clock.after(6.0, self._cut)
        if host.scenario == "overrun":
            self.clock.after(6.0, self._burst)

    def start(self) -> None:
        """Begin to live, in a thread of its own."""
        self.clock.start()

    def stop(self) -> None:
        """Live no longer."""
        self.clock.stop()

    # The agents of the guests

    def _tend(self) -> None:
        """Let one agent do what it waits for."""
        soon = False
        match self._host.state:
            case State.UPDATED:
                soon = self._restore_next()
            case State.NORMAL:
                soon = self._preserve_next()
        self.clock.after(0.6 if soon else 3.0, self._tend)

    def _restore_next(self) -> bool:
        waiting = [
            r
            for r in self._host.resources()
            if r.state is ResourceState.INCOMING and r.comm in AGENTS
        ]
        self._waiting = {r.name for r in waiting}
        if self._host.scenario == "nothing-restored":
            return False
        restored = 0
        for resource in waiting:
            if restored == self._at_once():
                break
            if resource.token in self._in_vain:
                continue
            if why := self._host.restore_for_agent(resource.token):
                self._in_vain.add(resource.token)
                self._complain(resource, f"restore token {resource.token}", why)
            else:
                self._waiting.discard(resource.name)
                restored += 1
        return restored > 0

    def _preserve_next(self) -> bool:
        kept = {r.name for r in self._host.resources()}
        missing = [g for g in self._guests.values() if g.name not in kept]
        preserved = 0
        for guest in missing[: self._at_once()]:
            if guest.name in self._waiting:
                del self._guests[guest.name]
                self._host.end_process(guest.name)
                self._complain(guest, guest.name, "its memory was not restored, it is lost")
            else:
                preserved += self._preserve(guest)
        return preserved > 0

    def _at_once(self) -> int:
        """Return how many agents act at once: one, unless they are a crowd."""
        return max(1, len(self._guests) // 12)

    def _preserve(self, guest: Guest) -> bool:
        try:
            self._host.start_process(guest.name, guest.size, guest.pid, guest.comm)
        except OSError as refused:
            self._complain(guest, f"preserve {guest.name}", os.strerror(refused.errno or 0))
            return False
        return True

    def _complain(self, who: Guest | Resource, what: str, why: str) -> None:
        self._host.say(f"{who.comm}[{who.pid}]: liveupdate: {what}: {why}")

    # What happens every now and then

    def _happen(self) -> None:
        choices: list[Callable[[], None]] = [self._grow, self._visit, self._plug]
        roomy = self._in_use() < _FULL
        choices += [self._start] * (3 if len(self._guests) < _MOST and roomy else 0)
        choices += [self._stop] * (2 if len(self._guests) > _FEWEST else 0)
        self._random.choice(choices)()
        self._breathe()
        self.clock.after(self._random.uniform(10, 20), self._happen)

    def _start(self) -> None:
        free = [n for n in _NAMES if f"guest-{n}" not in self._guests]
        if not free:
            return
        self._pid += self._random.randint(1, 9)
        size = self._random.choice((2, 4, 4, 8, 16)) * _GIB
        guest = Guest(f"guest-{free[0]}", size, self._pid, AGENTS[0])
        self._guests[guest.name] = guest
        self._preserve(guest)

    def _stop(self) -> None:
        ours = {g[0] for g in GUESTS}
        going = [r for r in self._preserved() if r.name not in ours]
        if not going:
            return
        resource = self._random.choice(going)
        try:
            self._host.unpreserve(resource.token)
        except OSError as refused:
            what = f"unpreserve token {resource.token}"
            self._complain(resource, what, os.strerror(refused.errno or 0))
        else:
            del self._guests[resource.name]
            self._host.end_process(resource.name)

    def _grow(self) -> None:
        growing = self._preserved()
        if not growing or self._in_use() > _FULL:
            return
        resource = self._random.choice(growing)
        size = resource.bytes + max(resource.bytes // 8, 65_536)
        try:
            self._host.resize(resource.token, size)
        except OSError as refused:
            self._complain(resource, f"grow {resource.name}", os.strerror(refused.errno or 0))
        else:
            self._guests[resource.name] = replace(self._guests[resource.name], size=size)

    def _preserved(self) -> list[Resource]:
        return [
            r
            for r in self._host.resources()
            if r.state is ResourceState.PRESERVED and r.name in self._guests
        ]

    def _visit(self) -> None:
        users = self._host.vitals.users
        who = self._random.choice(_VISITORS)
        users = tuple(u for u in users if u != who) if who in users else (*users, who)
        self._host.live_with(self._host.vitals._replace(users=users))

    def _plug(self) -> None:
        card, part = machinery.PLUGGED, None
        if self._random.random() < 0.5:
            card, part = machinery.PLUGGED_NIC, machinery.PLUGGED_PART
        if card.id not in self._host.devices:
            self._host.plug(card, part)
        elif part is None or self._host.state is State.NORMAL:
            self._host.unplug(card.id)

    def _breathe(self) -> None:
        used = _HOST_USES + self._in_use() + self._random.randrange(6) * _GIB
        load = round(2 * (0.9 * min(len(self._guests), _MOST) + self._random.uniform(1, 4))) / 2
        free = machinery.hundredth(max(machinery.MEMORY - used, _GIB))
        self._host.live_with(self._host.vitals._replace(memory_available=free, load=load))

    def _in_use(self) -> int:
        return sum(r.bytes for r in self._host.resources())

    def _install(self) -> None:
        try:
            boot.install(self._host.boot_folder, self._host.modules_folder, boot.LATER)
        except OSError:  # Such as a full disk.
            self.clock.after(_INSTALLED_AT, self._install)

    # Failures to order

    def _memory_is_free(self) -> None:
        self._host.short_of_memory = False
        self._in_vain.clear()
        self._host.say("vmmd[1840]: liveupdate: memory is free again, restoring what is left")

    def _cut(self) -> None:
        self._host.news.cut(LUO)
        self.clock.after(18.0, lambda: self._host.news.mend(LUO))
        self.clock.after(60.0, self._cut)

    def _burst(self) -> None:
        """Let an agent preserve more than an ear holds, and give all of it up at once."""
        tokens = []
        # Fewer where this process may not have so many files open.
        with contextlib.suppress(OSError):
            for number in range(MOST + 100):
                name = f"short-{number}"
                tokens.append(self._host.start_process(name, 4096, self._pid, "vmmd-test"))
        with contextlib.suppress(OSError):
            self._host.unpreserve(*tokens)
        self.clock.after(60.0, self._burst)
