# SPDX-License-Identifier: MIT
"""Restores what a guest's memory and state are in, charged to the guest's control group.

Who restores a memfd is charged for its pages (kernel/luo_memfd_restore.c). Were that
the program that loads guests, a guest's group would limit next to nothing, and that
program's group all guests.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
from collections.abc import Iterable, Sequence
from typing import Protocol

from luo_tui.guests.context import Context
from luo_tui.guests.start import belongs, join
from luo_tui.uapi import rights

_LONGEST = 4096
"""Bytes of what the child says; a failure is cut."""


class Keeper(Protocol):
    """What kept memfds through the kexec. OSError with its errno."""

    def restore(self, token: int) -> int:
        """Return a new descriptor for what came over."""
        ...


def restore_all(keeper: Keeper, tokens: Sequence[int], context: Context) -> list[int]:
    """Return a new descriptor for each token, in their order; none stays open where it fails.

    OSError: with the kernel's errno, or the control group could not be had.
    """
    if belongs(context):
        return _restored(keeper, tokens)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        child = os.fork()
        if not child:
            _in_its_group(keeper, tokens, context, theirs)
        theirs.close()
        try:
            said, fds, _ = rights.receive(ours, _LONGEST, len(tokens))
        finally:
            os.waitpid(child, 0)
    if len(fds) == len(tokens):
        return fds
    _close(fds)
    number, _, what = said.decode(errors="replace").partition(" ")
    raise OSError(int(number or errno.EIO), what or "what restores it was killed")


def _restored(keeper: Keeper, tokens: Iterable[int]) -> list[int]:
    fds: list[int] = []
    try:
        for token in tokens:
            fds.append(keeper.restore(token))
    except BaseException:
        _close(fds)
        raise
    return fds


def _close(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)


def _in_its_group(
    keeper: Keeper, tokens: Sequence[int], context: Context, to: socket.socket
) -> None:
    """Restore in a process of its own, and hand the descriptors on; its end is this process's."""
    what = "its control group: "
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        join(context)
        what = ""
        socket.send_fds(to, [b"0"], _restored(keeper, tokens))
    except OSError as error:
        text = f"{error.errno or errno.EIO} {what}{error.strerror or error}"
        to.send(text.encode()[:_LONGEST])
    except BaseException as error:
        to.send(f"{errno.EIO} {what}{error!r}".encode()[:_LONGEST])
    finally:
        os._exit(0)
