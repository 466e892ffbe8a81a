# SPDX-License-Identifier: MIT
"""Packed kernels and modules: whole, torn, without an end, and of kinds that are not read."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import lz4.block
import pytest
import zstandard

from luo_tui.update import kernel_config, unpack
from luo_tui.update.images import read_image, scan
from luo_tui.update.kernel_config import INSIDE
from luo_tui.update.luo_module import LuoModule, find_module
from luo_tui.update.unpack import CannotUnpack, Part, Torn, unpacked
from tests.unit.test_images import bzimage

PACK: dict[str, Callable[[bytes], bytes]] = {
    "none": lambda raw: raw,
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "lzma": lambda raw: lzma.compress(raw, lzma.FORMAT_ALONE),
    "bzip2": bz2.compress,
    "zstd": zstandard.compress,
}


def lz4_legacy(raw: bytes) -> bytes:
    """Pack as ``lz4 -l`` does, which packs kernels."""
    size = 8 << 20
    blocks = (raw[at : at + size] for at in range(0, len(raw), size))
    packed = [lz4.block.compress(block, store_size=False) for block in blocks]
    return b"\x02\x21\x4c\x18" + b"".join(len(p).to_bytes(4, "little") + p for p in packed)


PACK["lz4"] = lz4_legacy
MODULE = b"\x7fELF\0license=GPL\0luo_compatible=luo-ko-v3\0name=luo\0"
CONFIG = b"# Linux/x86 7.3.4\nCONFIG_KEXEC_HANDOVER=y\n# CONFIG_X is not set\n"


def noise(size: int) -> bytes:
    return random.Random(1).randbytes(size)


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    opened = os.open(tmp_path / "packed", os.O_RDWR | os.O_CREAT)
    yield opened
    os.close(opened)


@pytest.mark.parametrize("kind", PACK)
def test_what_was_packed_comes_out_whole_and_in_pieces(fd: int, kind: str) -> None:
    raw = noise(300_000) + bytes(9 << 20)
    packed = PACK[kind](raw)
    os.write(fd, b"before" + packed + b"\x12\x34\x56\x78")
    pieces = list(unpacked(Part(fd, 6, len(packed) + 4), 16 << 20))
    # Behind a kernel stands its size; what is not packed has no end of its own.
    assert b"".join(pieces)[: len(raw)] == raw
    assert max(map(len, pieces)) <= unpack._ZSTD_PIECE // 4 * (128 << 10)


@pytest.mark.parametrize("kind", sorted(set(PACK) - {"none"}))
def test_what_is_torn_is_told_apart_from_what_is_whole(fd: int, kind: str) -> None:
    packed = PACK[kind](noise(100_000))
    for end in (4, 20, len(packed) // 2, len(packed) - 1):
        os.ftruncate(fd, 0)
        os.pwrite(fd, packed.ljust(6, b"\0")[: max(end, 6)], 0)
        with pytest.raises(Torn):
            list(unpacked(Part(fd), 1 << 20))
    os.pwrite(fd, packed[:6] + b"\xff" * 60_000, 0)
    with pytest.raises(Torn):
        list(unpacked(Part(fd), 1 << 20))


@pytest.mark.parametrize("kind", PACK)
def test_what_never_ends_is_given_up(fd: int, kind: str) -> None:
    os.write(fd, PACK[kind](bytes(12 << 20)))
    taken: list[int] = []
    with pytest.raises(Torn, match="more than 4 MiB"):
        taken.extend(map(len, unpacked(Part(fd), 4 << 20)))
    # What zstd makes of one small piece may be more than that: then nothing is taken.
    assert sum(taken) <= 4 << 20


@pytest.mark.parametrize(("magic", "name"), [(b"\x89LZO\0\r\n\x1a\n", "lzo")])
def test_what_is_not_read_is_named(fd: int, magic: bytes, name: str) -> None:
    os.write(fd, magic + bytes(100))
    with pytest.raises(CannotUnpack, match=name):
        list(unpacked(Part(fd), 1 << 20))


# Modules


def lay(folder: Path, content: bytes, name: str = "updates/dkms/luo.ko") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("kind", "suffix"), [("none", ""), ("gzip", ".gz"), ("xz", ".xz"), ("zstd", ".zst")]
)
def test_a_module_is_read_however_it_is_packed(tmp_path: Path, kind: str, suffix: str) -> None:
    lay(tmp_path, PACK[kind](MODULE), f"updates/dkms/luo.ko{suffix}")
    assert find_module(tmp_path) == LuoModule("luo-ko-v3")


def test_a_module_is_found_where_modprobe_looks(tmp_path: Path) -> None:
    lay(tmp_path, MODULE, "weak-updates/luo/luo.ko.zst")
    assert find_module(tmp_path) == LuoModule()
    lay(
        tmp_path, b"extra/other_luo.ko: \nweak-updates/luo/luo.ko.zst: kernel/a.ko\n", "modules.dep"
    )
    assert find_module(tmp_path) == LuoModule("luo-ko-v3")
    # What depmod found goes before what merely lies there.
    lay(tmp_path, MODULE.replace(b"v3", b"v9"))
    assert find_module(tmp_path) == LuoModule("luo-ko-v3")
    # What depmod does not name is found as well: it may not have run yet.
    lay(tmp_path, b"", "modules.dep")
    assert find_module(tmp_path) == LuoModule("luo-ko-v9")


def test_a_module_that_is_there_is_never_called_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_module(tmp_path / "none") == LuoModule()
    path = lay(tmp_path, zstandard.compress(MODULE)[:-2], "extra/luo.ko.zst")
    assert find_module(tmp_path) == LuoModule(fault=f"{path} is torn: it ends too early.")
    path.write_bytes(zstandard.compress(b"\x7fELF another one"))
    assert "does not say" in find_module(tmp_path).fault
    path.unlink()
    path.mkdir()
    assert find_module(tmp_path).fault == f"{path} is a directory, not a regular file."
    path.rmdir()
    path.write_bytes(zstandard.compress(MODULE))
    monkeypatch.setitem(sys.modules, "zstandard", None)
    found = find_module(tmp_path)
    assert (found.compatible, found.fault) == ("", "")
    assert found.unread.startswith(f"{path} lies there and cannot be read: it is packed with zstd")


def test_an_index_that_cannot_be_read_leaves_it_unknown(tmp_path: Path) -> None:
    (tmp_path / "modules.dep").mkdir()
    assert find_module(tmp_path).unread == (
        f"{tmp_path}/modules.dep is a directory, not a regular file."
    )
    lay(tmp_path, MODULE)
    assert find_module(tmp_path) == LuoModule("luo-ko-v3")


# The config inside a kernel


def kernel(config: bytes = CONFIG, *, before: int = 200_000) -> bytes:
    inner = b"IKCFG_ST" + gzip.compress(config) + b"IKCFG_ED"
    return b"\x7fELF" + noise(before) + b"IKCFG_ST as text" + inner + noise(70_000)


@pytest.mark.parametrize("kind", PACK)
def test_the_config_is_found_inside_the_image(tmp_path: Path, kind: str) -> None:
    image = tmp_path / "vmlinuz-x"
    image.write_bytes(bzimage("x", payload=PACK[kind](kernel()) + b"\1\2\3\4"))
    found = read_image(image, tmp_path)
    assert (found.kexec_handover, found.config_source, found.config_fault) == (True, INSIDE, "")
    # A list of images is not to take that long.
    (listed,) = scan(tmp_path, tmp_path, "y")
    assert listed.kexec_handover is None
    assert "the image itself was not searched" in listed.config_fault


def test_the_marks_may_lie_across_two_pieces() -> None:
    raw = kernel(before=100)
    for cut in range(1, len(raw)):
        assert kernel_config._embedded([raw[:cut], raw[cut:]]) == CONFIG
    assert kernel_config._embedded([bytes([b]) for b in raw]) == CONFIG


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"", "does not say where its packed kernel is"),
        (gzip.compress(noise(1000)), "none is built into the image"),
        (gzip.compress(kernel()[:200_030]), "none is built into the image"),
        (gzip.compress(kernel()[:-70_008]), "what is built into the image is torn"),
        (gzip.compress(kernel(b"")), "what is built into the image is torn"),
        (gzip.compress(kernel())[:-90_000], "could not be searched for one: it ends too early"),
        (b"\x89LZO" + noise(64), "could not be searched for one: it is packed with lzo"),
    ],
)
def test_why_there_is_no_config_inside_is_told(tmp_path: Path, payload: bytes, words: str) -> None:
    image = tmp_path / "vmlinuz-x"
    image.write_bytes(bzimage("x", payload=payload))
    found = read_image(image, tmp_path)
    assert found.kexec_handover is None
    assert words in found.config_fault
    assert "no config lies beside it or with its modules" in found.config_fault


def test_the_config_with_the_modules_does_as_well(tmp_path: Path) -> None:
    image = tmp_path / "boot/vmlinuz-x"
    lay(tmp_path, bzimage("x"), "boot/vmlinuz-x")
    told = lay(tmp_path, b"CONFIG_KEXEC_HANDOVER=y\n", "modules/x/config")
    found = read_image(image, tmp_path / "modules")
    assert (found.kexec_handover, found.config_source) == (True, str(told))
    # An empty file beside the image is no config that lacks everything.
    lay(tmp_path, b"", "boot/config-x")
    assert read_image(image, tmp_path / "modules").kexec_handover is True
    told.unlink()
    found = read_image(image, tmp_path / "modules")
    assert found.kexec_handover is None
    assert f"{tmp_path}/boot/config-x is no kernel config" in found.config_fault


def test_the_same_image_is_unpacked_once_and_another_one_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = tmp_path / "vmlinuz-x"
    image.write_bytes(bzimage("x", payload=gzip.compress(kernel())))
    ordinary, times = unpacked, []
    monkeypatch.setattr(
        kernel_config, "unpacked", lambda part, most: times.append(1) or ordinary(part, most)
    )
    assert read_image(image, tmp_path).kexec_handover is True
    assert read_image(image, tmp_path).kexec_handover is True
    assert len(times) == 1
    other = bzimage("x", payload=gzip.compress(kernel(b"# CONFIG_KEXEC_HANDOVER is not set")))
    image.write_bytes(other)
    assert read_image(image, tmp_path).kexec_handover is False
