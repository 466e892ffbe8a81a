# SPDX-License-Identifier: MIT
"""A PCI device goes on running while the kernel is exchanged, or it is said why not."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import time
from collections.abc import Callable, Iterator

import pytest
from cache import LabError
from machine import Machine

PREPARE, FREEZE, CANCEL, FINISH = 4, 5, 6, 7
SLOT = "0000:00:10.0"
EDU = ("-device", "edu,id=edu,addr=0x10,dma_mask=0xffffffff")
COPY_SECONDS = 0.1
"""QEMU's edu takes this long for any copy."""
BUFFER = 2048
COMMAND, BAR0 = 0x04, 0x10
MASTER = 0x4
ELSEWHERE = 0xD0000000
"""An address where the machine has nothing."""

_JUMP = """
import sys
from luo_tui.uapi import kexec
release, more, acts = sys.argv[1:]
line = open("/proc/cmdline").read().strip().replace(" luo.noload", "") + more
files = [open(f"/boot/{name}-{release}", "rb") for name in ("vmlinuz", "initrd.img")]
if "load" in acts:
    kexec.load(files[0].fileno(), files[1].fileno(), line)
if "reboot" in acts:
    kexec.reboot()
"""

LUO = "insmod /lib/modules/$(uname -r)/extra/luo.ko experimental_pci=1"
TAKE_PART = "luo.experimental_pci=1"
"""On the command line of the machine, and so on that of every kernel after it."""


class Edu:
    """The device in one machine, through its driver's attributes and the class."""

    def __init__(self, machine: Machine, slot: str = SLOT) -> None:
        self.machine = machine
        self.slot = slot
        self.device = f"/sys/bus/pci/devices/{slot}"
        self.node = f"/sys/class/liveupdate/pci-{slot}"

    def load(self, parameters: str = "") -> None:
        # For a device that was found by a rescan udev loads it unasked.
        self.machine.must(
            "udevadm settle; [ -d /sys/module/luo_edu ] ||"
            f" insmod /lib/modules/$(uname -r)/extra/luo_edu.ko {parameters}"
        )

    def read(self, name: str) -> str:
        return self.machine.must(f"cat {self.device}/edu/{name}").strip()

    def write(self, name: str, value: object) -> None:
        self.machine.must(f"echo {value} >{self.device}/edu/{name}")

    def refuses(self, name: str, value: object) -> str:
        done = self.machine.ssh(f"echo {value} >{self.device}/edu/{name}")
        assert done.returncode != 0
        return done.stderr

    def copy(self, direction: str) -> None:
        before = int(self.read("interrupts"))
        self.write("dma", direction)
        self.machine.must(f"until grep -q idle {self.device}/edu/dma; do sleep 0.02; done")
        assert int(self.read("interrupts")) == before + 1

    @property
    def buffer(self) -> bytes:
        return self.machine.get(f"{self.device}/edu/buffer")

    @buffer.setter
    def buffer(self, content: bytes) -> None:
        self.machine.must(f"cat >{self.device}/edu/buffer", stdin=content)

    def fill(self) -> bytes:
        """Put random bytes into the device, and zeros into memory."""
        content = os.urandom(BUFFER)
        self.buffer = content
        self.copy("to-device")
        self.buffer = bytes(BUFFER)
        return content

    def listed(self, name: str = "state") -> str:
        """Return what the class says of it; nothing if it is not there."""
        return self.machine.ssh(f"cat {self.node}/{name}").stdout.strip()

    def config(self, offset: int) -> int:
        raw = self.machine.get(f"{self.device}/config")
        return int.from_bytes(raw[offset : offset + 4], "little")

    def set_config(self, offset: int, value: int, size: int = 4) -> None:
        path = f"{self.device}/config"
        self.machine.must(
            f"dd of={path} bs=1 seek={offset} conv=notrunc 2>/dev/null",
            stdin=value.to_bytes(size, "little"),
        )

    def in_debugfs(self) -> str:
        lines = self.machine.must("cat /sys/kernel/debug/luo/pci").splitlines()
        return next((line for line in lines if line.startswith(self.slot)), "")


