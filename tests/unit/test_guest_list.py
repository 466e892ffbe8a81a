# SPDX-License-Identifier: MIT
"""The guests as they are listed: what an update does to each, why, and which stand first."""

from __future__ import annotations

from pathlib import Path

import pytest

from luo_tui.model import (
    Guest,
    Host,
    LuoState,
    Resource,
    Resources,
    ResourceState,
    Snapshot,
    State,
    Work,
)
from luo_tui.orchestrator import Abilities
from luo_tui.orchestrator.simulated import SimulatedHost, SimulatedOrchestrator
from luo_tui.update.facts import CameOver, Facts, GoesAlong, Stands
from luo_tui.update.facts_reader import FactsReader
from luo_tui.update.guest_list import RUNS, Becomes, ListedGuest, guest_list, summary
from luo_tui.update.lock import LockReading
from luo_tui.update.person import Person
from luo_tui.update.window_state import WindowState

GIB = 1 << 30
WEB = Guest(40, "qemu-system-x86", ("memory-backend-memfd",), GIB, 50.0, "web1", is_qemu=True)
NAMELESS = Guest(41, "qemu-system-x86", is_qemu=True)
VMM = Guest(50, "cloud-hyperviso", ("db-ram",), 2 * GIB, 60.0)
ALONG = GoesAlong("web1", 40, GIB, (0, 1))


def facts(state: State, *kept: Resource, **more: object) -> Facts:
    snapshot = Snapshot(Host("hv-07", "7.3.4", "boot-1"), LuoState(state), Resources(kept))
    return Facts(snapshot, may_act=True)._replace(**more)  # type: ignore[arg-type]


def listed(found: Facts, *guests: Guest, missing: tuple[str, ...] = ()) -> list[ListedGuest]:
    return list(guest_list(found, Work(frozenset(), guests, missing=missing)).guests)


def kept(token: int, name: str, pid: int) -> Resource:
    return Resource(token, "memfd", ResourceState.PRESERVED, name, GIB, pid, "vmm")


@pytest.mark.parametrize(
    ("found", "guest", "becomes", "why"),
    [
        (facts(State.NORMAL, kept(0, "db-ram", 50)), VMM, Becomes.CARRIED, "is preserved"),
        (facts(State.NORMAL), VMM, Becomes.LOST, "its agent has to do that before prepare"),
        (facts(State.NORMAL), WEB, Becomes.LOST, "guests = true in /etc/luo-tui.toml"),
        (
            facts(State.NORMAL, arms_guests=True),
            WEB,
            Becomes.NOT_ASKED,
            "was not asked: luo-tui guests check web1",
        ),
        (
            facts(State.NORMAL, arms_guests=True),
            NAMELESS,
            Becomes.NOT_ASKED,
            "luo-tui guests check qemu-41",
        ),
        # What can only be done by QEMU's own means is not done for others.
        (facts(State.NORMAL, arms_guests=True), VMM, Becomes.LOST, "its agent"),
        (facts(State.PREPARED, arms_guests=True), WEB, Becomes.LOST, "cancel (key c)"),
        (facts(State.FROZEN), VMM, Becomes.LOST, "It is not preserved, and now nothing more"),
        (facts(State.UPDATED, arms_guests=True), WEB, Becomes.NOT_YET, "finish (key f)"),
        (facts(State.UNAVAILABLE), WEB, Becomes.LOST, "no live update on this kernel"),
        (facts(State.PREPARED, armed=(ALONG,)), WEB, Becomes.ARMED, "saved directly before"),
    ],
)
def test_what_an_update_does_to_a_guest(
    found: Facts, guest: Guest, becomes: Becomes, why: str
) -> None:
    (one,) = listed(found, guest)
    assert one.becomes is becomes
    assert why in one.reason
    assert one.state == RUNS
    assert (one.pid, one.program, one.bytes) == (guest.pid, guest.comm, guest.bytes)


def test_a_kernel_without_prepare_says_what_it_can() -> None:
    found = facts(State.NORMAL, abilities=Abilities(moves=False))
    web, vmm = sorted(listed(found, WEB, VMM), key=lambda g: g.pid)
    assert web.reason.startswith("Load arms no guest on this host")
    assert "before the kexec" in vmm.reason


def test_one_that_began_after_prepare_is_told_so() -> None:
    window = WindowState("1", prepared=True, prepared_up=55.0, prepared_in="boot-1")
    found = facts(State.PREPARED, window_state=window)
    before, after = sorted(listed(found, WEB, VMM), key=lambda g: g.pid)
    assert before.reason.startswith("It is not preserved,")
    assert after.reason.startswith("It began after prepare,")


