# SPDX-License-Identifier: MIT
"""The blackout that a rehearsal in a machine predicts, beside those of five updates of the lab."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import pytest

UPDATES = 5
FILES, MIB = 4, 16
JUMP = """
import os
from luo_tui.uapi import kexec, kho, luo_v2
device = luo_v2.open_device()
for n in range({files}):
    fd = os.memfd_create("bench")
    os.write(fd, os.urandom(1 << 20) * {mib})
    luo_v2.preserve(device, fd)
with open("/boot/vmlinuz-{release}", "rb") as image:
    with open("/boot/initrd.img-{release}", "rb") as initrd:
        kexec.load(image.fileno(), initrd.fileno(), kho.command_line())
luo_v2.prepare(device)
luo_v2.freeze(device)
kexec.reboot()
"""
MEASURED = """
import json
from luo_tui.sources import sysfs
from luo_tui.sources.condition import read_condition
from luo_tui.uapi import luo_v2
from luo_tui.update.blackout import blackout
dark = blackout(sysfs.read_luo().stamps, read_condition())
luo_v2.finish(luo_v2.open_device())
print(json.dumps(dark.record()))
"""


def update(machine: Any, release: str) -> dict[str, float]:
    """Do one; return its phases and their sum, in milliseconds."""
    before = machine.boot_id()
    machine.put(JUMP.format(files=FILES, mib=MIB, release=release).encode(), "/tmp/jump.py")
    machine.ssh("python3 /tmp/jump.py", timeout=120)
    machine.wait_ready(before, 120)
    machine.put(MEASURED.encode(), "/tmp/measured.py")
    dark = json.loads(machine.must("python3 /tmp/measured.py", timeout=120))
    return {**dict(dark["phases"]), "all of it": dark["total_ms"]}


@pytest.mark.lab
def test_predicted_and_measured(lab_machine: Any, tmp_path: Path) -> None:
    from tests.lab.test_rehearsal import Rehearsals

    code, told = Rehearsals(tmp_path)("--memory", "2048")
    assert code == 0, told["why"]
    assert (told["files"], told["bytes"]) == (FILES, FILES * MIB << 20)
    predicted = {**dict(told["blackout"]["phases"]), "all of it": told["blackout"]["total_ms"]}
    lab_machine.boot()
    releases = [told["target"], told["release"]]
    measured = [update(lab_machine, releases[n % 2]) for n in range(UPDATES)]
    print(f"\nthe rehearsal took {told['took']:.1f} s and {told['memory_mib']:,} MiB")
    for name, before in predicted.items():
        took = [one[name] for one in measured if name in one]
        assert took, f"no update of the lab has told of: {name}"
        middle = statistics.median(took)
        print(
            f"{name:56} predicted {before:8.1f} ms  measured {middle:8.1f} ms "
            f"({min(took):.1f} to {max(took):.1f})  {middle / before:5.2f}"
        )
