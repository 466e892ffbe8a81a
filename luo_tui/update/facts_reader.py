# SPDX-License-Identifier: MIT
"""Reads what stands beside the picture of a host: journal, lock, the target's files, what runs."""

from __future__ import annotations

import time
from pathlib import Path

from luo_tui.model import InitSystem, KernelImage, ResourceState, Snapshot, Work
from luo_tui.orchestrator import HasInit, Orchestrator
from luo_tui.update import work
from luo_tui.update.act_log import delivered_here
from luo_tui.update.checks.handover import Present
from luo_tui.update.checks.target import run_checks
from luo_tui.update.facts import Facts, Finding
from luo_tui.update.guest_facts import armed, arms_guests, came_over, no_more, recorded
from luo_tui.update.guest_list import GuestList, guest_list
from luo_tui.update.held import HOLDS, HeldRecords, resource_of
from luo_tui.update.history import HistoryReader
from luo_tui.update.journal import read_latest
from luo_tui.update.kernel_abi import KernelAbi, abi_of_release
from luo_tui.update.lock import LockReading, act_count
from luo_tui.update.person import Person
from luo_tui.update.plan import Plan
from luo_tui.update.prediction import predict, predict_prepare
from luo_tui.update.rehearsal.record import RehearsalReader, Rehearsed, fitting
from luo_tui.update.resource_list import Promised, promised_here
from luo_tui.update.target import Target, look_again
from luo_tui.update.window_state import WindowState

_FRESH = 2.0
"""Seconds for which what runs need not be looked for again in order to be shown."""


