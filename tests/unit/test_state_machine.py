# SPDX-License-Identifier: MIT
"""LUO v2 on this host: what it says of itself, and that no call is made to the wrong interface."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from luo_tui.errors import Exit, Op, explain
from luo_tui.model import LuoState, State
from luo_tui.orchestrator import Move
from luo_tui.orchestrator.choose import open_orchestrator
from luo_tui.orchestrator.state_machine import StateMachine
from luo_tui.orchestrator.this_host import HostKexec
from luo_tui.sources import sysfs
from luo_tui.uapi import caps, kho, luo_v2


class Kernel:
    """The device and the state file of a kernel, as a test wants them."""

    def __init__(self, patch: pytest.MonkeyPatch, folder: Path) -> None:
        self._patch = patch
        self._folder = folder
        self.calls: list[int] = []
        self.shown(LuoState(State.NORMAL))
        self.device(lambda: State.NORMAL)
        patch.setattr(caps, "may_act", lambda: True)
        patch.setattr(fcntl, "ioctl", lambda _fd, number, *_: self.calls.append(number))

    def shown(self, luo: LuoState) -> None:
        self._patch.setattr(sysfs, "read_state", lambda: luo)

    def device(self, get_state: Callable[[], State], *, opens: int = 0) -> None:
        def open_device() -> int:
            if opens:
                raise OSError(opens, os.strerror(opens), luo_v2.DEVICE)
            return os.open(self._folder, os.O_RDONLY)

        self._patch.setattr(luo_v2, "open_device", open_device)
        self._patch.setattr(luo_v2, "get_state", lambda _fd: get_state())


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Kernel:
    return Kernel(monkeypatch, tmp_path)


def invalid() -> State:
    raise OSError(errno.EINVAL, "Invalid argument")


def test_the_state_is_the_devices(kernel: Kernel) -> None:
    kernel.device(lambda: State.FROZEN)
    assert open_orchestrator().state() is State.FROZEN


def test_mainline_is_never_driven(kernel: Kernel) -> None:
    kernel.device(invalid)
    found = open_orchestrator()
    # Its EINVAL must not read as a wrong state.
    for act in (
        found.state,
        lambda: found.move(Move.PREPARE),
        lambda: found.preserve(0),
        lambda: found.unpreserve(0),
        lambda: found.restore(0),
    ):
        with pytest.raises(OSError) as refused:
            act()
        said = explain(Op.PREPARE, refused.value)
        assert (said.op, said.code) == (Op.OPEN, Exit.UNAVAILABLE)
        assert "another interface" in said.meaning
    assert kernel.calls == []


@pytest.mark.parametrize("code", [errno.EBUSY, errno.ENOENT])
def test_a_device_that_does_not_open_is_said(kernel: Kernel, code: int) -> None:
    kernel.device(invalid, opens=code)
    with pytest.raises(OSError) as refused:
        open_orchestrator().state()
    assert (refused.value.errno, refused.value.filename) == (code, luo_v2.DEVICE)


def test_without_privilege_sysfs_decides(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel.device(invalid, opens=errno.EACCES)
    monkeypatch.setattr(caps, "may_act", lambda: False)
    kernel.shown(LuoState(State.PREPARED))
    assert open_orchestrator().state() is State.PREPARED
    kernel.shown(LuoState(State.UNAVAILABLE, "no module"))
    with pytest.raises(OSError, match="no module") as refused:
        open_orchestrator().state()
    assert (refused.value.errno, refused.value.filename) == (errno.ENOENT, luo_v2.DEVICE)


@pytest.mark.parametrize(
    ("move", "number"),
    [
        (Move.PREPARE, luo_v2.EVENT_PREPARE),
        (Move.FREEZE, luo_v2.EVENT_FREEZE),
        (Move.CANCEL, luo_v2.EVENT_CANCEL),
        (Move.FINISH, luo_v2.EVENT_FINISH),
    ],
)
def test_each_move_is_its_own_call_and_the_device_is_let_go(
    kernel: Kernel, move: Move, number: int
) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    StateMachine().move(move)
    assert kernel.calls == [number]
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_the_boot_loaders_words_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        kho,
        "command_line",
        lambda: 'BOOT_IMAGE=/vmlinuz root=/dev/vda initrd=/i.img kho=on  x="a  BOOT_IMAGE=b" ',
    )
    # Two blanks stay two: inside quotes they are part of a value.
    assert HostKexec().command_line() == 'root=/dev/vda kho=on  x="a  BOOT_IMAGE=b" '


def test_the_title_never_claims_what_is_not_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sysfs, "FOLDER", tmp_path / "liveupdate")
    assert StateMachine().title == "no orchestrator"
    (tmp_path / "liveupdate").mkdir()
    assert StateMachine().title == "LUO v2 (luo.ko)"


@pytest.mark.parametrize(
    ("name", "real"), [("hv1", True), ("localhost", False), ("(none)", False), ("", False)]
)
def test_a_host_without_a_name_is_told(
    monkeypatch: pytest.MonkeyPatch, name: str, real: bool
) -> None:
    about = SimpleNamespace(nodename=name, release=os.uname().release)
    monkeypatch.setattr("os.uname", lambda: about)
    host = StateMachine().host()
    assert (host.name, host.has_real_name) == (name or "(none)", real)
    assert host.release == about.release
