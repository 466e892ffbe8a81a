# SPDX-License-Identifier: MIT
"""In the guest: how long a host is frozen when a jump does not happen; prints milliseconds.

Preserves many memfds, loads, prepares, and jumps; once frozen another tool
unloads the image, so that the kernel refuses the reboot. What is counted is
the time from the end of FREEZE to the end of CANCEL.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from luo_tui.errors import ActFailed
from luo_tui.monitor.reading import reader
from luo_tui.orchestrator import Move
from luo_tui.orchestrator.state_machine import StateMachine
from luo_tui.uapi import kexec
from luo_tui.update.acts import Window
from luo_tui.update.consent import Consent
from luo_tui.update.facts import Act
from luo_tui.update.target import Target, read_target


class Timed(StateMachine):
    """LUO v2, with the moments at which its moves ended."""

    def __init__(self) -> None:
        """Nothing has moved."""
        super().__init__()
        self.took: dict[str, float] = {}
        self.ended: dict[str, float] = {}

    def move(self, move: Move) -> None:
        """Move; lose the image once frozen."""
        began = time.monotonic()
        super().move(move)
        self.ended[move] = time.monotonic()
        self.took[move] = self.ended[move] - began
        if move is Move.FREEZE:
            kexec.unload()
            self.ended[move] = time.monotonic()


def main() -> None:
    """Measure once; print JSON."""
    release, number = sys.argv[1], int(sys.argv[2])
    orchestrator = Timed()
    for i in range(number):
        fd = os.memfd_create(f"n{i}", os.MFD_CLOEXEC)
        os.write(fd, b"x")
        orchestrator.preserve(fd)
        os.close(fd)
    look = reader(orchestrator, orchestrator.surroundings())
    window = Window(orchestrator, Path("/var/lib/luo-tui/bench"), look)
    line = orchestrator.kexec.command_line()
    target = read_target(Path(f"/boot/vmlinuz-{release}"), Path("/lib/modules"), line)
    assert isinstance(target, Target), target.fault
    window.load(Consent.to(Act.LOAD, window.facts(target)), target)
    began = time.monotonic()
    window.prepare(Consent.to(Act.PREPARE, window.facts(target)), target)
    prepared = time.monotonic() - began
    consent = Consent.to(Act.KEXEC, window.facts(target), typed=orchestrator.host().name)
    said: Any = None
    began = time.monotonic()
    try:
        window.kexec(consent, target, lambda: None)
    except ActFailed as failed:
        said = failed.explanation.errno_name
    whole = time.monotonic() - began
    frozen = orchestrator.ended[Move.CANCEL] - orchestrator.ended[Move.FREEZE]
    print(
        json.dumps(
            {
                "refused": said,
                "state": orchestrator.state(),
                "prepare_act": prepared * 1e3,
                "kexec_act": whole * 1e3,
                "frozen": frozen * 1e3,
                "cancel": orchestrator.took[Move.CANCEL] * 1e3,
            }
        )
    )


if __name__ == "__main__":
    main()
