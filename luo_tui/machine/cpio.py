# SPDX-License-Identifier: MIT
"""Archives that a kernel unpacks as its first file system, in the format ``newc``. Pure.

Source: Documentation/driver-api/early-userspace/buffer-format.rst. An initial RAM disk
may consist of several archives one after another: a later file replaces an earlier one
of the same name. All that is written here belongs to root, and has no time.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

_TRAILER = "TRAILER!!!"
_ALIGNED = 4
LARGEST = (1 << 32) - 1
"""Bytes of one file: its size has eight hexadecimal digits."""


class Entry(NamedTuple):
    """A file, a folder or a link."""

    name: str
    """Its path from the root, without a slash at the beginning."""
    content: bytes = b""
    """Of a link, what it leads to."""
    mode: int = stat.S_IFREG | 0o644


def file(name: str, content: bytes, *, executable: bool = False) -> Entry:
    """Return a file."""
    return Entry(name, content, stat.S_IFREG | (0o755 if executable else 0o644))


def folder(name: str) -> Entry:
    """Return a folder."""
    return Entry(name, mode=stat.S_IFDIR | 0o755)


def with_folders(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Yield the entries, each after the folders that it lies in, which are made once."""
    made: set[str] = set()
    for entry in entries:
        for above in reversed(PurePosixPath(entry.name).parents):
            if (name := str(above)) != "." and name not in made:
                made.add(name)
                yield folder(name)
        if stat.S_ISDIR(entry.mode):
            if entry.name in made:
                continue
            made.add(entry.name)
        yield entry


def archive(entries: Iterable[Entry]) -> Iterator[bytes]:
    """Yield an archive in pieces, its end included; its length is a multiple of four.

    The kernel makes no folder by itself: see :func:`with_folders`. ValueError where
    something is larger than the format knows.
    """
    for number, entry in enumerate(entries, 1):
        yield from _packed(number, entry)
    yield from _packed(0, Entry(_TRAILER, mode=0))


def _packed(number: int, entry: Entry) -> Iterator[bytes]:
    size = len(entry.content)
    if size > LARGEST:
        raise ValueError(f"{entry.name} has {size:,} bytes: an initial RAM disk takes {LARGEST:,}")
    name = entry.name.encode(errors="surrogateescape") + b"\0"
    # ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor,
    # namesize, check.
    numbers = (number, entry.mode, 0, 0, 1, 0, size, 0, 0, 0, 0, len(name), 0)
    head = b"070701" + b"".join(b"%08X" % n for n in numbers) + name
    yield head + bytes(-len(head) % _ALIGNED)
    if size:
        yield entry.content
        yield bytes(-size % _ALIGNED)
