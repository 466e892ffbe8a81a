# SPDX-License-Identifier: MIT
"""Guests are found by themselves; each reason not to carry one is met in a real QEMU."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from luo_tui.guests.facts import Disposition, GuestFacts
from luo_tui.guests.find import find_guests, read_guest
from luo_tui.guests.rules import Guest, judge
from tests import qcow2
from tests.guests.machine import BARE, LONG, MEMORY, Machine

PROC = Path("/proc")
LITTLE = ("-accel", "tcg", "-nodefaults", "-display", "none", "-S")


def found(machine: Machine, limit: float = LONG) -> Guest:
    (guest,) = judge([read_guest(PROC, machine.pid, limit)])
    return guest


def codes(guest: Guest) -> set[str]:
    for reason in (*guest.refusals, *guest.warnings):
        assert reason.text
        assert not reason.text.endswith(".")
        assert reason.remedy.endswith(".")
    return {reason.code for reason in guest.refusals}


def test_a_stock_guest_is_carried(machine: Machine) -> None:
    machine.boot(
        "-device", "virtio-rng-pci,id=rng", "-netdev", "user,id=n", "-device", "e1000,netdev=n"
    )
    there = find_guests(limit=LONG)
    (facts,) = (g for g in there.guests if g.process.pid == machine.pid)
    (guest,) = judge([facts])
    assert codes(guest) == set(), guest.refusals
    assert guest.disposition is Disposition.CARRIED
    assert (guest.name, guest.bytes, guest.state) == ("web1", 64 << 20, "running")
    assert facts.socket == str(machine.socket)
    assert facts.process.argv[0] == "qemu-system-x86_64"
    assert list(facts.descriptors) == ["ram"]
    (memfd,) = facts.process.memfds
    assert (memfd.fd, memfd.bytes) == (facts.descriptors["ram"], 64 << 20)
    assert guest.warnings == ()


def test_two_of_one_name_are_told_apart_by_nobody(machine: Machine, tmp_path: Path) -> None:
    machine.start("-name", "db", *BARE, *MEMORY, "-S")
    other = Machine(tmp_path)
    try:
        other.start("-name", "db", *BARE, *MEMORY, "-S")
        both = judge([read_guest(PROC, m.pid, LONG) for m in (machine, other)])
        assert [codes(guest) for guest in both] == [{"same-name"}, {"same-name"}]
    finally:
        other.end()


def _extra(folder: Path) -> str:
    path = folder / "extra.img"
    path.write_bytes(b"\0" * (1 << 20))
    return str(path)


MACHINE = "pc,memory-backend=ram"
REFUSED: dict[str, Callable[[Path], Sequence[str]]] = {
    "private-memory": lambda _: ("-m", "64"),
    "private-memory ": lambda _: (
        "-m", "64", "-object", "memory-backend-memfd,id=ram,size=64M,share=off",
        "-machine", MACHINE,
    ),
    "memory-in-file": lambda f: (
        "-m", "1", "-object",
        f"memory-backend-file,id=ram,size=1M,share=on,mem-path={_extra(f)}", "-machine", MACHINE,
    ),
    "huge-pages": lambda _: (
        "-m", "64", "-machine", MACHINE, "-object",
        "memory-backend-memfd,id=ram,size=64M,share=on,hugetlb=on,reserve=off",
    ),
    "memory-alike": lambda _: (
        "-m", "64", "-smp", "2",
        "-object", "memory-backend-memfd,id=a,size=32M,share=on", "-numa", "node,memdev=a,cpus=0",
        "-object", "memory-backend-memfd,id=b,size=32M,share=on", "-numa", "node,memdev=b,cpus=1",
    ),
    "unmigratable": lambda f: (
        "-m", "64", *MEMORY, "-drive", f"file={_extra(f)},format=raw,if=none,id=n",
        "-device", "nvme,serial=1,drive=n,id=nvme",
    ),
    "disk-without-path": lambda _: (
        "-m", "64", *MEMORY, "-drive", "file=null-co://,format=raw,if=virtio",
    ),
    "temporary-disk": lambda f: (
        "-m", "64", *MEMORY, "-drive", f"file={_extra(f)},format=raw,if=virtio,snapshot=on",
    ),
    "state": lambda _: ("-m", "64", *MEMORY, "-incoming", "defer"),
    "libvirt": lambda f: (
        "-m", "64", *MEMORY, "-mon", "chardev=charmonitor,id=monitor,mode=control",
        "-chardev", f"socket,id=charmonitor,path={f}/monitor.sock,server=on,wait=off",
    ),
}  # fmt: skip


@pytest.mark.parametrize("code", REFUSED)
def test_what_forbids_it_is_told(machine: Machine, code: str) -> None:
    machine.start(*LITTLE, *REFUSED[code](machine.folder))
    guest = found(machine)
    assert codes(guest) == {code.strip()}, guest.refusals
    assert guest.disposition is Disposition.LOST


@pytest.fixture
def in_memory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


def test_disks_in_memory_and_files_that_are_gone(machine: Machine, in_memory: Path) -> None:
    kept, gone = _extra(in_memory), Path(_extra(machine.folder))
    machine.start(
        *LITTLE, "-m", "64", *MEMORY,
        "-drive", f"file={kept},format=raw,if=virtio",
        "-drive", f"file={gone},format=raw,if=virtio",
    )  # fmt: skip
    assert codes(found(machine)) == {"file-in-memory"}
    gone.unlink()
    assert codes(found(machine)) == {"file-in-memory", "file-gone"}


def test_what_a_disk_lies_upon_is_looked_at_as_well(machine: Machine, in_memory: Path) -> None:
    """Only the image names it, and QEMU opens it when it starts."""
    below, disk = _extra(in_memory), machine.folder / "over.img"
    disk.write_bytes(qcow2.overlay(below, 1 << 20))
    machine.start(*LITTLE, "-m", "64", *MEMORY, "-drive", f"file={disk},format=qcow2,if=virtio")
    guest = found(machine)
    assert codes(guest) == {"file-in-memory"}
    assert below in guest.refusals[0].text
    Path(below).unlink()
    assert codes(found(machine)) == {"file-gone"}


def test_arguments_in_a_file_and_other_programs(machine: Machine) -> None:
    (machine.folder / "more").write_text('[device]\n  driver = "virtio-rng-pci"\n')
    read, write = os.pipe()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(machine.folder / "other.sock"))
        listener.listen()
        machine.start(
            *LITTLE, "-m", "64", *MEMORY, "-readconfig", "more",
            "-add-fd", f"fd={read},set=1", "-serial", f"unix:{machine.folder}/other.sock",
            fds=(read,),
        )  # fmt: skip
        reasons = codes(found(machine))
    os.close(read)
    os.close(write)
    assert reasons == {
        "arguments-in-file",
        "inherited-descriptor",
        "needs-another",
        "plugged",  # What the file names is no argument.
    }


def test_who_changes_the_machine_is_told_what_and_how_to_go_back(machine: Machine) -> None:
    machine.start(
        *LITTLE, "-name", "web1", "-m", "64", *MEMORY, "-drive",
        f"file={_extra(machine.folder)},format=raw,if=virtio,id=hd0",
        "-object", "iothread,id=io1",
        "-device", "piix3-usb-uhci,id=usb", "-device", "usb-tablet,id=pen",
    )  # fmt: skip
    assert codes(found(machine)) == set()
    machine.ask("device_add", driver="virtio-rng-pci", id="rng")
    machine.ask("device_del", id="pen")
    machine.ask("object-add", **{"qom-type": "iothread", "id": "io2"})
    machine.ask("object-del", id="io1")
    guest = found(machine)
    assert {(r.code, r.text.split(" (")[0]) for r in guest.refusals} == {
        ("plugged", "the device rng"),
        ("unplugged", "the device pen was removed since it began"),
        ("plugged", "the object io2 was added since it began"),
        ("unplugged", "the object io1 was removed since it began"),
    }
    machine.ask("object-del", id="io2")
    machine.ask("object-add", **{"qom-type": "iothread", "id": "io1"})
    machine.ask("device_add", driver="usb-tablet", id="pen")
    assert codes(found(machine)) == {"plugged"}


def test_an_overlay_that_no_argument_names(machine: Machine) -> None:
    machine.boot()
    overlay = str(machine.folder / "overlay.qcow2")
    machine.ask("blockdev-snapshot-sync", device="hd0", **{"snapshot-file": overlay})
    guest = found(machine)
    assert [r.code for r in guest.refusals] == ["active-image", "active-image"]
    assert overlay in guest.refusals[0].text
    assert str(machine.disk) in guest.refusals[1].text


def test_saved_by_somebody_else(machine: Machine) -> None:
    machine.boot()
    machine.ask("migrate-set-parameters", **{"max-bandwidth": 1})
    machine.ask("migrate", uri="exec:cat >/dev/null")
    machine.until(lambda: codes(found(machine)) == {"migrating"})
    machine.ask("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
    machine.until(lambda: codes(found(machine)) == {"saved"})
    machine.ask("cont")
    assert codes(found(machine)) == set()


def test_who_does_not_answer_is_not_said_to_be_well_or_lost(machine: Machine) -> None:
    machine.start("-name", "mute", *BARE, *MEMORY, "-S")
    with machine.monitor():
        guest = found(machine, 0.2)
        assert (guest.name, guest.bytes) == ("mute", 0)
        assert codes(guest) == {"qmp-silent"}
        assert guest.disposition is Disposition.UNKNOWN
        assert "another program may have it" in guest.refusals[0].text
    machine.signal(signal.SIGSTOP)
    assert codes(found(machine, 0.2)) == {"qmp-silent"}
    machine.signal(signal.SIGCONT)
    machine.until(lambda: codes(found(machine)) == set())


def test_without_qmp(machine: Machine) -> None:
    machine.start(*LITTLE, "-m", "64", *MEMORY, qmp=False)
    machine.until(lambda: (PROC / str(machine.pid) / "exe").readlink().name.startswith("qemu"))
    assert codes(found(machine)) == {"no-qmp"}


def test_a_socket_that_another_process_serves(machine: Machine) -> None:
    """As a malicious guest's owner would have a service of the host spoken to."""
    machine.start(*LITTLE, "-m", "64", *MEMORY)
    machine.socket.unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(machine.socket))
        listener.listen()
        guest = found(machine)
    assert codes(guest) == {"qmp-silent"}
    assert f"process {os.getpid()} listens there, not {machine.pid}" in guest.refusals[0].text


