# SPDX-License-Identifier: MIT
"""A guest in Debian's own QEMU goes on across a real kexec by the sessions of mainline Linux."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from machine import Built, Machine

from luo_tui.errors import Exit
from tests.lab import qemu_guest
from tests.lab.qemu_guest import (
    LONG,
    Guest,
    goes_on,
    jump,
    needs,
    phase,
    settings,
    told,
    went_on,
)
from tests.lab.test_holder import SESSIONS, holder

pytestmark = pytest.mark.extra
KEPT = ["guest web1 (devices)", "guest web1 ram"]
"""The sessions that a guest has, by their names."""


@pytest.fixture(scope="module")
def machine(built: Built) -> Iterator[Machine]:
    """One machine for all of these tests, each of which leaves nothing in a session."""
    yield from qemu_guest.lend_host(built, "qemu-sessions", extra=SESSIONS)


@pytest.fixture
def guest(machine: Machine, tmp_path: Path) -> Iterator[Guest]:
    """A guest that runs; it is ended after the test."""
    yield from qemu_guest.lend_guest(machine, tmp_path)


@pytest.fixture
def armed(built: Built, machine: Machine, guest: Guest) -> Guest:
    """The guest, armed by a load: there is no prepare."""
    told(machine, f"load {built.kernels['new'].release}")
    assert (phase(machine, guest), sessions(machine)) == ("armed", KEPT)
    return guest


def sessions(machine: Machine) -> list[str]:
    """Return the names of what the holder keeps for the next kernel."""
    found = told(machine, "status")["resources"]
    return sorted(r["name"] for r in found if r["state"] == "preserved")


def test_an_unload_gives_up_what_was_armed(machine: Machine, armed: Guest) -> None:
    before = armed.counts()
    told(machine, "unload")
    assert (phase(machine, armed), sessions(machine)) == ("", [])
    goes_on(armed, before)


def test_a_guest_that_was_killed_after_it_was_armed(machine: Machine, armed: Guest) -> None:
    needed = needs(machine)
    armed.kill()
    done = machine.ssh(f"luo-tui kexec {needed}", timeout=LONG)
    assert done.returncode == Exit.REFUSED, done.stderr
    assert "web1 has ended since it was armed" in done.stderr
    told(machine, "unload")
    assert (phase(machine, armed), sessions(machine)) == ("", [])


def test_a_holder_that_was_killed_stops_the_kexec(
    built: Built, machine: Machine, armed: Guest
) -> None:
    before, needed = armed.counts(), needs(machine)
    machine.must(f"kill -9 {holder(machine)}")
    done = machine.ssh(f"luo-tui kexec {needed}", timeout=LONG)
    assert done.returncode == Exit.REFUSED, done.stderr
    assert "preserved no more" in done.stderr
    assert "web1" in done.stderr
    goes_on(armed, before)
    # What is held in its place has the same token, and is not the guest's memory.
    machine.must("echo other >/root/other; luo-tui hold /root/other --name other", timeout=LONG)
    machine.must("luo-tui hold /root/other --name another", timeout=LONG)
    assert "preserved no more" in str(told(machine, "kexec --show")["blocked"])
    machine.must("luo-tui unpreserve other && luo-tui unpreserve another", timeout=LONG)
    told(machine, "unload")
    told(machine, f"load {built.kernels['new'].release}")
    assert (phase(machine, armed), sessions(machine)) == ("armed", KEPT)
    told(machine, "unload")
    assert (phase(machine, armed), sessions(machine)) == ("", [])


def test_a_host_without_memory_for_all_of_a_guest_arms_none(
    built: Built, machine: Machine, guest: Guest
) -> None:
    """What a guest has not touched is taken from the host when it is armed."""
    group = "/sys/fs/cgroup/small"
    told(machine, "status")
    machine.must("luo-tui hold /etc/passwd --name first", timeout=LONG)
    machine.must(
        f"echo +memory >/sys/fs/cgroup/cgroup.subtree_control; mkdir -p {group}"
        f" && echo {holder(machine)} >{group}/cgroup.procs && echo 4M >{group}/memory.max"
    )
    before = guest.counts()
    done = machine.ssh(f"luo-tui load {built.kernels['new'].release}", timeout=LONG)
    assert done.returncode == Exit.REFUSED, done.stderr
    assert "memory.max of cgroup" in done.stderr
    assert "web1 could not be armed" in done.stderr
    assert told(machine, "status")["kexec"]["loaded"] is False
    assert (phase(machine, guest), sessions(machine)) == ("", ["first"])
    machine.must(f"echo max >{group}/memory.max && luo-tui unpreserve first", timeout=LONG)
    goes_on(guest, before)


def test_a_guest_goes_on_over_a_real_kexec(built: Built, machine: Machine, guest: Guest) -> None:
    # The second one carries what a first update has brought.
    for target in (built.kernels["new"].release, built.kernels["old"].release):
        settings(machine)
        told(machine, f"load {target}")
        assert (phase(machine, guest), sessions(machine)) == ("armed", KEPT)
        before = guest.counts()
        shown = told(machine, "kexec --show")["survives"]
        assert shown[0] == f"guest web1 [{guest.pid}], 128 MiB: goes on in the new kernel"
        jump(machine, target)
        assert (phase(machine, guest), guest.pid) == ("saved", 0)
        after = went_on(machine, guest, before)
        # Nothing of it is the holder's any more: finish takes nothing from the guest.
        asked = told(machine, "finish --show")
        assert (asked["possible"], asked["lost"]) == (True, []), asked
        ended = told(machine, "finish --yes")
        assert (ended["state_after"], ended["window_open"]) == ("normal", False)
        assert phase(machine, guest) == ""
        goes_on(guest, after)
    assert machine.ssh("dmesg | grep -E 'WARNING|BUG:|Oops'").stdout == ""
