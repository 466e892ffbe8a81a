# SPDX-License-Identifier: MIT
"""The whole walk on real kernels, driven by keys: memory survives, again and again."""

from __future__ import annotations

import itertools
import json

import pytest
from machine import Built, Machine

from tests.lab import driver
from tests.terminal import Terminal

FILE, BACK = "/dev/shm/cache.bin", "/dev/shm/back.bin"


def open_on(machine: Machine, where: str) -> Terminal:
    if where == "ssh":
        return driver.over_ssh(machine)
    return driver.over_serial(machine, int(where[-1]))


def hold(machine: Machine) -> str:
    """Hold 16 MiB of random bytes; return their digest."""
    machine.must(f"rm -f {FILE} {BACK}")
    machine.must(f"dd if=/dev/urandom of={FILE} bs=1M count=16 2>/dev/null", timeout=120)
    digest = machine.must(f"sha256sum {FILE}").split()[0]
    said = machine.must(f"luo-tui hold {FILE} --name cache", timeout=120)
    assert "16 MiB" in said
    assert digest in said
    machine.must(f"rm {FILE}")
    return digest


def one_update(machine: Machine, where: str, target: str) -> None:
    digest = hold(machine)
    before = machine.boot_id()
    with open_on(machine, where) as t:
        driver.load(t, target)
        see_it_listed(t)
        driver.prepare(t)
        assert machine.must("cat /sys/kernel/liveupdate/state") == "prepared\n"
        driver.jump(t, target)
        after = t.meanwhile(lambda: machine.wait_ready(before, 90))
        t.pump(0.5)
        assert t.left_on() == []
    assert after != before
    assert machine.must("uname -r").strip() == target
    assert machine.must("cat /sys/kernel/liveupdate/state") == "updated\n"

    status = json.loads(machine.must("luo-tui status --json"))
    assert status["state"] == "updated"
    assert [r["state"] for r in status["resources"]] == ["incoming"]
    assert status["blackout_ms"]["total"] > 0

    with open_on(machine, where) as t:
        screen = t.wait_for("1 resource not restored yet.")
        assert "blackout" in screen
        # What finish would throw away is named before it is thrown away.
        screen = t.press("f", "> [ Stay updated ]")
        assert "cache (token" in screen
        assert "discard 1 unrestored" in screen
        t.send("escape")
        said = machine.must(f"luo-tui restore cache -o {BACK}", timeout=120)
        assert digest in said
        assert machine.must(f"sha256sum {BACK}").split()[0] == digest
        # The console has seen it without a key.
        t.wait_for("All is restored.")
        driver.finish(t)
        assert machine.must("cat /sys/kernel/liveupdate/state") == "normal\n"
        driver.leave(t)
        t.wait_for_left(20)
        assert t.left_on() == []
    assert machine.ssh("dmesg | grep -E 'WARNING|BUG:|Oops'").stdout == ""


def see_it_listed(t: Terminal) -> None:
    """From the walk to the overview and back: the held file is among the resources."""
    t.send("escape")
    screen = t.wait_for("token kind state")
    assert "preserved 16 MiB" in screen
    assert screen.split("token kind state")[1].count("cache") == 1
    t.send("w")
    t.wait_for("[>] prepare")


@pytest.mark.parametrize(
    "lines",
    [
        ("ssh",),
        pytest.param(("ssh", "ttyS0"), marks=pytest.mark.extra),
        pytest.param(("ttyS1", "ssh", "ttyS1"), marks=pytest.mark.extra),
    ],
    ids=" ".join,
)
def test_updates_in_a_chain(built: Built, machine: Machine, lines: tuple[str, ...]) -> None:
    """Over ssh, over a second serial line, and on the kernel's own console."""
    for line, kernel in zip(lines, itertools.cycle(("new", "old"))):
        one_update(machine, line, built.kernels[kernel].release)
    journals = machine.must("cat /var/lib/luo-tui/windows/*.jsonl")
    events = [json.loads(line) for line in journals.splitlines()]
    assert [e["event"] for e in events].count("jump") == len(lines)
    assert [e["event"] for e in events].count("arrived") == len(lines)
    ends = [e["data"]["how"] for e in events if e["event"] == "closed"]
    assert ends == ["finished"] * len(lines)
