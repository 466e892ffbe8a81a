# SPDX-License-Identifier: MIT
"""A whole update by a plan, with hooks, and a hook whose program was killed, on real kernels."""

from __future__ import annotations

import contextlib
import time

import pytest
from cache import LabError
from machine import HOST_NAME, Built, Machine

pytestmark = pytest.mark.extra

POINTS = ("before-prepare", "before-freeze", "after-restore", "after-finish", "on-failure")
RAN = "/var/lib/luo-tui/ran"
HOOK = f"""\
#!/bin/sh
echo "$LUO_TUI_HOOK $(uname -r)" >>{RAN}
sync
[ ! -e /run/hang-$LUO_TUI_HOOK ] || sleep 60
"""
RUN = f"luo-tui run /var/lib/luo-tui/plan.toml --yes-to {HOST_NAME}"


def ran(machine: Machine) -> list[list[str]]:
    return [line.split() for line in machine.must(f"cat {RAN}").splitlines()]


def test_an_update_by_a_plan(built: Built, machine: Machine) -> None:
    source, target = (built.kernels[name].release for name in ("old", "new"))
    machine.must("echo precious >/dev/shm/f; luo-tui hold /dev/shm/f --name cache", timeout=120)
    machine.must(f"cat >/var/lib/luo-tui/hook <<'END'\n{HOOK}END\nchmod 755 /var/lib/luo-tui/hook")
    hooks = "".join(f"\n[hooks.{p}]\nrun = ['/var/lib/luo-tui/hook']\n" for p in POINTS)
    machine.must(f"luo-tui plan new {target} >/var/lib/luo-tui/plan.toml", timeout=120)
    # Whoever edits it agrees to what it lists.
    machine.must("sed -i 's/^#  \"/  \"/' /var/lib/luo-tui/plan.toml")
    machine.must(f"cat >>/var/lib/luo-tui/plan.toml <<'END'\n{hooks}END")
    checked = machine.must("luo-tui plan check /var/lib/luo-tui/plan.toml", timeout=120)
    assert checked.endswith("it would be done as things stand now\n")

    # Killed while guests may be paused: the next one undoes that first.
    machine.must("touch /run/hang-before-freeze")
    machine.must(f"(setsid {RUN} >/root/run.log 2>&1 &)")
    end = time.monotonic() + 120
    while machine.ssh(f"grep before-freeze {RAN}").returncode:
        assert time.monotonic() < end, machine.must("cat /root/run.log")
        time.sleep(0.5)
    machine.must("pkill -9 -f 'luo[-_]tui ru[n]'; rm /run/hang-before-freeze")
    assert machine.must("cat /sys/kernel/liveupdate/state") == "prepared\n"
    machine.must("luo-tui cancel --yes", timeout=120)
    assert [point for point, _ in ran(machine)] == ["before-prepare", "before-freeze", "on-failure"]
    machine.must(f"rm {RAN}")

    before = machine.boot_id()
    with contextlib.suppress(LabError):
        done = machine.ssh(RUN, timeout=120)
        assert "Jumping" in done.stdout, done.stderr
    machine.wait_ready(before, 90)
    assert machine.must("uname -r").strip() == target
    machine.must("luo-tui restore cache -o /root/back", timeout=120)
    assert "done        Finish" in machine.must(RUN, timeout=120)
    assert machine.must("cat /sys/kernel/liveupdate/state") == "normal\n"
    assert ran(machine) == [
        ["before-prepare", source],
        ["before-freeze", source],
        ["after-restore", target],
        ["after-finish", target],
    ]
    assert machine.ssh("dmesg | grep -E 'WARNING|BUG:|Oops'").stdout == ""