Boot = Callable[..., Edu]


def state(machine: Machine) -> str:
    return machine.must("cat /sys/kernel/liveupdate/state").strip()


def try_move(machine: Machine, event: int) -> str:
    """Move; return what was said if it was refused."""
    code = f"import fcntl; fcntl.ioctl(open('/dev/liveupdate', 'rb+', 0), 0xBA00 + {event})"
    return machine.ssh(f'python3 -c "{code}"').stderr


def move(machine: Machine, event: int) -> None:
    assert try_move(machine, event) == ""


def leave(machine: Machine, kernel: str, more: str = "", acts: str = "load, reboot") -> str:
    """Kexec in whatever state it is; return what was said if it did not happen."""
    assert machine.built is not None
    release = machine.built.kernels[kernel].release
    machine.put(_JUMP.encode(), "/root/jump.py")
    with contextlib.suppress(LabError):
        done = machine.ssh(f"python3 /root/jump.py {release} '{more}' '{acts}'", timeout=20)
        return done.stderr if "Error" in done.stderr else ""
    return ""


def jump(machine: Machine, kernel: str, more: str = "") -> None:
    """Kexec in whatever state it is, and wait for the new kernel."""
    before = machine.boot_id()
    assert leave(machine, kernel, more) == ""
    machine.wait_ready(before, 90)
    assert machine.must("uname -r").strip().endswith(f"-{kernel}")


def plug(machine: Machine, command: str) -> None:
    """Tell QEMU to take a device away or to bring one, as a hand would."""
    with socket.socket(socket.AF_UNIX) as monitor:
        monitor.connect(str(machine.monitor))
        monitor.settimeout(10)
        prompt = b"(qemu) "
        said = b""
        monitor.sendall(command.encode() + b"\n")
        while said.count(prompt) < 2:
            said += monitor.recv(4096)
    assert b"Error" not in said, said


def eventually(machine: Machine, test: str) -> None:
    """Wait until a shell test holds."""
    end = time.monotonic() + 20
    while machine.ssh(f"test {test}").returncode:
        assert time.monotonic() < end, test
        time.sleep(0.2)


@pytest.fixture
def boot(cold: Machine) -> Iterator[Boot]:
    """Boot a machine with an edu device, and load its driver."""

    def start(
        qemu: tuple[str, ...] = EDU, extra: str = "", slot: str = SLOT, parameters: str = ""
    ) -> Edu:
        cold.qemu = qemu
        cold.boot(extra=f"{TAKE_PART} {extra}".strip())
        edu = Edu(cold, slot)
        edu.load(parameters)
        return edu

    yield start
    if cold.running():
        log = cold.must("dmesg")
        assert "WARNING:" not in log, log
        assert "BUG:" not in log, log


@pytest.mark.parametrize(
    "extra", ["", pytest.param("pci=nomsi", marks=pytest.mark.extra)], ids=["messages", "line"]
)
def test_a_device_works_on_through_two_updates(boot: Boot, extra: str) -> None:
    """Its registers stay, and a copy begun in one kernel lands in the next."""
    edu = boot(extra=extra)
    machine = edu.machine
    assert edu.listed() == "registered"
    in_flight = 0
    for number, kernel in enumerate(("new", "old") * 3, start=5):
        edu.write("liveness", 0x1234 + number)
        edu.write("factorial", number)
        kept = edu.read("liveness"), edu.read("factorial")
        content = edu.fill()
        edu.write("dma_at_shutdown", 1)

        move(machine, PREPARE)
        assert edu.listed() == "prepared"
        # Until it is frozen it is used as ever.
        edu.copy("to-device")
        edu.copy("from-device")
        edu.buffer = content
        edu.copy("to-device")
        edu.buffer = bytes(BUFFER)
        jump(machine, kernel)

        # Nobody has touched it yet: it runs, and no address has changed.
        assert state(machine) == "updated"
        assert edu.listed() == "incoming"
        assert edu.listed("driver_name") == "luo_edu"
        assert edu.config(COMMAND) & MASTER
        assert f"{SLOT}: luo: came over alive" in machine.must("dmesg")
        edu.load()
        assert edu.read("alive") == "1"
        assert edu.listed() == "claimed"
        assert (edu.read("liveness"), edu.read("factorial")) == kept
        assert edu.read("dma") == "idle"
        assert edu.buffer == content
        # Did the copy take longer than what was left of the old kernel?
        times = "/sys/kernel/liveupdate/times"
        khz, left = (int(machine.must(f"cat {times}/{n}")) for n in ("tsc_khz", "jump"))
        in_flight += 0 < left - int(edu.read("dma_begun")) < COPY_SECONDS * khz * 1000
        # Its interrupt, which came when nobody listened, was found.
        assert edu.read("interrupts") == "1"

        move(machine, FINISH)
        assert edu.listed() == "registered"
        assert (edu.read("liveness"), edu.read("factorial")) == kept
        assert edu.buffer == content
        # On a machine with much else to do the copy may win the race once.
        if in_flight and kernel == "old":
            break
    assert in_flight


