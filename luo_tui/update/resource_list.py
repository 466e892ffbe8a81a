# SPDX-License-Identifier: MIT
"""Lists of resources beside a journal: there may be a hundred thousand, a record holds no such.

The record has their number, their bytes and digests; the names are in a file
with the journal's name, on the disk before the record that speaks of it.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from luo_tui.model import Resource
from luo_tui.sources.clean import clean
from luo_tui.update.durable import write_file
from luo_tui.update.window_state import FORMAT, WindowState

PROMISED = "promised"
DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class Listed:
    """One resource as it was when the list was written. Source: the picture that was agreed to."""

    token: int
    name: str = ""
    kind: str = ""
    bytes: int = 0
    pid: int = 0
    """Process that preserved it, and its name."""
    comm: str = ""


def token_digest(tokens: Iterable[int]) -> str:
    """Return the SHA-256 of the tokens: in ascending order, in decimal, a line feed after each."""
    # Slow to import, and of no use to a command that only looks.
    import hashlib

    digest = hashlib.sha256()
    for token in sorted(tokens):
        digest.update(b"%d\n" % token)
    return digest.hexdigest()


def write_list(path: Path, resources: Iterable[Resource]) -> dict[str, Any]:
    """Write the list, wait until it is on the disk, and return what its record says of it.

    OSError: ENOSPC, EROFS, EACCES; then there is no new file.
    """
    import hashlib

    listed = [Listed(r.token, r.name, r.kind, r.bytes, r.pid, r.comm) for r in resources]
    about = {
        "count": len(listed),
        "bytes": sum(r.bytes for r in listed),
        "tokens_sha256": token_digest(r.token for r in listed),
    }
    whole = {"v": FORMAT, **about, "resources": [astuple(r) for r in listed]}
    data = json.dumps(whole, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"
    write_file(path, data)
    return {**about, "file_sha256": hashlib.sha256(data).hexdigest()}


def promised(folder: Path, window_state: WindowState) -> tuple[Listed, ...]:
    """Read what was preserved when the window jumped; empty where it has not jumped.

    ``folder`` is the journal's. Of windows of format 0 only the tokens are
    known. OSError: it cannot be read, or (EBADMSG) is not what was written.
    """
    if window_state.tokens or not window_state.promised_file:
        return tuple(Listed(token) for token in window_state.tokens)
    import hashlib

    path = folder / "windows" / f"{window_state.window}.{PROMISED}.json"
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != window_state.promised_file:
        raise OSError(errno.EBADMSG, "it is not what was written before the jump", str(path))
    try:
        return tuple(_listed(*row) for row in json.loads(data)["resources"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise OSError(errno.EBADMSG, "it makes no sense", str(path)) from error


def _listed(token: int, name: str, kind: str, size: int, pid: int, comm: str) -> Listed:
    return Listed(int(token), clean(name), clean(kind), int(size), int(pid), clean(comm))
