# SPDX-License-Identifier: MIT
"""Which orchestrator a host has, and that no call is made to the wrong interface."""

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
from luo_tui.orchestrator import Move, choose
from luo_tui.orchestrator.state_machine import HostKexec, StateMachine
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


def test_luo_v2_is_known_by_its_answer(kernel: Kernel) -> None:
    found = choose.choose()
    assert found.available
    assert found.why == "/dev/liveupdate answered GET_STATE: normal"
    assert isinstance(choose.open_orchestrator(), StateMachine)


def test_mainline_is_named_and_never_driven(kernel: Kernel) -> None:
    kernel.device(invalid)
    kernel.shown(LuoState(State.UNAVAILABLE, "/dev/liveupdate speaks the sessions interface"))
    found = choose.choose()
    assert not found.available
    assert "sessions interface" in found.why
    # Its EINVAL must not read as a wrong state.
    for act in (
        found.orchestrator.state,
        lambda: found.orchestrator.move(Move.PREPARE),
        lambda: found.orchestrator.preserve(0),
        lambda: found.orchestrator.unpreserve(0),
        lambda: found.orchestrator.restore(0),
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
    kernel.shown(LuoState(State.UNAVAILABLE, "the reason"))
    assert choose.choose().why == "the reason"
    kernel.shown(LuoState(State.NORMAL))
    found = choose.choose()
    assert not found.available
    assert os.strerror(code) in found.why


def test_without_privilege_sysfs_decides(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel.device(invalid, opens=errno.EACCES)
    monkeypatch.setattr(caps, "may_act", lambda: False)
    kernel.shown(LuoState(State.PREPARED))
    found = choose.choose()
    assert found.available
    assert "state says prepared" in found.why
    assert found.orchestrator.state() is State.PREPARED
    kernel.shown(LuoState(State.UNAVAILABLE, "no module"))
    found = choose.choose()
    assert (found.available, found.why) == (False, "no module")
    with pytest.raises(OSError) as refused:
        found.orchestrator.state()
    assert refused.value.errno == errno.ENOENT
    assert refused.value.filename == luo_v2.DEVICE


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
        lambda: "BOOT_IMAGE=/vmlinuz root=/dev/vda initrd=/i.img kho=on initrdmem=4 x=BOOT_IMAGE=",
    )
    assert HostKexec().command_line() == "root=/dev/vda kho=on initrdmem=4 x=BOOT_IMAGE="


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


def test_a_state_that_cannot_be_read_says_why(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unread() -> LuoState:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(sysfs, "read_state", unread)
    kernel.device(invalid, opens=errno.EACCES)
    found = choose.choose()
    assert (found.available, found.why) == (
        False,
        "/sys/kernel/liveupdate/state: Too many open files",
    )
    kernel.device(invalid, opens=errno.ENXIO)
    assert choose.choose().why == "/dev/liveupdate: No such device or address"
