# SPDX-License-Identifier: MIT
"""The hub: latest wins, one wake a burst, and a dead source takes no other along."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from luo_tui.model import Host, KexecState, LuoState, Snapshot, State
from luo_tui.monitor import hub as hub_module
from luo_tui.monitor import poller
from luo_tui.monitor.hub import Hub
from luo_tui.monitor.repeats import MOST
from luo_tui.orchestrator import Move
from luo_tui.orchestrator.simulated import (
    SimulatedHost,
    SimulatedJump,
    SimulatedOrchestrator,
    SimulatedSource,
)
from luo_tui.orchestrator.simulated.orchestrator import SimulatedKexec
from luo_tui.sources import Source
from luo_tui.sources.changes import Change, LuoChanged, ReadingDone, ResourceGone
from tests.opened import load_files


class Flaky:
    """A source that does what a test tells it."""

    name = "flaky"
    events = select.POLLIN

    def __init__(self) -> None:
        self.fd = -1
        self.fault: Exception | None = None
        self.overrun = False
        self.holds: tuple[Change, ...] = ()
        self.reopened = 0

    def fileno(self) -> int:
        return self.fd

    def ring(self) -> None:
        os.eventfd_write(self.fd, 1)

    def enumerate(self) -> Sequence[Change]:
        return self.holds

    def drain(self) -> Sequence[Change] | None:
        if self.fault is not None:
            raise self.fault
        os.eventfd_read(self.fd)
        return None if self.overrun else ()

    def reopen(self) -> None:
        self.close()
        if self.fault is not None:
            raise self.fault
        self.reopened += 1
        self.fd = os.eventfd(0)

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class Both(SimulatedOrchestrator):
    """The simulated orchestrator with a flaky source beside its own."""

    flaky: Flaky

    def sources(self) -> Sequence[Source]:
        return (*super().sources(), self.flaky)


def until(true: Callable[[], bool], seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.fixture
def host(tmp_path: Path) -> SimulatedHost:
    return SimulatedHost.create(tmp_path)


def test_the_first_picture_is_there_at_once_and_news_wake(host: SimulatedHost) -> None:
    woken = threading.Event()
    hub = Hub(SimulatedOrchestrator(host), woken.set)
    hub.start()
    hub.start()
    try:
        assert hub.snapshot.luo.state is State.NORMAL
        assert len(hub.snapshot.outgoing) == 4
        woken.clear()
        host.move(Move.PREPARE)
        assert woken.wait(5)
        until(lambda: hub.snapshot.luo.state is State.PREPARED)
    finally:
        hub.stop()
        hub.stop()
    assert not any(t.name == "hub" for t in threading.enumerate())


def test_one_wake_for_a_burst_and_the_latest_picture(host: SimulatedHost) -> None:
    wakes: list[int] = []
    hub = Hub(SimulatedOrchestrator(host), lambda: wakes.append(1))
    hub.start()
    try:
        _ = hub.snapshot
        wakes.clear()
        for _ in range(200):
            host.move(Move.PREPARE)
            host.move(Move.CANCEL)
        fd = os.memfd_create("last")
        token = host.preserve(fd)
        os.close(fd)
        until(lambda: token in hub._latest.resources)
        # Nobody has looked yet: nobody is told twice.
        assert len(wakes) == 1
        assert token in hub.snapshot.resources
    finally:
        hub.stop()


def test_nothing_new_wakes_nobody(host: SimulatedHost) -> None:
    wakes: list[int] = []
    hub = Hub(SimulatedOrchestrator(host), lambda: wakes.append(1))
    hub.start()
    try:
        before = hub.snapshot
        wakes.clear()
        host._tell()
        hub.refresh()
        time.sleep(0.2)
        assert wakes == []
        assert hub.snapshot is before
    finally:
        hub.stop()


@pytest.mark.parametrize("fault", [OSError(5, "Input/output error"), ValueError("nonsense")])
def test_a_dead_source_is_shown_and_comes_back(host: SimulatedHost, fault: Exception) -> None:
    orchestrator = Both(host)
    orchestrator.flaky = flaky = Flaky()
    hub = Hub(orchestrator, lambda: None)
    hub.start()
    try:
        flaky.fault = fault
        flaky.ring()
        until(lambda: bool(hub.snapshot.health["flaky"].fault))
        since = hub.snapshot.health["flaky"].since
        assert since > 0
        # The other one lives.
        host.move(Move.PREPARE)
        until(lambda: hub.snapshot.luo.state is State.PREPARED)
        assert hub.snapshot.health["flaky"].since == since
        flaky.fault = None
        hub.refresh()
        until(lambda: not hub.snapshot.health["flaky"].fault)
        assert flaky.reopened == 2
    finally:
        hub.stop()


def test_lost_news_have_everything_read_anew(host: SimulatedHost) -> None:
    orchestrator = Both(host)
    orchestrator.flaky = flaky = Flaky()
    hub = Hub(orchestrator, lambda: None)
    hub.start()
    try:
        flaky.overrun = True
        flaky.holds = (LuoChanged(LuoState(State.FROZEN)), ResourceGone(0))
        flaky.ring()
        until(lambda: hub.snapshot.luo.state is State.FROZEN)
        assert 0 not in hub.snapshot.resources
        assert flaky.reopened == 2
    finally:
        hub.stop()


def test_a_source_that_always_dies_keeps_nobody_busy(host: SimulatedHost) -> None:
    orchestrator = Both(host)
    orchestrator.flaky = flaky = Flaky()
    hub = Hub(orchestrator, lambda: None)
    hub.start()
    try:
        flaky.fault = OSError(5, "Input/output error")
        flaky.ring()
        until(lambda: bool(hub.snapshot.health["flaky"].fault))
        # It could be opened now, and would die at once again: it waits for other news.
        flaky.fault = None
        time.sleep(0.1)
        assert flaky.reopened == 1
        host.move(Move.PREPARE)
        until(lambda: not hub.snapshot.health["flaky"].fault)
        assert flaky.reopened == 2
    finally:
        hub.stop()


def test_a_host_that_cannot_be_read_is_a_fault_and_not_the_end(host: SimulatedHost) -> None:
    class Strange(SimulatedOrchestrator):
        broken = False

        def host(self) -> Host:
            if self.broken:
                raise ValueError("no such thing")
            return super().host()

    orchestrator = Strange(host)
    hub = Hub(orchestrator, lambda: None)
    hub.start()
    try:
        orchestrator.broken = True
        host.move(Move.PREPARE)
        until(lambda: hub.snapshot.luo.state is State.PREPARED)
        fault = hub.snapshot.health["host"].fault
        assert fault == "an error of this program, not of the host: ValueError: no such thing"
        orchestrator.broken = False
        hub.refresh()
        until(lambda: not hub.snapshot.health["host"].fault)
    finally:
        hub.stop()


def test_a_reader_that_fails_is_told_of_the_next_news(host: SimulatedHost) -> None:
    wakes: list[int] = []

    def wake() -> None:
        wakes.append(1)
        raise RuntimeError("the loop is closed")

    hub = Hub(SimulatedOrchestrator(host), wake)
    hub.start()
    try:
        host.move(Move.PREPARE)
        until(lambda: hub._latest.luo.state is State.PREPARED)
        before = len(wakes)
        host.move(Move.CANCEL)
        until(lambda: len(wakes) > before)
    finally:
        hub.stop()


def test_signals_are_for_the_main_thread(host: SimulatedHost) -> None:
    orchestrator = Both(host)
    orchestrator.flaky = Flaky()
    mine = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    seen: list[set[signal.Signals]] = []

    def wake() -> None:
        if threading.current_thread().name == "hub":
            seen.append({signal.Signals(s) for s in signal.pthread_sigmask(signal.SIG_BLOCK, ())})

    hub = Hub(orchestrator, wake)
    hub.start()
    try:
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == mine
        _ = hub.snapshot
        host.move(Move.PREPARE)
        until(lambda: bool(seen))
    finally:
        hub.stop()
    names = ("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGTSTP")
    assert {signal.Signals[name] for name in names} <= seen[0]


def test_an_idle_hub_uses_no_time(host: SimulatedHost) -> None:
    hub = Hub(SimulatedOrchestrator(host), lambda: None)
    hub.start()
    try:
        (thread,) = [t for t in threading.enumerate() if t.name == "hub"]
        time.sleep(0.1)

        def switches() -> int:
            text = Path(f"/proc/self/task/{thread.native_id}/status").read_text()
            return int(text.partition("voluntary_ctxt_switches:")[2].split()[0])

        before = switches()
        time.sleep(0.5)
        assert switches() == before
    finally:
        hub.stop()


def test_what_cannot_notify_is_read_at_refresh(host: SimulatedHost) -> None:
    hub = Hub(SimulatedOrchestrator(host), lambda: None)
    hub.start()
    try:
        host.image = "7.3.4-hv"
        assert not hub.snapshot.kexec.loaded
        assert hub.read_now().kexec.loaded
        hub.refresh()
        until(lambda: hub.snapshot.kexec.loaded)
    finally:
        hub.stop()


def test_whoever_waits_has_the_machine_as_it_was_after_he_began(host: SimulatedHost) -> None:
    hub = Hub(SimulatedOrchestrator(host), lambda: None)
    hub.start()
    try:
        for image in ("7.3.4-hv", "", "7.3.4-hv"):
            host.image = image
            hub.wait_refreshed()
            assert hub.snapshot.kexec.loaded is bool(image)
    finally:
        hub.stop()
    hub.wait_refreshed()


def test_whoever_waits_is_let_go_when_nothing_can_be_read_and_when_it_ends(
    host: SimulatedHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Snapshot:
        raise Sick("boom")

    hub = Hub(SimulatedOrchestrator(host), lambda: None)
    hub.start()
    monkeypatch.setattr(hub_module, "fold", fail)
    try:
        for _ in range(3):
            hub.wait_refreshed()
            assert hub.snapshot.doubts("monitor")
    finally:
        hub.stop()


def test_a_jump_seen_from_outside_changes_the_host(host: SimulatedHost) -> None:
    host.jump = None
    hub = Hub(SimulatedOrchestrator(host), lambda: None)
    hub.start()
    try:
        load_files(host.load, host.boot_folder / "vmlinuz-7.3.4-hv")
        host.move(Move.PREPARE)
        with pytest.raises(SimulatedJump):
            host.reboot()
        until(lambda: hub.snapshot.host.release == "7.3.4-hv")
        until(lambda: hub.snapshot.luo.state is State.UPDATED)
        assert len(hub.snapshot.restored) == 4
    finally:
        hub.stop()


def test_an_unreadable_source_does_not_stop_a_single_look(host: SimulatedHost) -> None:
    class Broken(SimulatedSource):
        def enumerate(self) -> Sequence[Change]:
            raise OSError(13, "Permission denied")

    class Half(SimulatedOrchestrator):
        def sources(self) -> Sequence[Source]:
            return (Broken(host),)

    seen = Hub(Half(host), lambda: None).read_now()
    assert seen.luo == LuoState(State.UNAVAILABLE, "not read yet")
    assert seen.health["resources"].fault == "Permission denied"


def test_a_source_that_cannot_be_read_shows_in_what_an_act_rests_on(host: SimulatedHost) -> None:
    class Broken(Flaky):
        def enumerate(self) -> Sequence[Change]:
            raise OSError(24, "Too many open files")

    hub = Hub(SimulatedOrchestrator(host), lambda: None, (Broken(),))
    assert hub.read_now().doubts() == ()
    seen = hub.read_all()
    assert seen.luo.state is State.NORMAL
    assert seen.doubts() == ("flaky: Too many open files",)
    assert seen.doubts("resources") == ()
    assert not seen.health["flaky"].complete
    assert seen.health["resources"].complete


def test_a_kexec_that_cannot_be_read_is_not_none_loaded(host: SimulatedHost) -> None:
    class Kexec(SimulatedKexec):
        def state(self) -> KexecState:
            raise OSError(24, "Too many open files", "/sys/kernel/kexec_loaded")

    orchestrator = SimulatedOrchestrator(host)
    orchestrator.kexec = Kexec(host)
    hub = Hub(orchestrator, lambda: None)
    for seen in (hub.read_now(), hub.read_all()):
        assert seen.doubts("host") == ("host: /sys/kernel/kexec_loaded: Too many open files",)


def test_what_was_read_in_part_is_missing_until_it_is_read_to_the_end(
    host: SimulatedHost,
) -> None:
    orchestrator = Both(host)
    orchestrator.flaky = flaky = Flaky()
    flaky.holds = (ReadingDone("flaky", ("half of it is not known",)),)
    hub = Hub(orchestrator, lambda: None)
    assert hub.read_now().doubts() == ("flaky: half of it is not known",)
    hub.start()
    try:
        assert hub.snapshot.doubts() == ("flaky: half of it is not known",)
        hub.refresh()
        flaky.holds = ()
        hub.refresh()
        until(lambda: hub.snapshot.doubts() == ())
        flaky.fault = OSError(5, "Input/output error")
        flaky.ring()
        until(lambda: hub.snapshot.doubts() == ("flaky: Input/output error",))
        # Its own reading is complete again, and yet it does not notify.
        assert hub.read_now().doubts() == ("flaky: Input/output error",)
    finally:
        hub.stop()


def test_a_reading_that_fails_is_tried_again_and_told_once(
    host: SimulatedHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unread(Flaky):
        broken = True
        tried = 0

        def enumerate(self) -> Sequence[Change]:
            self.tried += 1
            if self.broken:
                raise OSError(24, "Too many open files")
            return self.holds

    monkeypatch.setattr(poller, "_RETRY", 0.02)
    orchestrator = Both(host)
    orchestrator.flaky = flaky = Unread()
    hub = Hub(orchestrator, lambda: None)
    hub.start()
    try:
        until(lambda: flaky.tried >= 4)
        assert hub.snapshot.health["flaky"].fault == "Too many open files"
        # What cannot be read is not listened to; while it is tried, it is.
        until(lambda: flaky.fd == -1)
        told = [e.text for e in hub.log.since(0) if e.subject == "flaky"]
        assert told == ["flaky is not live: Too many open files"]
        flaky.broken = False
        until(lambda: not hub.snapshot.health["flaky"].fault)
        assert [e.text for e in hub.log.since(0) if e.subject == "flaky"][1:] == [
            "flaky is live again"
        ]
    finally:
        hub.stop()


class Sick(Exception):
    """An error of the hub's own."""


