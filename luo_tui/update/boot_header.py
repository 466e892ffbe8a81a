# SPDX-License-Identifier: MIT
"""The header of an x86 kernel image: what it is, and whether kexec would load it. Pure.

Offsets: the boot protocol (Documentation/arch/x86/boot.rst, Linux 7.3). What is
refused here is what ``bzImage64_probe()`` refuses (arch/x86/kernel/kexec-bzimage64.c),
but there only at load time.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from luo_tui.uapi.command_line import longest

SIZE = 0x10000
"""The release string stands in the setup sectors, of which there are at most 64 (32 KiB)."""

_OLDEST = 0x020C
_LOADED_HIGH = 0x01
_KERNEL_64, _ABOVE_4G = 0x01, 0x02
_RELEASE = re.compile(rb"[!-.0-~]{1,64}")
"""It becomes part of paths: printable, and no slash."""


class NotLoadable(Exception):
    """The file is no kernel image that kexec_file_load takes; says why, to stand behind a path."""


class BootHeader(NamedTuple):
    """What the header tells."""

    release: str
    command_line_max: int
    """Bytes of the longest command line that is loaded with this image."""
    payload_at: int
    """Where in the file the packed kernel begins."""
    payload_bytes: int
    memory: int
    """Bytes that the kernel takes where it is unpacked, its heap included (``init_size``)."""
    signed: bool
    """Whether the file carries a signature (PE format: the certificate table is not empty)."""


def parse(head: bytes, size: int) -> BootHeader:
    """Read the first :data:`SIZE` bytes of a file of ``size`` bytes. NotLoadable."""
    if head[0x202:0x206] != b"HdrS":
        if head[:2] == b"MZ":
            raise NotLoadable(
                "is an EFI program and no bzImage; a unified kernel image must be unpacked first"
            )
        raise NotLoadable("is not a kernel image (no boot header)")
    setup = (head[0x1F1] or 4) * 512 + 512
    whole = setup + _number(head, 0x1F4, 4) * 16
    if size < max(whole, 1024):
        raise NotLoadable(f"is cut short: {size} of {whole} bytes are there")
    _must_be_loadable(head)
    return BootHeader(
        release=_release(head),
        command_line_max=longest(_number(head, 0x238, 4)),
        payload_at=setup + _number(head, 0x248, 4),
        payload_bytes=_number(head, 0x24C, 4),
        memory=_number(head, 0x260, 4),
        signed=_signed(head),
    )


def _must_be_loadable(head: bytes) -> None:
    refusals = (
        (_number(head, 0x1FE, 2) != 0xAA55, "it has no boot sector mark"),
        (_number(head, 0x206, 2) < _OLDEST, "its boot protocol is older than 2.12"),
        (not head[0x211] & _LOADED_HIGH, "it is a zImage"),
        (not head[0x236] & _KERNEL_64, "it has no 64-bit entry"),
        (not head[0x236] & _ABOVE_4G, "it cannot lie above 4 GiB"),
    )
    for refused, why in refusals:
        if refused:
            raise NotLoadable(f"is no kernel that kexec loads: {why}")


def _signed(head: bytes) -> bool:
    """Whether there is a certificate table: the fifth data directory of a PE32+ file."""
    at = _number(head, 0x3C, 4)
    if head[:2] != b"MZ" or head[at : at + 4] != b"PE\0\0" or _number(head, at + 24, 2) != 0x20B:
        return False
    directories = _number(head, at + 24 + 108, 4)
    return directories > 4 and _number(head, at + 24 + 112 + 4 * 8 + 4, 4) > 0


def _release(head: bytes) -> str:
    at = _number(head, 0x20E, 2) + 0x200
    words = head[at : at + 256].split(b"\0")[0].split()
    if at <= 0x200 or not words or not _RELEASE.fullmatch(words[0]):
        raise NotLoadable("does not name its release")
    return words[0].decode("ascii")


def _number(head: bytes, at: int, size: int) -> int:
    return int.from_bytes(head[at : at + size], "little")
