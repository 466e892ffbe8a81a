# SPDX-License-Identifier: MIT
"""The journal survives what happens to files."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from luo_tui.window.journal import RESERVED, Journal, Lock, Who, latest, open_journal, read, tell


def test_records_come_back_and_add_up(tmp_path: Path) -> None:
    journal, before = open_journal(tmp_path, "boot-1")
    assert before.opened_by == ""
    journal.write("opened", who="ann", release="old")
    journal.write("begin", act="load")
    journal.write("done", act="load", target="new", image="/boot/new")
    journal.write("begin", act="prepare")
    story = journal.story()
    assert (story.opened_by, story.release, story.target) == ("ann", "old", "new")
    assert (story.loaded_in, story.under_way, story.prepared) == ("boot-1", "prepare", False)
    journal.write("done", act="prepare")
    journal.write("jump", target="new", tokens=[3, 4])
    journal.close(trim=False)
    story = latest(tmp_path)
    assert story is not None
    assert (story.jumped_from, story.tokens, story.prepared) == ("boot-1", (3, 4), True)
    again, resumed = open_journal(tmp_path, "boot-2")
    assert resumed == story
    again.write("returned", errno=22)
    again.write("closed", how="failed")
    again.close(trim=True)
    ended = latest(tmp_path)
    assert ended is not None
    assert (ended.jumped_from, ended.closed) == ("", "failed")
    assert open_journal(tmp_path, "boot-2")[1].window != ended.window


def test_blocks_are_reserved_while_open_and_given_back(tmp_path: Path) -> None:
    journal, _ = open_journal(tmp_path, "b")
    journal.write("opened")
    text = journal.path.read_bytes()
    assert text.endswith(b"}\n")
    assert b"\0" not in text
    assert journal.path.stat().st_blocks * 512 >= RESERVED
    journal.close(trim=True)
    assert journal.path.read_bytes() == text
    assert journal.path.stat().st_blocks * 512 < RESERVED


def test_a_torn_line_is_left_out_and_does_not_swallow_the_next(tmp_path: Path) -> None:
    journal, _ = open_journal(tmp_path, "b")
    journal.write("opened", who="ann")
    journal.close(trim=True)
    with journal.path.open("ab") as file:
        file.write(b'{"event":"done","at":"20')
    story = latest(tmp_path)
    assert story is not None
    assert story.opened_by == "ann"
    again = Journal(journal.path, "b")
    again.write("begin", act="load")
    assert again.story().under_way == "load"


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"event":1}',
        b"\xff\xfe",
        b'{"event":"x","at":"","boot":"","up":"z"}',
    ],
)
def test_foreign_lines_are_left_out(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "w.jsonl"
    good = {"event": "opened", "at": "t", "boot": "b", "up": 1, "data": {"who": "x"}}
    path.write_bytes(line + b"\n" + json.dumps(good).encode() + b"\n")
    assert [r.event for r in read(path)] == ["opened"]


def test_a_full_disk_leaves_no_window_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, end: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("luo_tui.window.journal._reserve", full)
    with pytest.raises(OSError, match="No space"):
        open_journal(tmp_path, "b")
    assert list((tmp_path / "windows").iterdir()) == []


def test_one_lock_for_a_host(tmp_path: Path) -> None:
    mine, other = Lock(tmp_path), Lock(tmp_path)
    assert other.owner() is None
    mine.take(Who("ann", "pts/1", "", 4))
    mine.take(Who("ann", "pts/1", "", 4))
    assert mine.held
    assert mine.owner() is None
    assert other.owner() == Who("ann", "pts/1", "", 4)
    with pytest.raises(OSError, match="unavailable") as caught:
        other.take(Who("bob"))
    assert caught.value.errno == errno.EAGAIN
    assert not other.held
    mine.release()
    mine.release()
    assert other.owner() is None
    other.take(Who("bob"))


def test_the_lock_goes_with_its_process(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from luo_tui.window.journal import Lock, Who\n"
        f"lock = Lock(pathlib.Path({str(tmp_path)!r})); lock.take(Who('eve'))\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    owner = Lock(tmp_path).owner()
    assert owner is not None
    assert owner.user == "eve"
    child.kill()
    child.communicate()
    assert Lock(tmp_path).owner() is None


def test_unknown_events_are_passed_over() -> None:
    assert tell("w", []).window == "w"


def test_no_folder_is_no_window(tmp_path: Path) -> None:
    assert latest(tmp_path / "nowhere") is None
