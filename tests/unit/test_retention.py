# SPDX-License-Identifier: MIT
"""The latest windows are kept, with all their files; what is not a window's is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from luo_tui.update import open_window, retention
from luo_tui.update.retention import prune
from tests.unit.test_acts import Console, host


def names(folder: Path) -> set[str]:
    return {p.name for p in (folder / "windows").iterdir()}


def test_only_the_oldest_go_with_all_their_files(tmp_path: Path) -> None:
    windows = tmp_path / "windows"
    windows.mkdir()
    for number in (9, 10, 11):
        for suffix in ("jsonl", "plan.toml", "promised.json"):
            (windows / f"{number:06}-20260101T000000.500000Z.{suffix}").touch()
    (windows / "notes.txt").touch()
    (windows / "folder").mkdir()
    prune(tmp_path, keep=2)
    assert {n[:6] for n in names(tmp_path)} == {"000010", "000011", "notes.", "folder"}
    assert len(names(tmp_path)) == 8
    prune(tmp_path, keep=2)
    assert len(names(tmp_path)) == 8
    prune(tmp_path / "none")


def test_a_window_that_ends_prunes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_window, "prune", lambda folder: prune(folder, keep=2))
    machine = host(tmp_path)
    for _ in range(4):
        console = Console(machine)
        console.load()
        console.window.leave("q")
    journals = sorted(n for n in names(machine.folder) if n.endswith(".jsonl"))
    assert len(journals) == 2
    assert retention.KEPT >= 100