@pytest.mark.extra
def test_a_cancelled_update_gives_the_device_back(boot: Boot) -> None:
    edu = boot()
    machine = edu.machine
    for moves in ((PREPARE,), (PREPARE, FREEZE)):
        content = edu.fill()
        for event in moves:
            move(machine, event)
        machine.must("udevadm settle")
        told = machine.must(f"udevadm info -q property -p {edu.node}").splitlines()
        assert "LUO_KIND=pci" in told
        assert f"LUO_NAME={SLOT}" in told
        assert f"LUO_STATE={'frozen' if FREEZE in moves else 'prepared'}" in told
        assert "LUO_DRIVER=luo_edu" in told
        if FREEZE in moves:
            assert edu.listed() == "frozen"
            assert "busy" in edu.refuses("factorial", 4)
            assert "busy" in edu.refuses("dma", "from-device")
        move(machine, CANCEL)
        assert edu.listed() == "registered"
        edu.write("factorial", 4)
        assert edu.read("factorial") == "24"
        edu.copy("from-device")
        assert edu.buffer == content
    # Nothing was handed over, so a kexec resets it.
    jump(machine, "new")
    assert edu.listed() == ""
    assert not edu.config(COMMAND) & MASTER
    edu.load()
    assert edu.read("alive") == "0"
    assert edu.read("factorial") == "1"
    edu.copy("from-device")


@pytest.mark.extra
def test_a_device_that_takes_no_part_is_reset_as_ever(boot: Boot) -> None:
    edu = boot(parameters="participate=0")
    machine = edu.machine
    assert edu.listed() == ""
    assert edu.in_debugfs().endswith("driver=luo_edu state=reset")
    edu.write("liveness", 0x55)
    edu.write("factorial", 5)
    edu.fill()
    edu.write("dma_at_shutdown", 1)
    move(machine, PREPARE)
    jump(machine, "new")
    assert state(machine) == "updated"
    assert edu.listed() == ""
    assert not edu.config(COMMAND) & MASTER
    edu.load()
    assert edu.listed() == "registered"
    assert edu.read("alive") == "0"
    assert edu.read("liveness") == "0xffffffff"
    assert edu.read("factorial") == "1"
    assert edu.buffer == bytes(BUFFER)


