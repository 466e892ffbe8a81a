# SPDX-License-Identifier: MIT
"""What the holder has: a session for each name, with one file and a manifest in it.

Outgoing, it lasts as long as this process. After the kexec it is retrieved by its
name, once, and from then on it ends with this process, too. Its file is retrieved
when somebody asks for it; a retrieve that the kernel refuses is final. The session
is finished alone when its file was given back, or with all others by ``finish``.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from luo_tui.arrival.headroom import Room, holes
from luo_tui.arrival.manifest import LONGEST, TOKEN, Manifest, packed, unpacked
from luo_tui.errors import Op
from luo_tui.uapi import luo_sessions

RESERVED = frozenset({"systemd"})
"""Sessions of this name are systemd's own (systemd-shutdown(8), from 261 on)."""
_SLACK = 1 << 20
"""Bytes of memory that a call to the kernel must leave free."""


class Kernel(Protocol):
    """The calls of :mod:`luo_tui.uapi.luo_sessions`."""

    def open_device(self) -> int: ...  # noqa: D102 - see there
    def create_session(self, device: int, name: bytes) -> int: ...  # noqa: D102
    def retrieve_session(self, device: int, name: bytes) -> int: ...  # noqa: D102
    def preserve_fd(self, session: int, fd: int, token: int) -> None: ...  # noqa: D102
    def retrieve_fd(self, session: int, token: int) -> int: ...  # noqa: D102
    def finish(self, session: int) -> None: ...  # noqa: D102


class NameFile(Protocol):
    """Where the names of sessions outlast the kernel."""

    def read(self) -> dict[str, str]: ...  # noqa: D102 - see luo_tui/arrival/names.py
    def write(self, sessions: dict[str, str]) -> None: ...  # noqa: D102


class Refused(Exception):
    """A request that cannot be done: by the kernel's errno, or by a rule of the holder's own."""

    def __init__(self, op: Op, code: int, said: str = "") -> None:
        """``said`` is a sentence where the errno alone does not tell."""
        super().__init__(said or os.strerror(code))
        self.op, self.code, self.said = op, code, said


class Phase(StrEnum):
    """Where a session of the holder's is."""

    OUTGOING = "outgoing"
    INCOMING = "incoming"
    """It came over and is retrieved; its file is not."""
    RESTORED = "restored"
    """Its file is retrieved, and the holder has it."""
    FINISHED = "finished"
    """Its file was given back."""
    LOST = "lost"
    """It did not come over, or cannot be used."""


@dataclass(slots=True)
class Kept:
    """One session of the holder's."""

    manifest: Manifest
    phase: Phase
    session: int = -1
    fd: int = -1
    """Of its file, once that is retrieved."""
    fault: str = ""

    def close(self) -> None:
        """Close what is open of it: outgoing, it is dropped by that; incoming, finished."""
        for fd in (self.fd, self.session):
            if fd >= 0:
                os.close(fd)
        self.fd = self.session = -1


@dataclass(frozen=True, slots=True)
class Here:
    """The process that holds, and its kernel."""

    pid: int
    comm: str
    boot: str
    release: str


