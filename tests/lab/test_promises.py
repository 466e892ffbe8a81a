# SPDX-License-Identifier: MIT
"""What was promised and is not there is told of by name, on real kernels, until it is."""

from __future__ import annotations

import errno
import json
from typing import Any

import pytest
from machine import Built, Machine

from tests.lab import driver
from tests.lab.test_devices import EDU, LUO, SLOT, Edu

LOW = 48 << 20
"""Bytes that a cgroup may have: enough for a program, too little for what it restores."""

_RESTORE = """
import sys
from luo_tui.uapi import luo_v2
luo_v2.restore(luo_v2.open_device(), int(sys.argv[1]))
"""


def status(machine: Machine) -> Any:
    return json.loads(machine.must("luo-tui status --json"))


@pytest.mark.extra
def test_a_restore_that_fails_is_told_until_it_is_made_good(built: Built, machine: Machine) -> None:
    machine.must("dd if=/dev/urandom of=/dev/shm/cache.bin bs=1M count=64 2>/dev/null", timeout=120)
    digest = machine.must("sha256sum /dev/shm/cache.bin").split()[0]
    machine.must("luo-tui hold /dev/shm/cache.bin --name cache", timeout=120)
    (token,) = (r["token"] for r in status(machine)["resources"])
    driver.into(machine, built.kernels["new"].release)
    group = "/sys/fs/cgroup/low"
    machine.must(
        f"echo +memory >/sys/fs/cgroup/cgroup.subtree_control; mkdir {group};"
        f" echo {LOW} >{group}/memory.max"
    )
    with driver.over_ssh(machine) as t:
        t.wait_for("1 resource not restored yet.")
        machine.put(_RESTORE.encode(), "/root/restore.py")
        done = machine.ssh(f"echo $$ >{group}/cgroup.procs; exec python3 /root/restore.py {token}")
        assert f"[Errno {errno.ENOMEM}]" in done.stderr
        # The console, which was watching, names it, and so does every one that begins now.
        screen = t.wait_for("RESTORE FAILED: cache (token")
        assert "ENOMEM" in screen
        assert "All is restored" not in screen
        (failed,) = status(machine)["promises"]["open"]
        assert (failed["outcome"], "ENOMEM" in failed["reason"]) == ("failed", True)
        screen = t.press("f", "> [ Stay updated ]")
        assert screen.index("Lost cache (token") < screen.index("Survives")
        t.send("escape")
        t.wait_until_gone("> [ Stay updated ]")
        machine.must("luo-tui restore cache -o /root/back", timeout=120)
        t.wait_for("All is restored.")
        assert "RESTORE FAILED" not in t.flat()
        driver.finish(t)
    assert machine.must("sha256sum /root/back").split()[0] == digest


@pytest.mark.extra
def test_a_device_that_is_lost_is_the_headline(built: Built, cold: Machine) -> None:
    """It is gone before luo.ko is loaded in the new kernel."""
    machine = cold
    machine.qemu = EDU
    machine.boot(extra="luo.noload")
    machine.must(LUO)
    edu = Edu(machine)
    edu.load()
    assert edu.listed() == "registered"
    driver.into(machine, built.kernels["new"].release)
    machine.must(f"echo 1 >{edu.device}/remove; {LUO}")
    assert edu.listed() == "lost"
    name = f"pci {SLOT}"
    with driver.over_ssh(machine) as t:
        screen = t.wait_for("This kernel took over from")
        assert f"LOST: {name}: it is gone" in screen
        assert "All is restored" not in screen
        (lost,) = status(machine)["promises"]["open"]
        assert (lost["outcome"], lost["reason"]) == ("lost", "it is gone")
        driver.finish(t, lost=f"{name}: it is gone: it is lost already")
    journal = machine.must("cat /var/lib/luo-tui/windows/*.jsonl")
    records = [json.loads(line) for line in journal.splitlines()]
    told = [r for r in records if f"{name}: it is gone" in json.dumps(r)]
    assert told, "what was lost is on record"
    judged = [r["data"]["verdict"] for r in records if "verdict" in r["data"]]
    assert {one["level"] for one in judged} == {"bad"}
    assert f"lost: {name}: it is gone" in json.dumps(judged)