@pytest.mark.extra
@pytest.mark.parametrize(
    "way",
    [
        "unbound",
        pytest.param("removed", marks=pytest.mark.extra),
        pytest.param("pulled out", marks=pytest.mark.extra),
    ],
)
def test_an_update_ends_with_the_device_it_counts_on(boot: Boot, way: str) -> None:
    edu = boot()
    machine = edu.machine
    move(machine, PREPARE)
    if way == "unbound":
        machine.must(f"echo {SLOT} >{edu.device}/driver/unbind")
    elif way == "removed":
        move(machine, FREEZE)
        machine.must(f"echo 1 >{edu.device}/remove")
    else:
        plug(machine, "device_del edu")
        eventually(machine, f"! -e {edu.device}")
    assert state(machine) == "normal"
    assert edu.listed() == ""
    said = machine.must("dmesg")
    assert f"{SLOT}: luo: its driver lets go while an update is under way" in said
    # It comes back, and takes part again.
    if way == "pulled out":
        plug(machine, "device_add " + EDU[1])
        eventually(machine, f"-e {edu.node}")
    machine.must("echo 1 >/sys/bus/pci/rescan")
    machine.ssh(f"echo {SLOT} >/sys/bus/pci/drivers/luo_edu/bind")
    assert edu.listed() == "registered"
    content = edu.fill()
    move(machine, PREPARE)
    assert machine.ssh("rmmod luo_edu").returncode != 0
    jump(machine, "new")
    edu.load()
    assert edu.read("alive") == "1"
    edu.copy("from-device")
    assert edu.buffer == content
    # The driver may go before the update is finished.
    machine.must("rmmod luo_edu")
    assert edu.listed() == "claimed"
    assert not edu.config(COMMAND) & MASTER
    edu.load()
    assert edu.read("alive") == "0"
    move(machine, FINISH)
    assert edu.listed() == "registered"


@pytest.mark.extra
def test_a_device_that_nobody_claims_is_stopped_at_finish(boot: Boot) -> None:
    edu = boot()
    machine = edu.machine
    move(machine, PREPARE)
    jump(machine, "new")
    assert edu.listed() == "incoming"
    assert edu.config(COMMAND) & MASTER
    move(machine, FINISH)
    assert edu.listed() == ""
    assert not edu.config(COMMAND) & MASTER
    assert "no driver has claimed it, its DMA is stopped" in machine.must("dmesg")
    edu.load()
    assert edu.read("alive") == "0"
    edu.copy("to-device")


@pytest.mark.extra
def test_what_came_over_otherwise_is_not_given_to_the_driver(boot: Boot) -> None:
    """Each lies in wait before luo.ko is loaded in the new kernel."""
    edu = boot()
    machine = edu.machine

    def addresses() -> None:
        edu.set_config(BAR0, ELSEWHERE)

    def mastering() -> None:
        edu.set_config(COMMAND, edu.config(COMMAND) & 0xFFFF & ~MASTER, 2)

    def gone() -> None:
        machine.must(f"echo 1 >{edu.device}/remove")

    for kernel, change, reason in (
        ("new", addresses, "its addresses have changed"),
        ("old", mastering, "it was switched off on the way"),
        ("new", gone, "it is gone"),
    ):
        edu.write("factorial", 6)
        move(machine, PREPARE)
        jump(machine, kernel, " luo.noload")
        was = edu.config(BAR0)
        change()
        machine.must(LUO)
        assert state(machine) == "updated"
        assert edu.listed() == "lost"
        assert edu.listed("reason") == reason
        assert f"pci-{SLOT}: lost on the way: {reason}" in machine.must("dmesg")
        if change is gone:
            machine.must("echo 1 >/sys/bus/pci/rescan")
        if change is addresses:
            edu.set_config(BAR0, was)
        edu.load()
        assert edu.read("alive") == "0"
        assert edu.read("factorial") == "1"
        assert edu.listed() == "lost"
        move(machine, FINISH)
        assert edu.listed() == "registered"
        edu.copy("to-device")


