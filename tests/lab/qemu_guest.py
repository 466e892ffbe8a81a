# SPDX-License-Identifier: MIT
"""A guest in a stock QEMU in a machine: started as an operator does, and asked by QMP."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import layers
from cache import LabError
from machine import HOST_NAME, Built, Machine

from luo_tui.errors import Exit

FOLDER = "/var/lib/luo-tui"
RECORDS = f"{FOLDER}/guests"
SOURCE = Path(__file__).with_suffix(".S")
DISK = 1 << 20
MIB = 128
LONG = 300.0
"""Seconds that a busy machine has for what is to happen."""
_ASK = """
import json, sys
from luo_tui.guests.qmp import Qmp
with Qmp.connect(sys.argv[1], limit=60) as qmp:
    state = qmp.command("query-status")["status"]
    said = qmp.command("human-monitor-command", {"command-line": "xp /7wx 0x600"})
words = [int(w, 16) for line in said.splitlines() if line for w in line.split(":")[1].split()]
print(json.dumps([state, *words]))
"""
_ASKING = "/root/ask-guest.py"


@dataclass(frozen=True)
class Figures:
    """What the guest says of itself."""

    state: str
    count: int
    passes: int
    """How often it has looked at all of its memory, and at its disk."""
    wrong_ram: int
    wrong_register: int
    wrong_disk: int
    born: int
    """Its time stamp counter when it began: another one for a guest that was started anew."""
    second: int
    """What its second processor has counted, if it has one."""

    @property
    def is_whole(self) -> bool:
        return not (self.wrong_ram or self.wrong_register or self.wrong_disk)


def lend_host(
    built: Built, name: str, *, suite: str = "", extra: str = "", memory: int = 1024
) -> Iterator[Machine]:
    """Lend a machine with a QEMU, of a later suite if one, that carries guests along.

    ``extra`` is for its kernel's command line; ``memory`` is in MiB.
    """
    qemu = layers.newer_qemu(suite) if suite else layers.qemu(built.images.base)
    machine = Machine(f"test-{os.getpid()}-{name}", built, memory=memory, qemu=qemu)
    machine.boot(extra=extra, wait=LONG)
    settings(machine)
    yield machine
    machine.remove()


class Guest:
    """One guest of a machine, by its name."""

    before = ""
    """What stands before the command line."""
    memory = f"memory-backend-memfd,id=ram,size={MIB}M,share=on"
    mib = MIB
    more = ""
    """What its command line has besides."""
    format = "raw"
    """Of its disk."""

    def __init__(self, machine: Machine, name: str = "web1") -> None:
        self.machine, self.name = machine, name
        self.socket = f"/run/{name}.qmp"
        self.disk = f"/var/lib/luo-tui/{name}.img"

    def start(self, folder: Path, *more: str) -> None:
        """Start it, and wait until it has looked at all of its memory; ``folder`` is for files."""
        self.machine.put(self._program(folder), self.disk)
        self.machine.must(f"{self.command} {' '.join(more)}", timeout=LONG)
        self.counts(passes=1)

    @property
    def command(self) -> str:
        """QEMU's command line, as the README has it; and what it has besides, for the lab."""
        return (
            f"{self.before}qemu-system-x86_64 -name {self.name} -m {self.mib}"
            " -accel kvm -cpu qemu64 -nodefaults -display none -daemonize"
            f" -object {self.memory}"
            " -machine pc,memory-backend=ram"
            f" -qmp unix:{self.socket},server=on,wait=off"
            f" -drive file={self.disk},format={self.format},if=virtio"
            f" -nic user,model=virtio-net-pci {self.more}"
        )

    def _program(self, folder: Path) -> bytes:
        made, image = folder / f"{self.name}.o", folder / self.name
        # Behind what it fills the firmware has its tables.
        top = f"TOP={(self.mib - 2) << 20}"
        subprocess.run(["as", "--32", "--defsym", top, "-o", made, SOURCE], check=True)
        subprocess.run(
            ["ld", "-m", "elf_i386", "-Ttext", "0x7c00", "--oformat", "binary", "-e", "_start",
             "-o", image, made],
            check=True,
        )  # fmt: skip
        return image.read_bytes().ljust(DISK, b"\0")

    def figures(self) -> Figures:
        """Ask it, by QMP."""
        if self.machine.ssh(f"test -e {_ASKING}").returncode:
            self.machine.put(_ASK.encode(), _ASKING)
        said = self.machine.must(f"python3 {_ASKING} {self.socket}", timeout=LONG)
        return Figures(*json.loads(said))

    def counts(self, *, passes: int = 0) -> Figures:
        """Wait until it has counted on, and gone so often through its memory; what it says then."""
        first = self.figures()
        end = time.monotonic() + LONG
        while True:
            now = self.figures()
            if now.count > first.count and now.passes >= first.passes + passes:
                return now
            assert time.monotonic() < end, (first, now)

    def kill(self) -> None:
        """End its QEMU, if there is one, and wait until it has ended."""
        self.machine.must(
            "p=$(pidof qemu-system-x86_64) || exit 0; kill -KILL $p;"
            f" while kill -0 $p 2>/dev/null; do sleep 0.1; done; rm -f {self.socket}"
        )

    @property
    def pid(self) -> int:
        """The process of its QEMU; 0: there is none."""
        said = self.machine.ssh("pidof qemu-system-x86_64").stdout.split()
        return int(said[0]) if said else 0


