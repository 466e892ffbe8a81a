# SPDX-License-Identifier: MIT
"""What only a real kernel has: a module that comes and goes, netlink, users, KHO's debugfs."""

from __future__ import annotations

import errno
import os
import shlex
import struct

import pytest

from luo_tui.uapi import luo_v2
from tests.contract.machines import LabMachine, Machine
from tests.contract.test_across import other, refused, update

pytestmark = [pytest.mark.lab, pytest.mark.parametrize("running", ["lab"], indirect=True)]


def argument(fd: int, flags: int, token: int) -> str:
    return struct.pack("=iIQ", fd, flags, token).hex()


def test_the_device_takes_what_the_rfc_says_and_nothing_else(machine: Machine) -> None:
    def meets(number: int, text: str = "", flags: int = os.O_RDWR) -> int | None:
        return refused(machine, "raw", number=number, argument=text, flags=flags)

    assert machine.call("raw", number=luo_v2.GET_STATE, argument="ffffffff") == "00000000"
    assert meets(luo_v2.GET_STATE, "ffffffff", os.O_RDWR | os.O_EXCL) == errno.EINVAL
    # Unknown numbers, another type, another size, and the sessions interface's first call.
    for number in (0xBA08, 0xBAFF, 0xBB04, 0x8008BA03, 0xBA00):
        assert meets(number, "00" * 16) == errno.ENOTTY
    fd = machine.call("memfd", name="flagged", size=4096)
    assert meets(luo_v2.FD_PRESERVE, argument(fd, 1, 0)) == errno.EINVAL
    assert meets(luo_v2.FD_RESTORE, argument(-1, 1, 0)) == errno.EINVAL
    assert meets(luo_v2.FD_PRESERVE, argument(-1, 0, 0)) == errno.EBADF
    assert machine.call("picture")["resources"] == []


# Process 1 and systemd-shutdown, from systemd 261 on: what came is asked for, a session is
# made for the stores of file descriptors, and whatever fails is logged and passed over.
SYSTEMD = """
import errno, os
from luo_tui.uapi import luo_sessions
device = luo_sessions.open_device()
for call in luo_sessions.retrieve_session, luo_sessions.create_session:
    try:
        call(device, b"systemd")
    except OSError as error:
        print(errno.errorcode[error.errno], end=" ")
os.close(device)
"""


@pytest.mark.lab_extra
def test_a_client_of_sessions_meets_enotty_and_nothing_is_lost(machine: Machine) -> None:
    """It opens this node too, in whatever state, and at shutdown last of all."""
    assert isinstance(machine, LabMachine)
    client = f"python3 -c {shlex.quote(SYSTEMD)}"
    fd = machine.call("memfd", name="kept", size=1 << 20)
    digest = machine.call("fill", fd=fd, at=0, size=1 << 20, seed="kept")
    token = machine.call("preserve", fd=fd)
    machine.call("load", which=other(machine))
    for move in ("", "prepare", "freeze"):
        if move:
            machine.call("move", move=move)
        before = machine.call("picture")
        assert machine.shell(client).split() == ["ENOTTY", "ENOTTY"]
        assert machine.call("picture") == before
    machine.kexec()
    before = machine.call("picture")
    assert before["state"] == "updated"
    assert machine.shell(client).split() == ["ENOTTY", "ENOTTY"]
    assert machine.call("picture") == before
    assert machine.call("digest", fd=machine.call("restore", token=token)) == digest


@pytest.mark.extra
def test_an_inherited_descriptor_gives_no_right_to_act(machine: Machine) -> None:
    for number in (
        luo_v2.FD_PRESERVE,
        luo_v2.FD_UNPRESERVE,
        luo_v2.FD_RESTORE,
        luo_v2.EVENT_PREPARE,
        luo_v2.EVENT_FREEZE,
        luo_v2.EVENT_CANCEL,
        luo_v2.EVENT_FINISH,
    ):
        assert machine.call("inherited", number=number) == errno.EPERM
    assert machine.call("inherited", number=luo_v2.GET_STATE) == 0
    assert machine.call("state") == "normal"


@pytest.mark.lab_extra
def test_an_answer_that_cannot_be_taken_changes_nothing(machine: Machine) -> None:
    def unwritable(number: int, text: str) -> int | None:
        return refused(machine, "unwritable", number=number, argument=text)

    fd = machine.call("memfd", name="twice", size=4096)
    machine.call("write", fd=fd, at=0, text="whole")
    assert unwritable(luo_v2.FD_PRESERVE, argument(fd, 0, 0)) == errno.EFAULT
    assert machine.call("picture")["resources"] == []
    token = machine.call("preserve", fd=fd)
    update(machine)
    before = machine.call("descriptors")
    assert unwritable(luo_v2.FD_RESTORE, argument(-1, 0, token)) == errno.EFAULT
    assert machine.call("descriptors") == before
    (shown,) = machine.call("picture")["resources"]
    assert shown["state"] == "incoming"
    back = machine.call("restore", token=token)
    assert machine.call("read", fd=back, at=0, size=5) == "whole"
    machine.call("move", move="finish")


