# SPDX-License-Identifier: MIT
"""What is restored for a guest is restored in its control group, or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from luo_tui.guests import start
from luo_tui.guests.context import Context
from luo_tui.guests.restore import restore_all

NOWHERE = Context(0, 0, (), 0o22, (), (), 0, 0, (), "", {})
GROUP = NOWHERE._replace(
    cgroup="/guests/web1", cgroup_files={"memory.max": "1000", "cpu.max": "max"}
)


class Keeper:
    """Gives out a file for each token, in which it says which process asked."""

    def __init__(self, fails: dict[int, BaseException] | None = None) -> None:
        self.fails = fails or {}

    def restore(self, token: int) -> int:
        if token in self.fails:
            raise self.fails[token]
        fd = os.memfd_create(f"token{token}")
        os.write(fd, f"{token} {os.getpid()}".encode())
        return fd


def told(fds: list[int]) -> list[tuple[int, int]]:
    found = []
    for fd in fds:
        token, pid = os.pread(fd, 100, 0).split()
        found.append((int(token), int(pid)))
        assert not os.get_inheritable(fd)
        os.close(fd)
    return found


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for the kernel's control groups: a folder's files are there once it is made."""
    monkeypatch.setattr(start, "CGROUPS", tmp_path)
    make = Path.mkdir

    def mkdir(folder: Path, *given: Any, **named: Any) -> None:
        make(folder, *given, **named)
        for one in (folder, *folder.parents):
            if one.is_relative_to(tmp_path):
                for name in ("cgroup.procs", "cgroup.subtree_control", "memory.max"):
                    (one / name).touch()

    monkeypatch.setattr(Path, "mkdir", mkdir)
    return tmp_path


def test_without_a_group_it_is_done_here(groups: Path) -> None:
    assert told(restore_all(Keeper(), (4, 7), NOWHERE)) == [(4, os.getpid()), (7, os.getpid())]
    assert list(groups.iterdir()) == []


def test_in_its_group_by_a_process_that_has_ended_then(groups: Path) -> None:
    before = open_files()
    fds = restore_all(Keeper(), (4, 7, 5), GROUP)
    (tokens, pids) = zip(*told(fds), strict=True)
    assert tokens == (4, 7, 5)
    (pid,) = set(pids)
    assert pid != os.getpid()
    assert not Path(f"/proc/{pid}").exists()
    assert (groups / "guests/web1/cgroup.procs").read_text() == "0"
    assert (groups / "guests/web1/memory.max").read_text() == "1000"
    assert not (groups / "guests/web1/cpu.max").exists(), "this kernel does not limit it"
    for parent in (groups, groups / "guests"):
        # Each word is a write of its own: the last one stands in the file.
        assert (parent / "cgroup.subtree_control").read_text() == "+memory"
    assert (groups / "guests/web1/cgroup.subtree_control").read_text() == ""
    assert open_files() == before


@pytest.mark.parametrize("context", [NOWHERE, GROUP])
def test_a_failure_keeps_its_errno_and_leaves_nothing_open(groups: Path, context: Context) -> None:
    before = open_files()
    keeper = Keeper({7: OSError(errno.ENOMEM, "Cannot allocate memory")})
    with pytest.raises(OSError, match="Cannot allocate memory") as caught:
        restore_all(keeper, (4, 7), context)
    assert caught.value.errno == errno.ENOMEM
    assert open_files() == before


def test_a_group_that_cannot_be_had_is_named(groups: Path) -> None:
    (groups / "guests").write_text("no folder")
    with pytest.raises(OSError, match="its control group: ") as caught:
        restore_all(Keeper(), (4,), GROUP)
    assert caught.value.errno in (errno.ENOTDIR, errno.EEXIST)


def test_whatever_else_fails_is_told(groups: Path) -> None:
    with pytest.raises(OSError, match=r"ValueError\('odd'\)"):
        restore_all(Keeper({4: ValueError("odd")}), (4,), GROUP)


def test_a_process_that_is_killed_is_told(groups: Path) -> None:
    class Killed(Keeper):
        def restore(self, token: int) -> int:
            os.kill(os.getpid(), 9)
            return token

    with pytest.raises(OSError, match="was killed"):
        restore_all(Killed(), (4,), GROUP)
