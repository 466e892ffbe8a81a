# SPDX-License-Identifier: MIT
"""Whether the luo.ko of one kernel can read what that of another writes, part by part. Pure.

Each part stands as ``NAME:VERSION/NEEDS/READS``: the version that is written, the
oldest reader that understands it, and the oldest version that is read
(``kernel/luo_abi.h``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

_PART = re.compile(r"([a-z]+):(\d{1,5})/(\d{1,5})/(\d{1,5})", re.ASCII)


class _Versions(NamedTuple):
    written: int
    needs: int
    reads: int


def unreadable_part(ours: str, theirs: str) -> str:
    """Say which part of what we write they cannot read, and why; empty: they read all.

    What one of them does not speak of is not judged. ValueError: one of the texts is none.
    """
    there = _parts(theirs)
    for name, our in _parts(ours).items():
        their = there.get(name)
        if their is None:
            continue
        if our.needs > their.written:
            return (
                f"its part {name} is of version {their.written}; what this kernel writes of it "
                f"needs {our.needs}"
            )
        if our.written < their.reads:
            return (
                f"its part {name} reads from version {their.reads} on; this kernel writes "
                f"{our.written}"
            )
    return ""


def _parts(text: str) -> Mapping[str, _Versions]:
    found = {}
    for part in text.split():
        match = _PART.fullmatch(part)
        if match is None:
            raise ValueError(f"{part!r} is no part with versions")
        found[match[1]] = _Versions(*(int(n) for n in match.groups()[1:]))
    return found
