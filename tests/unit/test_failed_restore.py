# SPDX-License-Identifier: MIT
"""A restore that failed is told: what, when, why, whether its owner is there, what to do."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from luo_tui.cli.status import status_text
from luo_tui.model import (
    Host,
    LuoState,
    Resource,
    Resources,
    ResourceState,
    RestoreFailure,
    Snapshot,
    State,
    Work,
)
from luo_tui.monitor.fold import fold
from luo_tui.orchestrator.simulated import SimulatedJump
from luo_tui.sources.changes import KernelSaid, LuoChanged, ReadingDone, RestoreFailed
from luo_tui.sources.kmsg import KmsgSource
from luo_tui.update.device_outcome import outlook
from luo_tui.update.facts import Act, Facts
from luo_tui.update.promises import Became
from luo_tui.update.resource_list import Listed, Promised
from luo_tui.update.walk import Walk, walk
from luo_tui.update.wording import clock_text
from tests.unit.test_acts import Console, host

GUEST = Resource(3, "memfd", ResourceState.INCOMING, "guest-db", 64 << 20, 812, "vmm")
PROMISED = Promised((Listed(3, "guest-db", "memfd", 64 << 20, 812, "vmm"),))
FAILED = {3: RestoreFailure(errno.ENOMEM, 1_790_000_000.0)}


def stands(resource: Resource = GUEST, work: Work | None = None) -> Walk:
    here = Host("hv-07", "7.3.4-new", "boot-2")
    updated = LuoState(State.UPDATED)
    snapshot = Snapshot(here, updated, Resources([resource]), failed_restores=FAILED)
    return walk(Facts(snapshot, may_act=True, promised=PROMISED, work=work))


@pytest.mark.parametrize(
    ("work", "owner"),
    [
        (None, "Its owner was vmm [812]; whether that runs in this kernel is not known."),
        (Work(None), "Its owner was vmm [812]; whether that runs in this kernel is not known."),
        (Work(frozenset({"vmm"})), "Its owner was vmm [812], which runs in this kernel."),
        (
            Work(frozenset({"init"})),
            "Its owner was vmm [812], which does NOT run in this kernel: start it.",
        ),
    ],
)
def test_who_when_why_and_what_to_do(work: Work | None, owner: str) -> None:
    standing = stands(work=work)
    at = clock_text(FAILED[3].at)
    assert standing.headline.startswith(
        "RESTORE FAILED: guest-db (token 3): there is not enough memory, or too little of it is "
        f"left in this memory cgroup (ENOMEM), at {at}."
    )
    assert "not restored yet" not in standing.headline
    note = next(n for n in standing.notes if n.startswith("guest-db (token 3): "))
    assert owner in note
    assert "raise the limit or restore from a larger cgroup, then try again" in note
    finish = standing.action(Act.FINISH)
    assert finish is not None
    assert "not enough memory" in finish.lost[0]


def test_a_restore_that_succeeds_afterwards_is_no_failure() -> None:
    standing = stands(GUEST._replace(state=ResourceState.RESTORED))
    assert standing.headline.endswith("All is restored.")
    assert not any("guest-db" in note for note in standing.notes)


def test_the_kernels_line_is_believed_and_nobody_elses(tmp_path: Path) -> None:
    path = tmp_path / "kmsg"
    path.write_bytes(b"4,7,1000000,-;luo: restore of token 3 failed (-12)\n")
    source = KmsgSource(str(path))
    source.reopen()
    (failed,) = (c for c in source.enumerate() if isinstance(c, RestoreFailed))
    assert (failed.token, failed.failure.errno) == (3, errno.ENOMEM)
    # What a process writes there bears facility 1.
    path.write_bytes(b"12,9,1000000,-;luo: restore of token 3 failed (-12)\n")
    source.reopen()
    said = source.enumerate()
    source.close()
    assert any(isinstance(c, KernelSaid) for c in said)
    assert not any(isinstance(c, RestoreFailed) for c in said)


def test_a_look_without_watching_has_it_each_time(tmp_path: Path) -> None:
    path = tmp_path / "kmsg"
    path.write_bytes(b"4,7,1000000,-;luo: restore of token 3 failed (-12)\n")
    source = KmsgSource(str(path))
    for _ in range(2):
        assert [c.token for c in source.enumerate() if isinstance(c, RestoreFailed)] == [3]
        assert source.fileno() == -1
    unreadable = KmsgSource(str(tmp_path / "none")).enumerate()
    (done,) = (c for c in unreadable if isinstance(c, ReadingDone))
    assert "No such file" in done.missing[0]


def test_failures_belong_to_one_arrival() -> None:
    snapshot = Snapshot(Host("hv-07", "7.3.4-new", "boot-2"), LuoState(State.UPDATED))
    snapshot = fold(snapshot, [RestoreFailed(3, FAILED[3])])
    assert snapshot.failed_restores == FAILED
    snapshot = fold(snapshot, [LuoChanged(LuoState(State.NORMAL))])
    assert not snapshot.failed_restores
    # Lines of the kernel stay where they are, and are read anew.
    assert not fold(snapshot, [RestoreFailed(3, FAILED[3])]).failed_restores


def test_the_list_of_resources_tells_of_it() -> None:
    here = Host("hv-07", "7.3.4-new", "boot-2")
    snapshot = Snapshot(here, LuoState(State.UPDATED), failed_restores=FAILED)
    assert outlook(GUEST, snapshot).startswith("RESTORE FAILED at ")
    assert "RESTORE" not in outlook(GUEST._replace(state=ResourceState.RESTORED), snapshot)


def test_the_scenario_is_told_while_the_host_stands_still(tmp_path: Path) -> None:
    machine = host(tmp_path, "memory-short")
    console = Console(machine)
    console.load()
    console.prepare()
    with pytest.raises(SimulatedJump):
        console.kexec()
    console.window.release()
    after = Console(machine)
    facts = after.window.facts()
    (failed,) = facts.promises.open
    assert (failed.became, failed.token) == (Became.FAILED, 1)
    told = walk(facts)
    assert told.headline.startswith("RESTORE FAILED: guest-db1 (token 1): there is not enough")
    assert after.window.facts().promises.open == facts.promises.open, "each look has all of it"
    assert any("cloud-hyperviso [2177], which runs in this kernel" in n for n in told.notes)
    lines = "\n".join(status_text(after.orchestrator, facts.snapshot, tmp_path))
    assert "RESTORE FAILED: guest-db1 (token 1)" in lines
    assert "which runs in this kernel" in lines
    machine.short_of_memory = False
    machine.restore_for_agents()
    assert walk(after.window.facts()).headline.endswith("All is restored.")