@pytest.mark.root
def test_other_users_and_containers(machine: Machine, tmp_path: Path) -> None:
    machine.start(*LITTLE, "-m", "64", *MEMORY, under=("unshare", "--uts", "--net"))
    guest = found(machine)
    assert codes(guest) == {"container"}
    assert "(net, uts)" in guest.refusals[0].text
    other = Machine(tmp_path)
    try:
        other.start(*LITTLE, "-m", "64", *MEMORY, "-runas", "nobody")
        assert codes(found(other)) == {"becomes-another"}
    finally:
        other.end()


@pytest.mark.root
def test_who_may_not_look_is_told_that_there_may_be_more(machine: Machine) -> None:
    machine.start("-name", "roots", *BARE, *MEMORY, "-S")
    read, write = os.pipe()
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException):
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            os.write(write, "\n".join(find_guests(limit=1).missing).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as said:
        lines = said.read().splitlines()
    os.waitpid(child, 0)
    assert f"what QEMU process {machine.pid} is could not be read: Permission denied" in lines
    assert "which guests run is known to root alone" in lines


def test_one_that_ends_meanwhile_is_none(machine: Machine) -> None:
    machine.start(*LITTLE, "-m", "64", *MEMORY)
    pid = machine.pid
    machine.end()
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        facts = read_guest(PROC, pid, LONG)
        assert isinstance(facts, GuestFacts)
        pytest.fail("it was read after its end")
    assert pid not in [g.process.pid for g in find_guests(limit=LONG).guests]