def test_those_that_are_lost_stand_first_the_largest_before_the_others() -> None:
    small, large = Guest(60, "vmm", ("s",), GIB), Guest(61, "vmm", ("l",), 4 * GIB)
    found = facts(State.PREPARED, kept(7, "db-ram", 50), armed=(ALONG,))
    there = listed(found, WEB, VMM, small, large)
    assert [g.pid for g in there] == [61, 60, 40, 50]
    assert [g.becomes.grave for g in there] == [True, True, False, False]
    assert summary(there) == "2 lost, 1 armed, 1 carried"


def test_an_armed_guest_that_is_paused_says_since_when() -> None:
    found = facts(State.PREPARED, armed=(ALONG._replace(paused=1000.5),))
    (one,) = listed(found, WEB)
    assert (one.state, one.paused) == ("paused", 1000.5)


def test_an_armed_guest_without_a_process_has_ended_or_is_not_seen() -> None:
    found = facts(State.PREPARED, armed=(ALONG,))
    (one,) = listed(found)
    assert one.becomes is Becomes.ENDED
    assert "the kexec is refused" in one.reason
    # Who may not look at all processes does not know that.
    (one,) = listed(found, missing=("which guests run is known to root alone",))
    assert (one.becomes, one.state) == (Becomes.ARMED, "not known")


def test_after_the_jump_it_is_told_what_became_of_each() -> None:
    came = (
        CameOver("web1", Stands.GOES_ON, 12.4, 40, GIB, 1000.0),
        CameOver("db1", Stands.WAITS, 0.0, 77, 2 * GIB, 1001.0),
        CameOver("ci", Stands.ENDED, 9.0, 78, GIB, 1002.0),
    )
    found = facts(State.UPDATED, came_over=came)
    waits, ended, new, on = listed(found, WEB, VMM)
    assert (waits.name, waits.becomes, waits.paused) == ("db1", Becomes.WAITS, 1001.0)
    assert "luo-tui arrive tries again" in waits.reason
    assert (waits.program, waits.state) == ("", "saved")
    assert (ended.name, ended.becomes, ended.paused) == ("ci", Becomes.ENDED, 0.0)
    assert (new.pid, new.becomes) == (50, Becomes.NOT_YET)
    assert (on.name, on.becomes) == ("web1", Becomes.WENT_ON)
    assert "after about 12 s" in on.reason
    finished = facts(State.NORMAL, came_over=came)
    assert "not there any more" in listed(finished)[0].reason


def test_guests_are_looked_for_where_no_decision_rests_on_them(tmp_path: Path) -> None:
    host = SimulatedHost.create(tmp_path)
    orchestrator = SimulatedOrchestrator(host)
    reader = FactsReader(orchestrator, tmp_path, Person.here())
    snapshot = Snapshot(orchestrator.host(), LuoState(State.NORMAL), Resources(host.resources()))
    found = reader.facts_of(snapshot, None, LockReading(), None, mine=False)
    assert found.work is None
    there = reader.guest_list(found)
    assert {g.name for g in there.guests} == {"guest-web1", "guest-db1", "guest-ci"}
    assert {g.becomes for g in there.guests} == {Becomes.CARRIED}

    def refuse() -> Work:
        raise OSError(24, "Too many open files")

    orchestrator.work = refuse  # type: ignore[method-assign]
    reader.forget()
    there = reader.guest_list(found)
    assert there.guests == ()
    assert there.missing == ("what runs here could not be read: Too many open files",)


def test_one_that_may_be_paused_or_was_never_saved_is_grave() -> None:
    came = (
        CameOver("web1", Stands.PAUSED, 0.0, 40, GIB, 1000.0),
        CameOver("db1", Stands.LOST, 0.0, 77, GIB, 0.0),
        CameOver("ci", Stands.PAUSED, 0.0, 78, GIB, 1000.0),
    )
    there = {g.name: g for g in listed(facts(State.UPDATED, came_over=came), WEB)}
    assert "is not known to run" in there["web1"].reason
    assert "was not saved" in there["db1"].reason
    assert "is not known to run" in there["ci"].reason
    assert [there[n].becomes for n in ("web1", "db1", "ci")] == [
        Becomes.WAITS,
        Becomes.LOST,
        Becomes.WAITS,
    ]


def test_an_armed_guest_that_has_ended_is_no_other_process() -> None:
    found = facts(State.PREPARED, armed=(ALONG._replace(ended=True),))
    there = {g.becomes for g in listed(found, WEB)}
    assert Becomes.ENDED in there
    assert Becomes.ARMED not in there
