# SPDX-License-Identifier: MIT
"""Kernels by the entries of a boot loader, where they do not lie in /boot by their release.

The UAPI Group's Boot Loader Specification, type 1: one file an entry in
``loader/entries``, a key and its value a line. Paths are those of the file system
that the entries lie on, which is taken to be the boot folder's. What the entry
says of the command line is not used: a live update passes the running one on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from luo_tui.update.regular_file import open_regular, why_unreadable

FOLDER = "loader/entries"
_LARGEST = 64 << 10
"""Bytes of an entry."""


@dataclass(frozen=True, slots=True)
class BootEntry:
    """What an entry says of its kernel."""

    name: str
    """Of its file, without ``.conf``."""
    linux: str = ""
    """The kernel's path; empty: the entry starts something else."""
    initrds: tuple[str, ...] = ()
    fault: str = ""
    """Why it could not be read, to stand behind its path."""


def parse_entry(name: str, text: str) -> BootEntry:
    """Read an entry's text. Pure; lines that are not understood are passed over."""
    linux, initrds = "", []
    for line in text.splitlines():
        key, _, value = line.strip().replace("\t", " ", 1).partition(" ")
        value = value.strip()
        if key == "linux" and not linux:
            linux = value
        elif key == "initrd" and value:
            initrds.append(value)
    return BootEntry(name, linux, tuple(initrds))


def read_entries(boot: Path) -> Iterator[tuple[Path, BootEntry]]:
    """Yield the entries that start a kernel, and those that cannot be read, by name.

    Never raises; none where the boot loader has no such folder.
    """
    folder = boot / FOLDER
    try:
        paths = sorted(p for p in folder.iterdir() if p.suffix == ".conf")
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        yield folder, BootEntry(folder.name, fault=why_unreadable(error))
        return
    for path in paths:
        try:
            with open_regular(path) as fd, open(fd, "rb", closefd=False) as file:
                text = file.read(_LARGEST).decode(errors="replace")
        except OSError as error:
            yield path, BootEntry(path.stem, fault=why_unreadable(error))
            continue
        entry = parse_entry(path.stem, text)
        if entry.linux:
            yield path, entry
