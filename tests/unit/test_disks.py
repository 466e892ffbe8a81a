# SPDX-License-Identifier: MIT
"""Who uses a disk, by every way in which a disk is used; and what cannot be known of it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from luo_tui.sources.changes import DevicesRead, ReadingDone
from luo_tui.sources.devices import DeviceSource, read_devices
from luo_tui.sources.reading import Reading

DISK = "0000:01:00.0"


class Machine:
    """A /sys, a /proc and a udev database in a folder: one NVMe disk with one partition."""

    def __init__(self, root: Path) -> None:
        self.sys, self.proc, self.udev = root / "sys", root / "proc", root / "udev"
        self.disk = self.sys / "devices" / "pci0000:00" / DISK
        for folder in (self.sys / "bus/pci/devices", self.proc / "self", self.proc / "1/fd"):
            folder.mkdir(parents=True)
        self.udev.mkdir()
        self.part = self.block(self.disk / "nvme/nvme0/nvme0n1/nvme0n1p3", "259:3")
        (self.disk / "class").write_text("0x010802\n")
        (self.sys / "bus/pci/devices" / DISK).symlink_to(self.disk)
        self.mounts()
        self.write(self.proc / "filesystems", "\text4\n\tbtrfs\n\tbcachefs\nnodev\tzfs\n")

    def write(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def block(self, folder: Path, number: str) -> Path:
        (folder / "holders").mkdir(parents=True)
        self.write(folder / "dev", f"{number}\n")
        (self.sys / "class/block").mkdir(parents=True, exist_ok=True)
        (self.sys / "class/block" / folder.name).symlink_to(folder)
        return folder

    def mounts(self, *lines: str) -> None:
        always = "1 0 0:5 / /proc rw - proc proc rw"
        self.write(self.proc / "self/mountinfo", "\n".join((always, *lines, "")))

    def process(self, pid: int, comm: str, *files: str) -> None:
        self.write(self.proc / str(pid) / "comm", f"{comm}\n")
        (self.proc / str(pid) / "fd").mkdir()
        for number, file in enumerate(files):
            (self.proc / str(pid) / "fd" / str(number)).symlink_to(file)

    def known(self, **properties: str) -> None:
        """Let udev know the partition by these properties."""
        lines = "".join(f"E:{key}={value}\n" for key, value in properties.items())
        self.write(self.udev / "b259:3", f"S:disk/by-id/x\nI:1\n{lines}")

    def read(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the disk's users, and what is missing."""
        reading = Reading()
        (device,) = read_devices(self.sys, self.proc, self.udev, reading)
        return device.users, reading.missing


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize(
    "line",
    [
        "72 2 259:3 / / rw shared:1 - ext4 /dev/nvme0n1p3 rw",
        "72 2 0:33 /@ / rw shared:1 - btrfs /dev/nvme0n1p3 rw,subvol=/@",
        "72 2 0:33 / / rw shared:1 - bcachefs /dev/nvme0n1p3 rw",
        "72 2 0:33 / / rw shared:1 - bcachefs /dev/sdz:/dev/nvme0n1p3 rw",
    ],
)
def test_a_mount_by_its_number_or_by_its_source(machine: Machine, line: str) -> None:
    machine.mounts(line)
    assert machine.read() == (("nvme0n1p3 on /",), ())


def test_nobody_uses_it_and_nothing_is_missing(machine: Machine) -> None:
    assert machine.read() == ((), ())


def test_every_member_of_btrfs_is_used_where_one_is_mounted(machine: Machine) -> None:
    machine.block(machine.sys / "devices/virtual/block/loop7", "7:7")
    machine.mounts("72 2 0:33 / /srv rw - btrfs /dev/loop7 rw")
    members = machine.sys / "fs/btrfs/0b5a-uuid/devices"
    members.mkdir(parents=True)
    (machine.sys / "fs/btrfs/features").mkdir()
    for name in ("loop7", "nvme0n1p3"):
        (members / name).symlink_to(machine.sys / "class/block" / name)
    assert machine.read() == (("nvme0n1p3 on /srv",), ())
    # Mounted for others alone, or by a name that says nothing: it is used all the same.
    machine.mounts("72 2 0:33 / /srv rw - btrfs /dev/root rw")
    assert machine.read() == (("nvme0n1p3 in use by btrfs",), ())


