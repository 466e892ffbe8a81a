# SPDX-License-Identifier: MIT
"""Boot Loader Specification entries: kernels that systemd-boot, or GRUB on Fedora, would start.

An entry is a file ``loader/entries/*.conf`` of lines ``key value``. Its paths
begin at the root of the file system that it lies on; where the boot folder is
no file system of its own they have the folder's name in front.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from luo_tui.sources.clean import clean
from luo_tui.update.regular_file import open_regular, why_unreadable

ENTRIES = "loader/entries"
_LARGEST = 65_536
"""Bytes of one entry: far more than a command line can have."""


class BootEntry(NamedTuple):
    """One entry that starts a Linux kernel, its paths as they are written in it."""

    title: str
    linux: str
    initrds: tuple[str, ...]
    """Without the boot loader's variables (``$name``), whose values it alone knows."""
    options: str
    """Its command line; variables of the boot loader stand in it as they are written."""


class FoundEntry(NamedTuple):
    """An entry of this host, with where its files are."""

    path: str
    """The entry's own file, or the folder of the entries where that cannot be read."""
    entry: BootEntry | None = None
    linux: str = ""
    initrd: str = ""
    """The one initrd; empty where it names none."""
    fault: str = ""
    """Why it cannot be used as a target, to stand behind a name; empty: nothing was found."""


def parse_entry(text: str) -> BootEntry | None:
    """Read an entry; None where it starts no kernel of its own (``efi``, ``uki``). Pure."""
    said: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, *rest = line.split(maxsplit=1)[:2] or [""]
        if rest and not key.startswith("#"):
            said.setdefault(key, []).append(rest[0].strip())
    if "linux" not in said:
        return None
    initrds = " ".join(said.get("initrd", ())).split()
    return BootEntry(
        clean(said.get("title", [""])[-1]),
        said["linux"][-1],
        tuple(name for name in initrds if not name.startswith("$")),
        " ".join(said.get("options", ())),
    )


def read_entries(boot: Path) -> tuple[FoundEntry, ...]:
    """Read the entries below ``boot``, by name, the highest first as a boot loader lists them.

    Empty where there is no such folder. Never raises: what cannot be read has a fault.
    """
    folder = boot / ENTRIES
    try:
        names = sorted(folder.iterdir(), reverse=True)
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as error:
        return (FoundEntry(str(folder), fault=why_unreadable(error)),)
    read = (_read(boot, path) for path in names if path.suffix == ".conf")
    return tuple(found for found in read if found is not None)


def _read(boot: Path, path: Path) -> FoundEntry | None:
    try:
        with open_regular(path) as fd:
            raw = os.read(fd, _LARGEST + 1)
    except OSError as error:
        return FoundEntry(str(path), fault=why_unreadable(error))
    if len(raw) > _LARGEST:
        return FoundEntry(str(path), fault=f"is longer than a boot entry's {_LARGEST:,} bytes")
    entry = parse_entry(raw.decode(errors="surrogateescape"))
    if entry is None:
        return None
    fault = _fault(entry)
    if fault:
        return FoundEntry(str(path), entry, fault=fault)
    initrd = placed(boot, entry.initrds[0]) if entry.initrds else ""
    return FoundEntry(str(path), entry, placed(boot, entry.linux), initrd)


def _fault(entry: BootEntry) -> str:
    """Say why an entry cannot be followed, from its text alone."""
    names = (entry.linux, *entry.initrds)
    if any("\0" in name or ".." in name.split("/") for name in names):
        return "names a file outside of its file system"
    if len(entry.initrds) > 1:
        # Loading the first alone could leave out the one with the root file system's drivers.
        return (
            f"names {len(entry.initrds)} initrds, and kexec loads one: join them into one file, "
            "and name kernel and initrd by their paths"
        )
    return ""


def placed(boot: Path, name: str) -> str:
    """Return the path of a file that an entry names; one that is not there keeps its name.

    ``boot`` is the folder that the entry's file system is mounted at.
    """
    bare = name.lstrip("/")
    whole = boot.parent / bare
    in_boot = boot / bare
    return str(whole if not os.path.lexists(in_boot) and os.path.lexists(whole) else in_boot)
