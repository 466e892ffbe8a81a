# SPDX-License-Identifier: MIT
"""A guest in Debian's own QEMU goes on across a real kexec, walked by commands."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cache import LabError
from machine import HOST_NAME, Built, Machine

from luo_tui.errors import Exit
from tests.lab import qemu_guest
from tests.lab.qemu_guest import LONG, Figures, Guest

pytestmark = pytest.mark.extra
FOLDER = "/var/lib/luo-tui"
RECORDS = f"{FOLDER}/guests"
GROUP = "/sys/fs/cgroup/guests.slice/web1.service"
LIMIT = 400 << 20
"""Bytes; its memory, and what QEMU itself takes."""
TOUCHED = (qemu_guest.MIB - 28) << 20
"""Bytes of its memory that it fills, at the least; QEMU itself takes less than half of that."""
_SAVE = f"""
from pathlib import Path
from luo_tui.guests.participants import Guests
from luo_tui.orchestrator.choose import open_orchestrator
guests = Guests.of(open_orchestrator(), Path("{FOLDER}"))
guests.save()
"""


def told(machine: Machine, command: str) -> Any:
    return json.loads(machine.must(f"luo-tui {command} --json", timeout=LONG))


def settings(machine: Machine) -> None:
    machine.put(b"guests = true\n", "/etc/luo-tui.toml")


def state(machine: Machine) -> str:
    return machine.must("cat /sys/kernel/liveupdate/state").strip()


def phase(machine: Machine, guest: Guest) -> str:
    """Return how far the guest's record is; empty where there is none."""
    said = machine.ssh(f"cat {RECORDS}/{guest.name}.json").stdout
    return str(json.loads(said)["phase"]) if said else ""


def preserved(machine: Machine) -> list[str]:
    said = machine.ssh("cat /sys/class/liveupdate/token*/name").stdout
    return sorted(said.split())


@pytest.fixture(scope="module")
def machine(built: Built) -> Iterator[Machine]:
    """One machine for all of these tests, each of which leaves it in state normal."""
    m = qemu_guest.host(built, f"test-{os.getpid()}-qemu")
    m.boot(wait=LONG)
    settings(m)
    yield m
    m.remove()


@pytest.fixture
def guest(machine: Machine, tmp_path: Path) -> Iterator[Guest]:
    """A guest that runs; it is ended after the test."""
    made = Guest(machine)
    made.start(tmp_path)
    yield made
    made.kill()


@pytest.fixture
def prepared(built: Built, machine: Machine, guest: Guest) -> Guest:
    """The guest, armed, on a host in state prepared."""
    told(machine, f"load {built.kernels['new'].release}")
    told(machine, "prepare --yes")
    assert phase(machine, guest) == "armed"
    assert len(preserved(machine)) == 2
    return guest


def needs(machine: Machine) -> str:
    """Return what the kexec asks for to be agreed to."""
    shown = told(machine, "kexec --show")
    give = " ".join(n.replace("DIGEST", shown["digest"]) for n in shown["needs"])
    assert f"--yes-to {HOST_NAME}" in give
    return give


def jump(machine: Machine, target: str) -> None:
    give, before = needs(machine), machine.boot_id()
    with contextlib.suppress(LabError):
        done = machine.ssh(f"luo-tui kexec {give}", timeout=LONG)
        assert "Jumping" in done.stdout, done.stderr
    machine.wait_ready(before, LONG)
    assert machine.must("uname -r").strip() == target


def goes_on(guest: Guest, before: Figures) -> Figures:
    """It counts on, has looked at all of its memory since, and is the one that it was."""
    after = guest.counts(passes=1)
    assert after.born == before.born, "it was started anew"
    assert after.count > before.count
    assert after.state == "running"
    assert after.is_whole, after
    return after


def test_a_cancel_after_prepare(machine: Machine, prepared: Guest) -> None:
    before = prepared.counts()
    told(machine, "cancel --yes")
    assert state(machine) == "normal"
    assert (phase(machine, prepared), preserved(machine)) == ("", [])
    goes_on(prepared, before)


