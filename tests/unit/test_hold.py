# SPDX-License-Identifier: MIT
"""hold and restore: bytes proved, and none lost by a failure."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from luo_tui.errors import ActFailed, Exit, NotDone
from luo_tui.monitor.hub import Hub
from luo_tui.orchestrator import Move
from luo_tui.orchestrator.simulated import SimulatedHost, SimulatedJump, SimulatedOrchestrator
from luo_tui.update.hold import Holds
from tests.opened import load_files

CONTENT = os.urandom(300_000)


@pytest.fixture
def host(tmp_path: Path) -> SimulatedHost:
    made = SimulatedHost(tmp_path / "host")
    made.lay_boot()
    return made


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(CONTENT)
    return path


def holds(host: SimulatedHost) -> Holds:
    orchestrator = SimulatedOrchestrator(host)
    return Holds(orchestrator, host.folder, Hub(orchestrator, lambda: None).read_now)


def update(host: SimulatedHost) -> None:
    load_files(host.load, host.boot_folder / "vmlinuz-7.3.4-hv")
    host.move(Move.PREPARE)
    with pytest.raises(SimulatedJump):
        host.reboot()


def test_bytes_come_back_after_the_update(
    host: SimulatedHost, source: Path, tmp_path: Path
) -> None:
    held = holds(host).hold(source, "cache")
    assert (held.bytes, held.token) == (len(CONTENT), 0)
    assert [r.name for r in host.resources()] == ["cache"]
    source.unlink()
    update(host)
    back = tmp_path / "back"
    assert holds(host).restore("cache", back) == held
    assert back.read_bytes() == CONTENT
    assert holds(host).records() == ()
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".luo")] == []


def test_an_empty_file_is_a_file(host: SimulatedHost, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    holds(host).hold(tmp_path / "empty", "none")
    update(host)
    holds(host).restore("none", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b""


@pytest.mark.parametrize("name", ["", "a/b", "../x", ".hidden", "a b", "x" * 65, "\x1b[2J"])
def test_bad_names_are_refused(host: SimulatedHost, source: Path, name: str) -> None:
    with pytest.raises(NotDone) as refused:
        holds(host).hold(source, name)
    assert refused.value.code is Exit.USAGE
    assert host.resources() == ()


def test_a_name_is_held_once(host: SimulatedHost, source: Path) -> None:
    holds(host).hold(source, "cache")
    with pytest.raises(NotDone, match="held already"):
        holds(host).hold(source, "cache")
    assert len(host.resources()) == 1
    holds(host).unpreserve("cache")
    assert host.resources() == ()
    holds(host).hold(source, "cache")


def test_a_record_of_another_boot_is_not_in_the_way(host: SimulatedHost, source: Path) -> None:
    holds(host).hold(source, "cache")
    load_files(host.load, host.boot_folder / "vmlinuz-7.3.4-hv")
    with pytest.raises(SimulatedJump):
        host.reboot()  # in normal: nothing is handed over
    with pytest.raises(NotDone, match="not in memory any more"):
        holds(host).unpreserve("cache")
    assert holds(host).records() == ()
    holds(host).hold(source, "cache")


def test_restore_only_where_it_can_be(host: SimulatedHost, source: Path, tmp_path: Path) -> None:
    with pytest.raises(NotDone) as refused:
        holds(host).restore("cache", tmp_path / "back")
    assert refused.value.code is Exit.NOT_FOUND
    holds(host).hold(source, "cache")
    with pytest.raises(ActFailed) as failed:
        holds(host).restore("cache", tmp_path / "back")
    assert failed.value.explanation.errno == errno.EBUSY
    assert failed.value.explanation.code is Exit.WRONG_STATE
    update(host)
    (tmp_path / "back").write_text("mine")
    with pytest.raises(NotDone, match="--force"):
        holds(host).restore("cache", tmp_path / "back")
    assert (tmp_path / "back").read_text() == "mine"
    with pytest.raises(ActFailed, match="no such file"):
        holds(host).restore("cache", tmp_path / "nowhere" / "back")
    holds(host).restore("cache", tmp_path / "back", force=True)
    assert (tmp_path / "back").read_bytes() == CONTENT


def test_no_room_is_found_out_before_anything_is_taken(
    host: SimulatedHost, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holds(host).hold(source, "cache")
    update(host)

    def full(fd: int, offset: int, length: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        with pytest.raises(ActFailed, match="disk is full"):
            holds(host).restore("cache", tmp_path / "back")
    assert not (tmp_path / "back").exists()
    holds(host).restore("cache", tmp_path / "back")


def test_other_bytes_are_found_out_and_kept(
    host: SimulatedHost, source: Path, tmp_path: Path
) -> None:
    held = holds(host).hold(source, "cache")
    record = next((host.folder / "holds").glob("*.json"))
    record.write_text(record.read_text().replace(held.sha256, "0" * 64))
    update(host)
    with pytest.raises(NotDone, match="not what was held") as refused:
        holds(host).restore("cache", tmp_path / "back")
    assert refused.value.code is Exit.MISMATCH
    assert not (tmp_path / "back").exists()
    # It went back to the kernel under a new token, so that nothing is lost.
    assert "preserved anew" in str(refused.value)
    (again,) = holds(host).records()
    assert again.token == held.token + 1


def test_a_record_that_cannot_be_written_holds_nothing(
    host: SimulatedHost, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Holds, held: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Holds, "_write", full)
    with pytest.raises(ActFailed, match="nothing is held"):
        holds(host).hold(source, "cache")
    assert host.resources() == ()


def test_what_would_not_fit_into_memory_is_refused(host: SimulatedHost, tmp_path: Path) -> None:
    huge = tmp_path / "huge"
    with huge.open("wb") as file:
        file.truncate(1 << 42)
    with pytest.raises(NotDone, match="without memory"):
        holds(host).hold(huge, "huge")
    with pytest.raises(ActFailed, match="no such file"):
        holds(host).hold(tmp_path / "none", "none")
