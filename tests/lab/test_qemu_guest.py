# SPDX-License-Identifier: MIT
"""A guest in Debian's own QEMU goes on across a real kexec, walked by commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from machine import Built, Machine

from luo_tui.errors import Exit
from tests.lab import driver, qemu_guest
from tests.lab.qemu_guest import (
    FOLDER,
    LONG,
    Guest,
    arrive,
    goes_on,
    jump,
    needs,
    phase,
    settings,
    told,
    went_on,
)
from tests.terminal import Terminal

pytestmark = pytest.mark.extra
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


def state(machine: Machine) -> str:
    return machine.must("cat /sys/kernel/liveupdate/state").strip()


def preserved(machine: Machine) -> list[str]:
    said = machine.ssh("cat /sys/class/liveupdate/token*/name").stdout
    return sorted(said.split())


@pytest.fixture(scope="module")
def machine(built: Built) -> Iterator[Machine]:
    """One machine for all of these tests, each of which leaves it in state normal."""
    yield from qemu_guest.lend_host(built, "qemu")


@pytest.fixture
def guest(machine: Machine, tmp_path: Path) -> Iterator[Guest]:
    """A guest that runs; it is ended after the test."""
    yield from qemu_guest.lend_guest(machine, tmp_path)


@pytest.fixture
def prepared(built: Built, machine: Machine, guest: Guest) -> Guest:
    """The guest, armed, on a host in state prepared."""
    told(machine, f"load {built.kernels['new'].release}")
    told(machine, "prepare --yes")
    assert phase(machine, guest) == "armed"
    assert len(preserved(machine)) == 2
    return guest


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


def see_it(t: Terminal, *wanted: str) -> None:
    """Look at the place for guests, and go back to the overview."""
    t.press("6", "[6 guests]")
    for text in ("web1", *wanted):
        t.wait_for(text)
    t.press("1", "[1 overview]")


def test_an_update_by_keys(built: Built, machine: Machine, guest: Guest) -> None:
    """The question before the jump names the guest; after it the console shows that it runs."""
    settings(machine)
    old, new = (built.kernels[name].release for name in ("old", "new"))
    target = old if machine.must("uname -r").strip() == new else new
    before, boot = guest.counts(), machine.boot_id()
    with driver.over_ssh(machine) as t:
        t.wait_for("Nothing is prepared.", LONG)
        see_it(t, "not asked")
        driver.load(t, target)
        driver.prepare(t)
        assert phase(machine, guest) == "armed"
        screen = t.press("k", "> [ Stay prepared ]")
        survives, _, lost = screen.partition("Survives")[2].partition("Lost")
        assert f"guest web1 [{guest.pid}], 128 MiB: goes on in the new kernel" in survives
        assert "web1" not in lost
        t.press("escape", "[x] prepare")
        driver.jump(t, target)
        t.meanwhile(lambda: machine.wait_ready(boot, LONG))
    assert machine.must("uname -r").strip() == target
    settings(machine)
    _, said = arrive(machine)
    assert said["faults"] == [], said
    with driver.over_ssh(machine) as t:
        t.wait_for("This kernel took over from", LONG)
        see_it(t, "went on", f"[{guest.pid}]")
        driver.take_over_if_asked(t)
        driver.finish(t)
        driver.leave(t)
        t.wait_for_left()
    assert (state(machine), phase(machine, guest)) == ("normal", "")
    goes_on(guest, before)


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
        after = went_on(machine, guest, before)
        # Its group has it again, and is charged for its memory.
        assert machine.must(f"cat {GROUP}/memory.max").strip() == str(LIMIT)
        assert machine.must(f"cat {GROUP}/cgroup.procs").split() == [str(guest.pid)]
        assert int(machine.must(f"cat {GROUP}/memory.current")) > TOUCHED
        ended = told(machine, "finish --yes")
        assert (ended["state_after"], ended["window_open"]) == ("normal", False)
        assert phase(machine, guest) == ""
        goes_on(guest, after)
    assert machine.ssh("dmesg | grep -E 'WARNING|BUG:|Oops'").stdout == ""
