# SPDX-License-Identifier: MIT
"""The guest in a machine, by the requests to its monitor, and an update by system calls."""

from __future__ import annotations

import contextlib
import re
import time

from cache import LabError
from machine import Machine

PREPARE, FREEZE, CANCEL, FINISH = 4, 5, 6, 7
NOTE = "/var/lib/luo-tui/guest"
SOCKET = "/run/lab-vmm.sock"

_MOVE = (
    "python3 -c \"import fcntl,os;fcntl.ioctl(os.open('/dev/liveupdate', os.O_RDWR), 0xBA00 + {})\""
)
_JUMP = """
import sys
from luo_tui.uapi import kexec
release = sys.argv[1]
line = open("/proc/cmdline").read().strip()
files = [open(f"/boot/{name}-{release}", "rb") for name in ("vmlinuz", "initrd.img")]
kexec.load(files[0].fileno(), files[1].fileno(), line)
kexec.reboot()
"""


class Guest:
    """The guest in a machine, by the socket of its monitor."""

    def __init__(self, machine: Machine, socket: str = SOCKET) -> None:
        self.machine = machine
        self.socket = socket

    def start(self, words: str) -> None:
        """Start lab-vmm and wait until the guest counts; LabError with its words if it ends."""
        log = f"{self.socket}.log"
        # (setsid may have forked: its own end says nothing.)
        self.machine.must(
            f"setsid lab-vmm {words} --socket {self.socket} </dev/null >{log} 2>&1 &"
            f" until lab-vmm ask status --socket {self.socket} 2>/dev/null;"
            f" do ! grep lab-vmm: {log} || exit 1; sleep 0.1; done"
        )

    def refused(self, words: str) -> str:
        """Return what lab-vmm says when it does not start."""
        done = self.machine.ssh(f"lab-vmm {words} --socket {self.socket}")
        assert done.returncode == 1, done
        assert done.stderr.startswith("lab-vmm: ")
        return done.stderr

    def ask(self, request: str) -> str:
        """Ask for something that has to be granted."""
        line = self.machine.must(f"lab-vmm ask {request} --socket {self.socket}").strip()
        assert line.startswith("ok ")
        return line[3:]

    def declined(self, request: str) -> str:
        """Ask for something that has to be declined."""
        done = self.machine.ssh(f"lab-vmm ask {request} --socket {self.socket}")
        assert done.returncode == 1
        assert done.stdout.startswith("error ")
        return done.stdout[6:].strip()

    def status(self) -> dict[str, str]:
        first, *rest = self.ask("status").split()
        return {"state": first, **dict(zip(rest[::2], rest[1::2], strict=False))}

    def count(self) -> int:
        return int(self.status()["count"])

    def counts_on(self, above: int) -> dict[str, str]:
        """Wait until it has counted further, and nothing was wrong on the way."""
        end = time.monotonic() + 60
        while (now := self.status())["state"] != "running" or int(now["count"]) <= above + 256:
            assert time.monotonic() < end, (now, self._where(), self._where(), self._host())
            time.sleep(0.1)
        wrong = {k: v for k, v in now.items() if k in ("tsc-back", "wrong-ram", "wrong-xmm")}
        assert wrong == {"tsc-back": "0", "wrong-ram": "0", "wrong-xmm": "0"}
        return now

    def _where(self) -> str:
        """Say where a guest stands that does not go on."""
        return self.machine.ssh(f"lab-vmm ask vcpu --socket {self.socket}").stdout.strip()

    def _host(self) -> str:
        """Say what its host was doing for a second."""
        look = "cat /proc/uptime /proc/loadavg; grep -E 'LOC|RES|CAL' /proc/interrupts; "
        look += "for f in exits halt_exits irq_exits irq_injections tlb_flush pf_taken; do "
        look += "echo $f $(cat /sys/kernel/debug/kvm/$f); done"
        said = self.machine.ssh(f"({look}; sleep 1; {look}; dmesg | tail -5) 2>&1").stdout
        return said.replace("\n", "; ")

    def save(self) -> int:
        """Save it; return the count at which it stands."""
        said = re.fullmatch(r"saved count (\d+) ram (\d+) state (\d+) ms [\d.]+", self.ask("save"))
        assert said
        note = self.machine.must(f"cat {NOTE}").split()
        assert note[2:] == ["ram", said[2], "state", said[3]]
        assert note[1] == self.machine.boot_id()
        return int(said[1])

    def pid(self) -> str:
        return self.machine.must("pidof lab-vmm").strip()

    def memfd(self, name: str) -> bytes:
        """Return a copy of one of its memfds."""
        folder = f"/proc/{self.pid()}/fd"
        links = self.machine.must(f"cd {folder}; for f in *; do echo $f $(readlink $f); done")
        number = next(line.split()[0] for line in links.splitlines() if f"memfd:{name}" in line)
        return self.machine.get(f"{folder}/{number}")


def state(machine: Machine) -> str:
    return machine.must("cat /sys/kernel/liveupdate/state").strip()


def move(machine: Machine, event: int) -> None:
    machine.must(_MOVE.format(event))


def resources(machine: Machine) -> list[str]:
    """Return name and state of all that is preserved or came."""
    said = machine.ssh("cd /sys/class/liveupdate; for d in token*; do cat $d/name $d/state; done")
    words = said.stdout.split()
    return sorted(f"{n} {s}" for n, s in zip(words[::2], words[1::2], strict=True))


def update(machine: Machine, target: str) -> None:
    """Update by the system calls alone."""
    before = machine.boot_id()
    machine.put(_JUMP.encode(), "/var/lib/luo-tui/jump.py")
    move(machine, PREPARE)
    machine.must("sync")
    with contextlib.suppress(LabError):
        machine.ssh(f"python3 /var/lib/luo-tui/jump.py {target}", timeout=20)
    machine.wait_ready(before, 120)
    assert machine.must("uname -r").strip() == target
