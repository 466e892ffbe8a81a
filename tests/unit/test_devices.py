# SPDX-License-Identifier: MIT
"""Devices, who uses them, and the vitals, from trees that look like the kernel's."""

from __future__ import annotations

import errno
import os
import select
from pathlib import Path

import pytest

from luo_tui.model import Device
from luo_tui.sources.changes import DeviceGone, DevicePut, DevicesRead, ReadingDone, VitalsRead
from luo_tui.sources.devices import DeviceSource, _touched, details, read_devices
from luo_tui.sources.host import HostSource, _coarse
from luo_tui.sources.inotify import Watcher
from luo_tui.sources.logins import UNKNOWN, Logins
from luo_tui.sources.reading import Reading


class Tree:
    """A /sys and a /proc in a folder."""

    def __init__(self, root: Path) -> None:
        self.sys, self.proc = root / "sys", root / "proc"
        self.udev = root / "udev"
        (self.proc / "self").mkdir(parents=True)
        (self.proc / "1" / "fd").mkdir(parents=True)
        (self.sys / "class").mkdir(parents=True)
        self.udev.mkdir()
        self.mounts("1 0 0:5 / /proc rw - proc proc rw")

    def device(self, bus: str, path: str, driver: str = "", group: str = "", **files: str) -> Path:
        folder = self.sys / "devices" / path
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text + "\n")
        if driver:
            (folder / "driver").symlink_to(f"../drivers/{driver}")
        if group:
            (folder / "iommu_group").symlink_to(f"../groups/{group}")
        listed = self.sys / "bus" / bus / "devices"
        listed.mkdir(parents=True, exist_ok=True)
        (listed / folder.name).symlink_to(folder)
        return folder

    def of_class(self, name: str, folder: Path, **files: str) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            (folder / file).write_text(text + "\n")
        (self.sys / "class" / name).mkdir(exist_ok=True)
        (self.sys / "class" / name / folder.name).symlink_to(folder)
        return folder

    def mounts(self, *lines: str) -> None:
        (self.proc / "self" / "mountinfo").write_text("".join(f"{line}\n" for line in lines))

    def process(self, pid: int, comm: str, *files: str) -> Path:
        folder = self.proc / str(pid)
        (folder / "fd").mkdir(parents=True)
        (folder / "comm").write_text(f"{comm}\n")
        for number, file in enumerate(files):
            (folder / "fd" / str(number)).symlink_to(file)
        return folder

    def source(self) -> DeviceSource:
        return DeviceSource(self.sys, self.proc, self.udev)

    def read(self) -> tuple[Device, ...]:
        """Read all devices, of which nothing may be missing."""
        reading = Reading()
        found = read_devices(self.sys, self.proc, self.udev, reading)
        assert reading.missing == ()
        return found


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_a_nic_behind_a_bridge(tree: Tree) -> None:
    bridge = tree.device("pci", "pci0/0000:00:1c.0", "pcieport", **{"class": "0x060400"})
    nic = tree.device(
        "pci", "pci0/0000:00:1c.0/0000:3b:00.0", "mlx5_core", "7", **{"class": "0x020000"}
    )
    tree.of_class("net", nic / "net" / "ens3", operstate="up")
    found = {d.id: d for d in tree.read()}
    assert found[nic.name].users == ("ens3 (up)",)
    assert (found[nic.name].kind, found[nic.name].driver) == ("network", "mlx5_core")
    assert found[nic.name].iommu_group == "7"
    assert (found[bridge.name].kind, found[bridge.name].users) == ("bridge", ())


def test_a_disk_is_used_where_it_is_mounted_also_through_others(tree: Tree) -> None:
    disk = tree.device("pci", "pci0/0000:81:00.0", "nvme", **{"class": "0x010802"})
    part = tree.of_class("block", disk / "nvme" / "nvme0" / "nvme0n1" / "nvme0n1p1", dev="259:1")
    volume = tree.of_class("block", tree.sys / "devices" / "virtual" / "dm-0", dev="253:0")
    (part / "holders").mkdir()
    (part / "holders" / "dm-0").symlink_to(volume)
    (volume / "holders").mkdir()
    (volume / "holders" / "loop").symlink_to(part)  # No kernel does that; nothing may hang.
    tree.mounts(
        "1 0 253:0 / /srv/a\\040b rw - ext4 /dev/dm-0 rw",
        "2 0 0:5 / /proc rw - proc proc rw",
        "torn",
    )
    (device,) = tree.read()
    assert device.users == ("nvme0n1p1 on /srv/a b",)


