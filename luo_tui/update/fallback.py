# SPDX-License-Identifier: MIT
"""What this machine would start after a reset: firmware, boot loader, kernel.

That is the way back where a new kernel does not come up. Read from EFI's
variables, GRUB's configuration, and Boot Loader Specification entries.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from luo_tui.model import FirmwareBoot
from luo_tui.sources.clean import clean
from luo_tui.update.boot_entries import read_entries
from luo_tui.update.boot_header import SIZE, NotLoadable, parse
from luo_tui.update.grub import NotUnderstood, default, entries, environment, find
from luo_tui.update.regular_file import open_regular, why_unreadable

_FOLDERS = ("grub", "grub2")
_LARGEST = 4 << 20


class Fallback(NamedTuple):
    """What a reset would start, as far as that could be read."""

    firmware: FirmwareBoot
    release: str = ""
    """Of the kernel; empty where :attr:`fault` says why it is not known."""
    kernel: str = ""
    """Its file, below the boot folder."""
    is_there: bool = False
    once: str = ""
    """What the boot loader starts the next time alone; empty: the same."""
    read: str = ""
    """Where it was read."""
    fault: str = ""


def read_fallback(boot: Path, firmware: FirmwareBoot) -> Fallback:
    """Read it from the files below ``boot``. Never fails."""
    for name in _FOLDERS:
        folder = boot / name
        try:
            text = _text(folder / "grub.cfg")
        except FileNotFoundError:
            continue
        except OSError as error:
            return Fallback(firmware, fault=f"{folder}/grub.cfg {why_unreadable(error)}")
        try:
            return _by_grub(boot, folder, text, firmware)
        except NotUnderstood as error:
            fault = f"{folder}/grub.cfg does not tell: {clean(str(error))}"
            return Fallback(firmware, fault=fault)
    if _is_there(boot / "loader/loader.conf"):
        fault = "which of its entries systemd-boot starts was not read; bootctl(1) tells"
        return Fallback(firmware, fault=fault)
    return Fallback(firmware, fault=f"no configuration of a boot loader was found in {boot}")


def _by_grub(boot: Path, folder: Path, text: str, firmware: FirmwareBoot) -> Fallback:
    said = _environment(folder / "grubenv")
    name = default(text, said)
    once = said.get("next_entry", "")
    path = _of_entry(boot, name)
    if path is None:
        kernel = find(entries(text), name).linux
        if not kernel:
            raise NotUnderstood(f"its entry {name!r} starts no Linux kernel")
        # Where /boot is a file system of its own, its entries name it without that folder.
        path = boot / kernel.rpartition("/")[2]
    return Fallback(
        firmware,
        _release(path),
        clean(str(path)),
        _is_there(path),
        clean(once),
        f"{folder}/grub.cfg",
    )


def _is_there(path: Path) -> bool:
    """Whether there is such a file, as far as this user may know."""
    try:
        return path.exists()
    except OSError:
        return False


def _release(path: Path) -> str:
    """Return the release that the image tells; by its file's name where it does not."""
    try:
        with open_regular(path) as fd:
            return parse(os.pread(fd, SIZE, 0), os.fstat(fd).st_size).release
    except (OSError, NotLoadable):
        return clean(path.name.partition("-")[2] or path.name)


def _of_entry(boot: Path, name: str) -> Path | None:
    """Return the kernel of the Boot Loader Specification entry of that name; None: there is none.

    So Fedora's GRUB goes by them, by the name of their file.
    """
    named = (one for one in read_entries(boot) if Path(one.path).stem == name)
    return next((Path(one.linux) for one in named if one.linux), None)


def _environment(path: Path) -> Mapping[str, str]:
    try:
        return environment(_text(path))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise NotUnderstood(f"{path} {why_unreadable(error)}") from error


def _text(path: Path) -> str:
    with open_regular(path) as fd:
        return os.read(fd, _LARGEST).decode(errors="surrogateescape")