@pytest.mark.extra
def test_one_that_refuses_stops_all_of_it(boot: Boot) -> None:
    """And the next try takes both along."""
    edu = boot((*EDU, "-device", "edu,addr=0x11,dma_mask=0xffffffff", "-smp", "2"))
    machine = edu.machine
    other = Edu(machine, "0000:00:11.0")
    contents = edu.fill(), other.fill()
    refused = f"[Errno {errno.EBUSY}]"

    other.write("refuses", "prepare")
    assert refused in try_move(machine, PREPARE)
    assert other.listed("result") == str(-errno.EBUSY)
    other.write("refuses", "freeze")
    move(machine, PREPARE)
    assert refused in leave(machine, "new")
    assert state(machine) == "normal"
    assert other.listed("result") == str(-errno.EBUSY)
    said = machine.must("dmesg")
    for call in ("prepare", "freeze"):
        assert f"luo_edu {other.slot}: luo: {call} refused (-16) by driver luo_edu" in said
    assert "left running" not in said
    # Both go on as if nothing had been.
    for each, content in zip((edu, other), contents, strict=True):
        assert each.listed() == "registered"
        each.write("factorial", 3)
        each.copy("from-device")
        assert each.buffer == content
        each.buffer = bytes(BUFFER)

    other.write("refuses", "none")
    for each in (edu, other):
        each.write("dma_at_shutdown", 1)
    move(machine, PREPARE)
    jump(machine, "new")
    edu.load()
    for each, content in zip((edu, other), contents, strict=True):
        assert each.read("alive") == "1"
        assert each.read("factorial") == "6"
        assert each.buffer == content


WITHOUT = "experimental, and luo.ko was loaded without experimental_pci=1"


def test_taking_part_has_to_be_asked_for(boot: Boot) -> None:
    edu = boot(extra="luo.experimental_pci=0")
    machine = edu.machine
    about = machine.must("modinfo -p /lib/modules/$(uname -r)/extra/luo.ko")
    assert "experimental_pci:" in about
    assert edu.listed() == "refused"
    assert edu.listed("reason") == WITHOUT
    edu.write("factorial", 5)
    move(machine, PREPARE)
    jump(machine, "new")
    assert edu.listed() == ""
    assert not edu.config(COMMAND) & MASTER
    edu.load()
    assert edu.read("alive") == "0"
    assert edu.read("factorial") == "1"


SHUT_DOWN = f"{SLOT}: luo: shut down: what follows is not known to take the handover"
RESTART = """
import ctypes
ctypes.CDLL(None).syscall(169, 0xFEE1DEAD, 672274793, 0xA1B2C3D4, b"kexec reboot")
"""
"""reboot(RESTART2) with the words of a kexec: the firmware's reset."""


@pytest.mark.extra
def test_an_image_from_before_luo_is_not_known_to_hand_over(boot: Boot) -> None:
    """Whatever is in it: nobody has seen it being filled."""
    edu = boot()
    machine = edu.machine
    machine.must("rmmod luo_edu luo")
    assert leave(machine, "new", acts="load") == ""
    machine.must(LUO)
    edu.load()
    assert edu.listed() == "registered"
    edu.write("factorial", 5)
    move(machine, PREPARE)
    before = machine.boot_id()
    leave(machine, "new", acts="reboot")
    machine.wait_ready(before, 90)
    assert SHUT_DOWN in machine.log()
    assert "left running" not in machine.log()
    assert edu.listed() == "lost"
    assert edu.listed("reason") == "its driver did not leave it running"
    assert not edu.config(COMMAND) & MASTER
    edu.load()
    assert edu.read("alive") == "0"
    assert edu.read("factorial") == "1"
    # What is loaded from now on is known.
    move(machine, FINISH)
    edu.write("factorial", 4)
    move(machine, PREPARE)
    jump(machine, "old")
    assert "left running" in machine.log()
    edu.load()
    assert edu.read("alive") == "1"
    assert edu.read("factorial") == "24"


@pytest.mark.extra
def test_a_reset_that_calls_itself_a_kexec_leaves_nothing_running(boot: Boot) -> None:
    """An image that hands over is loaded, and not what comes next."""
    edu = boot()
    machine = edu.machine
    assert leave(machine, "new", acts="load") == ""
    move(machine, PREPARE)
    before = machine.boot_id()
    machine.put(RESTART.encode(), "/root/restart.py")
    with contextlib.suppress(LabError):
        machine.ssh("sync; python3 /root/restart.py", timeout=20)
    machine.wait_ready(before, 90)
    assert SHUT_DOWN in machine.log()
    assert "left running" not in machine.log()
    assert state(machine) == "normal"


