# SPDX-License-Identifier: MIT
"""What a session says of itself in the next kernel: a small memfd beside what it holds. Pure.

The kernel lists neither the sessions that came nor what is in one. So each of
ours has a manifest under the token :data:`TOKEN`, which needs no disk; only the
names of the sessions stand in a file.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

TOKEN = 0
"""The manifest's own in each session; no file has it."""
FORMAT = 1
LONGEST = 4096
"""Bytes of a manifest: one page, which is what it costs."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is in one session, and who put it there."""

    name: str
    token: int
    bytes: int
    pid: int
    """The holder's process id, in the kernel that it was held in."""
    comm: str
    boot: str
    """Boot id of that kernel."""
    release: str


def packed(manifest: Manifest) -> bytes:
    """Return it as it is handed over."""
    return json.dumps({"v": FORMAT, **asdict(manifest)}, separators=(",", ":")).encode()


def unpacked(data: bytes) -> Manifest:
    """Read what came over. ValueError, with words: it makes no sense, or is a newer version's."""
    try:
        raw: Any = json.loads(data.rstrip(b"\0"))
    except (ValueError, RecursionError) as error:
        raise ValueError("its manifest is damaged") from error
    if not isinstance(raw, dict):
        raise ValueError("its manifest is damaged")
    if raw.pop("v", None) != FORMAT:
        raise ValueError("another version of luo-tui wrote its manifest")
    try:
        found = Manifest(**raw)
    except TypeError as error:
        raise ValueError("its manifest is not whole") from error
    numbers = (found.token, found.bytes, found.pid)
    texts = (found.name, found.comm, found.boot, found.release)
    if not all(type(n) is int and n >= 0 for n in numbers) or not all(
        isinstance(t, str) for t in texts
    ):
        raise ValueError("its manifest is damaged")
    if not TOKEN < found.token < 1 << 63:
        raise ValueError("its manifest names an impossible token")
    return found
