# SPDX-License-Identifier: MIT
"""What a kernel speaks across a kexec is found in its image, whatever that is packed with."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luo_tui.uapi import kho
from luo_tui.update import kernel_abi
from luo_tui.update.images import read_image
from luo_tui.update.kernel_abi import abi_of, abi_of_release, by_name, versions_in
from tests.unit.test_images import bzimage
from tests.unit.test_unpack import PACK, noise

STRINGS = b"\0kho-v4\0\x01luo-v5\0`D\x83\x81memfd-v2\0luo-flb-v1;luo-session-v2\0"
ALL = ("kho-v4", "luo-flb-v1", "luo-session-v2", "luo-v5", "memfd-v2")


def kernel(pack: Callable[[bytes], bytes], strings: bytes = STRINGS) -> bytes:
    packed = pack(noise(70_000) + strings + noise(70_000))
    return bytes(bzimage("7.3.4", payload=packed + b"\x12\x34\x56\x78"))


@pytest.mark.parametrize("kind", PACK)
def test_they_are_found_in_any_kernel(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "vmlinuz"
    path.write_bytes(kernel(PACK[kind]))
    assert abi_of(path).versions == ALL
    found = read_image(path, tmp_path / "modules")
    assert (found.abi, found.abi_fault) == (ALL, "")
    unread = read_image(path, tmp_path / "modules", look_inside=False)
    assert (unread.abi, unread.abi_fault) == ((), "the image was not searched")


@pytest.mark.parametrize(
    "raw",
    [
        b"my-kho-v4\0",
        b"kho-v4 is spoken\0",
        b"kho-v\0",
        b"kho-v12345\0",
        b"luo.kho-v4\0",
        b"xmemfd-v2\0",
        b"kho-v4",
    ],
)
def test_what_only_looks_like_one_is_none(raw: bytes) -> None:
    assert versions_in([raw]) == ()


@given(st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_it_does_not_matter_where_the_stream_is_cut(sizes: list[int]) -> None:
    def pieces() -> Iterator[bytes]:
        at = 0
        for size in sizes:
            yield STRINGS[at : at + size]
            at += size
        yield STRINGS[at:]

    assert versions_in(pieces()) == ALL


@settings(max_examples=200)
@given(st.binary(max_size=400), st.sampled_from(sorted(PACK)), st.data())
def test_no_file_does_more_than_be_refused(
    tmp_path_factory: pytest.TempPathFactory, junk: bytes, kind: str, data: st.DataObject
) -> None:
    whole = bytearray(kernel(PACK[kind], b"\0kho-v4\0"))
    at = data.draw(st.integers(0, len(whole)))
    whole[at : at + len(junk)] = junk
    end = data.draw(st.integers(0, len(whole)))
    path = tmp_path_factory.getbasetemp() / "vmlinuz-hostile"
    path.write_bytes(whole[:end])
    found = abi_of(path)
    assert bool(found.fault) is not bool(found.source)
    assert all(by_name([version]) for version in found.versions)


def test_what_never_ends_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_abi, "_LARGEST_KERNEL", 1 << 20)
    path = tmp_path / "vmlinuz"
    path.write_bytes(bytes(bzimage("7", payload=PACK["zstd"](bytes(64 << 20)))))
    assert "unpacks to more than 1 MiB" in abi_of(path).fault


def test_what_is_not_there_or_no_kernel_is_said(tmp_path: Path) -> None:
    assert abi_of(tmp_path / "vmlinuz").fault == f"{tmp_path}/vmlinuz is not there"
    (tmp_path / "vmlinuz").write_bytes(b"MZ" + bytes(2000))
    assert "EFI program" in abi_of(tmp_path / "vmlinuz").fault
    os.mkfifo(tmp_path / "fifo")
    assert "named pipe" in abi_of(tmp_path / "fifo").fault


@pytest.mark.parametrize("release", ["", "../../etc/passwd", "a\0b", "a b", "x" * 65])
def test_a_hostile_release_leads_nowhere(tmp_path: Path, release: str) -> None:
    assert abi_of_release(tmp_path, release).fault == (
        "the running kernel's release is no file's name"
    )


def test_the_running_kernel_tells_by_its_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kho, "_DEBUGFS", tmp_path)
    assert kho.formats() == ()
    (tmp_path / "out").mkdir()
    tree = b"\xd0\r\xfe\xed\0\0\0\x88\0\0\0\3\0\0\0\7\0\0\0\0kho-v4\0\0\0\0\0\1LUO\0compatible\0"
    (tmp_path / "out/fdt").write_bytes(tree)
    assert kho.formats() == ("kho-v4",)


def test_lockdown_is_what_the_kernel_says_or_its_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kho, "_LOCKDOWN", tmp_path / "lockdown")
    for built, said in ((None, None), (True, None), (False, "none")):
        monkeypatch.setattr(kho, "config", lambda _, built=built: built)
        assert kho.lockdown() == said
    for text, said in (
        ("[none] integrity confidentiality\n", "none"),
        ("none [integrity] confidentiality\n", "integrity"),
        ("odd\n", None),
    ):
        (tmp_path / "lockdown").write_text(text)
        assert kho.lockdown() == said


def test_scratch_is_read_area_by_area(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kho, "_DEBUGFS", tmp_path)
    assert kho.scratch() is None
    (tmp_path / "out").mkdir()
    (tmp_path / "out/scratch_len").write_text("0x1000000\n0xa000000\n0x0\n")
    assert kho.scratch() == (16 << 20, 160 << 20, 0)
    (tmp_path / "out/scratch_len").write_text("many\n")
    assert kho.scratch() is None
