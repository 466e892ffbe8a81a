# SPDX-License-Identifier: MIT
"""How long a host is frozen when a jump does not happen, with ten thousand resources."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("frozen.py")
NUMBER = 10_000


def test_time_frozen_when_a_jump_fails(lab_machine: Any) -> None:
    lab_machine.boot()
    release = lab_machine.built.kernels["new"].release
    lab_machine.put(SCRIPT.read_bytes(), "/root/frozen.py")
    said = lab_machine.must(f"python3 /root/frozen.py {release} {NUMBER}", timeout=1800)
    found = json.loads(said.splitlines()[-1])
    assert found["refused"] == "EINVAL"
    assert found["state"] == "normal"
    beyond = found["frozen"] - found["cancel"]
    print(
        f"\n{NUMBER:,} memfds on luo.ko: frozen {found['frozen']:.1f} ms, of which the kernel's "
        f"own CANCEL {found['cancel']:.1f} ms; beyond it {beyond:.1f} ms (goal 50). "
        f"The act of prepare took {found['prepare_act']:.0f} ms, "
        f"that of the kexec {found['kexec_act']:.0f} ms."
    )
