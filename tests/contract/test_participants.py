# SPDX-License-Identifier: MIT
"""Whoever takes part in luo.ko: order, refusal, rollback, what crosses, and what is told of it.

luo_test.ko has three subsystems, called in the order a, c, b, and one kind of file.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator

import pytest

from tests.contract.machines import LabMachine, Machine
from tests.contract.test_across import other, refused, update

pytestmark = [pytest.mark.lab, pytest.mark.parametrize("running", ["lab"], indirect=True)]

PARAMETERS = "/sys/module/luo_test/parameters"
CLASS = "/sys/class/liveupdate"
LOAD = "insmod /lib/modules/$(uname -r)/extra/luo_test.ko"
ALL = ["test-a", "test-c", "test-b"]


@pytest.fixture
def host(machine: Machine) -> Iterator[LabMachine]:
    """A machine with the test participants; they go with the test."""
    assert isinstance(machine, LabMachine)
    machine.shell(LOAD)
    yield machine
    state = machine.call("state")
    if state in ("prepared", "frozen"):
        machine.call("move", move="cancel")
    if state == "updated":
        machine.call("move", move="finish")
    for resource in machine.call("picture")["resources"]:
        machine.call("unpreserve", token=resource["token"])
    # The agent has open what the module's files are made of.
    machine.restart_agent()
    machine.shell("if [ -d /sys/module/luo_test ]; then rmmod luo_test; fi")


def order(host: LabMachine, name: str, values: str) -> None:
    host.shell(f"echo {values} >{PARAMETERS}/{name}")


def calls(host: LabMachine) -> list[str]:
    """Person was called since the last time."""
    return host.shell(f"cat {PARAMETERS}/calls; echo x >{PARAMETERS}/calls").splitlines()


def about(host: LabMachine, name: str, attribute: str) -> str:
    return host.shell(f"cat {CLASS}/subsystem-{name}/{attribute}").strip()


def listed(host: LabMachine) -> set[str]:
    """What the class has, but for luo.ko's own subsystem."""
    return set(host.shell(f"ls {CLASS}").split()) - {"subsystem-pci-v2"}


def test_all_are_called_in_order_and_undone_in_reverse(host: LabMachine) -> None:
    token = host.call("preserve", fd=host.call("memfd", name="m", size=4096))
    own = host.call("preserve", fd=host.call("open", path="/dev/luo-test"))
    host.call("move", move="prepare")
    lines = host.shell("cat /sys/kernel/debug/luo/handover").splitlines()
    assert lines[0] == "compatible=luo-ko-v3 state=prepared files=2"
    assert f"token={token} kind=memfd handler=memfd-v2 recorded=yes bytes=4096 pages=0" in lines[1]
    assert f"token={own} kind=test handler=test-v1 recorded=yes bytes=8 pages=0" in lines[2]
    host.call("move", move="freeze")
    host.call("move", move="cancel")
    lines = host.shell("cat /sys/kernel/debug/luo/handover").splitlines()
    assert ["recorded=no" in line for line in lines] == [False, True, True]
    assert calls(host) == [
        "file preserve",
        "file prepare", "test-a prepare", "test-c prepare", "test-b prepare",
        "file freeze", "test-a freeze", "test-c freeze", "test-b freeze",
        "test-b cancel", "test-c cancel", "test-a cancel", "file cancel",
    ]  # fmt: skip
    host.call("unpreserve", token=own)
    assert calls(host) == ["file unpreserve"]
    host.call("unpreserve", token=token)


