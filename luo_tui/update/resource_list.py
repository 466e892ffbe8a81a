# SPDX-License-Identifier: MIT
"""Lists beside a journal: there may be a hundred thousand resources, a record holds no such.

The record has their number, their bytes and digests; the names are in a file
with the journal's name, on the disk before the record that speaks of it.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from luo_tui.model import Participant, Resource
from luo_tui.sources.clean import clean
from luo_tui.update.before import Before
from luo_tui.update.durable import write_file
from luo_tui.update.window_state import FORMAT, WindowState

PROMISED = "promised"
DISCARDED = "discarded"


_NAMED, _LONGEST, _ROOM = 20, 160, 4096
"""Names in a record, characters of one, and bytes of all together: a record is short."""


class Listed(NamedTuple):
    """One resource as it was when the list was written. Source: the picture that was agreed to."""

    token: int
    name: str = ""
    kind: str = ""
    bytes: int = 0
    pid: int = 0
    """Process that preserved it, and its name."""
    comm: str = ""

    @property
    def label(self) -> str:
        """What an operator calls it, as :attr:`luo_tui.model.Resource.label`."""
        named = self.name or self.kind
        return f"{named} (token {self.token})" if named else f"token {self.token}"


class Promised(NamedTuple):
    """What a jump was to carry."""

    resources: tuple[Listed, ...] = ()
    participants: tuple[Participant, ...] = ()
    """Devices and subsystems that took part, as they were then."""
    before: Before | None = None
    """How the host was then; None where no record tells."""


def few_of(names: Iterable[str]) -> list[str]:
    """Return as many names as a record has room for; their number has to stand beside them."""
    found: list[str] = []
    room = _ROOM
    for name in islice(names, _NAMED):
        short = name if len(name) <= _LONGEST else f"{name[:_LONGEST]}..."
        room -= len(json.dumps(short))
        if room < 0:
            break
        found.append(short)
    return found


def token_digest(tokens: Iterable[int]) -> str:
    """Return the SHA-256 of the tokens: in ascending order, in decimal, a line feed after each."""
    # Slow to import, and of no use to a command that only looks.
    import hashlib

    digest = hashlib.sha256()
    for token in sorted(tokens):
        digest.update(b"%d\n" % token)
    return digest.hexdigest()


def write_list(
    path: Path,
    resources: Iterable[Resource],
    participants: Iterable[Participant] = (),
    before: Before | None = None,
) -> dict[str, Any]:
    """Write the list, wait until it is on the disk, and return what its record says of it.

    OSError: ENOSPC, EROFS, EACCES; then there is no new file.
    """
    import hashlib

    listed = [Listed(r.token, r.name, r.kind, r.bytes, r.pid, r.comm) for r in resources]
    parts = [(p.id, p.kind, p.name, p.driver) for p in participants]
    about = {
        "count": len(listed),
        "bytes": sum(r.bytes for r in listed),
        "tokens_sha256": token_digest(r.token for r in listed),
        "participants_count": len(parts),
    }
    rows = {"resources": listed, "participants": parts}
    picture = {"before": before.plain()} if before is not None else {}
    whole = {"v": FORMAT, **about, **rows, **picture}
    data = json.dumps(whole, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"
    write_file(path, data)
    return {**about, "file_sha256": hashlib.sha256(data).hexdigest()}


def promised(folder: Path, window_state: WindowState) -> Promised:
    """Read what was to survive when the window jumped; empty where it has not jumped.

    ``folder`` is the journal's. Of windows of format 0 only the tokens are
    known. OSError: it cannot be read, or (EBADMSG) is not what was written.
    """
    if window_state.tokens or not window_state.promised_file:
        return Promised(tuple(Listed(token) for token in window_state.tokens))
    import hashlib

    path = folder / "windows" / f"{window_state.window}.{PROMISED}.json"
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != window_state.promised_file:
        raise OSError(errno.EBADMSG, "it is not what was written before the jump", str(path))
    try:
        whole = json.loads(data)
        return Promised(
            tuple(_listed(*row) for row in whole["resources"]),
            # Earlier versions wrote down none.
            tuple(_participant(*row) for row in whole.get("participants", ())),
            Before.of(whole.get("before")),
        )
    except (ValueError, TypeError, KeyError, RecursionError, AttributeError) as error:
        raise OSError(errno.EBADMSG, "it makes no sense", str(path)) from error


def promised_here(
    folder: Path, window_state: WindowState | None, boot_id: str
) -> tuple[Promised | None, str]:
    """Return what was to survive the jump into this boot, and why it cannot be read. Never fails.

    None: no jump into this boot is known of, or it cannot be read.
    """
    if not jumped_here(window_state, boot_id) or window_state is None:
        return None, ""
    if not (window_state.tokens or window_state.promised_file):
        return None, ""
    try:
        return promised(folder, window_state), ""
    except OSError as error:
        return None, f"{error.strerror or error} ({error.filename or folder})"


def jumped_here(window_state: WindowState | None, boot_id: str) -> bool:
    """Whether the window's jump was the one that led into this boot, as far as it tells."""
    if window_state is None or window_state.jumped_from in ("", boot_id):
        return False
    return not window_state.closed or window_state.lost_in == boot_id


def _listed(token: int, name: str, kind: str, size: int, pid: int, comm: str) -> Listed:
    return Listed(int(token), clean(name), clean(kind), int(size), int(pid), clean(comm))


def _participant(id_: str, kind: str, name: str, driver: str) -> Participant:
    return Participant(clean(id_), clean(kind), clean(name), "frozen", driver=clean(driver))
