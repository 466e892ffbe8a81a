# SPDX-License-Identifier: MIT
"""A guest of the host goes on counting in the new kernel, exactly where it stopped."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from machine import Built, Machine

from tests.lab import driver
from tests.lab.vmm import (
    CANCEL,
    FINISH,
    FREEZE,
    NOTE,
    PREPARE,
    Guest,
    move,
    resources,
    state,
    update,
)
from tests.terminal import Terminal

LAB = Path(__file__).parents[2] / "kernel" / "lab"
PAGE, CODE, XMM = 0x6000, 0x10000, 10
"""Where the guest has its figures and its code, and the word in which its XMM registers are."""


def went_on(machine: Machine, stood_at: int, most_ms: float) -> None:
    """The guest went on in this kernel at exactly that count; tell how long it stood still."""
    guest = Guest(machine)
    now = guest.counts_on(stood_at)
    log = machine.must("cat /run/lab/guest.log")
    said = re.search(r"goes on at count (\d+); blackout ([\d.]+) ms: (.*)", log)
    assert said, log
    print(f"\nthe guest's blackout: {said[2]} ms: {said[3]}")
    assert int(said[1]) == stood_at
    blackout, gap = float(said[2]), float(now["gap-ms"])
    assert float(now["blackout-ms"]) == blackout
    # Measured from outside it was longer; by the guest itself too, by a little.
    assert 100 < blackout < gap + 1 < most_ms
    assert int(now["gap-at"]) - stood_at in (0, 1)
    phases = re.findall(r"(?:^|, )([a-z ]+) ([\d.]+)", said[3])
    assert [name for name, _ in phases] == [
        "pause and save",
        "until the jump",
        "jump to the first line of user space",
        "until the restore",
        "restore",
    ]
    assert abs(sum(float(ms) for _, ms in phases) - blackout) < 1


def test_a_guest_goes_on_where_it_stopped(built: Built, machine: Machine) -> None:
    """Saved on request, there and back again."""
    guest = Guest(machine)
    guest.start("run")
    guest.counts_on(guest.count())
    untouched = guest.ask("sum")
    # The second one holds what a first update has brought.
    for target in (built.kernels["new"].release, built.kernels["old"].release):
        guest.ask("reset")
        began = time.monotonic()
        stood_at = guest.save()
        assert guest.status()["state"] == "paused"
        assert "saved already" in guest.declined("save")
        assert guest.count() == stood_at
        update(machine, target)
        assert state(machine) == "updated"
        guest.counts_on(stood_at)
        went_on(machine, stood_at, (time.monotonic() - began) * 1000)
        assert guest.ask("sum") == untouched
        assert resources(machine) == ["lab-guest-ram restored", "lab-guest-state restored"]
        assert machine.ssh(f"test -e {NOTE}").returncode == 1
        move(machine, FINISH)
    guest.counts_on(guest.count())
    assert machine.ssh("dmesg | grep -E 'WARNING|BUG:|Oops'").stdout == ""


@pytest.mark.extra
@pytest.mark.parametrize("cpus", ["1", "2"])
def test_a_guest_in_sight_runs_until_the_freeze(built: Built, cold: Machine, cpus: str) -> None:
    """An operator at the console needs no other key, and sees the guest go on."""
    machine, target = cold, built.kernels["new"].release
    machine.qemu = ("-smp", cpus)
    machine.boot()
    guest = Guest(machine)
    held = ["lab-guest-ram preserved", "lab-guest-state preserved"]
    before = machine.boot_id()
    command = [sys.executable, LAB, "--name", machine.name, "guest"]
    with Terminal.run(command, rows=36, cols=100) as t:
        assert "running count" in t.wait_for("longest gap")
        untouched = guest.ask("sum")
        assert resources(machine) == held
        driver.load(t, target)
        driver.prepare(t)
        guest.counts_on(guest.count())
        last_seen = guest.count()
        guest.ask("reset")
        began = time.monotonic()
        driver.jump(t, target)
        t.meanwhile(lambda: machine.wait_ready(before, 120))
        now = guest.counts_on(last_seen)
        stood_at = _stood_at(machine)
        assert stood_at >= last_seen
        went_on(machine, stood_at, (time.monotonic() - began) * 1000)
        assert guest.ask("sum") == untouched
        # And it has joined the next update.
        assert resources(machine) == sorted(
            [*held, "lab-guest-ram restored", "lab-guest-state restored"]
        )
        # Both parts of the window are there again.
        screen = t.wait_for("All is restored.")
        assert f"goes on at count {stood_at}; blackout {now['blackout-ms']} ms:" in screen
        driver.finish(t)
        driver.leave(t)
        assert t.wait_ended() == 0
        assert t.left_on() == []
    assert resources(machine) == held
    guest.counts_on(int(now["count"]))


def _stood_at(machine: Machine) -> int:
    said = re.search(r"at count (\d+)", machine.must("cat /run/lab/guest.log"))
    assert said
    return int(said[1])


@pytest.fixture(scope="module")
def shared(built: Built) -> Iterator[Machine]:
    """One machine for the tests that leave it as they found it."""
    machine = Machine(f"test-{os.getpid()}-guest", built)
    machine.start()
    yield machine
    machine.remove()


@pytest.fixture
def host(shared: Machine) -> Iterator[Machine]:
    """The shared machine, in state normal, with nothing preserved and no guest."""
    yield shared
    if state(shared) in ("prepared", "frozen"):
        move(shared, CANCEL)
    shared.ssh(f"for s in /run/*.sock; do lab-vmm ask quit --socket $s; done; rm -f {NOTE}")
    shared.ssh("pkill -x lab-vmm; rm -f /run/*.sock /dev/shm/*")
    assert state(shared) == "normal"
    assert resources(shared) == []


@pytest.mark.extra
def test_a_cancelled_update_and_the_guest_goes_on(host: Machine) -> None:
    guest = Guest(host)
    guest.start("run")
    stood_at = guest.save()
    move(host, PREPARE)
    said = guest.declined("resume")
    assert "state prepared" in said
    assert "busy" in said
    assert guest.status()["state"] == "paused"
    assert "state prepared" in guest.declined("quit")
    move(host, CANCEL)
    assert "in this very kernel" in Guest(host, "/run/other.sock").refused("restore")
    assert guest.count() == stood_at
    guest.ask("resume")
    guest.counts_on(stood_at)
    assert "not saved" in guest.declined("resume")
    assert resources(host) == []
    assert host.ssh(f"test -e {NOTE}").returncode == 1
    # And all of it once more.
    guest.save()
    guest.ask("resume")


@pytest.mark.extra
def test_a_guest_that_follows_goes_on_after_a_cancel(host: Machine) -> None:
    guest = Guest(host)
    guest.start("run --follow")
    held = resources(host)
    assert len(held) == 2
    for moves in ((PREPARE, CANCEL), (PREPARE, FREEZE, CANCEL)):
        for event in moves[:-1]:
            guest.counts_on(guest.count())
            move(host, event)
        stands = FREEZE in moves
        assert guest.status()["state"] == ("paused" if stands else "running")
        stood_at = guest.count()
        assert (guest.count() == stood_at) == stands
        assert ("frozen" if stands else "not saved") in guest.declined("resume")
        move(host, moves[-1])
        guest.counts_on(stood_at)
        assert resources(host) == held
    # Saved on request it waits for a request, and follows again.
    stood_at = guest.save()
    move(host, PREPARE)
    move(host, CANCEL)
    assert guest.status()["state"] == "paused"
    guest.ask("resume")
    guest.counts_on(stood_at)
    assert resources(host) == held


def test_a_save_that_is_refused_leaves_the_guest_running(host: Machine) -> None:
    guest = Guest(host)
    guest.start("run")
    move(host, PREPARE)
    assert "state prepared" in guest.declined("save")
    guest.counts_on(guest.count())
    move(host, CANCEL)
    # The first one is preserved, the note of it cannot be written: it is given back.
    host.must(f"mkdir {NOTE}.new")
    assert "cannot be written" in guest.declined("save")
    assert resources(host) == []
    guest.counts_on(guest.count())
    host.must(f"rmdir {NOTE}.new")
    guest.save()


@pytest.mark.extra
def test_what_is_no_state_of_a_guest_is_refused(host: Machine) -> None:
    first = Guest(host)
    first.start("run")
    untouched = first.ask("sum")
    running = first.memfd("lab-guest-state")
    stood_at = first.save()
    good, ram = first.memfd("lab-guest-state"), first.memfd("lab-guest-ram")
    assert len(ram) == 8 << 20
    first.ask("resume")
    first.ask("quit")

    damaged = bytearray(good)
    damaged[len(good) // 2] ^= 1
    foreign_ram = bytearray(ram)
    foreign_ram[PAGE + 8 * 8] ^= 1
    guest = Guest(host, "/run/copy.sock")

    def put(a: bytes, b: bytes) -> None:
        host.put(a, "/dev/shm/state")
        host.put(b, "/dev/shm/ram")

    for a, b, reason in (
        (good[:-1], ram, "cut short"),
        (good[:100], ram, "cut short"),
        (good[:10], ram, "no state"),
        (b"", ram, "no state"),
        (good + b"\0", ram, "grown"),
        (os.urandom(len(good)), ram, "no state"),
        (good[:8] + struct.pack("<I", 999) + good[12:], ram, "version 999"),
        (bytes(damaged), ram, "damaged"),
        (running, ram, "still ran"),
        (good, ram[:-4096], "RAM is cut short"),
        (good, bytes(foreign_ram), "not of one guest"),
    ):
        put(a, b)
        assert reason in guest.refused("restore /dev/shm/state /dev/shm/ram"), reason

    # Whole copies are a guest; what the guest watches over would have been seen.
    put(good, ram)
    guest.start("restore /dev/shm/state /dev/shm/ram")
    guest.counts_on(stood_at)
    assert guest.ask("sum") == untouched
    guest.ask("quit")
    for word, wrong in ((XMM, "wrong-xmm"), (XMM + 3, "wrong-xmm"), (0, "wrong-ram")):
        bad = bytearray(ram)
        bad[PAGE + word * 8] ^= 1
        put(good, bytes(bad))
        guest.start("restore /dev/shm/state /dev/shm/ram")
        end = time.monotonic() + 20
        while guest.status()[wrong] == "0":
            assert time.monotonic() < end, (word, guest.status())
        guest.ask("quit")

    # A guest that cannot go on says so, and is not saved as if it could.
    put(good, ram[:CODE] + b"\x0f\x0b" * 512 + ram[CODE + 1024 :])
    guest.start("restore /dev/shm/state /dev/shm/ram")
    end = time.monotonic() + 20
    while guest.status()["state"] != "stopped":
        assert time.monotonic() < end
    assert "triple fault" in guest.ask("status")
    assert "triple fault" in guest.declined("save")
    guest.ask("quit")


def test_what_is_missing_is_said(host: Machine) -> None:
    guest = Guest(host)
    assert "no lab-vmm answers" in host.ssh("lab-vmm ask status").stderr
    assert f"no guest is noted in {NOTE}" in guest.refused("restore")
    host.put(b"boot some-other-boot\nram 0\nstate 1\n", NOTE)
    assert "state normal" in guest.refused("restore")
    host.put(b"hello\n", NOTE)
    assert "not a note" in guest.refused("restore")
    host.must("mv /dev/kvm /dev/kvm.away")
    try:
        assert "there is no /dev/kvm" in guest.refused("run")
        assert host.ssh(f"test -e {guest.socket}").returncode == 1
        command = [sys.executable, str(LAB), "--name", host.name, "guest"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert done.stderr.startswith("lab: the guest did not start: lab-vmm: there is no /dev/kvm")
    finally:
        host.must("mv /dev/kvm.away /dev/kvm")
    host.must("mv /dev/liveupdate /dev/liveupdate.away")
    try:
        guest.start("run")
        assert "luo.ko is not loaded" in guest.declined("save")
        guest.counts_on(guest.count())
    finally:
        host.must("mv /dev/liveupdate.away /dev/liveupdate")
    assert "another lab-vmm answers" in guest.refused("run")
    assert "unknown request" in guest.declined("dance")
    assert "ended" in guest.ask("quit")
