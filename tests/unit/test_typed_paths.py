# SPDX-License-Identifier: MIT
"""Paths as operators type them: a file, or a sentence; never an exception of another sort."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from luo_tui.console.paths import existing_file, typed_path
from luo_tui.errors import NotDone


def test_a_path_is_whole_and_home_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert typed_path("  /boot/vmlinuz ") == Path("/boot/vmlinuz")
    assert typed_path("~/a b") == Path("/home/me/a b")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", "No path is typed."),
        ("   ", "No path is typed."),
        ("vmlinuz", "type the whole path, from / on"),
        ("./x", "type the whole path, from / on"),
        ("~nosuchuser/x", "no such user"),
        ("/a\0b", "no NUL"),
        ("~\0/x", "no NUL"),
    ],
)
def test_what_is_no_path_is_said(typed: str, said: str) -> None:
    with pytest.raises(NotDone, match=said):
        typed_path(typed)


def test_only_an_ordinary_file_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    link = tmp_path / "link"
    link.symlink_to(file)
    assert existing_file(str(file)) == file
    assert existing_file(str(link)) == link
    for path, said in (
        (tmp_path, "is a directory"),
        (pipe, "no ordinary file"),
        (Path("/dev/null"), "no ordinary file"),
        (tmp_path / "none", "No such file"),
        (file / "below", "Not a directory"),
        (loop, "symbolic links"),
        (tmp_path / ("x" * 300), "too long"),
    ):
        with pytest.raises(NotDone, match=said) as refused:
            existing_file(str(path))
        assert str(path) in refused.value.reason
