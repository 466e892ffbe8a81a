# SPDX-License-Identifier: MIT
"""Makes images that lie upon another one (QEMU's docs/interop/qcow2.rst, version 2)."""

from __future__ import annotations

import struct

_CLUSTER = 1 << 16


def overlay(below: str, size: int) -> bytes:
    """Return an image of ``size`` bytes, which one cluster of mappings does for; it is unwritten.

    Header, table of reference counts, one block of these, table of mappings: a cluster each.
    """
    name = below.encode()
    header = struct.pack(
        ">4sIQIIQIIQQIIQ",
        b"QFI\xfb", 2, 72 + 8, len(name), 16, size, 0,
        1, 3 * _CLUSTER, _CLUSTER, 1, 0, 0,
    )  # fmt: skip
    counts = struct.pack(">4H", 1, 1, 1, 1)
    # Behind the header an empty extension: there are no more.
    parts = (header + bytes(8) + name, struct.pack(">Q", 2 * _CLUSTER), counts, b"")
    return b"".join(part.ljust(_CLUSTER, b"\0") for part in parts)
