# SPDX-License-Identifier: MIT
"""Five updates in a chain by a plan: the blackout as predicted and as measured, and what it adds.

Three kinds of updates, of as much memory, between the same kernels:

- a bare program does all of it (``update.c``);
- ``luo-tui run`` does it, and the same program restores in the new kernel: what
  differs is the console's share of the blackout;
- ``luo-tui run`` does it, and ``luo-tui arrive`` gives back what was held: what it
  takes besides is Python's start.

What restores is started by the machine's init, as an early unit would be. The memory
stays where it is over the five, as a guest's does: the next kernel reserves each run of
pages by itself, so that the same amount in more pieces takes longer to boot.

A shared machine's clock is off by more than what is asked for, so the processor's
clock counts instructions (QEMU's icount): a millisecond is a million of them.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import time
from typing import Any

import pytest
from cache import LabError
from machine import HOST_NAME

from tests.bench.test_blackout import first_line, reboot_call
from tests.bench.test_kernel import COUNTED, FIGURES, khz, numbers

MIB = 64
UPDATES = 5
LONG = 400
"""Seconds: counting instructions takes its time."""
PROGRAM, EARLY = "/var/lib/luo-tui/update", "/var/lib/luo-tui/early"
PLAN = "/var/lib/luo-tui/plan.toml"
KEEP = f"#!/bin/sh\n{PROGRAM} v2-keep pages\nexec luo-tui arrive --json\n"
LOAD = f"#!/bin/sh\nexec {PROGRAM} v2-load pages\n"
GIVE_BACK = "#!/bin/sh\nexec luo-tui arrive --json\n"


def early(machine: Any, script: str) -> None:
    """Have this run first of all in the next kernel."""
    machine.put(script.encode(), EARLY, mode="755")
    machine.must(f"rm -f {FIGURES}; sync")


def normal(machine: Any, wait: float = LONG) -> None:
    """Wait until the update is finished in the new kernel."""
    end = time.monotonic() + wait
    while machine.must("cat /sys/kernel/liveupdate/state").strip() != "normal":
        assert time.monotonic() < end, machine.ssh("cat /run/lab/early.log").stdout
        time.sleep(0.5)


def stamps(machine: Any) -> tuple[int, int]:
    """The end of the freeze, and the first line of user space: in ticks."""
    return reboot_call(machine), first_line(machine)


def bare(machine: Any) -> tuple[int, int, int]:
    """One update by the program alone: when it was frozen, in user space, and restored."""
    early(machine, LOAD)
    before = machine.boot_id()
    saved = machine.ssh(f"{PROGRAM} v2-save pages {MIB}", timeout=LONG)
    assert saved.returncode == 255, saved.stdout + saved.stderr
    machine.wait_ready(before, LONG)
    normal(machine)
    return (*stamps(machine), numbers(machine.must(f"cat {FIGURES}"))["restored_at"])


def by_plan(machine: Any) -> None:
    """One update by `luo-tui run`, up to the next kernel in state normal."""
    running = machine.must("uname -r").strip()
    target = running.replace("-old", "-NEW").replace("-new", "-old").replace("-NEW", "-new")
    machine.must(f"luo-tui plan new {target} >{PLAN}", timeout=LONG)
    # Whoever edits it agrees to what it lists, and to a finish without him.
    machine.must(f"sed -i 's/^#  \"/  \"/; s/^finish = false/finish = true/' {PLAN}; sync")
    before = machine.boot_id()
    with contextlib.suppress(LabError):
        done = machine.ssh(f"luo-tui run {PLAN} --yes-to {HOST_NAME}", timeout=LONG)
        assert "Jumping" in done.stdout, done.stdout + done.stderr
    machine.wait_ready(before, LONG)
    assert machine.must("uname -r").strip() == target
    normal(machine)


def held_by_program(machine: Any, *, again: bool) -> tuple[int, int, int]:
    """One update by `luo-tui run`, restored by the program, which has it from now on.

    ``again``: it has it from the update before.
    """
    early(machine, KEEP)
    hold = "v2-again $(pgrep -x update)" if again else f"v2-hold pages {MIB}"
    machine.must(f"{PROGRAM} {hold}", timeout=LONG)
    by_plan(machine)
    restored = numbers(machine.must(f"cat {FIGURES}"))["restored_at"]
    return (*stamps(machine), restored)


def held_by_console(machine: Any) -> tuple[int, int, int]:
    """One update by `luo-tui run`, restored by `luo-tui arrive`."""
    early(machine, GIVE_BACK)
    machine.must(f"dd if=/dev/urandom of=/dev/shm/f bs=1M count={MIB} 2>/dev/null", timeout=LONG)
    hold = "luo-tui hold /dev/shm/f --name cache --back-to /dev/shm/back"
    machine.must(
        f"{hold}; sha256sum </dev/shm/f >/var/lib/luo-tui/sum; rm /dev/shm/f", timeout=LONG
    )
    by_plan(machine)
    machine.must("sha256sum </dev/shm/back | cmp - /var/lib/luo-tui/sum; rm /dev/shm/back")
    arrived = int(machine.must("cat /sys/kernel/liveupdate/times/arrived"))
    (told,) = [r for r in journal(machine) if r["event"] == "restored"]
    return (*stamps(machine), arrived + round(told["data"]["last_ms"] * khz(machine)))


def journal(machine: Any) -> list[dict[str, Any]]:
    """The records of the newest window."""
    text = machine.must("cat $(ls /var/lib/luo-tui/windows/*.jsonl | tail -n 1)")
    return [json.loads(line) for line in text.splitlines()]


def told(machine: Any, event: str, key: str) -> dict[str, Any] | None:
    """What the newest window's records say of a blackout."""
    return next((r["data"].get(key) for r in journal(machine) if r["event"] == event), None)