def test_every_member_of_bcachefs_is_used(machine: Machine) -> None:
    member = machine.sys / "fs/bcachefs/9c-uuid/dev-1"
    member.mkdir(parents=True)
    (member / "block").symlink_to(machine.part)
    assert machine.read() == (("nvme0n1p3 in use by bcachefs",), ())


def test_a_mount_in_another_namespace_is_a_use(machine: Machine) -> None:
    (machine.sys / "fs/ext4/nvme0n1p3").mkdir(parents=True)
    (machine.sys / "fs/ext4/features").mkdir()
    assert machine.read() == (("nvme0n1p3 in use by ext4",), ())
    machine.mounts("72 2 259:3 / /mnt rw - ext4 /dev/nvme0n1p3 rw")
    assert machine.read() == (("nvme0n1p3 on /mnt",), ())


def test_a_pool_of_zfs_uses_the_disks_that_udev_knows_as_its_members(machine: Machine) -> None:
    machine.mounts("25 1 0:26 / / rw shared:1 - zfs rpool/ROOT/debian rw")
    assert machine.read() == ((), ("which disks carry ZFS pool rpool is not known",))
    machine.known(ID_FS_TYPE="zfs_member", ID_FS_LABEL="rpool")
    assert machine.read() == (("nvme0n1p3 on /",), ())
    # Imported, and nothing of it is mounted.
    machine.mounts()
    (machine.proc / "spl/kstat/zfs/rpool").mkdir(parents=True)
    assert machine.read() == (("nvme0n1p3 in ZFS pool rpool",), ())
    machine.known(ID_FS_TYPE="zfs_member", ID_FS_LABEL="other")
    assert machine.read() == ((), ("which disks carry ZFS pool rpool is not known",))


@pytest.mark.parametrize(
    ("kind", "name"), [("zfs_member", "ZFS"), ("btrfs", "btrfs"), ("bcachefs", "bcachefs")]
)
def test_what_may_be_used_unseen_is_not_unused(machine: Machine, kind: str, name: str) -> None:
    machine.known(ID_FS_TYPE=kind)
    assert machine.read() == ((), (f"nvme0n1p3 may be in use by {name}",))
    # Where the kernel has no such file system nobody can use it.
    machine.write(machine.proc / "filesystems", "\text4\n")
    assert machine.read() == ((), ())


def test_a_spare_disk_is_unused_where_the_kernel_tells_of_all_members(machine: Machine) -> None:
    machine.known(ID_FS_TYPE="btrfs")
    (machine.sys / "fs/btrfs/features").mkdir(parents=True)
    assert machine.read() == ((), ())
    machine.known(ID_FS_TYPE="zfs_member", ID_FS_LABEL="spare")
    (machine.proc / "spl/kstat/zfs/tank").mkdir(parents=True)
    assert machine.read() == ((), ("which disks carry ZFS pool tank is not known",))


def test_a_disk_that_a_guest_has_open(machine: Machine) -> None:
    machine.process(42, "qemu-system-x86", "/dev/nvme0n1p3", "/dev/kvm", "/dev/null")
    machine.process(43, "(udev-worker)", "/dev/nvme0n1p3")
    assert machine.read() == (("nvme0n1p3 open in qemu-system-x86 [42]",), ())


def test_a_volume_upon_it_that_a_guest_has_open(machine: Machine) -> None:
    volume = machine.block(machine.sys / "devices/virtual/block/dm-3", "253:3")
    machine.write(volume / "dm/name", "vg-guest1\n")
    (machine.part / "holders/dm-3").symlink_to(volume)
    machine.process(42, "vmm", "/dev/dm-3")
    machine.process(44, "old\x1b[2J", "/dev/mapper/vg-guest1 (deleted)")
    assert machine.read() == (
        ("nvme0n1p3 open in old\\x1b[2J [44]", "nvme0n1p3 open in vmm [42]"),
        (),
    )


