# SPDX-License-Identifier: MIT
"""The hub: latest wins, one wake a burst, and a dead source takes no other along."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from luo_tui.model import Host, LuoState, State
from luo_tui.monitor.hub import Hub
from luo_tui.orchestrator import Move
from luo_tui.orchestrator.simulated import (
    SimulatedHost,
    SimulatedJump,
    SimulatedOrchestrator,
    SimulatedSource,
)
from luo_tui.sources import Source
from luo_tui.sources.changes import Change, LuoChanged, ResourceGone


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
        assert hub.snapshot.health["host"].fault == "ValueError: no such thing"
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


def test_a_jump_seen_from_outside_changes_the_host(host: SimulatedHost) -> None:
    host.jump = None
    hub = Hub(SimulatedOrchestrator(host), lambda: None)
    hub.start()
    try:
        host.load(str(host.boot_folder / "vmlinuz-7.3.4-hv"), "")
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