def test_an_error_of_the_threads_own_leaves_no_old_picture_behind(
    host: SimulatedHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, sick, tries = hub_module.fold, threading.Event(), []

    def fold(snapshot: Snapshot, changes: Sequence[Change]) -> Snapshot:
        if sick.is_set() and threading.current_thread().name == "hub":
            tries.append(time.monotonic())
            raise Sick("boom")
        return real(snapshot, changes)

    monkeypatch.setattr(hub_module, "fold", fold)
    woken = threading.Event()
    hub = Hub(SimulatedOrchestrator(host), woken.set)
    hub.start()
    try:
        _ = hub.snapshot
        woken.clear()
        sick.set()
        host.move(Move.PREPARE)
        until(lambda: bool(hub._latest.doubts("monitor")))
        assert woken.wait(5)
        shown = hub.snapshot
        assert shown.luo.state is State.NORMAL
        (doubt,) = shown.doubts("monitor")
        assert doubt.startswith("monitor: an error of luo-tui's own; the kernel is untouched")
        assert "Sick: boom (test_hub.py:" in doubt
        # What an act rests on is read anew, and yet says that the screen is old.
        assert hub.read_all().luo.state is State.PREPARED
        assert hub.read_all().doubts("monitor") == (doubt,)
        assert hub.read_now().doubts("monitor") == (doubt,)
        until(lambda: len(tries) >= 4)
        gaps = [b - a for a, b in pairwise(tries)]
        assert gaps[-1] > gaps[0], "it spins"
        sick.clear()
        until(lambda: hub.snapshot.luo.state is State.PREPARED)
        until(lambda: hub.snapshot.doubts() == ())
        told = [e.text for e in hub.log.since(0) if e.subject == "monitor"]
        assert len(told) == 2
        assert told[1] == "monitor is live again"
        assert any(e.text == "state normal -> prepared" for e in hub.log.since(0))
        host.move(Move.CANCEL)
        until(lambda: hub.snapshot.luo.state is State.NORMAL)
    finally:
        hub.stop()


def test_it_can_be_stopped_while_it_recovers(
    host: SimulatedHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_poller: object) -> list[int]:
        raise Sick

    monkeypatch.setattr(hub_module.Poller, "wait", broken)
    monkeypatch.setattr(hub_module, "_FIRST_PAUSE", 60.0)
    hub = Hub(SimulatedOrchestrator(host), lambda: None)
    hub.start()
    until(lambda: bool(hub.snapshot.doubts("monitor")))
    began = time.monotonic()
    hub.stop()
    assert time.monotonic() - began < 5


def test_an_error_that_comes_back_at_once_keeps_nobody_busy_and_fills_no_log(
    host: SimulatedHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[float] = []

    def broken(_poller: object) -> list[int]:
        turns.append(time.monotonic())
        raise Sick

    monkeypatch.setattr(hub_module.Poller, "wait", broken)
    monkeypatch.setattr(hub_module, "_FIRST_PAUSE", 0.001)
    monkeypatch.setattr(hub_module, "_LONGEST_PAUSE", 0.2)
    hub = Hub(SimulatedOrchestrator(host), lambda: None)
    hub.start()
    try:
        until(lambda: len(turns) > 12)
        told = [e.text for e in hub.log.since(0) if e.subject == "monitor"]
        assert len(told) == MOST
        assert "comes and goes" in told[-1]
        assert turns[-1] - turns[-2] > 0.1
    finally:
        hub.stop()


def test_what_cannot_be_told_does_not_hold_the_picture_back(
    host: SimulatedHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = Hub(SimulatedOrchestrator(host), lambda: None)
    hub.start()
    try:

        def broken(*_args: object) -> None:
            raise Sick("no words")

        monkeypatch.setattr(hub_module, "events_of", broken)
        host.move(Move.PREPARE)
        until(lambda: hub.snapshot.luo.state is State.PREPARED)
        told = hub.log.since(1)
        assert [e.subject for e in told if e.kind == "state"] == ["prepared"]
        faults = [e for e in told if "could not be told in full: Sick: no words" in e.text]
        assert faults
        assert faults[0].grave
    finally:
        hub.stop()


def test_what_is_not_known_from_the_start_is_told(host: SimulatedHost) -> None:
    flaky = Flaky()
    flaky.holds = (ReadingDone("flaky", ("half of it is not known",)),)
    hub = Hub(SimulatedOrchestrator(host), lambda: None, (flaky,))
    hub.start()
    try:
        began, missing = hub.log.since(0)
        assert began.text.startswith("watching begins")
        assert (missing.text, missing.grave) == ("flaky: half of it is not known", False)
    finally:
        hub.stop()
