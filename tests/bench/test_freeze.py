# SPDX-License-Identifier: MIT
"""What new pages cost in the blackout, and what restores cost side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("freeze.py")
HERE = "/root/freeze.py"


def test_freeze_with_new_pages(lab_machine: Any) -> None:
    """The blackout of a file is that of what is new in it, however large it is."""
    lab_machine.boot()
    lab_machine.put(SCRIPT.read_bytes(), HERE)
    print()
    for mib in (64, 512):
        found = json.loads(lab_machine.must(f"python3 {HERE} freeze {mib}", timeout=900))
        print(
            f"FREEZE with 100 new pages scattered over {mib:3} MiB: at least "
            f"{found['least']:.2f} ms, median {found['median']:.2f} ms (goal 1 ms)"
        )


def test_restores_side_by_side(lab_machine: Any) -> None:
    """Each guest is restored by its own process, and none waits for another."""
    lab_machine.qemu = ("-smp", "2")
    lab_machine.boot()
    lab_machine.put(SCRIPT.read_bytes(), HERE)
    release = lab_machine.built.kernels["new"].release
    before = lab_machine.boot_id()
    lab_machine.must(f"python3 {HERE} save 256", timeout=600)
    lab_machine.ssh(f"python3 {HERE} jump {release}", timeout=60)
    lab_machine.wait_ready(before, 200)
    lab_machine.put(SCRIPT.read_bytes(), HERE)
    found = json.loads(lab_machine.must(f"python3 {HERE} restore", timeout=300))
    print(
        f"\ntwo restores of 256 MiB: after each other {found['one_by_one']:.0f} ms, side by side "
        f"{found['at_once']:.0f} ms, on {lab_machine.must('nproc').strip()} processors"
    )
