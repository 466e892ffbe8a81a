# SPDX-License-Identifier: MIT
"""Across the kexec: what arrives, as it was, and what does not."""

from __future__ import annotations

import errno

import pytest

from tests.contract.machines import LabMachine, Machine

SEAL_SHRINK, SEAL_GROW, SEAL_WRITE = 2, 4, 8


def refused(machine: Machine, call: str, **arguments: object) -> int | None:
    with pytest.raises(OSError) as error:
        machine.call(call, **arguments)
    return error.value.errno


def other(machine: Machine) -> str:
    """The release that does not run now."""
    here = machine.call("picture")["release"]
    return machine.kernels[1] if here == machine.kernels[0] else machine.kernels[0]


def update(machine: Machine, *, freeze: bool = True) -> dict[str, object]:
    """From normal to updated."""
    target = machine.call("load", which=other(machine))
    before = machine.call("picture")
    machine.call("move", move="prepare")
    if freeze:
        machine.call("move", move="freeze")
    machine.kexec()
    after: dict[str, object] = machine.call("picture")
    assert after["state"] == "updated"
    assert after["release"] == target
    assert after["from_release"] == before["release"]
    assert after["boot"] != before["boot"]
    assert after["compatible"] == before["compatible"]
    return after


def test_a_file_arrives_as_it_was(machine: Machine) -> None:
    fd = machine.call("memfd", name="whole", size=(8 << 20) + 5)
    machine.call("fill", fd=fd, at=0, size=300_000, seed="a")
    machine.call("fill", fd=fd, at=5 << 20, size=70_000, seed="b")
    machine.call("mode", fd=fd, mode=0o640)
    machine.call("seek", fd=fd, position=4711)
    machine.call("seal", fd=fd, seals=SEAL_SHRINK | SEAL_GROW)
    token = machine.call("preserve", fd=fd)
    digest, about = machine.call("digest", fd=fd), machine.call("about", fd=fd)
    after = update(machine)
    assert [(r["token"], r["state"], r["name"]) for r in after["resources"]] == [
        (token, "incoming", "whole")
    ]
    back = machine.call("restore", token=token)
    # The holes are still holes: reading them through would have filled them.
    assert machine.call("about", fd=back) == {**about, "cloexec": True}
    assert machine.call("digest", fd=back) == digest
    (shown,) = machine.call("picture")["resources"]
    assert shown["state"] == "restored"
    assert refused(machine, "restore", token=token + 1) == errno.ENOENT
    assert refused(machine, "unpreserve", token=token) == errno.ENOENT
    machine.call("move", move="finish")
    assert machine.call("picture")["resources"] == []
    assert machine.call("digest", fd=back) == digest
    assert refused(machine, "restore", token=token) == errno.EBUSY
    assert refused(machine, "move", move="finish") == errno.EINVAL


@pytest.mark.lab_extra
def test_a_restorer_that_crashed_is_followed_by_another(machine: Machine) -> None:
    """Until finish the kernel gives out what it still holds, and says what nobody else does."""
    tokens = []
    for name in ("left", "kept"):
        fd = machine.call("memfd", name=name, size=1 << 20)
        machine.call("fill", fd=fd, at=0, size=1 << 20, seed=name)
        tokens.append(machine.call("preserve", fd=fd))
    digest = machine.call("digest", fd=fd)
    update(machine)
    for token in tokens:
        machine.call("restore", token=token)
    assert [r["abandoned"] for r in machine.call("picture")["resources"]] == [False, False]
    machine.restart_agent()
    shown = machine.call("picture")["resources"]
    assert [(r["state"], r["abandoned"]) for r in shown] == [("restored", True)] * 2
    back = machine.call("restore", token=tokens[1])
    again = machine.call("restore", token=tokens[1])
    assert machine.call("digest", fd=back) == digest
    machine.call("seek", fd=back, position=4711)
    assert machine.call("about", fd=again)["position"] == 4711, "it is the same open file"
    shown = machine.call("picture")["resources"]
    assert [r["abandoned"] for r in shown] == [True, False]
    assert refused(machine, "unpreserve", token=tokens[1]) == errno.ENOENT
    machine.call("move", move="finish")
    if isinstance(machine, LabMachine):
        assert "luo: finish discards 1 resources that nobody holds" in machine.log()
    assert machine.call("digest", fd=back) == digest
    assert refused(machine, "restore", token=tokens[1]) == errno.EBUSY


def test_writes_after_prepare_arrive_also_into_holes(machine: Machine) -> None:
    fd = machine.call("memfd", name="late", size=4 << 20)
    machine.call("write", fd=fd, at=0, text="first")
    token = machine.call("preserve", fd=fd)
    target = machine.call("load", which=other(machine))
    machine.call("move", move="prepare")
    machine.call("write", fd=fd, at=0, text="later")
    machine.call("write", fd=fd, at=3 << 20, text="into a hole")
    machine.kexec()
    assert machine.call("picture")["release"] == target
    back = machine.call("restore", token=token)
    assert machine.call("read", fd=back, at=0, size=5) == "later"
    assert machine.call("read", fd=back, at=3 << 20, size=11) == "into a hole"
    assert machine.call("read", fd=back, at=1 << 20, size=4) == "\0" * 4
    machine.call("move", move="finish")


@pytest.mark.lab_extra
def test_stamps_cross_in_order(machine: Machine) -> None:
    after = update(machine)
    stamps = after["stamps"]
    assert isinstance(stamps, dict)
    order = [
        stamps[s]
        for s in (
            "prepare_begin", "prepare_end", "freeze_begin", "freeze_end", "jump", "arrived",
        )
    ]  # fmt: skip
    assert all(order), stamps
    assert order == sorted(order)
    machine.call("move", move="finish")
    assert machine.call("picture")["stamps"] == stamps


