# SPDX-License-Identifier: MIT
"""What other processes do to a real kernel is on the screen without a key pressed."""

from __future__ import annotations

import errno
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from machine import Machine

from tests.lab import vmm
from tests.lab.test_devices import LUO, plug
from tests.terminal import Terminal

HANDS = Path(__file__).with_name("hands.py")
EXTRA = "/lib/modules/$(uname -r)/extra"
ROWS, COLS = 40, 130
SLOT = "0000:00:10.0"
"""Where a device is plugged in."""


class Hands:
    """Another process in the machine, that does what it is told."""

    def __init__(self, machine: Machine) -> None:
        machine.put(HANDS.read_bytes(), "/run/hands.py")
        self._process = subprocess.Popen(
            [*machine.ssh_command(), "python3 /run/hands.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def do(self, name: str, /, **arguments: object) -> Any:
        """Have it done; OSError with the errno that was met."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": name, **arguments}).encode() + b"\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "errno" in answer:
            raise OSError(answer["errno"], name)
        return answer["answer"]

    def preserve(self, name: str | bytes, size: int = 4096) -> int:
        """Preserve a memfd of this name."""
        raw = name if isinstance(name, bytes) else name.encode()
        token: int = self.do("preserve", name=raw.hex(), size=size)
        return token

    def close(self) -> None:
        """End it; what it preserved stays preserved."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


@pytest.fixture
def hands(machine: Machine) -> Iterator[Hands]:
    h = Hands(machine)
    yield h
    h.close()


def look_on(machine: Machine, where: str = "ssh") -> Terminal:
    """Open the console in a wide window."""
    if where == "ssh":
        t = Terminal.run(
            [*machine.ssh_command(terminal=True), "TERM=xterm-256color luo-tui"],
            rows=ROWS,
            cols=COLS,
        )
    else:
        t = Terminal.serial(machine.serial[1], rows=ROWS, cols=COLS)
        t.send("enter")
        t.wait_for("root@lab-hv")
        t.send(f"stty rows {ROWS} cols {COLS}; clear; TERM=xterm-256color luo-tui\r")
    t.wait_for("Nothing is prepared.", 120)
    return t


def leave(t: Terminal) -> None:
    """Quit, and find the terminal as it was."""
    t.send("q")
    t.wait_for_left()
    assert t.left_on() == []


def tokens(machine: Machine) -> set[int]:
    """Return the tokens that the class has."""
    said = machine.must("ls /sys/class/liveupdate/").split()
    return {int(name[5:]) for name in said if name.startswith("token")}


@pytest.mark.parametrize("where", ["ssh", pytest.param("ttyS1", marks=pytest.mark.extra)])
def test_what_others_do_is_seen(machine: Machine, hands: Hands, where: str) -> None:
    with look_on(machine, where) as t:
        token = hands.preserve("pins", 64 << 20)
        screen = t.wait_for("1 preserved (64 MiB)")
        assert "pins" in screen
        hands.do("unpreserve", token=token)
        t.wait_for("resources none")
        t.wait_for("is gone")

        machine.must(f"insmod {EXTRA}/luo_test.ko prepare_result=-5")
        t.wait_for("subsystems")
        with pytest.raises(OSError, match="move") as refused:
            hands.do("move", name="prepare")
        assert refused.value.errno == errno.EIO
        t.wait_for("REFUSED (EIO)")
        machine.must("echo 0,0,0 >/sys/module/luo_test/parameters/prepare_result")
        hands.do("move", name="prepare")
        t.wait_for("[prepared]")
        assert "REFUSED" not in machine_line(t)
        hands.do("move", name="cancel")
        t.wait_for("[normal]")

        machine.must("cp /boot/vmlinuz-*-old /boot/vmlinuz-copied")
        t.wait_for("vmlinuz-copied")

        machine.must("rmmod luo_test && rmmod luo")
        screen = t.wait_for("UNAVAILABLE")
        assert "luo.ko is not loaded" in screen
        machine.must(f"insmod {EXTRA}/luo.ko")
        t.wait_for("[normal]")
        hands.preserve("again")
        t.wait_for("1 preserved (4 KiB)")
        leave(t)


def machine_line(t: Terminal) -> str:
    """Return the line that says who takes part."""
    return next((line for line in t.lines() if "takes part" in line), "")


@pytest.mark.extra
def test_a_device_that_is_plugged_in_takes_part(machine: Machine) -> None:
    machine.must(f"rmmod luo; {LUO}; insmod {EXTRA}/luo_edu.ko")
    with look_on(machine) as t:
        plug(machine, "device_add edu,id=late,addr=0x10,dma_mask=0xffffffff")
        t.wait_for("1 PCI device")
        plug(machine, "device_del late")
        t.wait_until_gone("1 PCI device")

        # And where all devices are; the machine's own are reset, whoever uses them.
        t.send("3")
        screen = t.wait_for("[3 devices]")
        assert "will be reset, IN USE" in screen
        assert "virtio_blk" in screen
        plug(machine, "device_add edu,id=again,addr=0x10,dma_mask=0xffffffff")
        t.wait_for("takes part: their drivers keep them running")
        t.wait_for(SLOT)
        plug(machine, "device_del again")
        t.wait_until_gone(SLOT)
        t.send("4")
        t.wait_for(f"pci {SLOT}")
        leave(t)


@pytest.mark.extra
def test_what_came_over_is_seen_to_be_taken_back(machine: Machine, hands: Hands) -> None:
    """After an update that no console had a part in."""
    assert machine.built is not None
    token = hands.preserve("cargo", 1 << 20)
    hands.close()
    vmm.update(machine, machine.built.kernels["new"].release)
    later = Hands(machine)
    t = Terminal.run(
        [*machine.ssh_command(terminal=True), "TERM=xterm-256color luo-tui"], rows=ROWS, cols=COLS
    )
    with t:
        screen = t.wait_for("1 resource not restored yet.")
        assert "1 not restored (1 MiB)" in screen
        assert "[updated]" in screen
        later.do("restore", token=token)
        t.wait_for("All that arrived is restored;")
        t.wait_for("1 restored (1 MiB)")
        later.do("move", name="finish")
        t.wait_for("Nothing is prepared.")
        leave(t)
    later.close()