def test_a_virtio_disk_is_named_at_both_of_its_devices(tree: Tree) -> None:
    pci = tree.device("pci", "pci0/0000:00:03.0", "virtio-pci", **{"class": "0x018000"})
    virtio = tree.device("virtio", "pci0/0000:00:03.0/virtio1", "virtio_blk", device="0x0002")
    tree.of_class("block", virtio / "block" / "vda", dev="254:0")
    tree.mounts("1 0 254:0 / / rw - ext4 /dev/vda rw")
    found = {d.id: d for d in tree.read()}
    assert found[pci.name].users == found[virtio.name].users == ("vda on /",)
    assert found[virtio.name].kind == "storage"


def test_a_multipath_nvme_disk_belongs_to_its_controllers(tree: Tree) -> None:
    pci = tree.device("pci", "pci0/0000:82:00.0", "nvme", **{"class": "0x010802"})
    controller = pci / "nvme" / "nvme1"
    controller.mkdir(parents=True)
    subsystem = tree.sys / "devices" / "virtual" / "nvme-subsystem" / "nvme-subsys1"
    tree.of_class("block", subsystem / "nvme1n1", dev="259:9")
    (subsystem / "nvme1").symlink_to(controller)
    tree.mounts("1 0 259:9 / /data rw - xfs /dev/nvme1n1 rw")
    (device,) = tree.read()
    assert device.users == ("nvme1n1 on /data",)


def test_processes_behind_vfio_are_named(tree: Tree) -> None:
    tree.device("pci", "pci0/0000:af:00.0", "vfio-pci", "121", **{"class": "0x030000"})
    tree.process(2177, "qemu\x1b[31m", "/dev/vfio/121", "/dev/null")
    (device,) = tree.read()
    assert device.users == ("qemu\\x1b[31m [2177]",)


def test_hostile_and_vanishing_entries_are_borne(tree: Tree) -> None:
    listed = tree.sys / "bus" / "pci" / "devices"
    listed.mkdir(parents=True)
    (listed / "0000:00:01.0").symlink_to("/nowhere")
    (listed / "evil\x1b[2J").mkdir()
    odd = tree.device("pci", "pci0/0000:00:02.0", **{"class": "not a number"})
    (odd / "vendor").write_bytes(b"\xff\x1b]52;c;x\x07")
    (odd / "device").write_text("0x1")
    (device,) = tree.read()
    assert device.id == "0000:00:02.0"
    assert device.label.isprintable()
    assert device.kind == ""
    assert details("../../etc", tree.sys) == ()
    assert read_devices(tree.sys / "none", tree.proc, tree.udev) == ()


def test_an_event_is_about_the_nearest_device() -> None:
    path = "/devices/pci0000:00/0000:00:1c.0/0000:3b:00.0/net/ens3"
    assert dict(_touched(path)) == {"0000:3b:00.0": "pci"}
    path = "/devices/pci0000:00/0000:00:03.0/virtio1/block/vda"
    assert dict(_touched(path)) == {"0000:00:03.0": "pci", "virtio1": "virtio"}
    assert dict(_touched("/devices/virtual/net/lo")) == {}


class Silent:
    """A monitor without events."""

    def poll(self, timeout: float) -> None:
        del timeout

    def fileno(self) -> int:
        return -1


def test_what_no_event_tells_of_is_found_by_looking(tree: Tree) -> None:
    nic = tree.device("pci", "pci0/0000:3b:00.0", "ice", **{"class": "0x020000"})
    source = tree.source()
    read, done = source.enumerate()
    assert isinstance(read, DevicesRead)
    assert done == ReadingDone("devices")
    source._monitor = Silent()
    source.every = 0.0
    assert source.drain() == []
    link = tree.of_class("net", nic / "net" / "ens3", operstate="up")
    (put,) = source.drain() or ()
    assert isinstance(put, DevicePut)
    assert put.device.users == ("ens3 (up)",)
    (link / "operstate").write_text("down\n")
    (put,) = source.drain() or ()
    assert isinstance(put, DevicePut)
    assert put.device.users == ()
    (tree.sys / "bus" / "pci" / "devices" / nic.name).unlink()
    (gone,) = source.drain() or ()
    assert isinstance(gone, DeviceGone)
    assert gone.id == nic.name
    assert not source.drain()


def test_an_event_of_something_else_is_no_reason_to_look(tree: Tree) -> None:
    nic = tree.device("pci", "pci0/0000:3b:00.0", "ice", **{"class": "0x020000"})
    source = tree.source()
    source.enumerate()
    source._monitor = Silent()
    (tree.sys / "bus" / "pci" / "devices" / nic.name).unlink()
    assert not source.drain()
    source._looked -= source.every
    (gone,) = source.drain() or ()
    assert isinstance(gone, DeviceGone)
    assert gone.id == nic.name


