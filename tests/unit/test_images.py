# SPDX-License-Identifier: MIT
"""Kernel image files, good and bad."""

from __future__ import annotations

import lzma
from pathlib import Path

import pytest

from luo_tui.update.images import read_image, scan


def bzimage(release: str, *, code: int = 64) -> bytes:
    """Build the smallest file that the x86 boot protocol calls a kernel."""
    head = bytearray(1024)
    head[0x1F1] = 1
    head[0x1F4:0x1F8] = (code // 16).to_bytes(4, "little")
    head[0x202:0x206] = b"HdrS"
    head[0x20E:0x210] = (0x300 - 0x200).to_bytes(2, "little")
    text = f"{release} (builder@host) #1 SMP\0".encode()
    head[0x300 : 0x300 + len(text)] = text
    return bytes(head) + bytes(code)


def install(root: Path, release: str) -> Path:
    image = root / f"vmlinuz-{release}"
    image.write_bytes(bzimage(release))
    (root / f"initrd.img-{release}").write_bytes(b"x")
    (root / f"config-{release}").write_text("CONFIG_SMP=y\nCONFIG_KEXEC_HANDOVER=y\n")
    return image


def module(root: Path, release: str, compatible: str, suffix: str = "") -> None:
    folder = root / release / "extra"
    folder.mkdir(parents=True, exist_ok=True)
    text = b"\0license=GPL\0luo_compatible=" + compatible.encode() + b"\0name=luo\0"
    (folder / f"luo.ko{suffix}").write_bytes(lzma.compress(text) if suffix == ".xz" else text)


@pytest.mark.parametrize("suffix", ["", ".xz"])
def test_a_whole_kernel_tells_what_it_is(tmp_path: Path, suffix: str) -> None:
    image = install(tmp_path, "7.3.4-new")
    module(tmp_path / "modules", "7.3.4-new", "luo-ko-v2", suffix)
    found = read_image(image, tmp_path / "modules")
    assert found.fault == ""
    assert found.release == "7.3.4-new"
    assert found.initrd == str(tmp_path / "initrd.img-7.3.4-new")
    assert found.kexec_handover is True
    assert found.orchestrator == "luo-ko-v2"


def test_what_is_not_known_is_not_claimed(tmp_path: Path) -> None:
    image = tmp_path / "vmlinuz-x"
    image.write_bytes(bzimage("x"))
    found = read_image(image, tmp_path / "none")
    assert (found.initrd, found.kexec_handover, found.orchestrator) == ("", None, "")
    (tmp_path / "config-x").write_text("# CONFIG_KEXEC_HANDOVER is not set\n")
    assert read_image(image, tmp_path).kexec_handover is False


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "not a kernel image"),
        (b"#!/bin/sh\n", "not a kernel image"),
        (bzimage("x")[:0x203], "not a kernel image"),
        (bzimage("x", code=4096)[:-1], "cut short"),
        (bzimage("\0"), "does not name its release"),
    ],
)
def test_what_is_no_kernel_is_told(tmp_path: Path, content: bytes, fault: str) -> None:
    path = tmp_path / "vmlinuz-bad"
    path.write_bytes(content)
    assert fault in read_image(path, tmp_path).fault


def test_a_missing_file_or_initrd_is_told(tmp_path: Path) -> None:
    assert "cannot be read" in read_image(tmp_path / "vmlinuz-none", tmp_path).fault
    image = install(tmp_path, "a")
    assert "is not there" in read_image(image, tmp_path, tmp_path / "initrd-none").fault


def test_scan_puts_the_likeliest_first_and_the_broken_last(tmp_path: Path) -> None:
    for release in ("running", "newer"):
        install(tmp_path, release)
    (tmp_path / "vmlinuz-broken").write_bytes(b"x")
    (tmp_path / "System.map-running").write_bytes(b"x")
    found = scan(tmp_path, tmp_path, "running")
    assert [i.release or i.fault for i in found][:2] == ["newer", "running"]
    assert found[2].fault
    assert len(found) == 3
    assert list(scan(tmp_path / "nowhere", tmp_path, "x")) == []
