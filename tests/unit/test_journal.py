# SPDX-License-Identifier: MIT
"""The journal survives what happens to files."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
import threading
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from luo_tui.update import lock as lock_module
from luo_tui.update.journal import RESERVED, Journal, latest, open_journal, read
from luo_tui.update.lock import SIZE, Lock, decode, encode
from luo_tui.update.person import Person
from luo_tui.update.window_state import Done, Record, window_state_of


def test_records_come_back_and_add_up(tmp_path: Path) -> None:
    journal, before = open_journal(tmp_path, "boot-1")
    assert before.opened_by == ""
    journal.write("opened", who="ann", release="old")
    journal.write("begin", act="load")
    journal.write("done", act="load", target="new", image="/boot/new")
    journal.write("begin", act="prepare")
    window_state = journal.window_state()
    assert (window_state.opened_by, window_state.release, window_state.target) == (
        "ann",
        "old",
        "new",
    )
    assert (window_state.loaded_in, window_state.under_way, window_state.prepared) == (
        "boot-1",
        "prepare",
        False,
    )
    journal.write("done", act="prepare")
    journal.write("jump", target="new", tokens=[3, 4])
    journal.close(trim=False)
    window_state = latest(tmp_path)
    assert window_state is not None
    assert (window_state.jumped_from, window_state.tokens, window_state.prepared) == (
        "boot-1",
        (3, 4),
        True,
    )
    again, resumed = open_journal(tmp_path, "boot-2")
    assert resumed == window_state
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
    window_state = latest(tmp_path)
    assert window_state is not None
    assert window_state.opened_by == "ann"
    again = Journal(journal.path, "b")
    again.write("begin", act="load")
    assert again.window_state().under_way == "load"


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

    monkeypatch.setattr("luo_tui.update.journal._reserve", full)
    with pytest.raises(OSError, match="No space"):
        open_journal(tmp_path, "b")
    assert list((tmp_path / "windows").iterdir()) == []


def test_one_lock_for_a_host(tmp_path: Path) -> None:
    mine, other = Lock(tmp_path), Lock(tmp_path)
    assert other.holder() is None
    mine.take(Person("ann", "pts/1", "", 4))
    mine.take(Person("ann", "pts/1", "", 4))
    assert mine.held
    assert mine.holder() is None
    seen = other.holder()
    assert seen is not None
    assert replace(seen, since="") == Person("ann", "pts/1", "", 4)
    assert datetime.now(UTC) - datetime.fromisoformat(seen.since) < timedelta(seconds=60)
    with pytest.raises(OSError, match="unavailable") as caught:
        other.take(Person("bob"))
    assert caught.value.errno == errno.EAGAIN
    assert not other.held
    mine.release()
    mine.release()
    assert other.holder() is None
    other.take(Person("bob"))


def test_the_lock_goes_with_its_process(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from luo_tui.update.lock import Lock\n"
        "from luo_tui.update.person import Person\n"
        f"lock = Lock(pathlib.Path({str(tmp_path)!r})); lock.take(Person('eve'))\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    owner = Lock(tmp_path).holder()
    assert owner is not None
    assert owner.user == "eve"
    child.kill()
    child.communicate()
    assert Lock(tmp_path).holder() is None


def test_unknown_events_are_passed_over() -> None:
    assert window_state_of("w", []).window == "w"


def test_no_folder_is_no_window(tmp_path: Path) -> None:
    assert latest(tmp_path / "nowhere") is None


ANN = Person("ann", "pts/1", "192.0.2.7", 4)
BOB = Person("bob", "pts/2", "", 5)


def test_what_the_owner_does_is_seen_by_others(tmp_path: Path) -> None:
    mine, other = Lock(tmp_path), Lock(tmp_path)
    mine.show_doing("nobody hears this")
    assert not (tmp_path / "lock").exists(), "who does not hold the lock writes nothing"
    mine.take(ANN)
    for doing in ("under way: prepare", "", "asked to confirm: freeze and kexec"):
        mine.show_doing(doing)
        seen = other.holder()
        assert seen is not None
        assert seen.doing == doing
        assert (tmp_path / "lock").stat().st_size == SIZE
    mine.release()
    mine.show_doing("too late")
    other.take(BOB)
    assert (seen := Lock(tmp_path).holder()) is not None
    assert (seen.user, seen.doing) == ("bob", ""), "nothing of the last owner is left"


def test_a_reader_never_sees_half_of_a_text(tmp_path: Path) -> None:
    mine, other = Lock(tmp_path), Lock(tmp_path)
    mine.take(ANN)
    texts = ("a" * 160, "b" * 160, "")
    done = threading.Event()

    def write() -> None:
        for n in range(3000):
            mine.show_doing(texts[n % 3])
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    while not done.is_set():
        who = other.holder()
        assert who is not None
        assert who.user == "ann"
        seen.add(who.doing)
    writer.join()
    assert seen <= set(texts)
    # And should the kernel mix the two, that is noticed.
    old, new = encode(replace(ANN, doing="x" * 160)), encode(replace(ANN, doing="y" * 160))
    assert decode(old) is not None
    assert [cut for cut in range(1, SIZE) if decode(new[:cut] + old[cut:]) not in (
        None, decode(old), decode(new)
    )] == []  # fmt: skip
    assert decode(new[:150] + old[150:]) is None


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"null", b"\xff" * SIZE, b"x" * (1 << 20), b"{" * SIZE, b'{"user":"eve"}'],
)
def test_a_foreign_text_names_nobody_and_hides_nobody(tmp_path: Path, content: bytes) -> None:
    mine, other = Lock(tmp_path), Lock(tmp_path)
    mine.take(ANN)
    (tmp_path / "lock").write_bytes(content)
    assert other.holder() == Person(), "somebody has it all the same"
    mine.show_doing("choosing the target")
    mine.release()
    assert other.holder() is None
    other.take(BOB)
    assert (seen := mine.holder()) is not None
    assert seen.user == "bob"


@pytest.mark.parametrize("name", ["\x1b[2J", "\u202egnp", "\udcff", "\U0001f4a9" * 300, '"\\' * 99])
def test_hostile_names_are_made_harmless_and_fit(tmp_path: Path, name: str) -> None:
    mine = Lock(tmp_path)
    mine.take(Person(name, name, name, 1 << 70, name))
    mine.show_doing(name)
    seen = Lock(tmp_path).holder()
    assert seen is not None
    assert seen.user
    assert all(t.isprintable() for t in (seen.user, seen.tty, seen.doing, str(seen)))
    assert (tmp_path / "lock").stat().st_size == SIZE


def test_a_full_disk_does_not_harm_the_act(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = Lock(tmp_path)
    mine.take(ANN)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(lock_module.os, "pwrite", full)
        mine.show_doing("under way: prepare")
    assert mine.held
    assert (seen := Lock(tmp_path).holder()) is not None
    assert seen.user == "ann"
    mine.release()
    with monkeypatch.context() as patch:
        patch.setattr(lock_module.os, "pwrite", full)
        with pytest.raises(OSError, match="No space"):
            mine.take(ANN)
    assert not mine.held


def test_a_lock_file_that_was_replaced_is_no_lock_any_more(tmp_path: Path) -> None:
    mine, other = Lock(tmp_path), Lock(tmp_path)
    mine.take(ANN)
    assert not mine.lost
    (tmp_path / "lock").unlink()
    assert mine.lost
    other.take(BOB)
    seen = mine.holder()
    assert seen is not None
    assert seen.user == "bob"
    mine.release()
    assert other.held
    assert not other.lost


def test_watching_opens_the_lock_for_reading_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = Lock(tmp_path), Lock(tmp_path)
    mine.take(ANN)
    opened: list[int] = []
    ordinary = os.open

    def watched(path: str, flags: int, *more: int) -> int:
        fd = ordinary(path, flags, *more)
        opened.append(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE)
        return fd

    monkeypatch.setattr(lock_module.os, "open", watched)
    assert other.holder() is not None
    assert opened == [os.O_RDONLY]


def test_who_acts_is_found_behind_sudo_and_inside_tmux(tmp_path: Path) -> None:
    code = (
        "from luo_tui.update.lock import Person\n"
        "who = Person.here()\n"
        "print(who.origin, who.inside, sep='|')"
    )

    def said(outer: dict[str, str]) -> str:
        """What a program says whose own environment was emptied, as sudo does."""
        clean = {k: v for k, v in os.environ.items() if k not in ("SSH_CONNECTION", "TMUX", "STY")}
        inner = f"env -i PYTHONPATH={os.environ.get('PYTHONPATH', '.')} {sys.executable} -c"
        done = subprocess.run(
            ["/bin/sh", "-c", f'{inner} "$0"; true', code],
            env={**clean, **outer}, capture_output=True, text=True, check=True,
            cwd=Path(__file__).parents[2],
        )  # fmt: skip
        return done.stdout.strip()

    assert said({"SSH_CONNECTION": "192.0.2.7 5 192.0.2.1 22"}) == "192.0.2.7|"
    inside = {"TMUX": "/tmp/tmux-0/default,1,0", "SSH_CONNECTION": "192.0.2.7 5 192.0.2.1 22"}
    assert said(inside) == "|tmux"
    assert said({"STY": "9.pts-0.host"}) == "|screen"
    assert str(Person("ann", "pts/3", "", 7, "tmux")) == "ann on pts/3 in tmux (pid 7)"


def record(event: str, second: int, **data: object) -> Record:
    return Record(event, f"2026-01-01T00:00:{second:02d}.000+00:00", "boot-1", second, data)


def test_the_timeline_says_who_did_and_confirmed_what_and_how_it_ended() -> None:
    window_state = window_state_of(
        "w",
        [
            record("opened", 1, who=str(ANN), person=asdict(ANN)),
            record("begin", 2, act="load", confirmed=""),
            record("done", 3, act="load", target="new", image="/boot/new"),
            record("begin", 4, act="prepare", confirmed="Prepare: normal -> prepared"),
            record("failed", 5, act="prepare", errno=errno.EBUSY, state="normal"),
            record("begin", 6, act="prepare", confirmed="Prepare: normal -> prepared"),
            record("taken", 7, **{"from": asdict(ANN), "by": asdict(BOB)}),
            record("jump", 8, typed="hv-07", confirmed="End this kernel"),
            record("returned", 9, errno=errno.EINVAL, state="normal"),
            record("closed", 10, how="failed"),
        ],
    )
    assert (window_state.holder, window_state.taken_from, window_state.held_in) == (
        BOB,
        ANN,
        "boot-1",
    )
    at = "2026-01-01T00:00:{:02d}.000+00:00".format
    yes = "Prepare: normal -> prepared"
    assert window_state.acts == (
        Done("opened", at(1), str(ANN), ended=at(1)),
        Done("load", at(2), str(ANN), "", at(3), "done"),
        Done("prepare", at(4), str(ANN), yes, at(5), "failed, normal (EBUSY)"),
        Done("prepare", at(6), str(ANN), yes, "", "its end is not known"),
        Done("taken", at(7), str(BOB), ended=at(7), result=f"from {ANN}"),
        Done("kexec", at(8), str(BOB), "End this kernel, hv-07 typed", at(9),
             "failed, normal (EINVAL)"),
        Done("closed", at(10), str(BOB), ended=at(10), result="failed"),
    )  # fmt: skip
    assert json.dumps(asdict(window_state))


def test_a_timeline_has_an_end() -> None:
    long = [record("begin", n % 60, act="load") for n in range(1000)]
    assert len(window_state_of("w", long).acts) < 100


@pytest.mark.parametrize("person", [None, 7, [], {}, {"user": "x"}, {**asdict(ANN), "pid": "z"}])
def test_a_record_without_a_person_is_borne(person: object) -> None:
    window_state = window_state_of(
        "w", [record("opened", 1, who="ann", person=person), record("taken", 2)]
    )
    assert (window_state.holder, window_state.opened_by) == (None, "ann")
