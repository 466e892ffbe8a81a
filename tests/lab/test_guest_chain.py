# SPDX-License-Identifier: MIT
"""Two guests of different shape go on over three real kexecs in a row, walked by keys."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from machine import Built, Machine

from luo_tui.errors import Exit
from tests import qcow2
from tests.lab import driver, qemu_guest
from tests.lab.qemu_guest import DISK, LONG, Figures, Guest, arrive, goes_on, phase, settings

pytestmark = pytest.mark.extra
JUMPS = 3


class Large(Guest):
    """It has two processors, twice the memory, and a disk that keeps apart what it writes."""

    mib = 256
    memory = "memory-backend-memfd,id=ram,size=256M,share=on"
    more = "-smp 2"
    format = "qcow2"

    def start(self, folder: Path, *more: str) -> None:
        """Lay its disk upon an image that has its program."""
        below = f"{self.disk}.base"
        self.machine.put(self._program(folder), below)
        self.machine.put(qcow2.overlay(below, DISK), self.disk)
        self.machine.must(f"{self.command} {' '.join(more)}", timeout=LONG)
        self.counts(passes=1)


@pytest.fixture
def machine(built: Built) -> Iterator[Machine]:
    yield from qemu_guest.lend_host(built, "guest-chain", memory=2048)


@pytest.fixture
def guests(machine: Machine, tmp_path: Path) -> list[Guest]:
    """Both, running."""
    found = [Guest(machine), Large(machine, "db1")]
    for guest in found:
        guest.start(tmp_path)
    return found


def by_keys(machine: Machine, target: str) -> None:
    """Load, prepare and jump; both are promised before the jump."""
    boot = machine.boot_id()
    with driver.over_ssh(machine) as t:
        t.wait_for("Nothing is prepared.", LONG)
        driver.load(t, target)
        driver.prepare(t)
        screen = t.press("k", "> [ Stay prepared ]")
        survives, _, lost = screen.partition("Survives")[2].partition("Lost")
        for promised in ("guest web1 [", "guest db1 ["):
            assert promised in survives
        assert not {"web1", "db1"} & set(lost.split())
        t.press("escape", "[x] prepare")
        driver.jump(t, target)
        t.meanwhile(lambda: machine.wait_ready(boot, LONG))
    assert machine.must("uname -r").strip() == target


def finish_by_keys(machine: Machine) -> None:
    """Both are there; nothing is lost by the finish."""
    with driver.over_ssh(machine) as t:
        t.wait_for("This kernel took over from", LONG)
        t.press("6", "[6 guests]")
        for text in ("web1", "db1", "went on"):
            t.wait_for(text)
        t.press("1", "[1 overview]")
        driver.take_over_if_asked(t)
        driver.finish(t)
        driver.leave(t)
        t.wait_for_left()


def test_two_guests_go_on_over_three_kexecs(
    built: Built, machine: Machine, guests: list[Guest]
) -> None:
    before: dict[str, Figures] = {guest.name: guest.counts() for guest in guests}
    assert before["db1"].second > before["web1"].second == 0
    for kernel in itertools.islice(itertools.cycle(("new", "old")), JUMPS):
        settings(machine)
        by_keys(machine, built.kernels[kernel].release)
        assert [phase(machine, guest) for guest in guests] == ["saved", "saved"]
        settings(machine)
        code, said = arrive(machine)
        assert said["faults"] == [], said
        assert code in (Exit.OK, Exit.DOUBTFUL), said
        told = [r for r in said["reasons"] if r["about"] == "guests"]
        assert [r["level"] for r in told] == ["good", "good"], told
        print(f"\n{[r['text'] for r in told]}")
        for guest in guests:
            after = goes_on(guest, before[guest.name])
            assert (after.second > before[guest.name].second) == (guest.name == "db1")
            before[guest.name] = after
        finish_by_keys(machine)
        assert [phase(machine, guest) for guest in guests] == ["", ""]
    assert machine.ssh("dmesg | grep -E 'WARNING|BUG:|Oops'").stdout == ""
