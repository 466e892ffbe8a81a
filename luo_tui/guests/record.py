# SPDX-License-Identifier: MIT
"""What is written down of a guest, so that the new kernel can go on with it.

Arguments and environment may hold secrets: the records have a folder of their own,
0700, and are 0600. They lie on a disk that the next kernel mounts, beside the
journal, which says nothing of what is in them.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from luo_tui.guests.context import Context, Folder

FORMAT = 1
CLOCK_SET = "set"
FOLDER = "guests"
"""The folder of the records, in the journal's."""
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")


class Phase(StrEnum):
    """How far a guest is."""

    ARMED = "armed"
    SAVING = "saving"
    SAVED = "saved"
    LOADED = "loaded"


class Kept(NamedTuple):
    """A memfd that the orchestrator preserves."""

    token: int
    bytes: int
    inode: int = 0
    """By which it is known among a process's memfds, in this boot."""
    name: str = ""
    """Under which it is preserved, where what is preserved has a name of its own."""


class Record(NamedTuple):
    """One guest, as it was when it was armed, and when it was saved."""

    name: str
    phase: Phase
    boot: str
    """Boot id of the kernel that gave the tokens."""
    pid: int
    started: int
    """As in :class:`luo_tui.guests.facts.ProcessFacts`."""
    argv: tuple[str, ...]
    exe: str
    cwd: str
    socket: str
    """On which QMP answers."""
    machine: str
    """Versioned type."""
    context: Context
    memory: Mapping[str, Kept] = MappingProxyType({})
    """By the id of the memory object."""
    state: Kept = Kept(-1, 0)
    """What takes the devices' state."""
    goes_on: bool = True
    """Whether it ran when it was saved; a paused guest comes back paused."""
    disks: Mapping[str, tuple[int, int]] = MappingProxyType({})
    """Size and mtime (ns) of each image that is a regular file, after it was saved."""
    paused: float = 0.0
    """CLOCK_REALTIME in seconds when it was paused to be saved; 0: it was not."""
    went_on: float = 0.0
    """CLOCK_REALTIME in seconds when it went on in the new kernel; 0: it did not yet."""
    clock: str = ""
    """Its clock since it went on: :data:`CLOCK_SET`, or why it is not, for people; empty: nobody
    has tried."""

    @property
    def tokens(self) -> tuple[int, ...]:
        """Under which its memory and its state are preserved."""
        return tuple(kept.token for kept in self.kept)

    @property
    def kept(self) -> tuple[Kept, ...]:
        """Its memory and its state."""
        return (*self.memory.values(), self.state)


def waiting(records: Iterable[Record], boot: str) -> tuple[Record, ...]:
    """Return those that were saved by an earlier kernel and are still to be loaded by this one."""
    return tuple(r for r in records if r.phase is Phase.SAVED and r.boot != boot)


def armed_in(records: Iterable[Record], boot: str) -> tuple[Record, ...]:
    """Return those that were armed in this boot, and neither loaded nor given up."""
    return tuple(r for r in records if r.boot == boot and r.phase is not Phase.LOADED)


class Records:
    """The records of one folder, each in a file with the guest's name."""

    def __init__(self, folder: Path) -> None:
        """``folder`` is made when something is written."""
        self.folder = folder

    def all(self) -> tuple[Record, ...]:
        """Return what is written down, by name. OSError, ValueError: one cannot be read."""
        try:
            paths = sorted(self.folder.glob("*.json"))
        except FileNotFoundError:
            return ()
        return tuple(_read(path) for path in paths if NAME.fullmatch(path.stem))

    def find(self, name: str) -> Record | None:
        """Return the record of a guest. OSError, ValueError: it cannot be read."""
        try:
            return _read(self.path(name))
        except FileNotFoundError:
            return None

    def write(self, record: Record) -> None:
        """Write a record down, in place of one of the same name; on the disk on return. OSError."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            self.folder.mkdir(mode=0o700)
        path = self.path(record.name)
        new = path.with_name(f".{path.name}.new")
        new.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        fd = os.open(new, flags, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(json.dumps({"format": FORMAT, **_plain(record)}).encode())
            file.flush()
            os.fsync(fd)
        new.replace(path)
        self._settle()

    def forget(self, name: str) -> None:
        """Remove a record; harmless where there is none. OSError."""
        self.path(name).unlink(missing_ok=True)
        if self.folder.exists():
            self._settle()

    def path(self, name: str) -> Path:
        """Return where the record of a guest lies. ValueError: no file can have its name."""
        if not NAME.fullmatch(name):
            raise ValueError("a guest's name of other than letters, digits, dots and dashes")
        return self.folder / f"{name}.json"

    def log(self, name: str) -> Path:
        """Return where QEMU's output goes while it loads a guest; there since the first attempt."""
        return self.path(name).with_suffix(".log")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Have nobody else load guests of this folder meanwhile; waits for whoever does. OSError.

        ENOENT: nothing was ever written down.
        """
        fd = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _settle(self) -> None:
        fd = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _read(path: Path) -> Record:
    data = path.read_bytes()
    try:
        raw = json.loads(data)
        if raw.pop("format") != FORMAT:
            raise ValueError(f"{path}: another version of luo-tui wrote it")
        found = _record(raw)
    except (AttributeError, KeyError, TypeError, RecursionError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: the record is damaged") from error
    if found.name != path.stem:
        raise ValueError(f"{path}: the record is of another guest")
    return found


def _plain(record: Record) -> dict[str, Any]:
    """Return a record as JSON has it; a named tuple would become a list."""
    about = record.context._asdict()
    about["folders"] = [folder._asdict() for folder in record.context.folders]
    about["cgroup_files"] = dict(record.context.cgroup_files)
    return {
        **record._asdict(),
        "context": about,
        "memory": {id_: kept._asdict() for id_, kept in record.memory.items()},
        "state": record.state._asdict(),
        "disks": dict(record.disks),
    }


def _record(raw: dict[str, Any]) -> Record:
    about = raw["context"]
    about |= {k: tuple(about[k]) for k in ("groups", "environ", "cpus")}
    about["limits"] = tuple((n, soft, hard) for n, soft, hard in about["limits"])
    about["folders"] = tuple(Folder(**folder) for folder in about["folders"])
    memory = {id_: Kept(**kept) for id_, kept in raw["memory"].items()}
    disks = {path: (size, at) for path, (size, at) in raw["disks"].items()}
    return Record(
        **{
            **raw,
            "phase": Phase(raw["phase"]),
            "argv": tuple(raw["argv"]),
            "context": Context(**about),
            "memory": memory,
            "state": Kept(**raw["state"]),
            "disks": disks,
        }
    )
