# SPDX-License-Identifier: MIT
"""The sessions of a kernel that runs in this process, as far as the holder needs them.

It answers as Linux 7.3 does (tests/lab/test_mainline.py has each errno on the real
one): the device lets one in, a session ends with its descriptor, a retrieved one
is gone with its holder, a file that was retrieved wrongly is gone for good.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path


def refuse(code: int) -> OSError:
    return OSError(code, os.strerror(code))


@dataclass
class Session:
    name: bytes
    files: dict[int, int] = field(default_factory=dict)
    incoming: bool = False
    retrieved: bool = False


class SessionsKernel:
    """One kernel; :meth:`kexec` gives the next one what is preserved at that moment."""

    def __init__(self, came: dict[bytes, Session] | None = None) -> None:
        self._came = came or {}
        self._open: dict[int, Session | None] = {}
        self.busy = False
        """Whether another process has the device open."""
        self.fails: dict[str, int] = {}
        """Errno by the name of a call that is to fail."""
        self.finished: list[bytes] = []

    # -- as uapi/luo_sessions ------------------------------------------------------------

    def open_device(self) -> int:
        self._may("open_device")
        self._forget_closed()
        if self.busy or None in self._open.values():
            raise refuse(errno.EBUSY)
        return self._new(None)

    def create_session(self, device: int, name: bytes) -> int:
        self._may("create_session")
        if name in (s.name for s in self._sessions() if not s.incoming):
            raise refuse(errno.EEXIST)
        return self._new(Session(name))

    def retrieve_session(self, device: int, name: bytes) -> int:
        self._may("retrieve_session")
        found = self._came.get(name)
        if found is None:
            raise refuse(errno.ENOENT)
        if found.retrieved:
            raise refuse(errno.EINVAL)
        found.retrieved = True
        return self._new(found)

    def preserve_fd(self, session: int, fd: int, token: int) -> None:
        self._may("preserve_fd")
        here = self._of(session)
        if not str(Path(f"/proc/self/fd/{fd}").readlink()).startswith("/memfd:"):
            raise refuse(errno.ENOENT)
        inodes = [os.fstat(f).st_ino for s in self._sessions() for f in s.files.values()]
        if token in here.files:
            raise refuse(errno.EEXIST)
        if os.fstat(fd).st_ino in inodes:
            raise refuse(errno.EBUSY)
        here.files[token] = os.dup(fd)

    def retrieve_fd(self, session: int, token: int) -> int:
        here = self._of(session)
        if token not in here.files:
            raise refuse(errno.ENOENT)
        if token and (code := self.fails.get("retrieve_fd")):
            os.close(here.files.pop(token))
            raise refuse(code)
        return here.files.pop(token)

    def finish(self, session: int) -> None:
        self._may("finish")
        here = self._of(session)
        self.finished.append(here.name)
        self._came.pop(here.name, None)

    # -- what a test does with it --------------------------------------------------------

    def kexec(self) -> SessionsKernel:
        """End this kernel: what open sessions preserve comes over, all else is gone."""
        self._forget_closed()
        held = {s.name: Session(s.name, s.files, True) for s in self._sessions() if not s.incoming}
        for fd in list(self._open):
            os.close(fd)
        self._open.clear()
        return SessionsKernel(held)

    def names(self) -> list[bytes]:
        """Return the names of the outgoing sessions."""
        self._forget_closed()
        return sorted(s.name for s in self._sessions() if not s.incoming)

    def _sessions(self) -> Iterator[Session]:
        return (s for s in self._open.values() if s is not None)

    def _new(self, session: Session | None) -> int:
        fd = os.memfd_create("the kernel's", os.MFD_CLOEXEC)
        self._open[fd] = session
        self._inodes[fd] = os.fstat(fd).st_ino
        return fd

    def _of(self, fd: int) -> Session:
        found = self._open.get(fd)
        if found is None:
            raise refuse(errno.ENOTTY)
        return found

    def _may(self, call: str) -> None:
        if code := self.fails.get(call):
            raise refuse(code)

    @property
    def _inodes(self) -> dict[int, int]:
        return self.__dict__.setdefault("inodes", {})

    def _forget_closed(self) -> None:
        """A descriptor that was closed, or has become another's, is none of ours any more."""
        for fd in list(self._open):
            try:
                ours = os.fstat(fd).st_ino == self._inodes[fd]
            except OSError:
                ours = False
            if not ours:
                gone = self._open.pop(fd)
                if gone is not None and gone.incoming:
                    self._came.pop(gone.name, None)
