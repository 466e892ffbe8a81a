# SPDX-License-Identifier: MIT
"""Kernel image files, good and bad, and what lies beside them."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from luo_tui.update.boot_header import NotLoadable, parse
from luo_tui.update.images import read_image, scan


def bzimage(release: str, *, code: int = 64, payload: bytes = b"") -> bytearray:
    """Build the smallest file that kexec takes for an x86 kernel; the payload is its own."""
    head = bytearray(1024)
    size = max(code, -len(payload) // 16 * -16)
    head[0x1F1] = 1
    head[0x1F4:0x1F8] = (size // 16).to_bytes(4, "little")
    head[0x1FE:0x200] = b"\x55\xaa"
    head[0x202:0x206] = b"HdrS"
    head[0x206:0x208] = (0x20F).to_bytes(2, "little")
    head[0x20E:0x210] = (0x300 - 0x200).to_bytes(2, "little")
    head[0x211], head[0x236] = 0x01, 0x03
    head[0x238:0x23C] = (2047).to_bytes(4, "little")
    head[0x24C:0x250] = len(payload).to_bytes(4, "little")
    text = f"{release} (builder@host) #1 SMP\0".encode()
    head[0x300 : 0x300 + len(text)] = text
    return head + payload.ljust(size, b"\0")


def install(root: Path, release: str) -> Path:
    image = root / f"vmlinuz-{release}"
    image.write_bytes(bzimage(release))
    (root / f"initrd.img-{release}").write_bytes(b"x")
    (root / f"config-{release}").write_text("CONFIG_SMP=y\nCONFIG_KEXEC_HANDOVER=y\n")
    return image


def test_a_whole_kernel_tells_what_it_is(tmp_path: Path) -> None:
    image = install(tmp_path, "7.3.4-new")
    extra = tmp_path / "modules/7.3.4-new/extra"
    extra.mkdir(parents=True)
    (extra / "luo.ko").write_bytes(b"\0license=GPL\0luo_compatible=luo-ko-v3\0name=luo\0")
    found = read_image(image, tmp_path / "modules")
    assert (found.fault, found.initrd_fault, found.config_fault) == ("", "", "")
    assert found.release == "7.3.4-new"
    assert found.bytes == image.stat().st_size
    assert found.initrd == str(tmp_path / "initrd.img-7.3.4-new")
    assert (found.kexec_handover, found.handover_default) == (True, False)
    assert found.config_source == str(tmp_path / "config-7.3.4-new")
    assert found.orchestrator == "luo-ko-v3"
    assert found.command_line_max == 2016


def test_what_is_not_known_is_not_claimed(tmp_path: Path) -> None:
    image = tmp_path / "vmlinuz-x"
    image.write_bytes(bzimage("x"))
    found = read_image(image, tmp_path / "none")
    assert (found.initrd, found.kexec_handover, found.orchestrator) == ("", None, "")
    assert (found.config_source, found.handover_default) == ("", None)
    assert "no config lies beside it" in found.config_fault
    (tmp_path / "config-x").write_text("# CONFIG_KEXEC_HANDOVER is not set\n")
    assert read_image(image, tmp_path).kexec_handover is False


def test_the_default_of_kho_is_read_unless_a_built_in_line_may_change_it(tmp_path: Path) -> None:
    image = install(tmp_path, "x")
    text = "CONFIG_KEXEC_HANDOVER=y\nCONFIG_KEXEC_HANDOVER_ENABLE_DEFAULT=y\n"
    (tmp_path / "config-x").write_text(text)
    assert read_image(image, tmp_path).handover_default is True
    (tmp_path / "config-x").write_text(text + "CONFIG_CMDLINE_BOOL=y\n")
    assert read_image(image, tmp_path).handover_default is None


def changed(**at: int) -> bytearray:
    """Change bytes of a good image; ``x`` and the offset in hexadecimal is the name of one."""
    image = bzimage("x")
    for name, value in at.items():
        image[int(name[1:], 16)] = value
    return image


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "not a kernel image"),
        (b"#!/bin/sh\n", "not a kernel image"),
        (b"MZ" + bytes(0x400), "unified kernel image must be unpacked"),
        (bzimage("x")[:0x203], "not a kernel image"),
        (bzimage("x")[:0x206], "cut short"),
        (bzimage("x", code=4096)[:-1], "cut short"),
        (bzimage("\0"), "does not name its release"),
        (bzimage("../../etc"), "does not name its release"),
        (bzimage("7.3\x1b[2J"), "does not name its release"),
        (changed(x1FE=0), "no boot sector mark"),
        (changed(x206=0x0B), "older than 2.12"),
        (changed(x211=0), "zImage"),
        (changed(x236=0x02), "no 64-bit entry"),
        (changed(x236=0x01), "above 4 GiB"),
    ],
)
def test_what_kexec_would_not_load_is_told(tmp_path: Path, content: bytes, fault: str) -> None:
    path = tmp_path / "vmlinuz-bad"
    path.write_bytes(content)
    assert fault in read_image(path, tmp_path).fault
    with pytest.raises(NotLoadable, match=fault):
        parse(bytes(content), len(content))


def test_the_header_says_how_long_a_line_may_be() -> None:
    assert parse(bytes(changed(x239=0x0F)), 2048).command_line_max == 0xFFF - 31


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose path is short enough for a socket's."""
    with tempfile.TemporaryDirectory(prefix="luo") as folder:
        yield Path(folder)


