# SPDX-License-Identifier: MIT
"""What EFI firmware starts after a reset, by its variables (UEFI specification, Boot Manager).

efivarfs shows each variable as a file whose first four bytes are its attributes.
"""

from __future__ import annotations

import struct
from pathlib import Path

from luo_tui.model import FirmwareBoot
from luo_tui.sources.clean import clean
from luo_tui.sources.reading import Reading

FOLDER = Path("/sys/firmware/efi")
_GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
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
    except OSError as error:
        # This process has no descriptor or memory left.
        return FirmwareBoot(efi=True, fault=error.strerror or str(error))
    missing = reading.missing
    if missing:
        return FirmwareBoot(efi=True, fault=missing[0])
    if not first and not then:
        return FirmwareBoot(efi=True, fault=f"{variables} names no entry that is active")
    return FirmwareBoot(efi=True, first=first, once=then)


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
    text = data[6 : 6 + (len(data) - 6) // 2 * 2].decode("utf-16-le", errors="replace")
    return f"{clean(text.partition(chr(0))[0])} ({name})"


def _variable(variables: Path, name: str, reading: Reading) -> bytes:
    path = variables / f"{name}-{_GLOBAL}"
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST)[4:]
    except OSError as error:
        reading.refused(error, "{} could not be read", str(path))
        return b""