@pytest.mark.parametrize(
    ("setting", "called"),
    [
        ("-12,0,0", ["test-a prepare", "test-a cancel"]),
        (
            "0,0,-12",
            ["test-a prepare", "test-c prepare", "test-c cancel", "test-a cancel"],
        ),
        (
            "0,-12,0",
            [f"{n} prepare" for n in ALL] + [f"{n} cancel" for n in reversed(ALL)],
        ),
    ],
)
def test_whoever_refuses_to_prepare_is_cancelled_with_those_before(
    host: LabMachine, setting: str, called: list[str]
) -> None:
    order(host, "prepare_result", setting)
    assert refused(host, "move", move="prepare") == errno.ENOMEM
    assert host.call("state") == "normal"
    assert calls(host) == called
    guilty = called[len(called) // 2 - 1].split()[0]
    assert {n: about(host, n, "result") for n in ALL} == {
        n: "-12" if n == guilty else "0" for n in ALL
    }
    assert f"prepare refused (-12) by subsystem {guilty}" in host.log()
    order(host, "prepare_result", "0,0,0")
    host.call("move", move="prepare")
    assert {about(host, n, "state") for n in ALL} == {"prepared"}


def test_a_refused_freeze_ends_the_update_and_the_kexec(host: LabMachine) -> None:
    token = host.call("preserve", fd=host.call("memfd", name="stays", size=8192))
    host.call("load", which=other(host))
    boot = host.call("picture")["boot"]
    host.call("move", move="prepare")
    order(host, "freeze_result", "0,0,-5")
    # The freeze is the kernel's own here, within the reboot call, which is refused.
    with pytest.raises(OSError) as refusal:
        host.kexec()
    assert refusal.value.errno == errno.EIO
    shown = host.call("picture")
    assert (shown["boot"], shown["state"]) == (boot, "normal")
    assert calls(host) == [
        "test-a prepare", "test-c prepare", "test-b prepare",
        "test-a freeze", "test-c freeze",
        "test-b cancel", "test-c cancel", "test-a cancel",
    ]  # fmt: skip
    assert "kexec_refused 1" in host.shell("cat /sys/kernel/debug/luo/counters")
    order(host, "freeze_result", "0,0,0")
    host.call("unload")
    after = update(host)
    assert [(r["token"], r["state"]) for r in after["resources"]] == [(token, "incoming")]


def test_a_file_that_refuses_is_named(host: LabMachine) -> None:
    order(host, "file_result", "-1,0,0,0")
    mine = host.call("open", path="/dev/luo-test")
    assert refused(host, "preserve", fd=mine) == errno.EPERM
    assert host.call("picture")["resources"] == []
    order(host, "file_result", "0,-28,0,0")
    token = host.call("preserve", fd=mine)
    assert refused(host, "move", move="prepare") == errno.ENOSPC
    # Whose it is, the log does not say: it may be everybody's.
    (said,) = (line for line in host.log().splitlines() if "prepare refused (-28)" in line)
    assert said.endswith(f"by token {token}, test")
    assert host.shell(f"cat {CLASS}/token{token}/result").strip() == "-28"
    order(host, "file_result", "0,0,-28,0")
    host.call("move", move="prepare")
    assert refused(host, "move", move="freeze") == errno.ENOSPC
    assert host.call("state") == "normal"
    # Two of them share an inode and are two things all the same; the same one is refused.
    assert refused(host, "preserve", fd=mine) == errno.EEXIST
    host.call("preserve", fd=host.call("open", path="/dev/luo-test"))


@pytest.mark.extra
def test_times_are_told(host: LabMachine) -> None:
    order(host, "prepare_ms", "0,30,0")
    order(host, "freeze_ms", "0,0,40")
    host.call("move", move="prepare")
    host.call("move", move="freeze")
    assert int(about(host, "test-b", "prepare_ns")) >= 30_000_000
    assert int(about(host, "test-c", "freeze_ns")) >= 40_000_000
    assert int(about(host, "test-a", "cancel_ns")) == 0
    shown = host.shell("cat /sys/kernel/debug/luo/participants")
    assert [line.split()[0] for line in shown.splitlines() if line.startswith("test")] == ALL
    stamps = host.call("picture")["stamps"]
    took = (stamps["freeze_end"] - stamps["freeze_begin"]) / stamps["tsc_khz"]
    # In milliseconds by the TSC, whose rate a busy emulator lets the kernel measure roughly.
    assert took >= 30


@pytest.mark.lab_extra
def test_numbers_and_files_of_other_modules_cross(host: LabMachine) -> None:
    order(host, "data", "11,18446744073709551615,33")
    mine = host.call("open", path="/dev/luo-test")
    token = host.call("preserve", fd=mine)
    host.call("write", fd=mine, at=0, text="early")
    host.call("load", which=other(host))
    host.call("move", move="prepare")
    host.call("write", fd=mine, at=0, text="later!")
    host.kexec()
    # Before the module is there, what came waits, and says for whom.
    (shown,) = host.call("picture")["resources"]
    assert (shown["token"], shown["kind"], shown["state"]) == (token, "unknown", "incoming")
    assert host.shell(f"cat {CLASS}/token{token}/handler").strip() == "test-v1"
    assert {about(host, n, "state") for n in ALL} == {"unclaimed"}
    assert refused(host, "restore", token=token) == errno.EOPNOTSUPP

    host.shell(LOAD)
    assert {about(host, n, "state") for n in ALL} == {"incoming"}
    assert host.shell(f"cat {PARAMETERS}/came").strip() == "11,18446744073709551615,33"
    order(host, "file_result", "0,0,0,-12")
    assert refused(host, "restore", token=token) == errno.ENOMEM
    order(host, "file_result", "0,0,0,0")
    back = host.call("restore", token=token)
    assert host.call("read", fd=back, at=0, size=8) == "later!\0\0"
    calls(host)
    host.call("move", move="finish")
    assert calls(host) == ["test-b finish", "test-c finish", "test-a finish", "file finish"]
    assert {about(host, n, "state") for n in ALL} == {"registered"}


@pytest.mark.extra
def test_a_module_that_fails_to_load_gives_back_what_it_was_given(host: LabMachine) -> None:
    mine = host.call("open", path="/dev/luo-test")
    token = host.call("preserve", fd=mine)
    host.call("write", fd=mine, at=0, text="waits")
    update(host)
    # It has registered everything, has the file, and fails then.
    assert host.shell(f"{LOAD} init_result=-5 2>&1 || true")
    (shown,) = host.call("picture")["resources"]
    assert (shown["kind"], shown["state"]) == ("unknown", "incoming")
    assert host.shell(f"cat {CLASS}/token{token}/handler").strip() == "test-v1"
    assert refused(host, "restore", token=token) == errno.EOPNOTSUPP
    host.shell(LOAD)
    back = host.call("restore", token=token)
    assert host.call("read", fd=back, at=0, size=5) == "waits"
    host.call("move", move="finish")
    assert not re.search("BUG:|WARNING:|Oops", host.log())


@pytest.mark.extra
def test_what_nobody_claims_is_named_and_goes(host: LabMachine) -> None:
    token = host.call("preserve", fd=host.call("open", path="/dev/luo-test"))
    update(host)
    host.call("move", move="finish")
    assert listed(host) == set()
    log = host.log()
    assert "finish: nobody took over what came for subsystem test-b" in log
    assert f"token {token}: no handler, its memory stays in use until the next kexec" in log


@pytest.mark.extra
def test_a_participant_is_pinned_while_an_update_is_under_way(host: LabMachine) -> None:
    host.call("move", move="prepare")
    with pytest.raises(Exception, match="rmmod"):
        host.shell("rmmod luo_test 2>&1")
    host.call("move", move="cancel")
    host.shell("rmmod luo_test")
    assert listed(host) == set()
    host.shell(LOAD)


def test_events_tell_of_moves_and_refusals(host: LabMachine) -> None:
    order(host, "prepare_result", "0,0,-16")
    host.shell(
        "udevadm monitor --kernel --property >/tmp/events 2>&1 & echo $! >/tmp/monitor; sleep 1"
    )
    assert refused(host, "move", move="prepare") == errno.EBUSY
    order(host, "prepare_result", "0,0,0")
    host.call("move", move="prepare")
    host.call("move", move="cancel")
    text = host.shell("sleep 1; kill $(cat /tmp/monitor); cat /tmp/events")
    events = [dict(p.split("=", 1) for p in e.splitlines() if "=" in p) for e in text.split("\n\n")]
    moves = [
        (e["LUO_PREVIOUS"], e["LUO_STATE"], int(e["LUO_SEQ"]))
        for e in events
        if e.get("DEVNAME") == "/dev/liveupdate"
    ]
    first = moves[0][2]
    assert moves == [("normal", "prepared", first), ("prepared", "normal", first + 1)]
    steps = [
        (e["LUO_NAME"], e["LUO_STEP"], e["LUO_RESULT"])
        for e in events
        if e.get("DEVTYPE") == "subsystem"
    ]
    assert steps[:4] == [
        ("test-a", "prepare", "0"), ("test-c", "prepare", "-16"),
        ("test-c", "cancel", "0"), ("test-a", "cancel", "0"),
    ]  # fmt: skip
