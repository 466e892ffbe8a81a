# SPDX-License-Identifier: MIT
"""luo.ko's memfd handler beside mainline LUO's own, in the same machine, by the bare program."""

from __future__ import annotations

from typing import Any

import pytest

SIZES = (64, 512)
RUNS = 3


def numbers(text: str) -> dict[str, int]:
    pairs = (line.split() for line in text.splitlines())
    return {p[0]: int(p[1]) for p in pairs if len(p) == 2 and p[1].isdigit()}


def khz(machine: Any) -> int:
    """The rate of the time stamp counter, as the kernel says it."""
    text = machine.must("dmesg | grep -oE 'tsc: (Detected|Refined TSC clocksource calibration:).*'")
    rates = [w for line in text.splitlines() for w in line.split() if w.replace(".", "").isdigit()]
    return round(float(rates[-1]) * 1000)


def one(machine: Any, kind: str, size: int, update: bytes) -> dict[str, float]:
    """One update of one file; milliseconds by step."""
    machine.put(update, "/tmp/update", mode="755")
    before = machine.boot_id()
    rate = khz(machine)
    saved = machine.ssh(f"/tmp/update {kind}-save {size}", timeout=120)
    assert "jump" in saved.stdout, saved.stdout + saved.stderr
    machine.wait_ready(before, 120)
    machine.put(update, "/tmp/update", mode="755")
    loaded = numbers(machine.must(f"/tmp/update {kind}-load", timeout=120))
    assert loaded["bytes"] == size << 20
    ticks = {**numbers(saved.stdout), **loaded}
    steps = ("prepare", "freeze", "restore", "finish")
    return {s: ticks[s] / rate for s in steps if s in ticks}


@pytest.mark.lab
def test_prepare_and_restore_beside_mainline(lab_machine: Any, update: bytes) -> None:
    best: dict[tuple[str, int], dict[str, float]] = {}
    for kind, extra in (("v2", ""), ("main", "liveupdate=on luo.noload")):
        lab_machine.boot(extra=extra)
        for size in SIZES:
            runs = [one(lab_machine, kind, size, update) for _ in range(RUNS)]
            best[kind, size] = {s: min(r[s] for r in runs) for s in runs[0]}
        lab_machine.stop()
    print()
    print(f"best of {RUNS}, one -smp 1 machine, milliseconds and MiB/s")
    for size in SIZES:
        ours, theirs = best["v2", size], best["main", size]
        for step in ("prepare", "restore"):
            print(
                f"{step:8} {size:4} MiB  luo.ko {ours[step]:8.1f} ms"
                f" {size / ours[step] * 1000:8.0f} MiB/s"
                f"  mainline {theirs[step]:8.1f} ms {size / theirs[step] * 1000:8.0f} MiB/s"
                f"  ratio {ours[step] / theirs[step]:.2f}"
            )
        print(f"freeze   {size:4} MiB  luo.ko {ours['freeze']:8.3f} ms (blackout)")
