# SPDX-License-Identifier: MIT
"""LUO v2 on this host: the state machine behind ``/dev/liveupdate``.

The device is opened for each command and closed again: a watching console
holds nothing, and any number of tools may use it side by side.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator, Mapping, Sequence

from luo_tui.model import State
from luo_tui.orchestrator import ALL_MOVES, Move
from luo_tui.orchestrator.this_host import ThisHost
from luo_tui.sources import Source, sysfs
from luo_tui.uapi import luo_v2

_CALLS: Mapping[Move, Callable[[int], None]] = {
    Move.PREPARE: luo_v2.prepare,
    Move.FREEZE: luo_v2.freeze,
    Move.CANCEL: luo_v2.cancel,
    Move.FINISH: luo_v2.finish,
}


class StateMachine(ThisHost):
    """LUO v2 through luo.ko, or the reason why it is not there.

    It exists on any host: where there is no orchestrator, :meth:`state` says
    ENOENT, the sources tell of state ``unavailable``, and they notice when the
    module comes.
    """

    abilities = ALL_MOVES

    @property
    def title(self) -> str:
        """What stands behind it at this moment."""
        return "LUO v2 (luo.ko)" if sysfs.FOLDER.is_dir() else "no orchestrator"

    def make_ready(self) -> None:
        """Nothing has to run: the kernel keeps what is preserved."""

    def cannot(self) -> str:
        """Everything can be done where the module is."""
        return ""

    def state(self) -> State:
        """Ask the kernel: by GET_STATE where this process may, else by sysfs. ENOENT: no LUO."""
        if not self.may_act():
            luo = sysfs.read_state()
            if luo.state is State.UNAVAILABLE:
                raise OSError(errno.ENOENT, luo.detail, luo_v2.DEVICE)
            return luo.state
        with self._device() as device:
            return luo_v2.check(device)

    def move(self, move: Move) -> None:
        """Ask for a move; blocks until it is done."""
        with self._device() as device:
            _CALLS[move](device)

    def preserve(self, fd: int, name: str = "") -> int:
        """Have the kernel keep the file behind ``fd``, which has a name of its own."""
        del name
        with self._device() as device:
            return luo_v2.preserve(device, fd)

    def unpreserve(self, token: int) -> None:
        """Give a preserved file up."""
        with self._device() as device:
            luo_v2.unpreserve(device, token)

    def restore(self, token: int) -> int:
        """Return a new descriptor for what came over."""
        with self._device() as device:
            return luo_v2.restore(device, token)

    def let_go(self, token: int) -> None:
        """Nothing is to be done: the kernel keeps what was restored, in use, until finish."""

    def sources(self) -> Sequence[Source]:
        """Return the sources of LUO v2: the state attribute and the class's events."""
        from luo_tui.sources.udev import ResourceSource

        return (sysfs.StateSource(), ResourceSource())

    @contextlib.contextmanager
    def _device(self) -> Iterator[int]:
        device = luo_v2.open_device()
        try:
            luo_v2.check(device)
            yield device
        finally:
            os.close(device)