def test_whether_a_refused_freeze_can_stop_a_kexec_is_told(machine: Machine) -> None:
    """Kprobes can be switched off, before luo.ko is loaded and after."""
    assert isinstance(machine, LabMachine)
    veto = "cat /sys/kernel/liveupdate/veto"
    switch = "/sys/kernel/debug/kprobes/enabled"
    warning = "no kprobe on the kexec path"
    assert machine.shell(veto) == "kprobe\n"
    assert warning not in machine.log()
    try:
        machine.shell(f"echo 0 >{switch}")
        assert machine.shell(veto) == "none\n"
        assert machine.call("module", command="rmmod") == 0
        assert machine.call("module", command="insmod") == 0
        assert machine.shell(veto) == "none\n"
        assert warning in machine.log()
    finally:
        machine.shell(f"echo 1 >{switch}")
    assert machine.shell(veto) == "kprobe\n"


@pytest.mark.lab_extra
def test_what_stands_behind_the_orchestrator_is_told(machine: Machine) -> None:
    seen = machine.call("evidence")
    assert (seen["state"], seen["detail"]) == ("normal", "")
    assert (seen["title"], seen["may_act"]) == ("LUO v2 (luo.ko)", True)
    assert seen["kho"] is True
    # None after a cold boot; the tests before this one may have made a kexec.
    kexecs = seen["exec_from"][1] if seen["exec_from"] else 0
    here = machine.call("picture")["release"]
    update(machine)
    assert machine.call("evidence")["exec_from"] == [here, kexecs + 1]
    machine.call("move", move="finish")


def test_the_module_is_seen_to_go_and_to_come(machine: Machine) -> None:
    machine.call("watch")
    assert machine.call("watched", state="normal", tokens=[])["faults"] == []
    token = machine.call("preserve", fd=machine.call("memfd", name="pins", size=4096))
    assert machine.call("module", command="rmmod") != 0
    assert machine.call("watched", state="normal", tokens=[token])["state"] == "normal"
    machine.call("unpreserve", token=token)

    assert machine.call("module", command="rmmod") == 0
    shown = machine.call("watched", state="unavailable", tokens=[])
    assert (shown["state"], shown["faults"]) == ("unavailable", [])
    seen = machine.call("evidence")
    assert (seen["state"], seen["title"]) == ("unavailable", "no orchestrator")
    assert "luo.ko is not loaded" in seen["detail"]
    assert refused(machine, "state") == errno.ENOENT
    assert refused(machine, "move", move="prepare") == errno.ENOENT

    assert machine.call("module", command="insmod") == 0
    assert machine.call("watched", state="normal", tokens=[])["state"] == "normal"
    # The new module's news arrive, too.
    token = machine.call("preserve", fd=machine.call("memfd", name="again", size=4096))
    machine.call("move", move="prepare")
    shown = machine.call("watched", state="prepared", tokens=[token])
    assert (shown["state"], shown["faults"]) == ("prepared", [])
    assert [r["name"] for r in shown["resources"]] == ["again"]


def test_where_nothing_happens_nobody_is_woken(machine: Machine) -> None:
    machine.call("watch")
    machine.call("watched", state="normal", tokens=[])
    before = machine.call("wakes")
    # It waits in vain, two seconds.
    machine.call("watched", state="frozen", tokens=[], seconds=2)
    assert machine.call("wakes") == before
    machine.call("move", move="prepare")
    machine.call("watched", state="prepared", tokens=[])
    assert machine.call("wakes") > before


@pytest.mark.extra
def test_lost_events_are_noticed_and_everything_is_read_anew(machine: Machine) -> None:
    seen = machine.call("overrun", events=400)
    assert seen == {"lost": True, "read": [1], "after": ["ResourceGone"]}


def test_whoever_may_not_act_sees_all_but_whose_it_is(machine: Machine) -> None:
    assert isinstance(machine, LabMachine)
    token = machine.call("preserve", fd=machine.call("memfd", name="not for all", size=4096))
    machine.restart_agent("watcher")
    try:
        machine.call("watch")
        shown = machine.call("watched", state="normal", tokens=[token])
        assert (shown["state"], shown["faults"]) == ("normal", [])
        assert [(r["name"], r["comm"], r["pid"], r["bytes"]) for r in shown["resources"]] == [
            ("", "", 0, 4096)
        ]
        assert shown["compatible"]
        assert machine.call("picture")["resources"] == shown["resources"]
        assert machine.call("state") == "normal"
        seen = machine.call("evidence")
        assert (seen["may_act"], seen["state"]) == (False, "normal")
        assert seen["kho"] is None
        for call, arguments in (
            ("move", {"move": "prepare"}),
            ("unpreserve", {"token": token}),
            ("restore", {"token": token}),
        ):
            assert refused(machine, call, **arguments) == errno.EACCES
        assert refused(machine, "load", which=machine.kernels[1]) == errno.EPERM
        assert refused(machine, "reboot") == errno.EPERM
    finally:
        machine.restart_agent()
    machine.call("unpreserve", token=token)
