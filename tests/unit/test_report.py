# SPDX-License-Identifier: MIT
"""The report tells what the journal tells, and says what it does not."""

from __future__ import annotations

import errno
import json
import os
import re
import tarfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luo_tui.cli import main as cli
from luo_tui.cli import report as command
from luo_tui.errors import Exit, NotDone
from luo_tui.update.history import PastWindow, read_history
from luo_tui.update.report import bars, report_json, report_markdown, report_text, sections
from luo_tui.update.report_html import report_html
from luo_tui.update.window_state import Record
from tests.unit.test_acts import host
from tests.unit.test_history import updated
from tests.unit.test_journal import RECORDS, SETTINGS

WINDOW = "000007-20261127T010000.000000Z"


@pytest.fixture
def done(tmp_path: Path) -> Path:
    """The folder of a host that was updated."""
    machine = host(tmp_path)
    updated(machine)
    return machine.folder


def window(*records: tuple[str, dict[str, Any]]) -> PastWindow:
    at = "2026-11-27T01:00:00.000Z"
    return PastWindow(WINDOW, tuple(Record(event, at, "b", 1.0, data) for event, data in records))


def run(folder: Path, *arguments: str) -> int:
    return cli.run(["--folder", str(folder), "report", *arguments])


def test_a_whole_update_is_told(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(done) == 0
    text = capsys.readouterr().out
    for title in ("WINDOW", "VERDICT", "PROMISES", "BLACKOUT", "TIMELINE"):
        assert f"\n{title}\n" in text
    assert "opened: " in text
    assert "by ann" in text
    assert "7.3.4-hv" in text
    (past,) = read_history(done)
    assert f"{past.state.promised_count:,} resources" in text
    assert past.verdict is not None
    assert past.verdict.line in text
    assert len(past.state.acts) >= 5
    for act in ("load", "prepare", "finish"):
        assert f" {act};" in text, act

    assert run(done, "1", "--format", "json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["promised"] == {
        "count": past.state.promised_count,
        "bytes": past.state.promised_bytes,
    }
    assert told["image_sha256"] == past.state.image_digest != ""
    assert told["verdict"]["level"] == past.verdict.level
    assert len(told["timeline"]) == len(past.state.acts)

    assert run(done, "--format", "md") == 0
    assert capsys.readouterr().out.startswith("# Window 1 on ")


def test_no_window_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path) == Exit.NOT_FOUND
    assert "No window was ever opened here" in capsys.readouterr().err


def test_what_the_journal_does_not_tell_is_not_good() -> None:
    text = "\n".join(report_text(window(("opened", {"who": "ann"}))))
    assert "None was written down." in text
    assert "No jump was made: nothing was promised." in text
    assert "It was not written down." in text
    jumped = window(("opened", {}), ("jump", {"release": "7.3.3"}))
    assert "What became of what was promised was not written down." in "\n".join(
        report_text(jumped)
    )


def test_what_was_lost_is_told_by_name() -> None:
    became = {"kept": 3, "lost": 1, "failed": 0, "not_known": 2, "not_yet": 0}
    said = window(
        (
            "jump",
            {"unpreserved_count": 5, "unpreserved": ["db [7]"], "endangered": ["eth0"]},
        ),
        ("arrived", {"promises": {**became, "lost_names": ["guest-web1: it did not arrive"]}}),
    )
    text = "\n".join(report_text(said))
    assert "kept: 3; LOST: 1; not known: 2" in text
    assert "LOST: guest-web1: it did not arrive" in text
    assert "ended by the jump, not preserved: 5 guests (db [7])" in text
    assert "in use and reset: eth0" in text


def test_how_long_systemd_took_is_told_beside_the_blackout() -> None:
    took = {"total_ms": 6000.0, "phases": [["units stop", 1500.0], ["jump", 4500.0]]}
    said = window(("arrived", {"by_systemd": took}))
    text = "\n".join(report_text(said))
    assert "by systemd 6,000.0 ms, from its order to its start in the new kernel" in text
    assert "units stop: 1,500.0 ms" in text
    assert report_json(said)["by_systemd_ms"] == {
        "total": 6000.0,
        "phases": [["units stop", 1500.0], ["jump", 4500.0]],
    }
    assert report_json(window())["by_systemd_ms"] is None


def test_a_journal_that_cannot_be_read_is_a_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "windows"
    folder.mkdir()
    (folder / f"{WINDOW}.jsonl").write_bytes(b"\0\0\0 no record\n")
    assert run(tmp_path) == Exit.FAILED
    assert "cannot be read" in capsys.readouterr().out


