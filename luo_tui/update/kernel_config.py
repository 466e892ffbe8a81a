# SPDX-License-Identifier: MIT
"""The config that a kernel was built with: beside it, with its modules, or inside it.

Debian lays ``config-RELEASE`` beside the image, Fedora and others ``config`` into
``/lib/modules/RELEASE``, and a kernel with CONFIG_IKCONFIG=y has it packed inside
(kernel/configs.c), which is looked for last: the whole kernel must be unpacked.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from luo_tui.update.boot_header import BootHeader
from luo_tui.update.regular_file import open_regular, why_unreadable
from luo_tui.update.unpack import CannotUnpack, Part, Torn, unpacked

INSIDE = "the image itself (IKCONFIG)"

_LARGEST = 4 << 20
"""Bytes of a config; real ones have a quarter of a megabyte."""
_LARGEST_KERNEL = 256 << 20
"""Bytes of an unpacked kernel."""
_BEGIN, _END = b"IKCFG_ST\x1f\x8b\x08", b"IKCFG_ED"
_MARK = len(b"IKCFG_ST")


class KernelConfig(NamedTuple):
    """A config, or why there is none."""

    text: str | None = None
    source: str = ""
    """The path of the file that told, or :data:`INSIDE`."""
    fault: str = ""
    """A sentence without its full stop; empty where the config was read."""


def read_beside(places: Iterable[Path]) -> KernelConfig:
    """Read the first file that is a config."""
    faults = []
    for path in places:
        try:
            with open_regular(path) as fd:
                raw = os.pread(fd, _LARGEST, 0)
        except FileNotFoundError:
            continue
        except OSError as error:
            faults.append(f"{path} {why_unreadable(error)}")
            continue
        if _is_config(raw):
            return KernelConfig(_text(raw), str(path))
        faults.append(f"{path} is no kernel config")
    return KernelConfig(fault="; ".join(faults) or "no config lies beside it or with its modules")


_found_inside: dict[tuple[int, ...], KernelConfig] = {}
"""By the identity of the file: unpacking takes up to seconds, and the same image is asked again."""
_REMEMBERED = 8


def read_inside(fd: int, header: BootHeader) -> KernelConfig:
    """Unpack the kernel and look for the config that is built in. Takes its time."""
    about = os.fstat(fd)
    key = (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)
    if key not in _found_inside:
        while len(_found_inside) >= _REMEMBERED:
            _found_inside.pop(next(iter(_found_inside)), None)
        _found_inside[key] = _look_inside(fd, header)
    return _found_inside[key]


def _look_inside(fd: int, header: BootHeader) -> KernelConfig:
    if not header.payload_bytes:
        return KernelConfig(fault="the image does not say where its packed kernel is")
    part = Part(fd, header.payload_at, header.payload_bytes)
    try:
        raw = _embedded(unpacked(part, _LARGEST_KERNEL))
    except (Torn, CannotUnpack, OSError) as error:
        return KernelConfig(fault=f"the image could not be searched for one: {error}")
    if raw is None:
        return KernelConfig(fault="none is built into the image")
    if not _is_config(raw):
        return KernelConfig(fault="what is built into the image is torn")
    return KernelConfig(_text(raw), INSIDE)


def _embedded(pieces: Iterable[bytes]) -> bytes | None:
    """Find what stands between the two marks; empty where it is torn, None where there is none."""
    kept = b""
    inside = False
    for piece in pieces:
        kept += piece
        if not inside:
            at = kept.find(_BEGIN)
            inside = at >= 0
            # The mark may lie across two pieces.
            kept = kept[at + _MARK :] if inside else kept[1 - len(_BEGIN) :]
        if inside:
            if (end := kept.find(_END)) >= 0:
                return _ungzip(kept[:end])
            if len(kept) > _LARGEST:
                return b""
    return b"" if inside else None


def _ungzip(packed: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(packed, _LARGEST)
    except zlib.error:
        return b""


def _is_config(raw: bytes) -> bool:
    """Tell a config from an empty or foreign file, which is no kernel without this and that."""
    return b"CONFIG_" in raw


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")