def test_vitals_do_not_flap() -> None:
    assert _coarse(1.20, 0.0, 0.5) == 1.0
    assert _coarse(1.30, 1.0, 0.5) == 1.0
    assert _coarse(1.24, 1.0, 0.5) == 1.0
    assert _coarse(1.40, 1.0, 0.5) == 1.5
    assert _coarse(1.20, 1.5, 0.5) == 1.5


def host_source(root: Path, device: Path) -> HostSource:
    proc = root / "proc"
    (proc / "1" / "fd").mkdir(parents=True)
    for name in ("meminfo", "stat"):
        (proc / name).write_bytes(Path("/proc", name).read_bytes())
    return HostSource(str(device), proc, root / "sys", Logins(root / "run"))


def test_vitals_of_this_machine(tmp_path: Path) -> None:
    dog = tmp_path / "sys" / "class" / "watchdog" / "watchdog0"
    dog.mkdir(parents=True)
    for name, text in (("state", "active"), ("identity", "iTCO"), ("timeout", "30")):
        (dog / name).write_text(f"{text}\n")
    device = tmp_path / "liveupdate"
    source = host_source(tmp_path, device)
    proc = tmp_path / "proc"
    (proc / "77" / "fd").mkdir(parents=True)
    (proc / "77" / "comm").write_text("vmmd\n")
    (proc / "77" / "fd" / "3").symlink_to(device)
    try:
        source.reopen()
        read, done = source.enumerate()
        assert isinstance(read, VitalsRead)
        assert done == ReadingDone("host activity", (UNKNOWN,))
        assert 0 < read.vitals.memory_available <= read.vitals.memory_total
        assert read.vitals.watchdogs == ("iTCO, 30 s",)
        assert read.vitals.booted_at > 0
        assert read.vitals.holders == (), "there is no device yet"
        device.write_text("")
        source._looked = 0.0
        (read,) = source.drain() or ()
        assert isinstance(read, VitalsRead)
        assert read.vitals.holders == ("vmmd [77]",)
        # Nobody opened or closed it: nobody is looked for.
        (proc / "77" / "fd" / "3").unlink()
        source._looked = 0.0
        assert source.drain() == []
        os.close(os.open(device, os.O_RDONLY))
        assert rings(source)
        source._looked = 0.0
        (read,) = source.drain() or ()
        assert isinstance(read, VitalsRead)
        assert read.vitals.holders == ()
    finally:
        source.close()


def rings(source: HostSource) -> bool:
    poll = select.poll()
    poll.register(source.fileno(), source.events)
    return bool(poll.poll(5000))


def test_one_look_finds_who_has_the_device_open(tmp_path: Path) -> None:
    device = tmp_path / "liveupdate"
    source = host_source(tmp_path, device)
    device.write_text("")
    (tmp_path / "proc" / "77" / "fd").mkdir(parents=True)
    (tmp_path / "proc" / "77" / "comm").write_text("vmmd\n")
    (tmp_path / "proc" / "77" / "fd" / "3").symlink_to(device)
    read, _ = source.enumerate()
    assert isinstance(read, VitalsRead)
    assert read.vitals.holders == ("vmmd [77]",)


def test_vitals_admit_what_they_do_not_know(tmp_path: Path) -> None:
    dog = tmp_path / "sys" / "class" / "watchdog" / "watchdog0"
    dog.mkdir(parents=True)  # A kernel without CONFIG_WATCHDOG_SYSFS.
    device = tmp_path / "liveupdate"
    device.write_text("")
    source = host_source(tmp_path, device)
    for name in ("meminfo", "stat"):
        (tmp_path / "proc" / name).unlink()
        (tmp_path / "proc" / name).mkdir()
    (tmp_path / "proc" / "1" / "fd").rmdir()
    (tmp_path / "proc" / "1").rmdir()
    read, done = source.enumerate()
    assert isinstance(read, VitalsRead)
    assert isinstance(done, ReadingDone)
    assert read.vitals.memory_total == 0
    told = "\n".join(done.missing)
    for words in (
        "proc/meminfo, ",
        "could not be read: Is a directory",
        "when this kernel started is not told",
        "who is logged in cannot be known here (no utmp, no logind)",
        f"who has {device} open is",
        "whether watchdog0 is armed is not told by this kernel",
    ):
        assert words in told


def test_a_device_that_cannot_be_watched_is_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = tmp_path / "liveupdate"
    source = host_source(tmp_path, device)
    try:
        source.reopen()
        device.write_text("")

        def full(_watcher: Watcher, paths: object) -> None:
            if paths:
                raise OSError(errno.ENOSPC, "inotify watch limit reached")

        monkeypatch.setattr(Watcher, "watch", full)
        with pytest.raises(OSError, match="watch limit"):
            source.drain()
        with pytest.raises(OSError, match="watch limit"):
            source.reopen()
    finally:
        source.close()
