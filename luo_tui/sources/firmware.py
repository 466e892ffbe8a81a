# SPDX-License-Identifier: MIT
"""What EFI firmware starts after a reset, by its variables (UEFI specification, Boot Manager).

Beside them lie those of the boot loader (systemd's Boot Loader Interface).

efivarfs shows each variable as a file whose first four bytes are its attributes.
"""

from __future__ import annotations

import struct
from pathlib import Path

from luo_tui.model import FirmwareBoot, LoaderVariables
from luo_tui.sources.clean import clean
from luo_tui.sources.reading import Reading

FOLDER = Path("/sys/firmware/efi")
_GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
_LOADER = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
_OF_LOADER = (
    "LoaderInfo",
    "LoaderEntryPreferred",
    "LoaderEntryDefault",
    "LoaderEntryOneShot",
    "LoaderEntryLastBooted",
)
_LARGEST = 64 << 10
_ACTIVE = 1


def read_firmware(folder: Path = FOLDER) -> FirmwareBoot:
    """Read it. Never fails; where there is no such firmware, ``efi`` is false."""
    if not folder.is_dir():
        return FirmwareBoot(efi=False)
    variables, reading = folder / "efivars", Reading()
    try:
        order = _numbers(variables, "BootOrder", reading)
        once = _numbers(variables, "BootNext", reading)
        first = next((t for n in order if (t := _option(variables, n, reading))), "")
        then = _option(variables, once[0], reading) if once else ""
        loader = _loader(variables)
    except OSError as error:
        # This process has no descriptor or memory left.
        fault = error.strerror or str(error)
        return FirmwareBoot(efi=True, fault=fault, loader=LoaderVariables(fault=fault))
    missing = reading.missing
    if missing:
        return FirmwareBoot(efi=True, fault=missing[0], loader=loader)
    if not first and not then:
        fault = f"{variables} names no entry that is active"
        return FirmwareBoot(efi=True, fault=fault, loader=loader)
    return FirmwareBoot(efi=True, first=first, once=then, loader=loader)


def _loader(variables: Path) -> LoaderVariables:
    reading = Reading()
    name, preferred, default, once, saved = (
        _text(_variable(variables, name, reading, _LOADER)) for name in _OF_LOADER
    )
    missing = reading.missing
    fault = missing[0] if missing else ""
    return LoaderVariables(name, preferred, default, once, saved, fault)


def _numbers(variables: Path, name: str, reading: Reading) -> tuple[int, ...]:
    data = _variable(variables, name, reading)
    return struct.unpack(f"<{len(data) // 2}H", data[: len(data) // 2 * 2])


def _option(variables: Path, number: int, reading: Reading) -> str:
    """Return an entry's name; empty where it is not there, damaged, or switched off."""
    name = f"Boot{number:04X}"
    data = _variable(variables, name, reading)
    if len(data) < 8 or not struct.unpack_from("<I", data)[0] & _ACTIVE:
        return ""
    # EFI_LOAD_OPTION: attributes, length of the paths, then a name in UCS-2 up to its zero.
    return f"{_text(data[6:])} ({name})"


def _text(data: bytes) -> str:
    """Return the text in UCS-2 up to its zero."""
    text = data[: len(data) // 2 * 2].decode("utf-16-le", errors="replace")
    return clean(text.partition(chr(0))[0])


def _variable(variables: Path, name: str, reading: Reading, vendor: str = _GLOBAL) -> bytes:
    path = variables / f"{name}-{vendor}"
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST)[4:]
    except OSError as error:
        reading.refused(error, "{} could not be read", str(path))
        return b""