@pytest.mark.parametrize("kind", ["pipe", "socket", "folder", "device", "nothing", "loop"])
@pytest.mark.parametrize("linked", [False, True])
def test_what_is_no_regular_file_is_refused_at_once(short: Path, kind: str, linked: bool) -> None:
    path = short / "vmlinuz-odd"
    words = {
        "pipe": "is a named pipe, not a regular file",
        "socket": "is a socket, not a regular file",
        "folder": "is a directory, not a regular file",
        "device": "is a character device, not a regular file",
        "nothing": "is not there",
        "loop": "cannot be read: Too many levels of symbolic links",
    }[kind]
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "socket":
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(str(path))
        case "folder":
            path.mkdir()
        case "device":
            path = Path("/dev/zero")
        case "loop":
            path.symlink_to(path)
    if linked:
        link = short / "vmlinuz-link"
        link.symlink_to(path)
        path = link
    good = install(short, "good")
    found = []
    # On the old code this waited for a writer for ever.
    thread = threading.Thread(
        target=lambda: found.extend([read_image(path, short), read_image(good, short, path)]),
        daemon=True,
    )
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    assert (found[0].path, found[0].fault) == (str(path), words)
    assert (found[1].fault, found[1].initrd, found[1].initrd_fault) == ("", str(path), words)


@pytest.mark.parametrize(
    ("image", "initrd"),
    [
        ("vmlinuz-{}", "initrd.img-{}"),
        ("vmlinuz-{}", "initramfs-{}.img"),
        ("vmlinuz-{}", "initrd-{}"),
        ("vmlinuz-linux", "initramfs-linux.img"),
        ("vmlinuz-linux-zen", "initramfs-linux-zen.img"),
        ("vmlinuz-lts", "initramfs-lts"),
        ("kernel-genkernel-{}", "initramfs-genkernel-{}"),
        ("linux", "initrd"),
    ],
)
def test_the_initrd_beside_it_is_found(tmp_path: Path, image: str, initrd: str) -> None:
    path = tmp_path / image.format("7.3.4-x")
    path.write_bytes(bzimage("7.3.4-x"))
    for other in ("initrd.img-7.3.4", "initramfs-linux-fallback.img", "initramfs-other.img"):
        (tmp_path / other).write_bytes(b"x")
    assert read_image(path, tmp_path).initrd == ""
    (tmp_path / initrd.format("7.3.4-x")).write_bytes(b"x")
    assert read_image(path, tmp_path).initrd == str(tmp_path / initrd.format("7.3.4-x"))


