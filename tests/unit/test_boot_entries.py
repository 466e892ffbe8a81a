# SPDX-License-Identifier: MIT
"""Kernels that a boot loader's entries name are targets like those that lie in /boot."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luo_tui.update.boot_entries import BootEntry, parse_entry
from luo_tui.update.images import scan
from luo_tui.update.target import named
from tests.unit.test_images import bzimage, install

ENTRY = """\
# Boot Loader Specification type#1 entry
title      Debian GNU/Linux 13
version    7.3.4
options    root=/dev/vda quiet
linux      /0123abcd/7.3.4/linux
initrd     /0123abcd/7.3.4/initrd.img
"""


def lay(boot: Path, name: str, text: str) -> None:
    folder = boot / "loader/entries"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def kernel(boot: Path, release: str) -> Path:
    folder = boot / "0123abcd" / release
    folder.mkdir(parents=True)
    (folder / "linux").write_bytes(bzimage(release))
    (folder / "initrd.img").write_bytes(b"x")
    return folder / "linux"


def test_an_entry_is_read_by_its_keys() -> None:
    assert parse_entry("a", ENTRY) == BootEntry(
        "a", "/0123abcd/7.3.4/linux", ("/0123abcd/7.3.4/initrd.img",)
    )
    tabs = "linux\t/k\ninitrd\t/one\ninitrd /two\nlinux /other\n"
    assert parse_entry("a", tabs) == BootEntry("a", "/k", ("/one", "/two"))
    assert parse_entry("a", "efi /EFI/other.efi\n").linux == ""


@given(st.text(max_size=200))
def test_no_text_does_more_than_say_nothing(text: str) -> None:
    assert parse_entry("a", text).fault == ""


def test_its_kernel_is_a_target_by_release(tmp_path: Path) -> None:
    boot = tmp_path / "boot"
    path = kernel(boot, "7.3.4")
    lay(boot, "debian-7.3.4.conf", ENTRY)
    (found,) = scan(boot, tmp_path / "modules", "7.3.3")
    assert (found.path, found.release, found.fault) == (str(path), "7.3.4", "")
    assert found.initrd == str(path.with_name("initrd.img"))
    assert named([found], "7.3.4", "7.3.3") is found
    assert named([found], "", "7.3.3") is found


def test_one_that_lies_in_boot_as_well_is_listed_once(tmp_path: Path) -> None:
    image = install(tmp_path, "7.3.4")
    lay(tmp_path, "a.conf", f"linux /{image.name}\ninitrd /initrd.img-7.3.4\n")
    assert len(scan(tmp_path, tmp_path / "modules", "x")) == 1


@pytest.mark.parametrize(
    ("text", "fault", "initrd_fault"),
    [
        ("linux /gone/linux\n", "is not there", ""),
        (ENTRY + "initrd /ucode.img\n", "", "is one of 2 that a.conf names: kexec takes one"),
        ("linux /0123abcd/7.3.4/linux\ninitrd /gone\n", "", "is not there"),
    ],
)
def test_what_is_wrong_with_it_is_said(
    tmp_path: Path, text: str, fault: str, initrd_fault: str
) -> None:
    kernel(tmp_path, "7.3.4")
    lay(tmp_path, "a.conf", text)
    lay(tmp_path, "notes.txt", "linux /x\n")
    (found,) = scan(tmp_path, tmp_path / "modules", "x")
    assert (found.fault, found.initrd_fault) == (fault, initrd_fault)


def test_an_entry_that_cannot_be_read_is_listed_with_its_fault(tmp_path: Path) -> None:
    (tmp_path / "loader/entries/a.conf").mkdir(parents=True)
    (found,) = scan(tmp_path, tmp_path / "modules", "x")
    assert found.path.endswith("loader/entries/a.conf")
    assert "is a directory" in found.fault
