# SPDX-License-Identifier: MIT
"""What this machine would start after a reset: firmware, boot loader, kernel.

That is the way back where a new kernel does not come up. Read from EFI's
variables, the configuration of GRUB or systemd-boot, and Boot Loader
Specification entries.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from luo_tui.model import FirmwareBoot
from luo_tui.sources.clean import clean
from luo_tui.update import systemd_boot
from luo_tui.update.boot_entries import ENTRIES, placed, read_entries
from luo_tui.update.boot_header import SIZE, NotLoadable, parse
from luo_tui.update.grub import NotUnderstood, default, entries, environment, find
from luo_tui.update.regular_file import open_regular, why_unreadable

_FOLDERS = ("grub", "grub2")
_CONF = "loader/loader.conf"
_UNIFIED = "EFI/Linux"
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
    setter: str = "grub-set-default(8)"
    """The command that has the boot loader start another one."""


def read_fallback(boot: Path, firmware: FirmwareBoot) -> Fallback:
    """Read it from the files below ``boot``. Never fails."""
    if firmware.loader.name.startswith("systemd-boot"):
        return _by_systemd_boot(boot, firmware)
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
    if any(_is_there(root / _CONF) for root in _partitions(boot)):
        return _by_systemd_boot(boot, firmware)
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


def _by_systemd_boot(boot: Path, firmware: FirmwareBoot) -> Fallback:
    """Read it where systemd-boot is the boot loader. Never fails."""
    variables = firmware.loader
    try:
        if variables.fault:
            raise systemd_boot.NotUnderstood(variables.fault)
        conf, read = _loader_conf(boot)
        menu = _menu(boot)
        found = systemd_boot.starts(menu, systemd_boot.keys(conf), variables)
        if not found.linux:
            raise systemd_boot.NotUnderstood(f"what its entry {found.id} starts was not read")
    except OSError as error:
        return Fallback(firmware, fault=f"{error.filename} {why_unreadable(error)}")
    except systemd_boot.NotUnderstood as error:
        fault = f"systemd-boot's files do not tell: {clean(str(error))}"
        return Fallback(firmware, fault=fault)
    path = menu[found]
    once = systemd_boot.once(menu, variables)
    return Fallback(
        firmware,
        _release(path),
        clean(str(path)),
        _is_there(path),
        "" if once == found.id else clean(once),
        clean(f"{read} and its entry {found.id}"),
        setter="bootctl(1) set-default",
    )


def _partitions(boot: Path) -> tuple[Path, ...]:
    """Return where the EFI system partition, and the one for more entries, may be mounted."""
    return boot, boot / "efi", boot.parent / "efi"


def _loader_conf(boot: Path) -> tuple[str, Path]:
    """Return loader.conf, empty where there is none, and its path. OSError: it cannot be read."""
    for root in _partitions(boot):
        path = root / _CONF
        try:
            return _text(path), path
        except (FileNotFoundError, NotADirectoryError):
            continue
    return "", boot / _CONF


def _menu(boot: Path) -> Mapping[systemd_boot.MenuEntry, Path]:
    """Return the entries, each with its kernel's file. OSError: not all of them can be read."""
    menu: dict[systemd_boot.MenuEntry, Path] = {}
    for root in _partitions(boot):
        for path in _files(root / ENTRIES, ".conf"):
            entry = systemd_boot.menu_entry(path.name, _text(path))
            if entry is None:
                continue
            kernel = Path(placed(root, entry.linux)) if entry.linux else root
            # What is not there is not listed.
            if kernel.exists():
                menu.setdefault(entry, kernel)
        for path in _files(root / _UNIFIED, ".efi"):
            menu.setdefault(systemd_boot.unified_entry(path.name), path)
    return menu


def _files(folder: Path, suffix: str) -> Sequence[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix.lower() == suffix)
    except (FileNotFoundError, NotADirectoryError):
        return ()


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
