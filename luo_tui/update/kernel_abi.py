# SPDX-License-Identifier: MIT
"""Which versions of the handover's formats a kernel speaks, by the strings in its image.

Upstream every format that crosses a kexec has a compatible string of a name and a
version (include/linux/kho/abi/, Linux 7.3): ``kho-v4`` for Kexec HandOver itself,
``luo-v5``, ``luo-session-v2``, ``luo-flb-v1`` and ``memfd-v2`` for mainline's
sessions. A kernel that is handed another version ignores it, or panics.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from luo_tui.update.boot_header import SIZE, BootHeader, NotLoadable, parse
from luo_tui.update.regular_file import open_regular, why_unreadable
from luo_tui.update.unpack import CannotUnpack, Part, Torn, unpacked

_LARGEST_KERNEL = 256 << 20
_STRING = re.compile(
    rb"(?<![0-9A-Za-z_.-])(?:kho|luo|luo-session|luo-flb|memfd)-v[0-9]{1,4}(?=[;\0])"
)
_RELEASE = re.compile(r"[!-.0-~]{1,64}")
"""Printable, and no slash."""
_LONGEST = len(b"-luo-session-v9999;")
_OVERLAP = _LONGEST - 1
"""Bytes that are kept of the piece before: a string may lie across two."""


class KernelAbi(NamedTuple):
    """What was found in a kernel, or why nothing is known."""

    versions: tuple[str, ...] = ()
    """As they stand in it, sorted; empty where it has none."""
    source: str = ""
    """Where they were read."""
    fault: str = ""
    """A sentence without its full stop; empty where they were read."""


NOT_SEARCHED = KernelAbi(fault="the image was not searched")


def versions_in(pieces: Iterable[bytes]) -> tuple[str, ...]:
    """Find the compatible strings in a stream of bytes. Pure."""
    found: set[bytes] = set()
    kept = b""
    for piece in pieces:
        kept += piece
        # Few pieces have these two bytes, and the pattern is some fifty times slower to look.
        if b"-v" in kept:
            found.update(_STRING.findall(kept))
        kept = kept[-_OVERLAP:]
    return tuple(sorted(text.decode("ascii") for text in found))


def by_name(versions: Iterable[str]) -> Mapping[str, frozenset[str]]:
    """Return the versions of each format, by its name. Pure."""
    found: dict[str, set[str]] = {}
    for version in versions:
        found.setdefault(version.rpartition("-v")[0], set()).add(version)
    return {name: frozenset(those) for name, those in found.items()}


_found: dict[tuple[int, ...], KernelAbi] = {}
"""By the identity of the file: unpacking takes up to seconds, and the same image is asked again."""
_REMEMBERED = 8


def read_abi(fd: int, header: BootHeader, source: str) -> KernelAbi:
    """Unpack the kernel behind ``fd`` and look for them. Takes its time; never raises."""
    about = os.fstat(fd)
    key = (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)
    if key not in _found:
        while len(_found) >= _REMEMBERED:
            _found.pop(next(iter(_found)), None)
        _found[key] = _read(fd, header, source)
    return _found[key]


def abi_of(path: Path) -> KernelAbi:
    """Read an image file's. Takes its time; never raises."""
    try:
        with open_regular(path) as fd:
            header = parse(os.pread(fd, SIZE, 0), os.fstat(fd).st_size)
            return read_abi(fd, header, str(path))
    except NotLoadable as error:
        return KernelAbi(fault=f"{path} {error}")
    except OSError as error:
        return KernelAbi(fault=f"{path} {why_unreadable(error)}")


def abi_of_release(boot: Path, release: str) -> KernelAbi:
    """Read that of a release by the image of its name in ``boot``; see :func:`abi_of`."""
    # It becomes part of a path, and comes from elsewhere.
    if not _RELEASE.fullmatch(release):
        return KernelAbi(fault="the running kernel's release is no file's name")
    return abi_of(boot / f"vmlinuz-{release}")


def _read(fd: int, header: BootHeader, source: str) -> KernelAbi:
    if not header.payload_bytes:
        return KernelAbi(fault=f"{source} does not say where its packed kernel is")
    part = Part(fd, header.payload_at, header.payload_bytes)
    try:
        return KernelAbi(versions_in(unpacked(part, _LARGEST_KERNEL)), source)
    except (Torn, CannotUnpack, OSError) as error:
        return KernelAbi(fault=f"{source} could not be searched: {error}")
