# SPDX-License-Identifier: MIT
"""The state machine: every legal and every illegal move, with its errno."""

from __future__ import annotations

import errno

import pytest

from tests.contract.machines import Machine

WAYS = {"normal": [], "prepared": ["prepare"], "frozen": ["prepare", "freeze"]}
LEGAL = {
    ("normal", "prepare"): "prepared",
    ("prepared", "freeze"): "frozen",
    ("prepared", "cancel"): "normal",
    ("frozen", "cancel"): "normal",
}


def go(machine: Machine, state: str) -> None:
    for move in WAYS[state]:
        machine.call("move", move=move)
    assert machine.call("state") == state


@pytest.mark.parametrize("move", ["prepare", "freeze", "cancel", "finish"])
@pytest.mark.parametrize("state", list(WAYS))
def test_each_move_from_each_state(machine: Machine, state: str, move: str) -> None:
    go(machine, state)
    target = LEGAL.get((state, move))
    if target is None:
        with pytest.raises(OSError) as refused:
            machine.call("move", move=move)
        assert refused.value.errno == errno.EINVAL
        target = state
    else:
        machine.call("move", move=move)
    assert machine.call("state") == target
    assert machine.call("picture")["state"] == target


@pytest.mark.parametrize("state", ["prepared", "frozen"])
def test_between_prepare_and_kexec_nothing_is_preserved_or_given_up(
    machine: Machine, state: str
) -> None:
    kept = machine.call("preserve", fd=machine.call("memfd", name="kept", size=4096))
    late = machine.call("memfd", name="late", size=4096)
    go(machine, state)
    for call, arguments in (
        ("preserve", {"fd": late}),
        ("unpreserve", {"token": kept}),
        ("restore", {"token": kept}),
    ):
        with pytest.raises(OSError) as refused:
            machine.call(call, **arguments)
        assert refused.value.errno == errno.EBUSY
    machine.call("move", move="cancel")
    # Tokens survive a cancel.
    assert [r["token"] for r in machine.call("picture")["resources"]] == [kept]
    machine.call("unpreserve", token=kept)


def test_changes_are_announced(machine: Machine) -> None:
    machine.call("watch")
    fd = machine.call("memfd", name="seen", size=8192)
    token = machine.call("preserve", fd=fd)
    shown = machine.call("watched", state="normal", tokens=[token])
    assert [(r["token"], r["name"], r["bytes"]) for r in shown["resources"]] == [
        (token, "seen", 8192)
    ]
    for move, state in (("prepare", "prepared"), ("freeze", "frozen"), ("cancel", "normal")):
        machine.call("move", move=move)
        shown = machine.call("watched", state=state, tokens=[token])
        assert shown["state"] == state
    machine.call("unpreserve", token=token)
    shown = machine.call("watched", state="normal", tokens=[])
    assert shown["resources"] == []
    assert shown["faults"] == []


def test_kexec_with_nothing_loaded_leaves_the_state(machine: Machine) -> None:
    for state in ("normal", "prepared", "frozen"):
        go(machine, state)
        with pytest.raises(OSError) as refused:
            machine.kexec()
        assert refused.value.errno == errno.EINVAL
        assert machine.call("state") == state
        if state != "normal":
            machine.call("move", move="cancel")


def test_what_is_no_kernel_is_not_loaded(machine: Machine) -> None:
    with pytest.raises(OSError) as refused:
        machine.call("load_path", path="/etc/passwd")
    assert refused.value.errno == errno.ENOEXEC
    with pytest.raises(OSError) as refused:
        machine.call("load_path", path="/boot/no-such-image")
    assert refused.value.errno == errno.ENOENT
    assert machine.call("loaded") is False
    machine.call("load", which=machine.kernels[1])
    assert machine.call("loaded") is True
    machine.call("unload")
    machine.call("unload")
    assert machine.call("loaded") is False


def test_stamps_of_a_cancelled_update_are_in_order(machine: Machine) -> None:
    go(machine, "frozen")
    stamps = machine.call("picture")["stamps"]
    order = [stamps[s] for s in ("prepare_begin", "prepare_end", "freeze_begin", "freeze_end")]
    assert order == sorted(order)
    assert all(order)
    assert stamps["tsc_khz"] > 0
    assert stamps["jump"] == stamps["arrived"] == 0
