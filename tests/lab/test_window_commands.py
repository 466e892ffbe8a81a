# SPDX-License-Identifier: MIT
"""A whole update by commands alone, as a script would do it, on real kernels."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from cache import LabError
from machine import HOST_NAME, Built, Machine

from luo_tui.errors import Exit

pytestmark = pytest.mark.extra


def told(machine: Machine, command: str) -> Any:
    return json.loads(machine.must(f"luo-tui {command} --json", timeout=120))


def refused(machine: Machine, command: str) -> tuple[int, str]:
    done = machine.ssh(f"luo-tui {command}", timeout=120)
    return done.returncode, done.stderr


def test_an_update_by_commands(built: Built, machine: Machine) -> None:
    target = built.kernels["new"].release
    machine.must("dd if=/dev/urandom of=/dev/shm/cache.bin bs=1M count=16 2>/dev/null")
    digest = machine.must("sha256sum /dev/shm/cache.bin").split()[0]
    machine.must("luo-tui hold /dev/shm/cache.bin --name cache", timeout=120)

    assert refused(machine, "prepare --yes")[0] == Exit.REFUSED, "nothing is loaded"
    done = machine.ssh(f"luo-tui rehearse --here {target} --yes --json", timeout=120)
    assert done.returncode in (Exit.OK, Exit.DOUBTFUL), done.stderr
    rehearsed = json.loads(done.stdout)
    assert (rehearsed["target"], rehearsed["state"]) == (target, "prepared")
    assert rehearsed["kexec_refused"] == ""
    assert rehearsed["prepare_ms"] > 0
    assert rehearsed["resources"] == 1
    assert machine.must("cat /sys/kernel/liveupdate/state") == "normal\n"
    assert machine.must("cat /sys/kernel/kexec_loaded") == "0\n"

    assert told(machine, f"load {target}")["state_after"] == "normal"
    code, said = refused(machine, "prepare")
    assert (code, "--yes" in said) == (Exit.USAGE, True)
    done = told(machine, "prepare --yes")
    assert (done["state_before"], done["state_after"]) == ("normal", "prepared")
    assert done["target"] == target

    # The other way round, and again.
    assert told(machine, "cancel --yes")["state_after"] == "normal"
    told(machine, f"load {target}")
    told(machine, "prepare --yes")

    shown = told(machine, "kexec --show")
    assert any("cache" in one for one in shown["survives"])
    code, said = refused(machine, "kexec --yes-to another")
    assert (code, "another" in said) == (Exit.REFUSED, True)
    assert machine.must("cat /sys/kernel/liveupdate/state") == "prepared\n"
    before = machine.boot_id()
    give = " ".join(n.replace("DIGEST", shown["digest"]) for n in shown["needs"])
    assert f"--yes-to {HOST_NAME}" in give
    with contextlib.suppress(LabError):
        done = machine.ssh(f"luo-tui kexec {give}", timeout=60)
        assert "Jumping" in done.stdout, done.stderr
    machine.wait_ready(before, 90)
    assert machine.must("uname -r").strip() == target

    code, said = refused(machine, "finish --yes")
    assert (code, "cache" in said) == (Exit.USAGE, True)
    assert machine.must("cat /sys/kernel/liveupdate/state") == "updated\n"
    machine.must("luo-tui restore cache -o /root/back", timeout=120)
    assert machine.must("sha256sum /root/back").split()[0] == digest
    done = told(machine, "finish --yes")
    assert (done["state_after"], done["window_open"]) == ("normal", False)
    journal = machine.must("cat /var/lib/luo-tui/windows/*.jsonl")
    events = [json.loads(line)["event"] for line in journal.splitlines()]
    assert events.count("jump") == events.count("arrived") == 1
    assert machine.ssh("dmesg | grep -E 'WARNING|BUG:|Oops'").stdout == ""
