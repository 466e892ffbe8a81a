# SPDX-License-Identifier: MIT
"""Restored bytes on their way into a file, with the kernel keeping them until they are there.

From the kernel's restore on they end with this process and a finish, which
somebody else may make meanwhile. So they are preserved anew before the first of
them is copied, which costs the kernel no more than a reference, and given up when
the file has its name. A kernel that does not take them then is asked again when it
is needed.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from luo_tui.errors import ActFailed, Op, explain
from luo_tui.model import State
from luo_tui.orchestrator import Orchestrator
from luo_tui.update.durable import fsync_folder
from luo_tui.update.held import Held, HeldRecords

_CHUNK = 1 << 20


class Keeper:
    """Keeps one restored file in the kernel until it is delivered."""

    def __init__(
        self,
        orchestrator: Orchestrator,
        records: HeldRecords,
        as_told: Callable[[Held], Held],
        held: Held,
        fd: int,
    ) -> None:
        """``fd`` is what came back of ``held``; ``as_told`` adds what the kernel says of it."""
        self._orchestrator = orchestrator
        self._records = records
        self._as_told = as_told
        self._held = held
        self._fd = fd
        self._kept: Held | None = None
        self._written = False

    def keep(self) -> int:
        """Preserve it anew and write its new token down; return 0, or the kernel's errno."""
        if self._kept is None:
            try:
                token = self._orchestrator.preserve(self._fd)
            except OSError as error:
                return error.errno or errno.EIO
            # Who preserved it by the kernel's word is added when it matters.
            self._kept = replace(self._held, token=token, pid=0, comm="")
            here = self._orchestrator.host()
            self._kept = replace(self._kept, boot=here.boot_id, release=here.release)
            self._write(self._kept)
        return 0

    def say(self) -> str:
        """Say, after a failure, where the bytes are, and see to it that they can be found."""
        code = self.keep()
        if self._kept is None:
            return f"It could not be preserved anew ({os.strerror(code)}): it is lost."
        with contextlib.suppress(Exception):
            self._write(self._as_told(self._kept))
        said = f"It is preserved anew (token {self._kept.token})"
        if not self._written:
            return f"{said}, but its record could not be written: note the token."
        return f"{said} and can be restored after the next update."

    def let_go(self) -> tuple[str, ...]:
        """Give up what is delivered now; return what is left to say."""
        if self._kept is not None:
            try:
                self._orchestrator.unpreserve(self._kept.token)
            except OSError as error:
                why = os.strerror(error.errno or 0)
                return (f"Token {self._kept.token} keeps a copy; giving it up failed: {why}.",)
        self._records.forget(self._held.name)
        return ()

    def _write(self, kept: Held) -> None:
        with contextlib.suppress(OSError):
            self._records.write(kept)
            self._kept, self._written = kept, True


class HolderKeeps:
    """The same, where whoever restored it for us has it still, and lets go of it when told."""

    def __init__(self, orchestrator: Orchestrator, records: HeldRecords, held: Held) -> None:
        """``held`` has the token that its holder knows it by."""
        self._orchestrator, self._records, self._held = orchestrator, records, held

    def keep(self) -> int:
        """Nothing has to be done: 0."""
        return 0

    def say(self) -> str:
        """Say, after a failure, where the bytes are."""
        return (
            f"Its holder has it still (token {self._held.token}): it can be restored again until "
            "the update is finished. It does not go along with another kexec."
        )

    def let_go(self) -> tuple[str, ...]:
        """Have the holder give up what is delivered; return what is left to say."""
        left: tuple[str, ...] = ()
        try:
            self._orchestrator.unpreserve(self._held.token)
        except OSError as error:
            left = (f"Its memory is not free yet: {explain(Op.UNPRESERVE, error).lines()[0]}",)
        self._records.forget(self._held.name)
        return left


def keeper_for(
    orchestrator: Orchestrator,
    records: HeldRecords,
    as_told: Callable[[Held], Held],
    held: Held,
    fd: int,
) -> Keeper | HolderKeeps:
    """Return what keeps ``fd``, restored as ``held``, until it is delivered; see both."""
    if orchestrator.abilities.holders_must_live:
        return HolderKeeps(orchestrator, records, held)
    return Keeper(orchestrator, records, as_told, held, fd)


@contextlib.contextmanager
def file_for(out: Path, size: int, state: State) -> Iterator[tuple[int, Path]]:
    """Make a file beside ``out`` with room for ``size`` bytes; it is gone when it was not used."""
    try:
        target, path = tempfile.mkstemp(prefix=".luo-tui-", dir=out.absolute().parent)
    except OSError as error:
        raise ActFailed.of(Op.FILE, error, state, "Nothing was restored.") from error
    try:
        try:
            if size:
                os.posix_fallocate(target, 0, size)
        except OSError as error:
            raise ActFailed.of(Op.FILE, error, state, "Nothing was restored.") from error
        yield target, Path(path)
    finally:
        os.close(target)
        with contextlib.suppress(OSError):
            Path(path).unlink()


def deliver(held: Held, fd: int, target: int, temporary: Path, out: Path) -> tuple[int, str]:
    """Copy; give the file its name if the bytes are the right ones. Return size and SHA-256."""
    os.lseek(fd, 0, os.SEEK_SET)
    size, digest = copy(fd, target)
    os.ftruncate(target, size)
    os.fsync(target)
    if (size, digest) == (held.bytes, held.sha256):
        temporary.replace(out)
        fsync_folder(out.absolute().parent)
    return size, digest


class TooLong(Exception):
    """There is more to copy than may be."""


def copy(source: int, target: int, most: int | None = None) -> tuple[int, str]:
    """Copy from one descriptor to another up to the end; return size and SHA-256. OSError.

    A file that grows meanwhile, or one of /proc, may have more than its size says:
    TooLong after ``most`` bytes.
    """
    digest = hashlib.sha256()
    size = 0
    while chunk := os.read(source, _CHUNK):
        digest.update(chunk)
        size += len(chunk)
        if most is not None and size > most:
            raise TooLong
        view = memoryview(chunk)
        while view:
            view = view[os.write(target, view) :]
    return size, digest.hexdigest()
