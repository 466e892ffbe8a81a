# SPDX-License-Identifier: MIT
"""What became of devices and resources in this update."""

from __future__ import annotations

import pytest

from luo_tui.model import (
    Device,
    Host,
    LuoState,
    Participant,
    Resource,
    Resources,
    ResourceState,
    RestoreFailure,
    Snapshot,
    SourceHealth,
    State,
)
from luo_tui.update.came_over import (
    Came,
    devices_after,
    devices_summary,
    promises_text,
    resource_came,
)
from luo_tui.update.facts import Facts
from luo_tui.update.resource_list import Listed, Promised

NIC, DISK, GPU = (Device(n, "pci", driver=d) for n, d in (("a", "mlx5"), ("b", "nvme"), ("c", "")))


def pci(name: str, state: str, **more: str) -> Participant:
    return Participant(f"pci-{name}", "pci", name, state, driver="mlx5", **more)


def facts(
    *there: Participant,
    state: State = State.UPDATED,
    promised: Promised | None = None,
    resources: tuple[Resource, ...] = (),
    **more: object,
) -> Facts:
    snapshot = Snapshot(
        Host("h", "7", "b"),
        LuoState(state),
        resources=Resources(resources),
        participants={p.id: p for p in there},
        devices={d.id: d for d in (NIC, DISK, GPU)},
    )
    return Facts(snapshot._replace(**more), True, promised=promised)  # type: ignore[arg-type]


def told(found: Facts) -> dict[str, Came | None]:
    return {one.device.id: one.came for one in devices_after(found)}


def test_only_after_a_jump_something_became_of_a_device() -> None:
    found = devices_after(facts(pci("a", "registered"), state=State.NORMAL))
    assert [one.came for one in found] == [None] * 3
    assert list(devices_summary(found)) == []


@pytest.mark.parametrize(
    ("there", "came", "words"),
    [
        ((pci("a", "claimed"),), Came.CARRIED, "ran on through the update; mlx5 has it"),
        ((pci("a", "incoming"),), Came.WAITS, "No driver has claimed it yet."),
        ((pci("a", "lost", reason="its bridge is gone"),), Came.LOST, "Its bridge is gone."),
        ((), Came.LOST, "This kernel knows nothing of it."),
    ],
)
def test_what_became_of_a_promised_device(
    there: tuple[Participant, ...], came: Came, words: str
) -> None:
    promise = Promised(participants=(pci("a", "frozen"),))
    found = devices_after(facts(*there, promised=promise))
    one = next(f for f in found if f.device.id == "a")
    assert one.came is came
    assert words in one.reason
    assert one.grave is (came is Came.LOST)
    assert told(facts(*there, promised=promise)) == {"a": came, "b": Came.ANEW, "c": Came.ANEW}


def test_the_lost_ones_come_first_and_one_that_nobody_knows_is_told_all_the_same() -> None:
    promise = Promised(participants=(pci("a", "frozen"), pci("gone", "frozen")))
    found = devices_after(facts(pci("a", "claimed"), promised=promise))
    assert [f.device.id for f in found][:2] == ["gone", "a"]
    assert list(devices_summary(found)) == ["1 LOST", "1 kept running", "2 set up anew"]
    assert "no driver is bound" in next(f.reason for f in found if f.device.id == "c")


def test_without_a_record_the_kernel_is_believed() -> None:
    assert told(facts(pci("a", "lost", reason="x")))["a"] is Came.LOST
    assert told(facts(pci("a", "claimed")))["a"] is Came.CARRIED
    assert told(facts(pci("a", "registered")))["a"] is Came.ANEW


def test_what_could_not_be_read_is_not_lost() -> None:
    blind = {"resources": SourceHealth("resources", missing=("the list could not be read",))}
    promise = Promised(participants=(pci("a", "frozen"),))
    assert told(facts(promised=promise, health=blind))["a"] is Came.UNKNOWN


def memfd(token: int, state: ResourceState, **more: bool) -> Resource:
    return Resource(token, "memfd", state, f"g{token}", 4096, 7, "vmm", **more)


def test_what_became_of_a_resource() -> None:
    there = (
        memfd(1, ResourceState.RESTORED),
        memfd(2, ResourceState.INCOMING),
        memfd(3, ResourceState.INCOMING),
        memfd(4, ResourceState.PRESERVED),
        memfd(5, ResourceState.RESTORED, abandoned=True),
        memfd(6, ResourceState.UNKNOWN),
    )
    promise = Promised(
        tuple(Listed(n, f"g{n}", "memfd", 4096, 7, "vmm") for n in (1, 2, 3, 5, 6, 9))
    )
    found = facts(
        resources=there, promised=promise, failed_restores={3: RestoreFailure(12, 1_000_000.0)}
    )
    said = [resource_came(r, found) for r in there]
    assert said[0] == "came over and was restored"
    assert said[1] == "came over; nobody has restored it yet"
    assert said[2].startswith("RESTORE FAILED: ")
    assert "ENOMEM" in said[2]
    assert said[3] == "no part of it: it was preserved since"
    assert said[4] == "came over; it was restored by a process that is gone"
    assert said[5].startswith("not known: ")
    assert promises_text(found.promises) == (
        "1 LOST: g9 (token 9); 1 of 6 promised are back; 1 could not be restored; "
        "1 not known; 2 not yet"
    )
    normal = found._replace(snapshot=found.snapshot._replace(luo=LuoState(State.NORMAL)))
    assert resource_came(there[0], normal) == ""


def test_without_a_record_only_what_arrived_is_counted() -> None:
    found = facts(resources=(memfd(1, ResourceState.RESTORED),))
    assert promises_text(found.promises) == "1 of 1 that arrived is back"
