# SPDX-License-Identifier: MIT
"""The checks on a real kernel: each passes, and fails for its real cause."""

from __future__ import annotations

import json
from typing import Any

import pytest
from machine import Built, Machine

from luo_tui.errors import Exit

pytestmark = pytest.mark.extra


AS_NOBODY = (
    "HOME= python3 -c 'import os, sys; os.setgroups([]); os.setuid(65534); "
    "os.execvp(sys.argv[1], sys.argv[1:])'"
)


def checked(machine: Machine, target: str, more: str = "") -> tuple[int, dict[str, dict[str, Any]]]:
    done = machine.ssh(f"luo-tui check {target} --json {more}", timeout=180)
    assert done.stdout, done.stderr
    return done.returncode, {r["code"]: r for r in json.loads(done.stdout)["results"]}


def test_the_target_beside_the_running_kernel(built: Built, machine: Machine) -> None:
    target = built.kernels["new"].release
    _, found = checked(machine, target)
    assert (found["LUO-C-020"]["result"], found["LUO-C-020"]["text"]) == (
        "ok",
        "Both speak kho-v4.",
    )
    assert found["LUO-C-021"]["result"] == "ok", found["LUO-C-021"]
    assert "keeps" in found["LUO-C-021"]["text"]
    assert found["LUO-C-022"]["text"] == "None: it is this kernel's."
    assert found["LUO-C-023"]["text"] == "This kernel asks for none."
    assert found["LUO-C-025"]["text"] == "None.", "no systemd runs here"
    assert found["LUO-C-026"]["result"] == "warning"
    assert "ttyS0" in found["LUO-C-026"]["text"]

    # Nobody but root sees scratch memory; that is unknown, and not good.
    done = machine.ssh(f"{AS_NOBODY} luo-tui check {target} --json", timeout=180)
    assert done.stdout, done.stderr
    nobody = {r["code"]: r for r in json.loads(done.stdout)["results"]}
    assert nobody["LUO-C-021"]["result"] == "unknown"
    assert nobody["LUO-C-020"]["result"] == "ok", nobody["LUO-C-020"]

    # An initrd that scratch memory does not take: the check says so, and the kernel does.
    machine.must("cp /boot/initrd* /dev/shm/large 2>/dev/null; truncate -s 300M /dev/shm/large")
    code, found = checked(machine, target, "--initrd /dev/shm/large")
    assert code == Exit.BLOCKED
    assert found["LUO-C-021"]["result"] == "blocker"
    done = machine.ssh(f"luo-tui load {target} --initrd /dev/shm/large", timeout=120)
    assert done.returncode == Exit.BAD_IMAGE
    assert "scratch memory" in done.stderr
    machine.must("rm /dev/shm/large")

    # Somebody has said how the host is reached; a check of its own blocks, here and in the act.
    machine.must("echo 'way_in = \"the serial console\"' >/etc/luo-tui.toml")
    machine.must("mkdir -p /etc/luo-tui/checks.d")
    machine.must(
        "printf '#!/bin/sh\\necho no change is open; exit 2\\n' >/etc/luo-tui/checks.d/ticket; "
        "chmod 755 /etc/luo-tui/checks.d/ticket"
    )
    code, found = checked(machine, target)
    assert found["LUO-C-026"]["result"] == "ok"
    assert (code, found["LUO-O-ticket"]["text"]) == (Exit.BLOCKED, "no change is open")
    done = machine.ssh(f"luo-tui load {target}", timeout=120)
    assert done.returncode == Exit.BLOCKED
    assert machine.must("cat /sys/kernel/kexec_loaded") == "0\n"
    machine.must("rm /etc/luo-tui/checks.d/ticket")
    machine.must(f"luo-tui load {target}", timeout=120)
    assert machine.must("cat /sys/kernel/kexec_loaded") == "1\n"