class Store:
    """All sessions of one holder. One request at a time; whatever is refused changed nothing."""

    def __init__(
        self,
        here: Here,
        names: NameFile,
        room: Callable[[], Room | None],
        kernel: Kernel = luo_sessions,
    ) -> None:
        """``room`` tells how much memory may still be taken."""
        self.here = here
        self._names, self._room, self._kernel = names, room, kernel
        self._kept: dict[str, Kept] = {}

    def kept(self) -> tuple[Kept, ...]:
        """Return all, by name."""
        return tuple(one for _, one in sorted(self._kept.items()))

    def arrive(self) -> None:
        """Retrieve the sessions of earlier boots. Refused: the device cannot be opened now.

        What did not come over is kept as lost, with the reason. ValueError and
        OSError: the names cannot be read, and nothing was retrieved.
        """
        earlier = {n: b for n, b in self._names.read().items() if b != self.here.boot}
        if not earlier:
            return
        device = self._open()
        try:
            for name, boot in earlier.items():
                self._kept[name] = self._arrived(device, name, boot)
        finally:
            os.close(device)

    def hold(self, name: str, fd: int) -> int:
        """Have a new session of this name keep the file behind ``fd``; return its token."""
        encoded = _checked(name)
        known = self._kept.get(name)
        if known is not None and known.phase not in (Phase.FINISHED, Phase.LOST):
            raise Refused(Op.CREATE, errno.EEXIST, f"luo-tui-holder has a session named {name}.")
        with _refused(Op.KEEP):
            about = os.fstat(fd)
        size = about.st_size
        # The kernel fills its holes, on this process's account.
        self._need_room(Op.KEEP, holes(about), "held")
        token = 1 + max((one.manifest.token for one in self._kept.values()), default=TOKEN)
        here = self.here
        manifest = Manifest(name, token, size, here.pid, here.comm, here.boot, here.release)
        made = Kept(manifest, Phase.OUTGOING)
        # No session without its name on the disk: the next kernel would not give it out.
        self._write({**self._written(), name: here.boot})
        try:
            self._create(made, encoded, fd)
        except BaseException:
            made.close()
            with contextlib.suppress(Refused):
                self._write(self._written())
            raise
        self._kept[name] = made
        return token

    def restore(self, token: int) -> int:
        """Return the descriptor of what came under ``token``; it stays the holder's."""
        one = self._found(token)
        if one.phase is Phase.RESTORED:
            return one.fd
        if one.phase is not Phase.INCOMING:
            why = one.fault or f"Its session is {one.phase}."
            raise Refused(Op.TAKE, errno.ENOENT, why)
        self._need_room(Op.TAKE, one.manifest.bytes, "retrieved")
        try:
            one.fd = self._kernel.retrieve_fd(one.session, token)
        except OSError as error:
            why = os.strerror(error.errno or errno.EIO)
            one.phase, one.fault = Phase.LOST, f"The kernel could not restore it ({why}): final."
            raise Refused(Op.TAKE, error.errno or errno.EIO) from error
        one.phase = Phase.RESTORED
        if (size := os.fstat(one.fd).st_size) != one.manifest.bytes:
            one.fault = f"{size:,} of its {one.manifest.bytes:,} bytes came over."
        return one.fd

    def release(self, token: int) -> None:
        """Give up an outgoing session; finish one whose file was given back."""
        one = self._found(token)
        if one.phase is Phase.RESTORED:
            self._finish(one)
            one.phase = Phase.FINISHED
            self._write(self._written())
            return
        if one.phase is not Phase.OUTGOING:
            raise Refused(
                Op.END, errno.EBUSY, f"Its session is {one.phase}: restore it, or finish discards."
            )
        one.close()
        del self._kept[one.manifest.name]
        self._write(self._written())

    def finish(self) -> tuple[str, ...]:
        """Finish every session that came over, and forget it; return their names.

        What was not retrieved of them is destroyed. The sessions of others are not touched.
        """
        ended = []
        for one in self.kept():
            if one.phase is Phase.OUTGOING:
                continue
            if one.session >= 0:
                self._finish(one)
            one.close()
            del self._kept[one.manifest.name]
            ended.append(one.manifest.name)
        self._write(self._written())
        return tuple(ended)

    def close(self) -> None:
        """Close everything: what is outgoing is dropped, what came over finished."""
        for one in self._kept.values():
            one.close()

    # -- how -------------------------------------------------------------------------------

    def _arrived(self, device: int, name: str, boot: str) -> Kept:
        """Retrieve one session, and read what it says of itself."""
        made = Kept(Manifest(name, 0, 0, 0, "", boot, ""), Phase.LOST)
        try:
            made.session = self._kernel.retrieve_session(device, os.fsencode(name))
        except OSError as error:
            made.fault = _NOT_HERE.get(
                error.errno or 0, f"The kernel refused to give it out: {error}"
            )
            return made
        try:
            fd = self._kernel.retrieve_fd(made.session, TOKEN)
            try:
                made.manifest = unpacked(os.pread(fd, LONGEST, 0))
            finally:
                os.close(fd)
            if made.manifest.name != name:
                raise ValueError("its manifest is another session's")
        except (OSError, ValueError) as error:
            # It stays retrieved: what is in it may still be had by who knows its token.
            made.fault = f"What is in it is not known: {error}"
            return made
        made.phase = Phase.INCOMING
        return made

    def _create(self, made: Kept, name: bytes, fd: int) -> None:
        device = self._open()
        try:
            with _refused(Op.CREATE):
                made.session = self._kernel.create_session(device, name)
            with _refused(Op.KEEP):
                page = os.memfd_create("luo-tui manifest", os.MFD_CLOEXEC)
                try:
                    os.write(page, packed(made.manifest))
                    self._kernel.preserve_fd(made.session, page, TOKEN)
                finally:
                    os.close(page)
                self._kernel.preserve_fd(made.session, fd, made.manifest.token)
        finally:
            # Not before: closing it is what tells a watcher to look.
            os.close(device)

    def _open(self) -> int:
        with _refused(Op.OPEN):
            return self._kernel.open_device()

    def _finish(self, one: Kept) -> None:
        with _refused(Op.END):
            self._kernel.finish(one.session)
        one.close()

    def _need_room(self, op: Op, size: int, done: str) -> None:
        try:
            room = self._room()
        except (OSError, ValueError):
            return  # What cannot be read limits nobody; the kernel has the last word.
        need = size + _SLACK
        if room is not None and room.bytes < need:
            raise Refused(
                op,
                errno.ENOMEM,
                f"It needs {need:,} bytes, and memory.max of cgroup {room.group} leaves "
                f"{room.bytes:,}: nothing was {done}, and nothing is lost.",
            )

    def _found(self, token: int) -> Kept:
        for one in self._kept.values():
            if one.manifest.token == token != TOKEN:
                return one
        raise Refused(Op.TAKE, errno.ENOENT, f"luo-tui-holder has nothing under token {token}.")

    def _written(self) -> dict[str, str]:
        """Return the names that have to be on the disk: of all that is not over."""
        over = Phase.FINISHED
        found = {n: one.manifest.boot for n, one in self._kept.items() if one.phase is not over}
        return {n: boot or self.here.boot for n, boot in found.items()}

    def _write(self, names: dict[str, str]) -> None:
        with _refused(Op.FILE):
            self._names.write(names)


@contextlib.contextmanager
def _refused(op: Op) -> Iterator[None]:
    """Say of an OSError what was being done."""
    try:
        yield
    except OSError as error:
        raise Refused(op, error.errno or errno.EIO) from error


_NOT_HERE = {
    errno.ENOENT: "It did not come over: this kernel has no session of its name.",
    errno.EINVAL: "Somebody else has retrieved it already.",
}


def _checked(name: str) -> bytes:
    encoded = os.fsencode(name)
    if name in RESERVED:
        raise Refused(Op.CREATE, errno.EPERM, f"The session name {name} is systemd's own.")
    if not 0 < len(encoded) <= luo_sessions.LONGEST or b"\0" in encoded:
        raise Refused(
            Op.CREATE,
            errno.EINVAL,
            f"A session's name has 1 to {luo_sessions.LONGEST} bytes; this one {len(encoded)}.",
        )
    return encoded
