# SPDX-License-Identifier: MIT
"""Boot Loader Specification entries: what they say, and as what they are listed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from luo_tui.errors import Exit, NotDone
from luo_tui.model import KernelImage
from luo_tui.orchestrator.this_host import HostKexec
from luo_tui.update.boot_entries import BootEntry, parse_entry, read_entries
from luo_tui.update.images import scan
from luo_tui.update.target import Target, target_named
from tests.unit.test_images import bzimage, install

ENTRY = """# written by kernel-install
title      Debian GNU/Linux 13 (trixie)
version    7.3.4-hv
options    root=UUID=1 ro
options    kho=on
linux      /abc/7.3.4-hv/linux
initrd     /abc/7.3.4-hv/joined.img
"""


def entry(boot: Path, name: str, text: str) -> Path:
    folder = boot / "loader/entries"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.conf"
    path.write_text(text)
    return path


def installed(boot: Path, release: str = "7.3.4-hv") -> Path:
    """Install a kernel as kernel-install does: in a folder of its own, not beside vmlinuz-*."""
    folder = boot / "abc" / release
    folder.mkdir(parents=True)
    (folder / "linux").write_bytes(bzimage(release))
    (folder / "joined.img").write_bytes(b"x")
    return folder / "linux"


def listed(boot: Path, running: str = "x") -> list[KernelImage]:
    return list(scan(boot, boot / "modules", running))


def named(boot: Path, name: str) -> Target | KernelImage:
    kexec = HostKexec()
    kexec.boot_folder, kexec.modules_folder = boot, boot / "modules"
    return target_named(kexec, name, "running", "console=ttyS0")


def test_what_an_entry_says() -> None:
    assert parse_entry(ENTRY) == BootEntry(
        "Debian GNU/Linux 13 (trixie)",
        "/abc/7.3.4-hv/linux",
        ("/abc/7.3.4-hv/joined.img",),
        "root=UUID=1 ro kho=on",
    )
    fedora = parse_entry("linux /vmlinuz-x\ninitrd /i.img $tuned_initrd\noptions $kernelopts\n")
    assert fedora == BootEntry("", "/vmlinuz-x", ("/i.img",), "$kernelopts")
    escape = parse_entry("title a\x1b[2Jb\nlinux /x\n")
    assert escape is not None
    assert "\x1b" not in escape.title


@pytest.mark.parametrize("text", ["", "title x\n", "#linux /x\n", "efi /x.efi\n", "linux\n", "\0"])
def test_what_starts_no_kernel_is_none(text: str) -> None:
    assert parse_entry(text) is None


def test_a_kernel_in_a_folder_of_its_own_is_listed_with_the_initrd_of_its_entry(
    tmp_path: Path,
) -> None:
    linux = installed(tmp_path)
    conf = entry(tmp_path, "abc-7.3.4-hv", ENTRY)
    (image,) = listed(tmp_path)
    assert (image.path, image.release, image.fault) == (str(linux), "7.3.4-hv", "")
    assert image.initrd == str(linux.with_name("joined.img"))
    assert (image.entry, image.title) == (str(conf), "Debian GNU/Linux 13 (trixie)")
    assert image.entry_options == "root=UUID=1 ro kho=on"


def test_a_kernel_that_is_listed_anyway_stands_there_once(tmp_path: Path) -> None:
    path = install(tmp_path, "y")
    entry(tmp_path, "y", "title Y\nlinux /vmlinuz-y\ninitrd /other.img\n")
    entry(tmp_path, "b-rescue", "title Rescue\nlinux /vmlinuz-y\noptions single\n")
    (image,) = listed(tmp_path)
    assert (image.path, image.title) == (str(path), "Y")
    assert image.initrd == str(tmp_path / "initrd.img-y")


def test_the_entry_names_the_initrd_where_none_lies_beside_the_image(tmp_path: Path) -> None:
    (tmp_path / "vmlinuz-y").write_bytes(bzimage("y"))
    (tmp_path / "own.img").write_bytes(b"x")
    entry(tmp_path, "y", "linux /vmlinuz-y\ninitrd /own.img\n")
    assert [i.initrd for i in listed(tmp_path)] == [str(tmp_path / "own.img")]


def test_paths_begin_at_the_root_where_the_boot_folder_is_no_file_system(tmp_path: Path) -> None:
    boot = tmp_path / "boot"
    linux = installed(boot)
    entry(boot, "a", "linux /boot/abc/7.3.4-hv/linux\ninitrd /boot/abc/7.3.4-hv/joined.img\n")
    (image,) = listed(boot)
    assert (image.path, image.initrd) == (str(linux), str(linux.with_name("joined.img")))


def test_a_file_that_is_not_there_is_said_and_not_left_out(tmp_path: Path) -> None:
    entry(tmp_path, "gone", "linux /gone\n")
    (image,) = listed(tmp_path)
    assert (image.path, image.fault) == (str(tmp_path / "gone"), "is not there")
    installed(tmp_path)
    entry(tmp_path, "half", "linux /abc/7.3.4-hv/linux\ninitrd /gone.img\n")
    assert listed(tmp_path)[0].initrd_fault == "is not there"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("linux /../../etc/shadow\n", "outside of its file system"),
        ("linux /x\ninitrd /a/../b\n", "outside of its file system"),
        ("linux /x\ninitrd /ucode.img\ninitrd /i.img\n", "names 2 initrds"),
        ("linux /x\n" + "#" * 70_000, "longer than a boot entry's 65,536 bytes"),
    ],
)
def test_an_entry_that_cannot_be_followed_is_refused(tmp_path: Path, text: str, fault: str) -> None:
    (tmp_path / "x").write_bytes(bzimage("x"))
    conf = entry(tmp_path, "bad", text)
    (image,) = listed(tmp_path)
    assert image.path == str(conf)
    assert fault in image.fault
    with pytest.raises(NotDone, match=r"bad\.conf") as refused:
        named(tmp_path, "bad")
    assert refused.value.code is Exit.BAD_IMAGE


def test_no_entry_makes_reading_wait_or_fail(tmp_path: Path) -> None:
    assert read_entries(tmp_path) == ()
    os.mkfifo(entry(tmp_path, "a", "").with_name("pipe.conf"))
    (tmp_path / "loader/entries/folder.conf").mkdir()
    (tmp_path / "loader/entries/bytes.conf").write_bytes(bytes(range(256)))
    (tmp_path / "loader/entries/note.txt").write_text("linux /x\n")
    faults = [e.fault for e in read_entries(tmp_path)]
    assert faults == [
        "is a named pipe, not a regular file",
        "is a directory, not a regular file",
    ]


@pytest.mark.parametrize("name", ["abc-7.3.4-hv", "7.3.4-hv", "linux"])
def test_a_target_is_named_by_its_entry_and_loaded_with_the_entrys_initrd(
    tmp_path: Path, name: str
) -> None:
    linux = installed(tmp_path)
    conf = entry(tmp_path, "abc-7.3.4-hv", ENTRY)
    target = named(tmp_path, name)
    assert isinstance(target, Target)
    assert target.image.path == str(linux)
    assert target.image.initrd == str(linux.with_name("joined.img"))
    assert target.initrd_copy is not None
    assert target.image.entry == str(conf)
    # An update goes on with the line of the running kernel; the entry's is told.
    assert target.command_line == "console=ttyS0"
    assert target.image.entry_options == "root=UUID=1 ro kho=on"