class FactsReader:
    """Reads the facts that go with a snapshot; keeps what is slow to read and does not change."""

    def __init__(self, orchestrator: Orchestrator, folder: Path, me: Person) -> None:
        """``folder`` holds the journal."""
        self._orchestrator, self._folder, self._me = orchestrator, folder, me
        self.only_looks = False
        """Whether nothing is to be done from here, whoever asks."""
        self.through_init = False
        """Whether the kexec is to go through the init system."""
        self._history, self._rehearsals = HistoryReader(folder), RehearsalReader(folder)
        self._worked: tuple[float, str, Work | None] = (-_FRESH, "", None)
        """What ran, when and in which boot it was looked for."""
        self._promised: tuple[tuple[str, ...], tuple[Promised | None, str]] = ((), (None, ""))
        """What was to survive, and the jump that it was read for: it may be long."""

    def forget(self) -> None:
        """Look anew for what runs, the next time: a decision rests on it."""
        self._worked = (-_FRESH, "", None)

    def facts_of(
        self,
        snapshot: Snapshot,
        target: Target | KernelImage | None,
        lock: LockReading,
        plan: Plan | None,
        *,
        mine: bool,
    ) -> Facts:
        """Read what belongs to ``snapshot``; ``mine`` says that this console has the window."""
        image: KernelImage | None = None
        line = ""
        if isinstance(target, Target):
            image = look_again(target, self._orchestrator.kexec.modules_folder)
            line = target.command_line
        elif target is not None:
            image = target
        journal = read_latest(self._folder)
        acts_seen, lock_fault = 0, lock.fault
        try:
            acts_seen = act_count(self._orchestrator.lock_folder)
        except OSError as error:
            lock_fault = lock_fault or error.strerror or str(error)
        promised, promised_fault = self._promised_here(journal.window_state, snapshot)
        past = self._history.read()
        guests = recorded(self._orchestrator, self._folder)
        must_live = self._orchestrator.abilities.holders_must_live
        known = not snapshot.doubts("resources")
        return Facts(
            snapshot=snapshot,
            may_act=not self.only_looks and self._orchestrator.may_act(),
            only_looks=self.only_looks,
            cannot=self._orchestrator.cannot(),
            abilities=self._orchestrator.abilities,
            dropped=self._dropped(snapshot),
            image=image,
            command_line=line,
            findings=self._findings(snapshot, image, line),
            window_state=journal.window_state,
            lock_holder=lock.person,
            lock_fault=lock_fault,
            journal_fault=journal.fault,
            me=self._me,
            mine=mine,
            plan=plan,
            acts_seen=acts_seen,
            promised=promised,
            promised_fault=promised_fault,
            work=self._work(snapshot),
            predicted=predict(past, self._rehearsed(snapshot, image)),
            prepare_time=predict_prepare(past, snapshot.bytes_in(ResourceState.PRESERVED)),
            through=self._through(),
            delivered=delivered_here(self._folder, snapshot),
            arms_guests=arms_guests(self._orchestrator),
            armed=armed(guests, snapshot, named=must_live),
            unarmed=no_more(guests, snapshot) if must_live and known else (),
            came_over=came_over(guests, journal.window_state, snapshot),
        )

    def _through(self) -> InitSystem | None:
        """Ask the init system, where the kexec is to go through it."""
        if not self.through_init:
            return None
        host = self._orchestrator
        return host.init_system() if isinstance(host, HasInit) else InitSystem()

    def _rehearsed(self, snapshot: Snapshot, image: KernelImage | None) -> Rehearsed | None:
        """Return the latest rehearsal, if it was of what is to be done."""
        if image is None:
            return None
        host = snapshot.host
        return fitting(self._rehearsals.read(), host.name, host.release, image.release)

    def _findings(
        self, snapshot: Snapshot, image: KernelImage | None, line: str
    ) -> tuple[Finding, ...]:
        if image is None:
            return ()
        running, kexec = self._orchestrator.running_kernel(), self._orchestrator.kexec
        if running.formats:
            abi = KernelAbi(running.formats, "the running kernel's debugfs")
        else:
            abi = abi_of_release(kexec.boot_folder, snapshot.host.release)
        present = Present(running, abi, kexec.command_line())
        return run_checks(snapshot, image, line, present)

    def _dropped(self, snapshot: Snapshot) -> tuple[str, ...]:
        """Name what was held in this boot and nobody has any more, where that can be.

        A record that cannot be read names nothing; what it would name is shown by nobody.
        """
        if not self._orchestrator.abilities.holders_must_live or snapshot.doubts("resources"):
            return ()
        try:
            records = HeldRecords(self._folder / HOLDS).all()
        except OSError as error:
            return (f"the records cannot be read ({error.strerror or error})",)
        here = snapshot.host.boot_id
        return tuple(
            held.name
            for held in records
            if held.boot == here and resource_of(held, snapshot)[0] is None
        )

    def _work(self, snapshot: Snapshot) -> Work | None:
        """Look for what runs, where a decision rests on it; for pictures not again and again."""
        if not work.wanted(snapshot, self._orchestrator.abilities):
            return None
        return self._looked(snapshot)

    def _looked(self, snapshot: Snapshot) -> Work:
        at, boot_id, found = self._worked
        now = time.monotonic()
        if found is None or boot_id != snapshot.host.boot_id or now - at > _FRESH:
            found = work.look_now(self._orchestrator)
            self._worked = (time.monotonic(), snapshot.host.boot_id, found)
        return found

    def guest_list(self, facts: Facts) -> GuestList:
        """List the guests of the host; looks for them where the facts rest on none."""
        return guest_list(facts, facts.work or self._looked(facts.snapshot))

    def _promised_here(
        self, window_state: WindowState | None, snapshot: Snapshot
    ) -> tuple[Promised | None, str]:
        """Read what was to survive the jump into this kernel; once, for it does not change."""
        boot_id = snapshot.host.boot_id
        if window_state is None:
            return None, ""
        jump_ = (window_state.window, window_state.promised_file, window_state.closed, boot_id)
        known, found = self._promised
        if known != jump_ or found[1]:
            found = promised_here(self._folder, window_state, boot_id)
            self._promised = (jump_, found)
        return found
