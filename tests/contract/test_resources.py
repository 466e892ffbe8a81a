# SPDX-License-Identifier: MIT
"""Preserved descriptors: tokens, refusals, and what the class shows, in one boot."""

from __future__ import annotations

import errno

import pytest

from tests.contract.machines import Machine


def refused(machine: Machine, call: str, **arguments: object) -> int | None:
    with pytest.raises(OSError) as error:
        machine.call(call, **arguments)
    return error.value.errno


def test_tokens_are_the_kernels_and_unknown_ones_are_refused(machine: Machine) -> None:
    tokens = [
        machine.call("preserve", fd=machine.call("memfd", name=f"m{i}", size=4096 * i))
        for i in range(4)
    ]
    assert tokens == list(range(tokens[0], tokens[0] + 4))
    shown = machine.call("picture")["resources"]
    assert [(r["token"], r["name"], r["bytes"], r["kind"], r["state"]) for r in shown] == [
        (t, f"m{i}", 4096 * i, "memfd", "preserved") for i, t in enumerate(tokens)
    ]
    assert all(r["pid"] > 0 and r["comm"] for r in shown)
    assert refused(machine, "unpreserve", token=tokens[-1] + 1) == errno.ENOENT
    for token in tokens:
        machine.call("unpreserve", token=token)
    assert refused(machine, "unpreserve", token=tokens[0]) == errno.ENOENT
    assert machine.call("picture")["resources"] == []


def test_the_same_file_twice_is_refused(machine: Machine) -> None:
    fd = machine.call("memfd", name="once", size=4096)
    token = machine.call("preserve", fd=fd)
    assert refused(machine, "preserve", fd=fd) == errno.EEXIST
    machine.call("unpreserve", token=token)
    again = machine.call("preserve", fd=fd)
    assert again > token
    machine.call("unpreserve", token=again)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("none", errno.EBADF),
        ("pipe", errno.ENOENT),
        ("file", errno.ENOENT),
        ("folder", errno.ENOENT),
        ("eventfd", errno.ENOENT),
        ("socket", errno.ENOENT),
    ],
)
def test_what_has_no_handler_is_refused(machine: Machine, kind: str, code: int) -> None:
    assert refused(machine, "preserve", fd=machine.call("other", kind=kind)) == code
    assert machine.call("picture")["resources"] == []


def test_restore_is_for_updated_alone(machine: Machine) -> None:
    token = machine.call("preserve", fd=machine.call("memfd", name="here", size=4096))
    assert refused(machine, "restore", token=token) == errno.EBUSY
    assert refused(machine, "restore", token=token + 7) == errno.EBUSY
    machine.call("unpreserve", token=token)


def test_the_kernel_holds_what_its_process_has_left(machine: Machine) -> None:
    token = machine.call("preserve", fd=machine.call("memfd", name="orphan", size=12288))
    machine.restart_agent()
    shown = machine.call("picture")["resources"]
    assert [(r["token"], r["bytes"]) for r in shown] == [(token, 12288)]
    machine.call("unpreserve", token=token)


def test_hostile_names_are_shown_harmlessly(machine: Machine) -> None:
    token = machine.call(
        "preserve", fd=machine.call("memfd", name="\x1b[2Jx\n\\y\x07" + "z" * 200, size=0)
    )
    (shown,) = machine.call("picture")["resources"]
    assert shown["name"].isprintable()
    assert "[2Jx" in shown["name"]
    machine.call("unpreserve", token=token)


@pytest.mark.lab_extra
@pytest.mark.lab
@pytest.mark.parametrize("running", ["lab"], indirect=True)
def test_a_hundred_rounds_leave_free_memory_where_it_was(machine: Machine) -> None:
    machine.call("rounds", number=5, size=8 << 20)
    gone = []
    for _ in range(4):
        before = machine.call("free")
        machine.call("rounds", number=100, size=8 << 20)
        gone.append(before - machine.call("free"))
    # One round that leaked its 8 MiB file would show.
    assert max(gone) < 4096, f"{gone} KiB are gone"
    # A page in each round would show each time; what else a machine takes for itself does not.
    assert min(gone) < 400, f"{gone} KiB are gone"


@pytest.mark.lab
@pytest.mark.parametrize("running", ["lab"], indirect=True)
def test_a_prepared_file_cannot_change_its_size(machine: Machine) -> None:
    fd = machine.call("memfd", name="fixed", size=8192)
    token = machine.call("preserve", fd=fd)
    machine.call("truncate", fd=fd, size=16384)
    machine.call("move", move="prepare")
    for size in (4096, 32768):
        assert refused(machine, "truncate", fd=fd, size=size) == errno.EPERM
    machine.call("write", fd=fd, at=0, text="still")
    machine.call("move", move="cancel")
    machine.call("truncate", fd=fd, size=32768)
    machine.call("unpreserve", token=token)
