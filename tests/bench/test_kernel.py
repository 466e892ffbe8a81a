# SPDX-License-Identifier: MIT
"""luo.ko's memfd handler beside mainline LUO's own, in the same machine, by the bare program.

A shared machine's clock says little about two things that differ by percents.
So each update also runs on a processor whose clock counts instructions (QEMU's
icount): these figures are the same each time, and the ratios are theirs. They are of
the calling task alone: luo.ko tells udev what it does, whose turn may come meanwhile.
"""

from __future__ import annotations

from typing import Any

import pytest

FEW = (("pages", 64), ("huge", 64), ("sparse", 1024))
ALL = (*FEW, ("pages", 512), ("huge", 512))
Files = tuple[tuple[str, int], ...]
NUMBERS = (1, 100, 10_000)
COUNTED = ("-icount", "shift=0")
"""One instruction is a nanosecond."""
STEPS = ("preserve", "prepare", "freeze", "restore", "finish")
FIGURES = "/var/lib/luo-tui/bench-figures"
HUGE = "echo advise >/sys/kernel/mm/transparent_hugepage/shmem_enabled"


def numbers(text: str) -> dict[str, int]:
    pairs = (line.split() for line in text.splitlines())
    return {p[0]: int(p[1]) for p in pairs if len(p) == 2 and p[1].isdigit()}


def khz(machine: Any) -> int:
    """The rate of the time stamp counter, as the kernel says it."""
    text = machine.must("dmesg | grep -oE 'tsc: (Detected|Refined TSC clocksource calibration:).*'")
    rates = [w for line in text.splitlines() for w in line.split() if w.replace(".", "").isdigit()]
    return round(float(rates[-1]) * 1000)


def one(machine: Any, kind: str, file: str, size: int, update: bytes) -> dict[str, float]:
    """One update; milliseconds by step, and what of them the task itself had the processor."""
    machine.put(update, "/tmp/update", mode="755")
    machine.must(HUGE)
    before = machine.boot_id()
    rate = khz(machine)
    machine.must(f"rm -f {FIGURES}")
    saved = machine.ssh(f"/tmp/update {kind}-save {file} {size}", timeout=300)
    assert saved.returncode == 255, saved.stdout + saved.stderr
    machine.wait_ready(before, 200)
    machine.put(update, "/tmp/update", mode="755")
    ticks = numbers(machine.must(f"cat {FIGURES}"))
    ticks |= numbers(machine.must(f"/tmp/update {kind}-load {file}", timeout=300))
    assert file == "many" or ticks["bytes"] == size << 20
    own = {f"{s}_cpu": ticks[f"{s}_cpu"] / 1e6 for s in STEPS if s in ticks}
    return {s: ticks[s] / rate for s in STEPS if s in ticks} | own


def both(machine: Any, update: bytes, files: Files) -> dict[tuple[str, str, int], dict[str, float]]:
    found = {}
    for kind, extra in (("v2", ""), ("main", "liveupdate=on luo.noload")):
        # Counting instructions takes its time.
        machine.boot(extra=extra, wait=400)
        for file, size in files:
            found[kind, file, size] = one(machine, kind, file, size, update)
        machine.stop()
    return found


@pytest.mark.lab
def test_prepare_and_restore_beside_mainline(
    lab_machine: Any, update: bytes, pytestconfig: pytest.Config
) -> None:
    files = ALL if pytestconfig.getoption("whole", default=False) else FEW
    lab_machine.memory = 3072
    clock = both(lab_machine, update, files)
    lab_machine.qemu = COUNTED
    count = both(lab_machine, update, files)
    print()
    print("ms and MiB/s by the clock; millions of instructions and their ratio by icount")
    for file, size in files:
        for step in ("prepare", "restore"):
            ours, theirs = (clock[k, file, size][step] for k in ("v2", "main"))
            mine, its = (count[k, file, size][f"{step}_cpu"] for k in ("v2", "main"))
            print(
                f"{step:8} {file:6} {size:4} MiB"
                f"  luo.ko {ours:7.1f} ms {size / ours * 1000:9.0f} MiB/s"
                f"  mainline {theirs:7.1f} ms {size / theirs * 1000:9.0f} MiB/s"
                f"  counted {mine:8.2f} / {its:8.2f} = {mine / its:.3f}"
            )
    for file, size in files:
        ours = clock["v2", file, size]["freeze"]
        print(
            f"freeze   {file:6} {size:4} MiB  luo.ko {ours:7.2f} ms (blackout)"
            f"  counted {count['v2', file, size]['freeze_cpu']:.3f}"
        )


@pytest.mark.lab
def test_cost_of_each_resource(lab_machine: Any, update: bytes) -> None:
    lab_machine.boot()
    print()
    for number in NUMBERS:
        took = one(lab_machine, "v2", "many", number, update)
        each = "  ".join(f"{s} {1000 * took[s] / number:8.1f}" for s in STEPS)
        print(f"{number:6} files, microseconds each:  {each}")
