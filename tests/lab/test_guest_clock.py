# SPDX-License-Identifier: MIT
"""A guest with Linux and Debian's guest agent in it: its clock is right after it stood still."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import cache
import images
import kernels
import pytest

from luo_tui.guests import agent
from luo_tui.guests.arrival import go_on
from luo_tui.guests.carry import arm, save
from luo_tui.guests.find import read_guest
from luo_tui.guests.json_stream import JsonStream
from luo_tui.guests.record import FOLDER, Record, Records
from luo_tui.guests.rules import judge
from luo_tui.state import State
from tests.guests.keeper import Descriptors
from tests.guests.machine import LONG, Machine, machine_below

pytestmark = pytest.mark.extra

PACKAGES = ("busybox-static", "qemu-guest-agent")
NAME = "org.qemu.guest_agent.0"
BLACKOUT = 4.0
"""Seconds that the guest stands still; more than what counts as a clock that is right."""
INIT = """#!/bin/busybox sh
busybox mkdir -p /dev /proc /sys /run
busybox ln -s /bin/busybox /sbin/hwclock
busybox mount -t devtmpfs dev /dev
busybox mount -t proc proc /proc
busybox mount -t sysfs sys /sys
busybox mount -t tmpfs run /run
exec /usr/sbin/qemu-ga --method=virtio-serial --path=/dev/vport0p1 --statedir=/run
"""


class Keeper(Descriptors):
    def state(self) -> State:
        return State.UPDATED


@pytest.fixture(scope="session")
def initrd() -> Path:
    """Debian's agent and what it needs; kept, since it is fetched."""
    name = cache.key(*PACKAGES, INIT, cache.recipe(_build, images.extract, images.pack))
    return cache.make("agent", name, _build) / "initrd.img"


def _build(work: Path) -> None:
    tree = work / "tree"
    images.extract(tree, PACKAGES)
    for part in ("usr/share", "usr/lib/udev", "var"):
        shutil.rmtree(tree / part, ignore_errors=True)
    (tree / "init").write_text(INIT)
    (tree / "init").chmod(0o755)
    images.pack(tree, work / "initrd.img")


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with machine_below(tmp_path) as made:
        yield made


def start(machine: Machine, initrd: Path) -> Path:
    """Boot it, and wait until its agent answers; return the agent's socket."""
    kernel = kernels.kernels()["new"]
    (machine.folder / "initrd").hardlink_to(initrd)
    machine.start(
        *("-name", "web1", "-accel", "tcg", "-nodefaults", "-display", "none", "-m", "512"),
        *("-object", "memory-backend-memfd,id=ram,size=512M,share=on"),
        *("-machine", "pc,memory-backend=ram", "-rtc", "base=utc"),
        *("-kernel", str(kernel.image), "-initrd", str(machine.folder / "initrd")),
        *("-append", "console=ttyS0 quiet"),
        *("-chardev", "socket,id=ga,path=agent.sock,server=on,wait=off"),
        *("-device", "virtio-serial-pci,id=serial"),
        *("-device", f"virtserialport,id=port,chardev=ga,name={NAME}"),
    )
    socket = machine.folder / "agent.sock"
    machine.until(lambda: offset(machine, socket) is not None)
    return socket


def offset(machine: Machine, socket: Path) -> float:
    """By how many seconds the guest's clock is ahead of this host's."""
    end = time.monotonic() + LONG
    stream = JsonStream.connect(socket, pid=machine.pid, limit=LONG)
    try:
        agent._sync(stream, end)
        told = agent._ask(stream, "guest-get-time", end)
        assert isinstance(told, int)
        return told / 1e9 - time.time()
    finally:
        stream.close()


def blackout(machine: Machine, keeper: Keeper, records: Records) -> Record:
    """Save the guest, let the time pass, and have it go on as in a new kernel."""
    (guest,) = judge([read_guest(Path("/proc"), machine.pid, LONG)])
    assert guest.refusals == ()
    saved = save(arm(keeper, guest, "boot-1", records), records, LONG)
    machine.signal(9)
    machine.wait()
    machine.until(lambda: time.time() - saved.paused > BLACKOUT)
    assert go_on(records.folder.parent, keeper, "boot-2") == ()
    loaded = records.find("web1")
    assert loaded is not None
    machine.adopt(loaded.pid)
    return loaded


def test_the_clock_of_a_guest_with_an_agent_is_set(
    machine: Machine, initrd: Path, tmp_path: Path
) -> None:
    socket = start(machine, initrd)
    before = offset(machine, socket)
    keeper, records = Keeper(), Records(tmp_path / "state" / FOLDER)
    assert blackout(machine, keeper, records).clock == "set"
    assert abs(offset(machine, socket)) < agent.EXACT
    assert abs(before) < BLACKOUT, "it was right before, too"
    keeper.close()


def test_without_its_agent_the_clock_stays_behind(
    machine: Machine, initrd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    socket = start(machine, initrd)
    before = offset(machine, socket)
    keeper, records = Keeper(), Records(tmp_path / "state" / FOLDER)
    # No time for an answer: what an agent that hangs has.
    monkeypatch.setattr(agent.set_time, "__kwdefaults__", {"limit": 0.001})
    assert blackout(machine, keeper, records).clock == "its agent: no answer in time"
    assert offset(machine, socket) < before - BLACKOUT + 1
    keeper.close()
