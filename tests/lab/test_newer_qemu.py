# SPDX-License-Identifier: MIT
"""A guest in the QEMU of a later Debian goes on across a real kexec."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import layers
import pytest
from machine import Built, Machine

from tests.lab import qemu_guest
from tests.lab.qemu_guest import (
    MIB,
    Guest,
    goes_on,
    jump,
    phase,
    settings,
    told,
    went_on,
)

pytestmark = pytest.mark.extra
README = Path(__file__).parents[2] / "README.md"


class Newer(Guest):
    """It is given its memory, as the README has it for such a QEMU."""

    before = f"LD_LIBRARY_PATH=/{layers.OWN} "
    memory = f"memory-backend-file,id=ram,size={MIB}M,share=on,mem-path=MEMFD"

    @property
    def command(self) -> str:
        found = re.search(r"python3 -c '(import os, sys\n.*?)'", README.read_text(), re.DOTALL)
        assert found is not None
        program = found[1].replace("512 << 20", f"{MIB} << 20")
        # Not for Python, whose libraries are the base's.
        rest = super().command.removeprefix(self.before)
        return f"python3 -c {shlex.quote(program)} env {self.before}{rest}"


@pytest.fixture(params=["trixie", "sid"])
def machine(built: Built, request: pytest.FixtureRequest) -> Iterator[Machine]:
    yield from qemu_guest.lend_host(built, f"qemu-{request.param}", suite=request.param)


def test_a_guest_goes_on_over_a_real_kexec(built: Built, machine: Machine, tmp_path: Path) -> None:
    guest = Newer(machine)
    guest.start(tmp_path)
    print(machine.must(f"{guest.before} qemu-system-x86_64 --version").splitlines()[0])
    for target in (built.kernels["new"].release, built.kernels["old"].release):
        settings(machine)
        (listed,) = told(machine, "guests")["guests"]
        assert (listed["can_be_carried"], listed["reasons"]) == (True, []), listed
        told(machine, f"load {target}")
        told(machine, "prepare --yes")
        assert phase(machine, guest) == "armed"
        before = guest.counts()
        jump(machine, target)
        after = went_on(machine, guest, before)
        told(machine, "finish --yes")
        goes_on(guest, after)
