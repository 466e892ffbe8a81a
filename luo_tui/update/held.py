# SPDX-License-Identifier: MIT
"""What is written down about held files, and whether the kernel still has what it speaks of.

Tokens begin anew with each boot: by its token alone a record of an earlier one
would name whatever another owner has preserved since. So a record says all that
the kernel said of the resource when it was made, and it is that resource only
where all of it is the same.
"""

from __future__ import annotations

import contextlib
import errno
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from luo_tui.errors import ActFailed, Exit, NotDone, Op
from luo_tui.model import Resource, ResourceState, Snapshot, State
from luo_tui.update.durable import make_folder, write_file

FORMAT = 1
HOLDS = "holds"
"""The folder of the records, in the journal's."""
_MAY_CHANGE = (State.NORMAL, State.PRESERVING, State.UPDATED)
"""States in which something can be preserved and given up."""
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Held:
    """What was written down about one held file."""

    name: str
    token: int
    bytes: int
    sha256: str
    file: str
    """Path that it was read from, for people."""
    boot: str
    """Boot id in which the kernel gave the token."""
    at: str
    who: str
    release: str = ""
    """Release of the kernel that gave it; empty where it was not written down."""
    pid: int = 0
    """Process that had it preserved, by the kernel's word; 0 where it was not written down."""
    comm: str = ""
    """That process's name."""
    out: str = ""
    """Path that `luo-tui arrive` gives it back to; empty: it waits for a restore."""


def resource_of(held: Held, now: Snapshot) -> tuple[Resource | None, str]:
    """Return the kernel's resource that a record speaks of; or None, and why there is none."""
    found: Resource | None = now.resources.get(held.token)
    if found is None:
        return None, f"the kernel has nothing under its token {held.token}"
    here = found.state is ResourceState.PRESERVED
    if here != (held.boot == now.host.boot_id) or (
        not here and held.release and now.from_release and held.release != now.from_release
    ):
        return None, f"it was held in another boot, and token {held.token} is not of that one"
    same = (found.kind, found.name, found.bytes) == ("memfd", held.name, held.bytes)
    if not same or (held.pid and (found.pid, found.comm) != (held.pid, held.comm)):
        by = f" by {found.comm or '?'} [{found.pid}]" if found.pid else ""
        return None, (
            f"token {held.token} is another's: {found.kind} {found.name or 'without a name'}, "
            f"{found.bytes} bytes, preserved{by}"
        )
    return found, ""


def is_gone(held: Held, now: Snapshot) -> bool:
    """Whether what a record speaks of is not in memory any more, beyond doubt."""
    found, _ = resource_of(held, now)
    if found is not None or held.boot == now.host.boot_id:
        return False
    # Without a handover nothing came over; and a token is one resource's alone.
    return now.luo.state is State.NORMAL or held.token in now.resources


def refuse_hold(known: Held | None, now: Snapshot) -> None:
    """Raise where nothing can be held now, or not under the name of what is ``known``."""
    if now.luo.state not in _MAY_CHANGE:
        raise ActFailed.of(Op.PRESERVE, errno.EBUSY, now.luo.state)
    if known is None:
        return
    found, _ = resource_of(known, now)
    if found is not None and found.state is not ResourceState.RESTORED:
        raise NotDone(f"{known.name} is held already (token {known.token}).")


def refuse_restore(held: Held, now: Snapshot) -> None:
    """Raise where what is held cannot be given back now. Nothing was touched then."""
    if now.luo.state is not State.UPDATED:
        raise ActFailed.of(Op.RESTORE, errno.EBUSY, now.luo.state)
    found, why = resource_of(held, now)
    if found is None:
        raise NotDone(
            f"What was held as {held.name} did not come over: {why}. Nothing was restored.",
            Exit.NOT_FOUND,
        )
    if found.state is ResourceState.PRESERVED:
        raise NotDone(
            f"{held.name} is preserved in this boot (token {held.token}): "
            "it can be restored after the next update.",
            Exit.WRONG_STATE,
        )
    if found.state is ResourceState.RESTORED and not found.abandoned:
        raise NotDone(
            f"{held.name} was restored already, and a process has it (token {held.token}). "
            "Nothing was restored."
        )


def refuse_unpreserve(held: Held, now: Snapshot) -> None:
    """Raise where what is held cannot be given up now. Nothing was touched then."""
    found, why = resource_of(held, now)
    if found is None:
        raise NotDone(f"{held.name} is not in memory any more: {why}.", Exit.NOT_FOUND)
    if found.state is not ResourceState.PRESERVED:
        raise NotDone(
            f"{held.name} came over with the update: restore it, or let finish discard it.",
            Exit.WRONG_STATE,
        )
    if now.luo.state not in _MAY_CHANGE:
        raise ActFailed.of(Op.UNPRESERVE, errno.EBUSY, now.luo.state)


class HeldRecords:
    """The records of one folder, each in a file with the name of what is held."""

    def __init__(self, folder: Path) -> None:
        """``folder`` is made when something is written."""
        self.folder = folder

    def all(self) -> tuple[Held, ...]:
        """Return what is written down, by name; a damaged record is left out. OSError."""
        found = []
        try:
            paths = sorted(self.folder.iterdir())
        except FileNotFoundError:
            return ()
        for path in paths:
            if path.suffix == ".json" and NAME.fullmatch(path.stem):
                with contextlib.suppress(ValueError, FileNotFoundError):
                    found.append(_read(path))
        return tuple(found)

    def find(self, name: str) -> Held | None:
        """Return the record of this name; None where there is none. NotDone: it is damaged."""
        if not NAME.fullmatch(name):
            return None
        path = self._path(name)
        try:
            return _read(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ActFailed.of(Op.FILE, error, None, f"The record is {path}.") from error
        except ValueError as error:
            raise NotDone(
                f"The record of {name} cannot be used: {error}. It is {path}.", Exit.FAILED
            ) from error

    def write(self, held: Held) -> None:
        """Write a record down, in place of one of the same name. OSError."""
        make_folder(self.folder)
        text = json.dumps({"format": FORMAT, **asdict(held)})
        write_file(self._path(held.name), text.encode())

    def forget(self, name: str) -> None:
        """Remove a record; one that stays is told from what the kernel has all the same."""
        with contextlib.suppress(OSError):
            self._path(name).unlink()

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.json"


def _read(path: Path) -> Held:
    """Read a record. ValueError, with words: it makes no sense, or is a newer version's."""
    data = path.read_bytes()
    try:
        raw = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError("it is damaged") from error
    if not isinstance(raw, dict):
        raise ValueError("it is damaged")
    if raw.get("format", 0) not in (0, FORMAT):
        raise ValueError("a newer luo-tui wrote it")
    known = {key: raw[key] for key in Held.__dataclass_fields__ if key in raw}
    numbers, texts = ("token", "bytes", "pid"), set(known) - {"token", "bytes", "pid"}
    if not all(type(known.get(key, 0)) is int for key in numbers) or not all(
        isinstance(known[key], str) for key in texts
    ):
        raise ValueError("it is damaged")
    return _held(known, path.stem)


def _held(known: Mapping[str, Any], name: str) -> Held:
    try:
        held = Held(**known)
    except TypeError as error:
        raise ValueError("it is not whole") from error
    if held.name != name:
        raise ValueError("it is of another name")
    return held