@pytest.mark.lab
def test_five_updates_by_a_plan(
    lab_machine: Any, update: bytes, pytestconfig: pytest.Config
) -> None:
    whole = pytestconfig.getoption("whole", default=False)
    machine = lab_machine
    machine.qemu = COUNTED
    machine.boot(wait=200)
    machine.put(update, PROGRAM, mode="755")
    rate = khz(machine)
    took: dict[str, list[tuple[float, float]]] = {"bare program": [], "run": [], "run, arrive": []}

    def add(name: str, at: tuple[int, int, int]) -> None:
        frozen, first, restored = at
        one = (first - frozen) / rate, (restored - frozen) / rate
        took[name].append(one)
        print(f"  {name:14} {one[0]:8.0f} {one[1]:8.0f}", flush=True)

    print()
    print(
        "ms from the reboot call to the first line of user space, and to restored; and the blackout"
    )
    ratios = []
    add("bare program", bare(machine))
    # The first one has nothing to be predicted by.
    for n in range((UPDATES if whole else 1) + 1):
        add("run", held_by_program(machine, again=n > 0))
        measured, predicted = (
            told(machine, "arrived", "blackout"),
            told(machine, "jump", "predicted"),
        )
        assert measured is not None
        assert (predicted is None) == (n == 0)
        if predicted is None:
            continue
        ratios.append(measured["total_ms"] / predicted["total_ms"])
        print(
            f"    predicted {predicted['total_ms']:.0f}, measured {measured['total_ms']:.0f}, "
            f"ratio {ratios[-1]:.3f}"
        )
        known = dict(predicted["phases"])
        for name, milliseconds in measured["phases"]:
            print(f"      {known.get(name, 0.0):8.1f} {milliseconds:8.1f}  {name}", flush=True)
    machine.must("pkill -x update")
    add("bare program", bare(machine))
    worst = max(abs(ratio - 1) for ratio in ratios)
    print(f"predicted within {worst:.1%} (goal: 15 %)")
    add("run, arrive", held_by_console(machine))
    theirs = statistics.median(all_ for _, all_ in took["bare program"])
    print("medians, and the time to restored beside the bare program's")
    for name, those in took.items():
        first, all_ = (statistics.median(column) for column in zip(*those, strict=True))
        print(f"  {name:14} {first:8.0f} {all_:8.0f}   ratio {all_ / theirs:.3f}")