def test_a_cancel_after_the_guest_was_saved(machine: Machine, prepared: Guest) -> None:
    """Whoever saved it was killed then; whoever cancels has it go on."""
    before = prepared.counts()
    machine.put(_SAVE.encode(), "/root/save.py")
    machine.must("python3 /root/save.py", timeout=LONG)
    assert phase(machine, prepared) == "saved"
    stood = prepared.figures()
    assert stood.state == "postmigrate"
    assert prepared.figures().count == stood.count
    told(machine, "cancel --yes")
    assert (phase(machine, prepared), preserved(machine)) == ("", [])
    goes_on(prepared, before)


def test_a_guest_that_was_killed_after_it_was_armed(machine: Machine, prepared: Guest) -> None:
    prepared.kill()
    needed = needs(machine)
    done = machine.ssh(f"luo-tui kexec {needed}", timeout=LONG)
    assert done.returncode == Exit.REFUSED, done.stderr
    assert "web1 has ended since it was armed" in done.stderr
    assert state(machine) == "prepared"
    told(machine, "cancel --yes")
    assert state(machine) == "normal"
    assert (phase(machine, prepared), preserved(machine)) == ("", [])


def arrive(machine: Machine) -> tuple[int, Any]:
    done = machine.ssh("luo-tui arrive --json", timeout=LONG)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def about_guests(said: Any) -> tuple[str, str]:
    """Return how the verdict grades the one guest, and what it says of it."""
    (found,) = [r for r in said["reasons"] if r["about"] == "guests"]
    return found["level"], found["text"]


def put_into_a_group(machine: Machine, guest: Guest) -> None:
    """Give the guest a control group with a limit, as a unit would."""
    machine.must(
        f"mkdir -p {GROUP} && echo +memory >/sys/fs/cgroup/cgroup.subtree_control"
        f" && echo +memory >{GROUP}/../cgroup.subtree_control; echo {LIMIT} >{GROUP}/memory.max"
        f" && echo {guest.pid} >{GROUP}/cgroup.procs"
    )


def test_a_guest_goes_on_over_a_real_kexec(built: Built, machine: Machine, guest: Guest) -> None:
    put_into_a_group(machine, guest)
    (listed,) = told(machine, "guests")["guests"]
    assert (listed["name"], listed["can_be_carried"], listed["reasons"]) == ("web1", True, [])
    # The second one carries what a first update has brought.
    for target in (built.kernels["new"].release, built.kernels["old"].release):
        settings(machine)
        told(machine, f"load {target}")
        told(machine, "prepare --yes")
        assert phase(machine, guest) == "armed"
        before = guest.counts()
        shown = told(machine, "kexec --show")["survives"]
        assert shown[0] == f"guest web1 [{guest.pid}], 128 MiB: goes on in the new kernel"
        jump(machine, target)
        assert (state(machine), phase(machine, guest), guest.pid) == ("updated", "saved", 0)
        code, said = arrive(machine)
        assert (code in (Exit.OK, Exit.DOUBTFUL), said["faults"]) == (True, []), said
        level, text = about_guests(said)
        assert (level, text[:18]) == ("good", "kept: web1 goes on"), said
        print(f"\n{text}")
        assert phase(machine, guest) == "loaded"
        after = goes_on(guest, before)
        # Its group has it again, and is charged for its memory.
        assert machine.must(f"cat {GROUP}/memory.max").strip() == str(LIMIT)
        assert machine.must(f"cat {GROUP}/cgroup.procs").split() == [str(guest.pid)]
        assert int(machine.must(f"cat {GROUP}/memory.current")) > TOUCHED
        ended = told(machine, "finish --yes")
        assert (ended["state_after"], ended["window_open"]) == ("normal", False)
        assert phase(machine, guest) == ""
        goes_on(guest, after)
    assert machine.ssh("dmesg | grep -E 'WARNING|BUG:|Oops'").stdout == ""
