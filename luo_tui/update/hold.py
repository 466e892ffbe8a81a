# SPDX-License-Identifier: MIT
"""Something to lose: a file's bytes, held in memory across an update.

``hold`` copies a file into a memfd, seals it, has the orchestrator preserve it
and writes down name, token, size and SHA-256. ``restore`` gives the bytes back
in the new kernel and proves them. From ``hold`` on the kernel keeps the memory;
no process has to stay.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from luo_tui.errors import ActFailed, Exit, NotDone, Op
from luo_tui.model import ResourceState, Snapshot, State
from luo_tui.orchestrator import Orchestrator
from luo_tui.update.journal import fsync_folder
from luo_tui.update.person import Person

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_CHUNK = 1 << 20
_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
_HEADROOM = 64 << 20
"""Bytes of memory that holding a file must leave free."""


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


class Holds:
    """The held files of one host."""

    def __init__(
        self, orchestrator: Orchestrator, folder: Path, look: Callable[[], Snapshot]
    ) -> None:
        """``folder`` is where the journal lies too; ``look`` reads the facts from the kernel."""
        self._orchestrator = orchestrator
        self._folder = folder / "holds"
        self._look = look

    def records(self) -> tuple[Held, ...]:
        """Return what is written down, by name; a damaged record is left out."""
        found = []
        with contextlib.suppress(OSError):
            for path in sorted(self._folder.glob("*.json")):
                with contextlib.suppress(OSError, ValueError, TypeError):
                    found.append(Held(**json.loads(path.read_text())))
        return tuple(found)

    def hold(self, file: Path, name: str) -> Held:
        """Hold the bytes of ``file`` under ``name``, a word of letters, digits and ``._-``.

        NotDone where the name is bad or taken or memory is short; ActFailed
        with the kernel's errno otherwise. Nothing is left preserved then.
        """
        if not _NAME.fullmatch(name):
            raise NotDone(
                "A name is 1 to 64 letters, digits, dots, dashes or underscores.", Exit.USAGE
            )
        self._may_act()
        now = self._look()
        if (known := self._find(name)) and self._stands(known, now):
            raise NotDone(f"{name} is held already (token {known.token}).")
        state = now.luo.state
        try:
            source = file.open("rb")
        except OSError as error:
            raise ActFailed.of(Op.FILE, error, None, f"The file is {file}.") from error
        with source:
            self._room(os.fstat(source.fileno()).st_size)
            fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            try:
                try:
                    size, digest = _copy(source.fileno(), fd)
                except OSError as error:
                    raise ActFailed.of(Op.FILE, error, None, f"The file is {file}.") from error
                fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
                try:
                    token = self._orchestrator.preserve(fd)
                except OSError as error:
                    raise ActFailed.of(Op.PRESERVE, error, state) from error
            finally:
                os.close(fd)
        held = Held(
            name,
            token,
            size,
            digest,
            str(file.absolute()),
            now.host.boot_id,
            datetime.now(UTC).isoformat(timespec="seconds"),
            str(Person.here()),
        )
        try:
            self._write(held)
        except OSError as error:
            with contextlib.suppress(OSError):
                self._orchestrator.unpreserve(token)
            raise ActFailed.of(
                Op.FILE, error, state, "The record could not be written; nothing is held."
            ) from error
        return held

    def restore(self, name: str, out: Path, *, force: bool = False) -> Held:
        """Write the bytes held under ``name`` to ``out`` and prove them by size and SHA-256.

        The room for ``out`` is taken before the kernel gives the bytes back.
        If they cannot be written after that, or are not those that were held,
        they are preserved anew, so that nothing is lost by the failure.
        """
        self._may_act()
        held = self._find(name)
        if held is None:
            raise NotDone(f"Nothing is held under the name {name}.", Exit.NOT_FOUND)
        state = self._look().luo.state
        if state is not State.UPDATED:
            raise ActFailed.of(Op.RESTORE, errno.EBUSY, state)
        if out.exists() and not force:
            raise NotDone(f"{out} exists; --force replaces it.", Exit.USAGE)
        try:
            target, path = tempfile.mkstemp(prefix=".luo-tui-", dir=out.absolute().parent)
        except OSError as error:
            raise ActFailed.of(Op.FILE, error, state, "Nothing was restored.") from error
        temporary = Path(path)
        try:
            try:
                if held.bytes:
                    os.posix_fallocate(target, 0, held.bytes)
            except OSError as error:
                raise ActFailed.of(Op.FILE, error, state, "Nothing was restored.") from error
            try:
                fd = self._orchestrator.restore(held.token)
            except OSError as error:
                raise ActFailed.of(Op.RESTORE, error, state) from error
            try:
                self._deliver(held, fd, target, temporary, out)
            finally:
                os.close(fd)
        finally:
            os.close(target)
            with contextlib.suppress(OSError):
                temporary.unlink()
        self._forget(name)
        return held

    def unpreserve(self, name: str) -> Held:
        """Give up what is held under ``name``: its memory is free again."""
        self._may_act()
        held = self._find(name)
        if held is None:
            raise NotDone(f"Nothing is held under the name {name}.", Exit.NOT_FOUND)
        now = self._look()
        if not self._stands(held, now):
            self._forget(name)
            raise NotDone(
                f"{name} was held in another boot and is not in memory any more; "
                "its record was removed.",
                Exit.NOT_FOUND,
            )
        try:
            self._orchestrator.unpreserve(held.token)
        except OSError as error:
            raise ActFailed.of(Op.UNPRESERVE, error, now.luo.state) from error
        self._forget(name)
        return held

    def _deliver(self, held: Held, fd: int, target: int, temporary: Path, out: Path) -> None:
        try:
            os.lseek(fd, 0, os.SEEK_SET)
            size, digest = _copy(fd, target)
            os.ftruncate(target, size)
            os.fsync(target)
            if (size, digest) == (held.bytes, held.sha256):
                temporary.replace(out)
                fsync_folder(out.absolute().parent)
        except OSError as error:
            raise ActFailed.of(Op.FILE, error, State.UPDATED, self._again(held, fd)) from error
        if (size, digest) != (held.bytes, held.sha256):
            raise NotDone(
                f"What came back as {held.name} is not what was held: {size} of {held.bytes} "
                f"bytes, SHA-256 {digest}, held {held.sha256}. {self._again(held, fd)}",
                Exit.MISMATCH,
            )

    def _again(self, held: Held, fd: int) -> str:
        """Preserve a restored file anew, so that a failed delivery does not lose it."""
        try:
            token = self._orchestrator.preserve(fd)
        except OSError as error:
            return f"It could not be preserved anew ({os.strerror(error.errno or 0)}): it is lost."
        with contextlib.suppress(OSError):
            self._write(replace(held, token=token, boot=self._look().host.boot_id))
        return f"It is preserved anew (token {token}) and can be restored after the next update."

    def _stands(self, held: Held, now: Snapshot) -> bool:
        """Whether the kernel still has what a record speaks of."""
        resource = now.resources.get(held.token)
        if resource is None or resource.name != held.name or resource.bytes != held.bytes:
            return False
        if resource.state is ResourceState.PRESERVED:
            return held.boot == now.host.boot_id
        return resource.state is ResourceState.INCOMING

    def _may_act(self) -> None:
        if not self._orchestrator.may_act():
            raise NotDone("Acting needs root: run the same command with sudo.", Exit.NOT_PERMITTED)

    def _room(self, size: int) -> None:
        # Slow to import, and of no use to a command that only looks.
        import psutil

        free = psutil.virtual_memory().available
        if size + _HEADROOM > free:
            raise NotDone(
                f"Holding {size} bytes would leave this host without memory: {free} are available.",
                Exit.NO_SPACE,
            )

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def _find(self, name: str) -> Held | None:
        return next((h for h in self.records() if h.name == name), None)

    def _write(self, held: Held) -> None:
        self._folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        temporary = self._folder / f".{held.name}.new"
        try:
            with temporary.open("w") as file:
                json.dump(asdict(held), file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path(held.name))
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        fsync_folder(self._folder)

    def _forget(self, name: str) -> None:
        with contextlib.suppress(OSError):
            self._path(name).unlink()


def _copy(source: int, target: int) -> tuple[int, str]:
    digest = hashlib.sha256()
    size = 0
    while chunk := os.read(source, _CHUNK):
        digest.update(chunk)
        size += len(chunk)
        view = memoryview(chunk)
        while view:
            view = view[os.write(target, view) :]
    return size, digest.hexdigest()
