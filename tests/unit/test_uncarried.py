# SPDX-License-Identifier: MIT
"""What ends with this kernel is named before the kexec: guests that nobody preserved, services."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from luo_tui.errors import NotDone
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
from luo_tui.orchestrator.simulated import HOST_NAME, SimulatedJump
from luo_tui.orchestrator.simulated.host import SERVICES
from luo_tui.update.facts import Act, Facts, GoesAlong
from luo_tui.update.journal import MOST, encode_record, read
from luo_tui.update.offers import offered
from luo_tui.update.resource_list import few_of
from luo_tui.update.uncarried import lost_guests, uncarried
from luo_tui.update.walk import walk
from luo_tui.update.window_state import Record, WindowState
from tests.unit.test_acts import Console, host

GIB = 1 << 30


def kept(token: int, name: str, pid: int) -> Resource:
    return Resource(token, "memfd", ResourceState.PRESERVED, name, GIB, pid, "vmm")


def facts(*there: Resource | Guest, missing: tuple[str, ...] = (), up: float = 100.0) -> Facts:
    resources = Resources(r for r in there if isinstance(r, Resource))
    guests = tuple(g for g in there if isinstance(g, Guest))
    here = Host("hv-07", "7.3.4", "boot-1")
    window_state = WindowState("1", prepared=True, prepared_up=up, prepared_in="boot-1")
    return Facts(
        Snapshot(here, LuoState(State.PREPARED), resources),
        may_act=True,
        window_state=window_state,
        work=Work(frozenset(), guests, missing=missing),
    )


@pytest.mark.parametrize(
    ("there", "lost"),
    [
        # Its own process has preserved it.
        ((kept(0, "ram", 40), Guest(40, "vmm", ("ram",), GIB)), []),
        # An agent has, for the only guest with a memfd of that name.
        ((kept(0, "a-ram", 9), Guest(40, "vmm", ("a-ram",), GIB)), []),
        # A name that more guests than resources bear proves nothing.
        (
            (kept(0, "ram", 9), Guest(40, "vmm", ("ram",)), Guest(41, "vmm", ("ram",))),
            [40, 41],
        ),
        # What a guest has preserved is its own, and no other's of that name.
        ((kept(0, "ram", 40), Guest(40, "vmm", ("ram",)), Guest(41, "vmm", ("ram",))), [41]),
        # Its smaller memfd is not its memory.
        ((kept(0, "vgpu", 40), Guest(40, "vmm", ("ram", "vgpu"), GIB)), [40]),
        # Whoever may not read the names takes its word.
        ((kept(0, "", 40), Guest(40, "vmm", ("ram",), GIB)), []),
        ((Guest(40, "vmm"), Guest(41, "qemu", ("x",), GIB)), [41, 40]),
    ],
)
def test_a_guest_is_carried_by_what_is_preserved_of_it(
    there: tuple[Resource | Guest, ...], lost: list[int]
) -> None:
    assert [g.pid for g in uncarried(facts(*there))] == lost


RAM, ITS_STATE = "memory-backend-memfd", "luo-state-web1"
WEB = Guest(40, "qemu", (RAM, ITS_STATE), GIB)
OTHER = Guest(41, "qemu", (RAM,), GIB, name="web2", is_qemu=True)
ARMED = GoesAlong("web1", 40, GIB, (0, 1))


def test_an_armed_guest_survives_and_its_memory_is_no_other_guests() -> None:
    there = (kept(0, RAM, 9), kept(1, ITS_STATE, 9))
    assert uncarried(facts(*there, WEB)._replace(armed=(ARMED,))) == ()
    # QEMU calls all guests' memory by one name. The other one is lost, whether both are there
    # or the first has ended since it was armed.
    assert uncarried(facts(*there, WEB, OTHER)._replace(armed=(ARMED,))) == (OTHER,)
    assert uncarried(facts(*there, OTHER)._replace(armed=(ARMED,))) == (OTHER,)


def test_the_consent_names_armed_guests_among_what_survives() -> None:
    now = facts(kept(0, RAM, 9), kept(1, ITS_STATE, 9), WEB, OTHER)
    action = offered(Act.KEXEC, now._replace(armed=(ARMED,)))
    assert action is not None
    assert action.survives[0] == "guest web1 [40], 1 GiB: goes on in the new kernel"
    assert any("pauses and saves 1 guest of QEMU" in line for line in action.does)
    assert "1 guest is not preserved and will be lost: web2 (qemu [41]), 1 GiB." in action.lost
    action = offered(Act.KEXEC, now)
    assert action is not None
    assert not any("of QEMU" in line for line in action.does)


@pytest.mark.parametrize("arms", [True, False])
def test_prepare_says_that_it_arms_guests(arms: bool) -> None:
    now = facts()
    normal = now.snapshot._replace(luo=LuoState(State.NORMAL))
    action = offered(Act.PREPARE, now._replace(snapshot=normal, arms_guests=arms))
    assert action is not None
    assert any("Arms the guests of QEMU" in line for line in action.does) == arms
    assert any("would carry nothing across" in line for line in action.does) != arms


def test_what_began_since_prepare_is_told_apart() -> None:
    guests = [Guest(40 + n, "vmm", (f"new-{n}",), GIB, 200.0 + n) for n in range(3)]
    old = Guest(30, "qemu", started=50.0)
    assert list(lost_guests(facts(old, *guests))) == [
        "3 started since prepare will be lost: new-0 (vmm [40]), 1 GiB; new-1 (vmm [41]), 1 GiB; "
        "new-2 (vmm [42]), 1 GiB.",
        "1 guest is not preserved and will be lost: qemu [30].",
    ]
    # Where no window prepared, or in another boot, it is not known which are new.
    unknown = facts(old, *guests, up=0.0)
    assert [t[:43] for t in lost_guests(unknown)] == ["4 guests are not preserved and will be lost"]
    many = [Guest(40 + n, "vmm", started=200.0) for n in range(300)]
    (line,) = lost_guests(facts(*many))
    assert line.startswith("300 started since prepare will be lost: vmm [40]; ")
    assert line.endswith("and 292 more.")


def test_what_could_not_be_looked_at_is_said() -> None:
    why = "which guests run is known to root alone"
    assert list(lost_guests(facts(missing=(why,)))) == [
        f"What else would be lost is not known: {why}."
    ]


def prepared(tmp_path: Path) -> Console:
    console = Console(host(tmp_path))
    console.load()
    console.prepare()
    return console


def test_a_guest_that_starts_after_prepare_is_named_before_the_kexec(tmp_path: Path) -> None:
    console = prepared(tmp_path)
    shown = walk(console.window.facts(console.target)).action(Act.KEXEC)
    assert shown is not None
    assert not any("not preserved" in line or "since prepare" in line for line in shown.lost)
    assert any(f"is lost ({len(SERVICES)}: chrony, cron, nginx" in line for line in shown.lost)
    before = console.yes(Act.KEXEC, HOST_NAME)
    # The kernel's clock has ticks of ten milliseconds.
    time.sleep(0.02)
    with pytest.raises(OSError, match="busy"):
        console.host.start_process("guest-late", 2 * GIB, 2399, "cloud-hyperviso")
    with pytest.raises(NotDone, match=r"guest-late \(cloud-hyperviso \[2399\]\) runs and is not"):
        console.window.kexec(before, console.target, lambda: None)
    now = walk(console.window.facts(console.target)).action(Act.KEXEC)
    assert now is not None
    assert now.lost[0] == (
        "1 started since prepare will be lost: guest-late (cloud-hyperviso [2399]), 2 GiB."
    )
    with pytest.raises(SimulatedJump):
        console.kexec()
    console.window.release()
    path = next((tmp_path / "windows").glob("*.jsonl"))
    (record,) = (r for r in read(path) if r.event == "jump")
    assert record.data["unpreserved_count"] == 1
    assert record.data["unpreserved"] == ["guest-late (cloud-hyperviso [2399])"]
    assert "guest-late" not in console.host.guests


def test_what_runs_is_looked_for_only_where_something_rests_on_it(tmp_path: Path) -> None:
    console = Console(host(tmp_path))
    looked: list[object] = []
    work = console.orchestrator.work
    console.orchestrator.work = lambda: looked.append(0) or work()  # type: ignore[method-assign, func-returns-value]
    console.window.facts()
    assert not looked
    console.load()
    console.prepare()
    looked.clear()
    snapshot = console.look()
    for _ in range(5):
        console.window.facts_of(snapshot)
    assert len(looked) <= 1
    # An act looks for itself.
    console.window.facts()
    assert len(looked) >= 1


def test_a_host_that_cannot_be_looked_at_is_in_doubt(tmp_path: Path) -> None:
    console = prepared(tmp_path)

    def refuse() -> Work:
        raise OSError(24, "Too many open files")

    console.orchestrator.work = refuse  # type: ignore[method-assign]
    offer = walk(console.window.facts(console.target)).action(Act.KEXEC)
    assert offer is not None
    assert offer.lost[0] == (
        "What else would be lost is not known: "
        "what runs here could not be read: Too many open files."
    )


def test_names_in_a_record_leave_it_whole() -> None:
    names = ["\u4e2d" * 4000] * 100
    few = few_of(names)
    assert 0 < len(few) < 20
    record = Record("jump", "", "b", 0, {"unpreserved": few, "promised": {"count": 7}})
    line = encode_record(record)
    assert len(line) <= MOST
    assert json.loads(line)["data"] == record.data
    assert few_of(f"g{n}" for n in range(30)) == [f"g{n}" for n in range(20)]


def test_a_guest_that_ended_is_no_reason_to_ask_again(tmp_path: Path) -> None:
    console = prepared(tmp_path)
    console.host.guests["guest-x"] = Guest(2400, "cloud-hyperviso", ("guest-x",), GIB, 0.0)
    consent = console.yes(Act.KEXEC, HOST_NAME)
    assert consent.uncarried == (2400,)
    assert replace(consent, uncarried=()) != consent
    console.host.end_process("guest-x")
    with pytest.raises(SimulatedJump):
        console.window.kexec(consent, console.target, lambda: None)
    console.window.release()