def test_swap_and_exports_are_uses(machine: Machine) -> None:
    head = "Filename\t\tType\t\tSize\tUsed\tPriority\n"
    machine.write(machine.proc / "swaps", f"{head}/swapfile file 1 0 -2\n")
    assert machine.read() == ((), ())
    machine.write(machine.proc / "swaps", f"{head}/dev/nvme0n1p3 partition 1 0 -2\n")
    lio = machine.sys / "kernel/config/target/core/iblock_0/guest1"
    machine.write(lio / "udev_path", "/dev/nvme0n1p3\n")
    machine.write(machine.sys / "kernel/config/target/core/alua/lu_gps", "")
    space = machine.sys / "kernel/config/nvmet/subsystems/nqn/namespaces/1"
    machine.write(space / "device_path", "/dev/nvme0n1p3\n")
    users = ("exported by LIO", "exported over NVMe", "swap")
    assert machine.read() == (tuple(f"nvme0n1p3 {use}" for use in users), ())
    machine.write(machine.proc / "swaps", f"{head}/dev/gone\\040x partition 1 0 -2\n")
    assert machine.read()[1] == ("which disk is swap at /dev/gone x is not known",)


def test_a_mount_whose_disk_is_not_found_is_told(machine: Machine) -> None:
    machine.mounts(
        "72 2 8:99 / /lost rw - ext4 /dev/sdq rw",
        "73 2 0:77 / /odd rw - newfs /dev/sdq rw",
        "74 2 0:78 / /run/user/0/doc rw - fuse.portal portal rw",
        "75 2 0:79 / /dev/x rw - fuse /dev/fuse rw",
    )
    assert machine.read() == ((), ("which disk carries /lost, /odd is not known",))


def test_no_table_of_mounts_is_not_no_mounts(machine: Machine) -> None:
    (machine.proc / "self/mountinfo").unlink()
    (missing,) = machine.read()[1]
    assert missing.startswith("what is mounted is not known")


def test_processes_that_may_not_be_looked_at_leave_the_users_unknown(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.process(42, "qemu", "/dev/nvme0n1p3")
    scandir = os.scandir

    def refused(folder: Path) -> object:
        if "/42/" in str(folder):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refused)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    what = "who has disks or vfio devices open is known to root alone"
    assert machine.read() == ((), (what,))
    source = DeviceSource(machine.sys, machine.proc, machine.udev)
    assert source.enumerate()[-1] == ReadingDone("devices", (what,))


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO])
def test_a_bus_that_cannot_be_listed_keeps_its_devices(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    source = DeviceSource(machine.sys, machine.proc, machine.udev)
    read, done = source.enumerate()
    assert done == ReadingDone("devices")
    iterdir = Path.iterdir

    def refused(folder: Path) -> object:
        if folder == machine.sys / "bus/pci/devices":
            raise OSError(code, os.strerror(code))
        return iterdir(folder)

    monkeypatch.setattr(Path, "iterdir", refused)
    again, done = source.enumerate()
    assert isinstance(again, DevicesRead)
    assert again == read
    assert isinstance(done, ReadingDone)
    (missing,) = done.missing
    assert missing == f"{machine.sys}/bus/pci/devices could not be listed: {os.strerror(code)}"


def test_a_process_without_descriptors_knows_no_devices(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(_path: Path) -> object:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(Path, "iterdir", exhausted)
    with pytest.raises(OSError, match="Too many open files"):
        read_devices(machine.sys, machine.proc, machine.udev)


def test_what_one_device_does_not_tell_is_known_again_when_it_does(machine: Machine) -> None:
    (machine.disk / "class").unlink()
    (machine.disk / "class").mkdir()
    source = DeviceSource(machine.sys, machine.proc, machine.udev)
    done = source.enumerate()[-1]
    assert done == ReadingDone(
        "devices", (f"the class of {DISK} could not be read: Is a directory",)
    )
    (machine.disk / "class").rmdir()
    (machine.disk / "class").write_text("0x010802\n")
    _, done = source._looked_at({DISK: "pci"})
    assert done == ReadingDone("devices")
