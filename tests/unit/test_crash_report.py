# SPDX-License-Identifier: MIT
"""Crash reports: what stands in them, where they lie, how many are kept."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest

from luo_tui.console.crash_report import MOST, keep_report


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    return tmp_path / "state" / "luo-tui"


def failing() -> BaseException:
    def inner() -> None:
        password = "correct horse"
        raise KeyError(len(password))

    def outer() -> None:
        try:
            inner()
        except KeyError as error:
            raise RuntimeError("drawn badly") from error

    try:
        outer()
    except RuntimeError as error:
        return error
    raise AssertionError


def test_it_has_the_traceback_of_the_cause_without_local_values(state: Path) -> None:
    path = Path(keep_report(failing()))
    text = path.read_text()
    assert path.parent == state
    assert path.stat().st_mode & 0o777 == 0o600
    assert state.stat().st_mode & 0o777 == 0o700
    assert "RuntimeError: drawn badly" in text
    assert "KeyError: 13" in text
    assert "in inner" in text
    assert "in outer" in text
    assert "direct cause" in text
    assert "correct horse" not in text


def test_words_are_a_report_too(state: Path) -> None:
    assert Path(keep_report("It ended without a reason.")).read_text() == (
        "It ended without a reason.\n"
    )


def test_the_newest_ten_are_kept(state: Path) -> None:
    state.mkdir(parents=True)
    (state / "notes.txt").write_text("not ours")
    (state / "luo-tui-crash-folder.txt").mkdir()
    paths = [Path(keep_report(f"number {n}")) for n in range(MOST)]
    for age, path in enumerate(reversed(paths)):
        os.utime(path, (1000 - age, 1000 - age))
    # A clock that was set back: the report that was just written stays all the same.
    os.utime(paths[-1], (9e9, 9e9))
    last = [Path(keep_report(f"number {n}")) for n in (10, 11)]
    left = {p.read_text() for p in state.iterdir() if p.is_file()}
    assert left == {"not ours", *(f"number {n}\n" for n in range(2, 12))}
    assert all(p.exists() for p in last)


def test_others_reports_in_a_shared_folder_are_left_alone(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "temporary"
    state.parent.write_text("where the folder should be is a file")
    for n in range(MOST + 3):
        (shared / f"luo-tui-crash-{n}.txt").write_text("another's")
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    path = Path(keep_report("mine"))
    assert path.parent == shared
    assert len(list(shared.iterdir())) == MOST + 4


def test_it_never_fails(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Nasty(Exception):
        def __str__(self) -> str:
            raise ValueError("no words")

    assert Path(keep_report(Nasty())).read_text()
    deep = RuntimeError("x" * 2_000_000)
    assert Path(keep_report(deep)).stat().st_size < 300_000
    assert Path(keep_report(ValueError("\ud800"))).exists()
    monkeypatch.setattr(tempfile, "mkstemp", lambda **_: 1 / 0)
    assert keep_report("no way to write it") == ""
    monkeypatch.undo()
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert Path(keep_report("no home")).parent == tmp_path / "temporary"


def test_a_folder_that_cannot_be_made_is_passed_over(state: Path, tmp_path: Path) -> None:
    state.parent.write_text("a file")
    path = Path(keep_report("elsewhere"))
    assert path.parent == tmp_path / "temporary"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
