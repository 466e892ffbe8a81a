# SPDX-License-Identifier: MIT
"""The blackout by phase: an update walked from the console beside one by the bare program."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tests.bench.test_kernel import khz, numbers
from tests.lab import driver

MIB = 64


def first_line(machine: Any) -> int:
    """When the new kernel's first line of userspace ran."""
    return numbers(machine.must("cat /run/lab/first-line"))["tsc"]


def tsc(machine: Any) -> int:
    return int(machine.must("lab-tsc"))


def reboot_call(machine: Any) -> int:
    """The end of the freeze, after which the console does nothing but call reboot."""
    return int(machine.must("cat /sys/kernel/liveupdate/times/freeze_end"))


def bare(machine: Any, update: bytes) -> list[int]:
    machine.put(update, "/tmp/update", mode="755")
    before = machine.boot_id()
    machine.ssh(f"/tmp/update v2-save pages {MIB}", timeout=120)
    machine.wait_ready(before, 120)
    machine.put(update, "/tmp/update", mode="755")
    loaded = numbers(machine.must("/tmp/update v2-load pages", timeout=120))
    return [
        reboot_call(machine), first_line(machine), loaded["restored_at"], loaded["normal_at"],
    ]  # fmt: skip


def console(machine: Any) -> list[int]:
    machine.must(f"dd if=/dev/urandom of=/dev/shm/f bs=1M count={MIB} 2>/dev/null", timeout=120)
    machine.must("luo-tui hold /dev/shm/f --name cache; rm /dev/shm/f", timeout=120)
    before = machine.boot_id()
    running = machine.must("uname -r").strip()
    target = running.replace("-old", "-NEW").replace("-new", "-old").replace("-NEW", "-new")
    with driver.over_ssh(machine) as t:
        driver.load(t, target)
        driver.prepare(t)
        driver.jump(t, target)
        t.meanwhile(lambda: machine.wait_ready(before, 120))
    machine.must("luo-tui restore cache -o /dev/shm/f --force", timeout=120)
    restored = tsc(machine)
    with driver.over_ssh(machine) as t:
        driver.finish(t)
    return [reboot_call(machine), first_line(machine), restored, tsc(machine)]


@pytest.mark.lab
def test_blackout_by_phase(lab_machine: Any, update: bytes) -> None:
    lab_machine.boot()
    rate = khz(lab_machine)
    rows = {"bare program": bare(lab_machine, update), "console": console(lab_machine)}
    steps = {
        name: [(b - a) / rate for a, b in itertools.pairwise(row)] for name, row in rows.items()
    }
    names = ("reboot call to first userspace line", "to restored", "to normal")
    print()
    for i, what in enumerate(names):
        ours, theirs = steps["console"][i], steps["bare program"][i]
        print(
            f"{what:36} console {ours:8.0f} ms  bare program {theirs:8.0f} ms"
            f"  ratio {ours / theirs:.2f}"
        )
    ours, theirs = (sum(steps[n][:2]) for n in ("console", "bare program"))
    print(
        f"{'reboot call to restored':36} console {ours:8.0f} ms  bare program {theirs:8.0f} ms"
        f"  ratio {ours / theirs:.2f}"
    )
