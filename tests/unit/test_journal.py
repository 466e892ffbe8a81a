# SPDX-License-Identifier: MIT
"""The journal survives what happens to files."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import tempfile
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir

from luo_tui.errors import NotDone
from luo_tui.model import Resource, ResourceState
from luo_tui.update import journal as journal_module
from luo_tui.update.journal import (
    MOST,
    RESERVED,
    Journal,
    JournalReading,
    decode_record,
    encode_record,
    latest,
    number_of,
    open_journal,
    read,
    read_latest,
)
from luo_tui.update.person import Person
from luo_tui.update.resource_list import Listed, promised, token_digest
from luo_tui.update.window_state import FORMAT, Done, Record, window_state_of

ANN = Person("ann", "pts/1", "192.0.2.7", 4)
BOB = Person("bob", "pts/2", "", 5)


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
        b'{"event":1,"at":"","boot":"","up":1}',
        b'{"event":"x","at":"","boot":"","up":1' + b"0" * 400 + b"}",
        b'{"event":"x","at":"","boot":"","up":1' + b"0" * 5000 + b"}",
        b'{"event":"x","at":"","boot":"","up":NaN}',
        b'{"event":"x","at":"","boot":"","up":1e999}',
        b'{"event":"x","at":"","boot":"","up":true}',
        b'{"event":"x","at":"","boot":"","up":1,"data":[1]}',
        b'{"event":"x","at":"","boot":"","up":1,"v":1}',
        b'{"event":"x","at":"","boot":"","up":1,"v":"1"}',
        b'{"event":"x","at":"","boot":"","up":1,"v":-1}',
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b"\0" * 4096,
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


def test_unknown_events_are_passed_over() -> None:
    assert window_state_of("w", []).window == "w"


def test_no_folder_is_no_window(tmp_path: Path) -> None:
    assert latest(tmp_path / "nowhere") is None


ANN = Person("ann", "pts/1", "192.0.2.7", 4)
BOB = Person("bob", "pts/2", "", 5)


def record(event: str, second: int, **data: object) -> Record:
    return Record(event, f"2026-01-01T00:00:{second:02d}.000+00:00", "boot-1", second, data)


def test_the_timeline_says_who_did_and_confirmed_what_and_how_it_ended() -> None:
    window_state = window_state_of(
        "w",
        [
            record("opened", 1, who=str(ANN), person=ANN._asdict()),
            record("begin", 2, act="load", confirmed=""),
            record("done", 3, act="load", target="new", image="/boot/new"),
            record("begin", 4, act="prepare", confirmed="Prepare: normal -> prepared"),
            record("failed", 5, act="prepare", errno=errno.EBUSY, state="normal"),
            record("begin", 6, act="prepare", confirmed="Prepare: normal -> prepared"),
            record("taken", 7, **{"from": ANN._asdict(), "by": BOB._asdict()}),
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
    assert json.dumps(window_state._asdict())


def test_a_timeline_has_an_end() -> None:
    long = [record("begin", n % 60, act="load") for n in range(1000)]
    assert len(window_state_of("w", long).acts) < 100


@pytest.mark.parametrize("person", [None, 7, [], {}, {"user": "x"}, {**ANN._asdict(), "pid": "z"}])
def test_a_record_without_a_person_is_borne(person: object) -> None:
    window_state = window_state_of(
        "w", [record("opened", 1, who="ann", person=person), record("taken", 2)]
    )
    assert (window_state.holder, window_state.opened_by) == (None, "ann")


class Clock(datetime):
    """A clock that is ahead, as one is before NTP has set it right."""

    ahead = timedelta()

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:
        return datetime.now(tz) + cls.ahead


def test_the_newest_window_is_the_one_with_the_highest_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "datetime", Clock)
    windows = []
    for hours in (2, 0, 9, -9):
        monkeypatch.setattr(Clock, "ahead", timedelta(hours=hours))
        journal, window_state = open_journal(tmp_path, "b")
        journal.write("opened", who=f"at {hours}")
        assert (newest := latest(tmp_path)) is not None
        assert newest.window == window_state.window
        assert newest.opened_by == f"at {hours}"
        journal.write("closed", how="left")
        journal.close(trim=True)
        windows.append(window_state.window)
    assert [number_of(w) for w in windows] == [1, 2, 3, 4]


def test_windows_from_before_the_numbers_are_older_than_those_with_one(tmp_path: Path) -> None:
    (tmp_path / "windows").mkdir()
    for stem in ("20991231T235959.000000Z", "20260101T000000.000000Z"):
        line = {"event": "opened", "at": "t", "boot": "b", "up": 1, "data": {"who": stem}}
        end = {"event": "closed", "at": "t", "boot": "b", "up": 1, "data": {"how": "x"}}
        path = tmp_path / "windows" / f"{stem}.jsonl"
        path.write_text(f"{json.dumps(line)}\n{json.dumps(end)}\n")
    assert (newest := latest(tmp_path)) is not None
    assert newest.window == "20991231T235959.000000Z"
    journal, window_state = open_journal(tmp_path, "b")
    assert window_state.window.startswith("000001-")
    journal.write("opened", who="ann")
    assert (newest := latest(tmp_path)) is not None
    assert newest.opened_by == "ann"


def test_an_open_window_from_before_the_numbers_goes_on(tmp_path: Path) -> None:
    (tmp_path / "windows").mkdir()
    path = tmp_path / "windows" / "20260101T000000.000000Z.jsonl"
    lines = [
        {"event": "opened", "at": "t", "boot": "b", "up": 1, "data": {"who": "ann"}},
        {"event": "jump", "at": "t", "boot": "b", "up": 2, "data": {"tokens": [3, 4]}},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    journal, window_state = open_journal(tmp_path, "c")
    assert journal.path == path
    assert (window_state.tokens, window_state.promised_count) == ((3, 4), 2)
    assert [r.token for r in promised(tmp_path, window_state).resources] == [3, 4]
    journal.write("arrived")
    assert journal.window_state().arrived


@pytest.mark.parametrize(
    "name", ["notes.jsonl", "-1.jsonl", "000009.jsonl", "000009-later.jsonl", "a-1.jsonl", "\u0661"]
)
def test_foreign_files_are_passed_over(tmp_path: Path, name: str) -> None:
    journal, _ = open_journal(tmp_path, "b")
    journal.write("opened", who="ann")
    (tmp_path / "windows" / name).write_text("{}\n")
    (tmp_path / "windows" / "000008-20260101T000000.000000Z.jsonl").symlink_to("/etc/passwd")
    (tmp_path / "windows" / "000007-20260101T000000.000000Z.jsonl").mkdir()
    assert (newest := latest(tmp_path)) is not None
    assert newest.opened_by == "ann"


def newer(event: str, **data: object) -> bytes:
    return encode_record(record(event, 1, **data)._replace(format=FORMAT + 1))


def test_nothing_is_written_into_a_newer_window(tmp_path: Path) -> None:
    journal, _ = open_journal(tmp_path, "b")
    journal.write("opened", who="ann", release="old")
    journal.close(trim=True)
    with journal.path.open("ab") as file:
        file.write(newer("jump", tokens={"of": "another shape"}) + newer("unheard of"))
    before = journal.path.read_bytes()
    assert (found := latest(tmp_path)) is not None
    assert found.newer_format
    assert (found.opened_by, found.closed) == ("ann", ""), "what is ours still counts"
    assert not found.jumped_from, "what is not is passed over"
    for _ in range(2):
        with pytest.raises(NotDone, match=journal.path.name):
            open_journal(tmp_path, "b")
    assert journal.path.read_bytes() == before
    assert len(list((tmp_path / "windows").iterdir())) == 1
    # Once it is closed it is history, in whatever format.
    with journal.path.open("ab") as file:
        file.write(newer("closed", how="finished"))
    assert (found := latest(tmp_path)) is not None
    assert (found.closed, found.unwritable) == ("finished", "")
    following, window_state = open_journal(tmp_path, "b")
    assert following.path != journal.path
    assert number_of(window_state.window) == 2


def test_a_journal_without_one_readable_record_is_told_of(tmp_path: Path) -> None:
    journal, _ = open_journal(tmp_path, "b")
    journal.write("opened", who="ann")
    journal.write("closed", how="left")
    journal.close(trim=True)
    path = tmp_path / "windows" / "000002-20260101T000000.000000Z.jsonl"
    path.write_text("damaged\n")
    found = read_latest(tmp_path)
    assert path.name in found.fault
    assert found.window_state is not None
    assert found.window_state.opened_by == "ann"
    # It is in nobody's way: a host has to be brought back from prepared all the same.
    assert number_of(open_journal(tmp_path, "b")[1].window) == 3


def test_what_cannot_be_read_is_not_said_to_be_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_latest(tmp_path) == JournalReading()
    (tmp_path / "windows").write_text("a file")
    assert "Not a directory" in read_latest(tmp_path).fault
    with pytest.raises(NotADirectoryError):
        latest(tmp_path)
    (tmp_path / "windows").unlink()
    journal, _ = open_journal(tmp_path, "b")
    journal.write("opened", who="ann")

    def broken(path: Path) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    monkeypatch.setattr(Path, "read_bytes", broken)
    assert "Input/output error" in read_latest(tmp_path).fault
    with pytest.raises(OSError, match="Input/output"):
        open_journal(tmp_path, "b")


@pytest.mark.parametrize("umask", [0o027, 0o077])
def test_everybody_can_read_it_whatever_the_umask_is(tmp_path: Path, umask: int) -> None:
    folder = tmp_path / "lib" / "luo-tui"
    before = os.umask(umask)
    try:
        journal, _ = open_journal(folder, "b")
        journal.write("opened", who="ann")
        journal.write_promised(many(3))
    finally:
        os.umask(before)
    for path in (tmp_path / "lib", folder, folder / "windows"):
        assert path.stat().st_mode & 0o777 == 0o755, path
    for path in (folder / "windows").iterdir():
        assert path.stat().st_mode & 0o777 == 0o644, path
    # As one was left behind by an earlier version.
    (folder / "windows").chmod(0o700)
    journal.path.chmod(0o600)
    open_journal(folder, "b")
    assert (folder / "windows").stat().st_mode & 0o777 == 0o755
    assert journal.path.stat().st_mode & 0o777 == 0o644


def many(count: int) -> list[Resource]:
    state = ResourceState.PRESERVED
    return [
        Resource(n, "memfd", state, f"guest-{n}", n << 20, 1000 + n, "vmm") for n in range(count)
    ]


def test_a_hundred_thousand_tokens_fit_into_what_was_reserved(tmp_path: Path) -> None:
    journal, _ = open_journal(tmp_path, "b")
    journal.write("opened", who="ann")
    resources = many(100_000)
    journal.write("jump", target="new", promised=journal.write_promised(resources))
    assert journal.path.stat().st_size < 2048
    window_state = journal.window_state()
    assert window_state.promised_count == 100_000
    assert window_state.promised_bytes == sum(r.bytes for r in resources)
    assert window_state.promised_digest == token_digest(range(100_000))
    assert window_state.promised_digest != token_digest(range(99_999))
    assert window_state.jumped_from == "b"
    listed = promised(tmp_path, window_state).resources
    assert len(listed) == 100_000
    assert listed[7] == Listed(7, "guest-7", "memfd", 7 << 20, 1007, "vmm")
    # What is not what was written is not told as what was promised.
    path = next((tmp_path / "windows").glob("*.promised.json"))
    path.write_bytes(path.read_bytes().replace(b"guest-7", b"guest-8", 1))
    with pytest.raises(OSError, match="not what was written"):
        promised(tmp_path, window_state)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        promised(tmp_path, window_state)


def test_a_record_too_long_is_cut_and_says_so(tmp_path: Path) -> None:
    journal, _ = open_journal(tmp_path, "b")
    line, path = "x" * (1 << 20), "\udcff" * 4000
    journal.write("opened", who="ann", command_line=line, image=path, tokens=list(range(99_999)))
    assert journal.path.stat().st_size <= MOST
    (found,) = read(journal.path)
    assert found.data["who"] == "ann"
    assert set(found.data["cut"]) == {"command_line", "image", "tokens"}
    assert line.startswith(found.data["command_line"])


def test_room_for_a_whole_act_is_there_before_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, _ = open_journal(tmp_path, "b")
    journal.write("opened", who="ann")
    reserved: list[int] = []

    def full(fd: int, end: int) -> None:
        reserved.append(end)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("luo_tui.update.journal._reserve", full)
    long = "x" * (MOST - 1024)
    begun = 0
    while not reserved:
        assert begun < 100, "the reserve was never used up"
        with contextlib.suppress(OSError):
            journal.write("begin", act="load", confirmed=long)
            begun += 1
            journal.write("done", act="load", command_line=long)
    assert begun > 1
    events = [r.event for r in read(journal.path)]
    assert events == ["opened", *["begin", "done"] * begun], "what began came to its end"
    # And there is room left to say how the window ends.
    for event in ("left", "closed"):
        journal.write(event, how=long)
    assert journal.path.stat().st_size <= RESERVED


def test_half_a_record_is_never_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal, _ = open_journal(tmp_path, "b")
    journal.write("opened", who="ann")
    before = journal.path.read_bytes()
    ordinary, written = os.pwrite, []

    def filling(fd: int, data: bytes, offset: int) -> int:
        if written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(ordinary(fd, data[:20], offset))
        return written[0]

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", filling)
        with pytest.raises(OSError, match="No space"):
            journal.write("begin", act="load")
    assert journal.path.read_bytes() == before
    journal.write("begin", act="prepare")
    assert journal.window_state().under_way == "prepare"


def test_the_window_journal_follows_no_link(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("not ours")
    (tmp_path / "windows").mkdir()
    path = tmp_path / "windows" / "000001-20260101T000000.000000Z.jsonl"
    path.symlink_to(target)
    with pytest.raises(OSError, match="symbolic link"):
        Journal(path, "b")
    assert target.read_text() == "not ours"


# Whatever is in a journal, it is read; and what is damaged changes nothing of the rest.

# What it keeps between two runs belongs to no source tree.
_HOME = tempfile.TemporaryDirectory()
set_hypothesis_home_dir(_HOME.name)

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["load", "prepare", "cancel", "kexec", "normal", "prepared"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=8,
)
EVENTS = st.sampled_from(
    ["opened", "taken", "begin", "done", "failed", "jump", "returned", "lost", "arrived", "left",
     "closed", "something else"]
)  # fmt: skip
KEYS = st.sampled_from(
    ["who", "person", "by", "from", "act", "target", "image", "release", "confirmed", "typed",
     "tokens", "promised", "how", "why", "state", "errno"]
)  # fmt: skip
RECORDS = st.builds(
    Record,
    event=EVENTS,
    at=st.text(max_size=30),
    boot=st.sampled_from(["a", "b"]),
    up=st.floats(0, 1e9),
    data=st.dictionaries(KEYS, VALUES, max_size=5),
    format=st.sampled_from([FORMAT, FORMAT, FORMAT + 1]),
)
SETTINGS = settings(max_examples=60, deadline=None, database=None, derandomize=True)


@SETTINGS
@given(st.lists(RECORDS, max_size=12))
def test_every_journal_folds(records: list[Record]) -> None:
    window_state = window_state_of("w", records)
    json.dumps(window_state._asdict())
    assert str(window_state.holder)
    for text in (window_state.target, window_state.opened_by, *(a.what for a in window_state.acts)):
        assert text.isprintable()


@SETTINGS
@given(st.lists(RECORDS, max_size=8))
def test_every_record_comes_back_from_its_line(records: list[Record]) -> None:
    for one in records:
        line = encode_record(one)
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1
        back = decode_record(line[:-1])
        assert back is not None
        assert encode_record(back) == encode_record(one._replace(at=back.at))


def read_bytes(data: bytes) -> list[Record]:
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        return read(Path(file.name))


@SETTINGS
@given(st.lists(RECORDS, min_size=1, max_size=6), st.data())
def test_a_damaged_line_changes_nothing_of_the_others(
    records: list[Record], data: st.DataObject
) -> None:
    lines = [encode_record(r).rstrip(b"\n") for r in records]
    at = data.draw(st.integers(0, len(lines) - 1))
    line = lines[at]
    kind = data.draw(st.sampled_from(["bit", "cut", "torn off", "foreign", "types"]))
    if kind == "bit":
        flipped = bytearray(line)
        bit = data.draw(st.integers(0, len(line) * 8 - 1))
        flipped[bit // 8] ^= 1 << bit % 8
        damaged = bytes(flipped)
    elif kind == "cut":
        damaged = line[: data.draw(st.integers(0, len(line) - 1))]
    elif kind == "torn off":
        damaged = line[data.draw(st.integers(1, len(line))) :]
    elif kind == "foreign":
        damaged = data.draw(st.binary(max_size=200))
    else:
        damaged = json.dumps({**json.loads(line), **data.draw(
            st.dictionaries(st.sampled_from(["v", "event", "at", "boot", "up", "data"]), VALUES,
                            min_size=1))}).encode()  # fmt: skip
    assume(damaged != line)
    assume(kind != "types" or decode_record(damaged) is None)
    whole = b"\n".join([*lines[:at], damaged, *lines[at + 1 :]]) + b"\n"
    found = read_bytes(whole)
    assert found == read_bytes(b"\n".join([*lines[:at], *lines[at + 1 :]]) + b"\n")
    window_state_of("w", found)


@SETTINGS
@given(st.binary(max_size=400) | VALUES.map(lambda v: json.dumps(v).encode()))
def test_anything_at_all_is_read(data: bytes) -> None:
    decode_record(data)


@SETTINGS
@given(st.dictionaries(st.sampled_from(["v", "event", "at", "boot", "up", "data"]), VALUES))
def test_records_of_other_types_are_read(raw: dict[str, object]) -> None:
    line = json.dumps({"event": "jump", "at": "", "boot": "", "up": 1, "data": {}, **raw}).encode()
    found = decode_record(line)
    window_state_of("w", [found] if found else [])
