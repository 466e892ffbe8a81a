# SPDX-License-Identifier: MIT
"""One machine for each scenario: built, started, waited for, and its log judged."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

import cache
import images
import kernels
import machine

HERE = Path(__file__).parent
# Seconds that one round may take before it tells what it waits for, and ends.
PATIENCE = 900
SOAK_PATIENCE = 6 * 3600
# Lines below the level of a warning stay out of the log: a fuzzer makes very many.
COMMAND_LINE = "loglevel=5 oops=panic acpi=off kho_scratch=16M,320M,0M"
# With five levels of page tables KASAN takes an interrupt in identify_cpu() for an error.
CPU = "max,la57=off"
TROUBLE = re.compile(
    r"WARNING|BUG|KASAN|UBSAN|ODEBUG|INFO: |Oops|[Pp]anic|kmemleak|unreferenced object|possible"
    r"|suspicious|lockdep|locking|rcu:.*(stall|detected)|Call Trace|corruption|refcount_t"
    r"|[Bb]ad page|general protection|unable to handle|scheduling while|sleeping function"
    r"|abuse: FAILED|blocked for more|leaked"
)
END = re.compile(r"abuse: end of (\w+): (\d+) checks, (\d+) failed")
ROUND = re.compile(r"abuse: start of \w+: round (\d+)")


@dataclass(frozen=True)
class Scenario:
    """What one machine goes through."""

    name: str
    rounds: int
    """Kernels, one after the other; 0: as many as ``count`` or ``soak`` says."""
    count: int = 0
    """How much of it: calls, seconds or turns."""
    soak: int = 0
    checks: int = 100
    """Fewer in the last round mean that it did not do its work."""
    cpus: int = 1
    kernel: str = "debug"
    """Which kernel; one other than ``debug`` has no lockdep, KASAN and kmemleak to look for."""
    qemu: tuple[str, ...] = ()
    """More of the machine."""
    harmless: str = "$^"
    """What the kernel around luo.ko says of itself, up to the end of its stack dump."""


@dataclass(frozen=True)
class Run:
    """What came of it."""

    seed: int
    rounds: int
    """How many there should have been."""
    log: str
    where: Path

    def complaints(self, scenario: Scenario) -> list[str]:
        """Return all that is wrong, each with the lines around it."""
        lines = [line.rstrip("\r") for line in self.log.splitlines()]
        found = []
        after = -1
        for number, line in enumerate(lines):
            if number > after and re.search(scenario.harmless, line):
                after = _end_of_dump(lines, number)
            elif number > after and TROUBLE.search(line):
                after = number + 40
                found.append("\n".join(lines[max(0, number - 3) : after]))
        rounds = [int(n) for n in ROUND.findall(self.log)]
        if rounds != list(range(1, self.rounds + 1)):
            found.append(f"the rounds were {rounds}")
        end = END.findall(self.log)
        if len(end) != 1 or end[0][0] != scenario.name or end[0][2] != "0":
            found.append("it did not end well:\n" + "\n".join(lines[-15:]))
        elif int(end[0][1]) < scenario.checks:
            found.append(f"only {end[0][1]} checks were made")
        return found

    def words(self) -> str:
        """Return what the program itself said."""
        return "\n".join(line for line in self.log.splitlines() if line.startswith("abuse:"))


def _end_of_dump(lines: list[str], start: int) -> int:
    if "WARNING" in lines[start]:
        for number in range(start, min(start + 80, len(lines))):
            if "end trace" in lines[number]:
                return number
    return start


class Guest:
    """Builds what the machines of one kernel are made of, and runs them."""

    def __init__(self, folder: Path, kernel: str = "debug") -> None:
        self.folder = folder
        built = kernels.debug() if kernel == "debug" else kernels.kernels()
        self.kernel = built[kernel]
        self._machines: list[machine.Machine] = []
        self._ended = False
        self._lock = threading.Lock()
        tree = folder / "tree"
        tree.mkdir()
        subprocess.run(
            ["gcc", "-static", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread",
             f"-I{cache.KERNEL}", "-o", tree / "init", *sorted(HERE.glob("*.c"))],
            check=True,
        )  # fmt: skip
        modules = kernels.modules({kernel: self.kernel})[kernel]
        for module in ("luo.ko", "luo_test.ko", "luo_edu.ko"):
            shutil.copy2(next(modules.rglob(module)), tree)
        for module in self._arrival():
            shutil.copy2(module, tree)
        self.initrd = folder / "initrd"
        images.pack(tree, self.initrd)
        # What is loaded for the kexec comes from disks, which have whole sectors.
        self.disks = [folder / "disk-kernel", folder / "disk-initrd"]
        for file, disk in zip((self.kernel.image, self.initrd), self.disks, strict=True):
            content = file.read_bytes()
            disk.write_bytes(content + bytes(-len(content) % 512))

    def _arrival(self) -> list[Path]:
        """Build the modules of arrival/ for this kernel; return them."""
        work = self.folder / "arrival"
        shutil.copytree(HERE / "arrival", work)
        for file in ("luo_check.c", "luo_check.h", "luo_abi.h"):
            shutil.copy2(cache.KERNEL / file, work)
        cache.run(
            ["make", "-C", self.kernel.build, f"M={work}", "modules"],
            "building the modules that damage what arrives",
        )
        return sorted(work.glob("*.ko"))

    def run(self, scenario: Scenario, seed: int, soak: bool) -> Run:
        """Run it in a machine of its own until that ends, or its time has."""
        count = scenario.soak if soak else scenario.count
        patience = SOAK_PATIENCE if soak else PATIENCE
        rounds = scenario.rounds or count
        qemu = ["-cpu", CPU, "-smp", str(scenario.cpus), *scenario.qemu]
        for disk in self.disks:
            qemu += ["-drive", f"file={disk},format=raw,if=virtio,readonly=on,file.locking=off"]
        name = f"{scenario.name}-{scenario.kernel}"
        m = machine.Machine(f"abuse-{os.getpid()}-{name}", qemu=qemu)
        with self._lock:
            if self._ended:
                raise cache.LabError("the tests have ended")
            self._machines.append(m)
        log = m.run_static(
            self.kernel,
            self.initrd,
            append=f"{COMMAND_LINE} abuse={scenario.name} count={count} seed={seed}"
            f" patience={patience} detectors={int(scenario.kernel == 'debug')} round=1",
            wait=rounds * (patience + 60),
        )
        m.remove()
        where = self.folder / f"{name}.log"
        where.write_text(log)
        return Run(seed, rounds, log, where)

    def end_all(self) -> None:
        """End the machines that still run, and start no more."""
        with self._lock:
            self._ended = True
            for m in self._machines:
                m.stop()