def test_what_is_named_by_release_comes_first_and_a_link_is_followed(tmp_path: Path) -> None:
    boot = tmp_path / "boot"
    boot.mkdir()
    image = boot / "vmlinuz-lts"
    image.write_bytes(bzimage("7.3"))
    (boot / "initramfs-lts").write_bytes(b"x")
    link = tmp_path / "vmlinuz"
    link.symlink_to(image)
    assert read_image(link, tmp_path).initrd == str(boot / "initramfs-lts")
    (boot / "initramfs-7.3.img").write_bytes(b"x")
    (boot / "config-7.3").write_text("CONFIG_KEXEC_HANDOVER=y\n")
    found = read_image(link, tmp_path)
    assert (found.path, found.initrd) == (str(link), str(boot / "initramfs-7.3.img"))
    assert found.config_source == str(boot / "config-7.3")


def test_an_initrd_that_cannot_be_loaded_is_told(tmp_path: Path) -> None:
    image = install(tmp_path, "a")
    chosen = tmp_path / "my-initrd"
    assert read_image(image, tmp_path, chosen).initrd_fault == "is not there"
    chosen.write_bytes(b"")
    found = read_image(image, tmp_path, chosen)
    assert (found.initrd, found.initrd_fault) == (str(chosen), "is empty")
    chosen.write_bytes(b"x")
    assert read_image(image, tmp_path, chosen).initrd_fault == ""
    # A link to nothing is not the same as no initrd.
    beside = tmp_path / "initrd.img-a"
    beside.unlink()
    beside.symlink_to(tmp_path / "gone")
    found = read_image(image, tmp_path)
    assert (found.initrd, found.initrd_fault) == (str(beside), "is not there")


def test_what_may_not_be_read_is_not_called_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = install(tmp_path, "a")
    ordinary = os.open

    def guarded(path: object, *arguments: int) -> int:
        if str(path).endswith("-a"):
            raise PermissionError(13, "Permission denied", str(path))
        return ordinary(str(path), *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", guarded)
        assert read_image(image, tmp_path).fault == "cannot be read: Permission denied"
        fd = ordinary(image, os.O_RDONLY)
        found = read_image(image, tmp_path, content=fd)
        os.close(fd)
    assert found.initrd_fault == "cannot be read: Permission denied"
    assert found.kexec_handover is None
    assert f"{tmp_path}/config-a cannot be read: Permission denied" in found.config_fault


def test_a_copy_is_read_in_place_of_the_file(tmp_path: Path) -> None:
    image = install(tmp_path, "old")
    (tmp_path / "initrd.img-new").write_bytes(b"x")
    fd = os.memfd_create("copy")
    os.write(fd, bzimage("new", code=256))
    os.lseek(fd, 5, os.SEEK_SET)
    found = read_image(image, tmp_path, content=fd)
    assert (found.path, found.release, found.bytes) == (str(image), "new", 1024 + 256)
    assert found.initrd == str(tmp_path / "initrd.img-new")
    assert os.lseek(fd, 0, os.SEEK_CUR) == 5
    os.close(fd)


def test_scan_puts_the_likeliest_first_and_the_broken_last(tmp_path: Path) -> None:
    for release in ("running", "newer"):
        install(tmp_path, release)
    (tmp_path / "vmlinuz-broken").write_bytes(b"x")
    os.mkfifo(tmp_path / "vmlinuz-pipe")
    (tmp_path / "System.map-running").write_bytes(b"x")
    found = scan(tmp_path, tmp_path, "running")
    assert [i.release or i.fault for i in found][:2] == ["newer", "running"]
    assert all(i.fault for i in found[2:])
    assert len(found) == 4


def test_a_folder_that_cannot_be_listed_is_not_an_empty_one(tmp_path: Path) -> None:
    (found,) = scan(tmp_path / "nowhere", tmp_path, "x")
    assert (found.path, found.fault) == (str(tmp_path / "nowhere"), "is not there")
    assert list(scan(tmp_path, tmp_path, "x")) == []