def lend_guest(machine: Machine, folder: Path) -> Iterator[Guest]:
    """Lend a guest that runs; it is ended afterwards."""
    guest = Guest(machine)
    guest.start(folder)
    yield guest
    guest.kill()


def told(machine: Machine, command: str) -> Any:
    return json.loads(machine.must(f"luo-tui {command} --json", timeout=LONG))


def settings(machine: Machine) -> None:
    machine.put(b"guests = true\n", "/etc/luo-tui.toml")


def phase(machine: Machine, guest: Guest) -> str:
    """Return how far the guest's record is; empty where there is none."""
    said = machine.ssh(f"cat {RECORDS}/{guest.name}.json").stdout
    return str(json.loads(said)["phase"]) if said else ""


def needs(machine: Machine) -> str:
    """Return what the kexec asks for to be agreed to."""
    shown = told(machine, "kexec --show")
    give = " ".join(n.replace("DIGEST", shown["digest"]) for n in shown["needs"])
    assert f"--yes-to {HOST_NAME}" in give
    return give


def jump(machine: Machine, target: str) -> None:
    give, before = needs(machine), machine.boot_id()
    with contextlib.suppress(LabError):
        done = machine.ssh(f"luo-tui kexec {give}", timeout=LONG)
        assert "Jumping" in done.stdout, done.stderr
    machine.wait_ready(before, LONG)
    assert machine.must("uname -r").strip() == target


def goes_on(guest: Guest, before: Figures) -> Figures:
    """It counts on, has looked at all of its memory since, and is the one that it was."""
    after = guest.counts(passes=1)
    assert after.born == before.born, "it was started anew"
    assert after.count > before.count
    assert after.state == "running"
    assert after.is_whole, after
    return after


def arrive(machine: Machine) -> tuple[int, Any]:
    done = machine.ssh("luo-tui arrive --json", timeout=LONG)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def about_guests(said: Any) -> tuple[str, str]:
    """Return how the verdict grades the one guest, and what it says of it."""
    (found,) = [r for r in said["reasons"] if r["about"] == "guests"]
    return found["level"], found["text"]


def went_on(machine: Machine, guest: Guest, before: Figures) -> Figures:
    """Have the guest loaded after the jump; what it says once it goes on, whole and no other."""
    code, said = arrive(machine)
    assert said["faults"] == [], said
    assert code in (Exit.OK, Exit.DOUBTFUL), said
    level, text = about_guests(said)
    assert (level, text[:18]) == ("good", "kept: web1 goes on"), said
    print(f"\n{text}")
    assert phase(machine, guest) == "loaded"
    return goes_on(guest, before)