def test_finish_discards_what_nobody_restored(machine: Machine) -> None:
    for i in range(3):
        fd = machine.call("memfd", name=f"f{i}", size=1 << 20)
        machine.call("fill", fd=fd, at=0, size=1 << 20, seed=str(i))
        machine.call("preserve", fd=fd)
    after = update(machine)
    tokens = [r["token"] for r in after["resources"]]
    assert len(tokens) == 3
    back = machine.call("restore", token=tokens[1])
    machine.call("move", move="finish")
    shown = machine.call("picture")
    assert (shown["state"], shown["resources"]) == ("normal", [])
    assert machine.call("read", fd=back, at=0, size=1) != ""


@pytest.mark.lab_extra
@pytest.mark.parametrize(
    "move",
    [
        pytest.param("prepare", marks=pytest.mark.extra),
        "freeze",
        pytest.param("cancel", marks=pytest.mark.extra),
    ],
)
def test_in_updated_there_is_no_move_but_finish(machine: Machine, move: str) -> None:
    kept = machine.call("preserve", fd=machine.call("memfd", name="kept", size=4096))
    update(machine)
    assert refused(machine, "move", move=move) == errno.EINVAL
    shown = machine.call("picture")
    assert shown["state"] == machine.call("state") == "updated"
    assert [(r["token"], r["state"]) for r in shown["resources"]] == [(kept, "incoming")]
    machine.call("move", move="finish")


@pytest.mark.lab_extra
def test_what_is_sealed_against_writing_arrives_sealed(machine: Machine) -> None:
    fd = machine.call("memfd", name="sealed", size=8192)
    machine.call("write", fd=fd, at=4090, text="for good")
    machine.call("seal", fd=fd, seals=SEAL_SHRINK | SEAL_GROW | SEAL_WRITE)
    seals = machine.call("about", fd=fd)["seals"]
    assert seals & SEAL_WRITE
    token = machine.call("preserve", fd=fd)
    update(machine)
    back = machine.call("restore", token=token)
    assert machine.call("about", fd=back)["seals"] == seals
    assert machine.call("read", fd=back, at=4090, size=8) == "for good"
    assert refused(machine, "write", fd=back, at=0, text="x") == errno.EPERM
    machine.call("move", move="finish")


@pytest.mark.extra
def test_arrivals_are_announced(machine: Machine) -> None:
    token = machine.call("preserve", fd=machine.call("memfd", name="seen", size=4096))
    update(machine)
    machine.call("watch")
    shown = machine.call("watched", state="updated", tokens=[token])
    assert [r["state"] for r in shown["resources"]] == ["incoming"]
    machine.call("restore", token=token)
    shown = machine.call("watched_as", token=token, state="restored")
    assert [r["state"] for r in shown["resources"]] == ["restored"]
    machine.call("move", move="finish")
    shown = machine.call("watched", state="normal", tokens=[])
    assert (shown["state"], shown["resources"], shown["faults"]) == ("normal", [], [])


@pytest.mark.lab_extra
def test_new_tokens_are_above_the_incoming_ones(machine: Machine) -> None:
    for i in range(2):
        machine.call("preserve", fd=machine.call("memfd", name=f"old{i}", size=4096))
    after = update(machine)
    highest = max(r["token"] for r in after["resources"])
    new = machine.call("preserve", fd=machine.call("memfd", name="new", size=4096))
    assert new == highest + 1
    states = {r["token"]: r["state"] for r in machine.call("picture")["resources"]}
    assert states[new] == "preserved"
    assert states[highest] == "incoming"
    assert refused(machine, "move", move="prepare") == errno.EINVAL
    machine.call("move", move="finish")
    assert [r["token"] for r in machine.call("picture")["resources"]] == [new]


@pytest.mark.extra
def test_the_same_bytes_through_three_updates(machine: Machine) -> None:
    fd = machine.call("memfd", name="traveller", size=2 << 20)
    digest = machine.call("fill", fd=fd, at=0, size=2 << 20, seed="t")
    for _ in range(3):
        token = machine.call("preserve", fd=fd)
        update(machine)
        fd = machine.call("restore", token=token)
        assert machine.call("digest", fd=fd) == digest
        machine.call("move", move="finish")


def test_a_kexec_in_normal_hands_nothing_over(machine: Machine) -> None:
    machine.call("preserve", fd=machine.call("memfd", name="stays", size=4096))
    target = machine.call("load", which=other(machine))
    machine.kexec()
    after = machine.call("picture")
    assert after["release"] == target
    assert (after["state"], after["resources"], after["from_release"]) == ("normal", [], "")


@pytest.mark.extra
def test_an_empty_update_is_an_update(machine: Machine) -> None:
    after = update(machine, freeze=False)
    assert after["resources"] == []
    machine.call("move", move="finish")
    assert machine.call("state") == "normal"


@pytest.mark.extra
def test_an_empty_file_arrives(machine: Machine) -> None:
    token = machine.call("preserve", fd=machine.call("memfd", name="empty"))
    update(machine)
    assert machine.call("about", fd=machine.call("restore", token=token))["size"] == 0
    machine.call("move", move="finish")


@pytest.mark.extra
def test_a_kexec_in_updated_loses_what_was_not_finished(machine: Machine) -> None:
    machine.call("preserve", fd=machine.call("memfd", name="lost", size=4096))
    update(machine)
    machine.call("load", which=other(machine))
    machine.kexec()
    after = machine.call("picture")
    assert (after["state"], after["resources"]) == ("normal", [])