def test_the_bars_are_to_scale_and_stand_below_each_other() -> None:
    lines = list(bars((("freeze", 10.0), ("jump", 30.0), ("boot", 60.0)), 20))
    assert lines == [
        "freeze: 10.0 ms",
        "|##                  |",
        "jump: 30.0 ms",
        "|  ######            |",
        "boot: 60.0 ms",
        "|        ############|",
    ]
    # However short, it took place.
    assert "#" in list(bars((("freeze", 0.1), ("boot", 5000.0)), 20))[1]
    assert list(bars((("freeze", 0.0),), 4)) == ["freeze: 0.0 ms", "|    |"]


@given(phases=st.lists(st.tuples(st.sampled_from(["a", "bb"]), st.floats(0, 1e9)), max_size=9))
def test_bars_keep_their_width(phases: list[tuple[str, float]]) -> None:
    lines = list(bars(phases))
    assert [line.split(":")[0] for line in lines[::2]] == [name for name, _ in phases]
    assert all(len(line) == 62 and line.isascii() for line in lines[1::2])


@given(records=st.lists(RECORDS, max_size=12))
@settings(SETTINGS)
def test_whatever_is_in_a_journal_is_reported(records: list[Record]) -> None:
    past = PastWindow(WINDOW, tuple(records))
    assert len(sections(past)) == 5
    text = "\n".join((*report_text(past), *report_markdown(past)))
    assert not any(c in text for c in "\x1b\r\x00")
    json.dumps(report_json(past))


def test_the_bundle_is_its_owners_and_has_what_helps(
    done: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "luo.tar.gz"
    before = os.umask(0)
    try:
        assert run(done, "--bundle", str(out)) == 0
    finally:
        os.umask(before)
    assert capsys.readouterr().out == f"{out}\n"
    assert out.stat().st_mode & 0o777 == 0o600
    with tarfile.open(out) as packed:
        names = packed.getnames()
        journal = packed.extractfile("luo/journal.jsonl")
        assert journal is not None
        assert journal.read() == next((done / "windows").glob("*.jsonl")).read_bytes()
        status = packed.extractfile("luo/status.json")
        assert status is not None
        assert json.loads(status.read())["schema"] == 2
    assert {name.removeprefix("luo/") for name in names} == {
        "report.txt",
        "report.html", "report.md", "report.json", "journal.jsonl", "status.json", "kernel.txt",
        "versions.txt",
    }  # fmt: skip
    # One that is there is never replaced.
    assert run(done, "--bundle", str(out)) == Exit.FAILED
    assert "File exists. Nothing was written." in capsys.readouterr().err


def test_a_full_disk_leaves_no_half_a_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tarfile.TarFile, "addfile", full)
    with pytest.raises(NotDone, match=r"No space left on device\. Nothing was written") as refused:
        command.write_bundle(tmp_path / "x.tar.gz", {"a": "b"})
    assert refused.value.code is Exit.NO_SPACE
    assert list(tmp_path.iterdir()) == []


def test_the_html_report_loads_nothing_and_says_what_the_text_says(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>&'\""
    records = (
        Record("opened", "2026-11-01T00:00:00Z", "b", 1.0, {"host": hostile, "who": hostile}),
        Record("jump", "2026-11-01T00:00:01Z", "b", 1.0, {"predicted": DARK}),
        Record("arrived", "2026-11-01T00:00:02Z", "b", 1.0, {"blackout": DARK}),
    )
    window = PastWindow("000007-x", records)
    text = report_html(window)
    document = parsed(text)
    assert "<script" not in text
    assert not re.search(r"(src|href|url)\s*[=(]", text)
    said = " ".join("".join(document.itertext()).split())
    for section in sections(window):
        for line in section.lines:
            assert " ".join(line.split()) in said
    bars = [e for e in document.iter("{http://www.w3.org/2000/svg}rect") if len(e)]
    assert len(bars) == 2 * len(DARK["phases"])
    assert "predicted 1,301.0 ms" in text
    only = PastWindow("000008-x", (records[0],))
    assert "<svg" not in report_html(only)


DARK = {"total_ms": 1301.0, "phases": [["freeze", 6.0], ["<jump>", 83.0], ["boot", 1212.0]]}


def parsed(text: str) -> ElementTree.Element:
    """Read it as XML: each of its elements is closed, but for those that HTML never closes."""
    whole = re.sub(r"<(meta [^>]*)>", r"<\1/>", text.removeprefix("<!DOCTYPE html>\n"))
    return ElementTree.fromstring(whole)