@pytest.mark.extra
def test_another_device_in_its_place_is_not_taken_for_it(boot: Boot) -> None:
    edu = boot()
    machine = edu.machine
    move(machine, PREPARE)
    # One that comes now takes part from the next update on.
    plug(machine, "device_add edu,id=late,addr=0x11,dma_mask=0xffffffff")
    late = Edu(machine, "0000:00:11.0")
    eventually(machine, f"-e {late.node}")
    assert (edu.listed(), late.listed()) == ("prepared", "registered")
    jump(machine, "new", " luo.noload")

    plug(machine, "device_del edu")
    eventually(machine, f"! -e {edu.device}")
    plug(machine, "device_add virtio-rng-pci,id=other,addr=0x10")
    eventually(machine, f"-e {edu.device}")
    machine.must(LUO)
    assert edu.listed() == "lost"
    assert edu.listed("reason") == "another device is in its place"
    assert late.listed() == ""
    edu.load()
    assert late.read("alive") == "0"
    assert late.listed() == "registered"
    was = edu.config(COMMAND)
    move(machine, FINISH)
    # What sits there now has a driver, and loses nothing.
    assert edu.listed() == ""
    assert edu.config(COMMAND) == was
    assert was & MASTER


BEHIND = (
    "-device", "pci-bridge,id=bridge,chassis_nr=1,addr=0x10",
    "-device", "edu,bus=bridge,addr=1,dma_mask=0xffffffff",
)  # fmt: skip
IOMMU = ("-machine", "q35,kernel-irqchip=split", "-device", "intel-iommu", *EDU)


@pytest.mark.parametrize(
    ("qemu", "extra", "slot", "reason"),
    [
        pytest.param(BEHIND, "", "0000:01:01.0", "it is behind a bridge", marks=pytest.mark.extra),
        pytest.param(
            IOMMU,
            "intel_iommu=on",
            SLOT,
            "an IOMMU translates its addresses",
            marks=pytest.mark.extra,
        ),
    ],
    ids=["bridge", "iommu"],
)
def test_a_device_that_cannot_is_refused_by_name(
    boot: Boot, qemu: tuple[str, ...], extra: str, slot: str, reason: str
) -> None:
    edu = boot(qemu, extra, slot)
    machine = edu.machine
    assert edu.listed() == "refused"
    assert edu.listed("reason") == reason
    assert int(edu.listed("result")) == -errno.EOPNOTSUPP
    assert f"luo_edu {slot}: luo: takes no part in live updates: {reason}" in machine.must("dmesg")
    assert edu.in_debugfs().endswith(f"driver=luo_edu state=refused ({reason})")
    # It works as ever, and hinders no update.
    edu.write("factorial", 5)
    edu.copy("to-device")
    move(machine, PREPARE)
    assert edu.listed() == "refused"
    jump(machine, "new")
    assert state(machine) == "updated"
    assert edu.listed() == ""
    edu.load()
    assert edu.listed() == "refused"
    assert edu.read("alive") == "0"
    assert edu.read("factorial") == "1"
    move(machine, FINISH)
    machine.must("rmmod luo_edu")
    assert edu.listed() == ""


@pytest.mark.extra
def test_an_iommu_that_passes_through_is_no_obstacle(boot: Boot) -> None:
    edu = boot(IOMMU, "intel_iommu=on iommu=pt")
    machine = edu.machine
    assert edu.listed() == "registered"
    content = edu.fill()
    edu.write("dma_at_shutdown", 1)
    move(machine, PREPARE)
    jump(machine, "new")
    edu.load()
    assert edu.read("alive") == "1"
    assert edu.buffer == content
    move(machine, FINISH)
    # Unless it translates in the next kernel.
    move(machine, PREPARE)
    jump(machine, "old", " iommu=nopt")
    assert edu.listed() == "lost"
    assert edu.listed("reason") == "an IOMMU translates its addresses"
    edu.load()
    assert edu.read("alive") == "0"
    edu.copy("to-device")
    move(machine, FINISH)
    assert edu.listed() == "refused"
