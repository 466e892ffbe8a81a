# SPDX-License-Identifier: MIT
"""Past windows: whatever is in their journals they are told; what cannot be read is said."""

from __future__ import annotations

import ast
import errno
import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luo_tui.cli import main as cli
from luo_tui.cli.history import chosen, history_json, history_text, schema_text
from luo_tui.errors import Exit, NotDone
from luo_tui.model import Stamps, State
from luo_tui.orchestrator import Move
from luo_tui.orchestrator.simulated import SimulatedHost, SimulatedJump
from luo_tui.update import accounting, acts, open_window, window_hooks
from luo_tui.update.facts import Act
from luo_tui.update.history import PastWindow, RecordedBlackout, read_history
from luo_tui.update.hook import HookPoint
from luo_tui.update.journal import encode_record, open_journal
from luo_tui.update.offers import DISCARD
from luo_tui.update.window_state import FORMAT, Record
from tests.unit.test_acts import ANN, BOB, Console, host
from tests.unit.test_journal import RECORDS, SETTINGS, VALUES, newer
from tests.unit.test_window_hooks import Planned

SCHEMA: dict[str, Any] = json.loads(schema_text())
EVENTS: dict[str, Any] = {
    rule["if"]["properties"]["event"]["const"]: SCHEMA["$defs"][
        rule["if"]["properties"]["event"]["const"]
    ]
    for rule in SCHEMA["allOf"]
}


def run_cli(folder: Path, *arguments: str) -> int:
    return cli.run(["--folder", str(folder), *arguments])


def lines(folder: Path) -> list[dict[str, Any]]:
    found = []
    for path in sorted((folder / "windows").glob("*.jsonl")):
        found += [json.loads(line) for line in path.read_bytes().splitlines()]
    return found


def jumped(machine: SimulatedHost) -> None:
    console = Console(machine, ANN)
    console.load()
    console.prepare()
    with pytest.raises(SimulatedJump):
        console.kexec()
    console.window.release()


def updated(machine: SimulatedHost) -> None:
    jumped(machine)
    after = Console(machine, ANN)
    after.window.arrive()
    after.window.finish(after.yes(Act.FINISH, DISCARD))


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    return schema


def told(schema: dict[str, Any], value: Any, at: str) -> None:
    """Assert that the schema says of every field what it is."""
    schema = resolved(schema)
    assert schema.get("description"), at
    if isinstance(value, dict):
        assert set(value) <= set(schema["properties"]), at
        for key, inner in value.items():
            told(schema["properties"][key], inner, f"{at}.{key}")


def held_to_schema(found: list[dict[str, Any]]) -> set[str]:
    check = jsonschema.Draft202012Validator(SCHEMA)
    for line in found:
        check.validate(line)
        assert line["event"] in EVENTS, line
        told(EVENTS[line["event"]], line["data"], line["event"])
    return {line["event"] for line in found}


def test_the_schema_has_the_journals_format() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["properties"]["v"]["const"] == FORMAT


def test_every_record_that_is_written_keeps_to_the_schema(tmp_path: Path) -> None:
    seen: set[str] = set()
    for scenario in ("default", "nothing-restored"):
        machine = host(tmp_path / scenario, scenario)
        first = Console(machine, ANN)
        first.load()
        first.window.unload(first.yes(Act.UNLOAD))
        first.load()
        first.prepare()
        first.window.leave("quit")
        second = Console(machine, BOB)
        second.window.take_over(second.yes(Act.TAKE_OVER))
        second.window.cancel(second.yes(Act.CANCEL))
        updated(machine)
        jumped(machine)
        machine.move(Move.FINISH)
        Console(machine, ANN).window.arrive()
        seen |= held_to_schema(lines(machine.folder))
    assert seen >= {"opened", "taken", "begin", "done", "jump", "left", "arrived", "closed"}


def test_records_of_a_plan_and_its_hooks_keep_to_the_schema(tmp_path: Path) -> None:
    machine = host(tmp_path)
    plan = Planned(tmp_path, HookPoint.BEFORE_PREPARE)
    plan.fail(HookPoint.BEFORE_PREPARE)
    console = plan.console(machine)
    console.load()
    with pytest.raises(NotDone):
        console.prepare()
    plan.fail()
    console.prepare()
    found = lines(machine.folder)
    assert held_to_schema(found) >= {"plan", "hook"}
    phases = [line["data"]["phase"] for line in found if line["event"] == "hook"]
    assert phases == ["begin", "failed", "begin", "done"]


def test_records_of_what_failed_keep_to_the_schema(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = host(tmp_path)
    console = Console(machine, ANN)

    def refused(*_: object) -> None:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    with monkeypatch.context() as patch:
        patch.setattr(SimulatedHost, "load", refused)
        with pytest.raises(Exception, match="load"):
            console.load()
    console.load()
    console.prepare()
    with monkeypatch.context() as patch:
        patch.setattr(SimulatedHost, "reboot", refused)
        with pytest.raises(Exception, match="kexec"):
            console.kexec()
    assert held_to_schema(lines(tmp_path)) >= {"failed", "returned", "closed"}


def test_a_lost_handover_keeps_to_the_schema(tmp_path: Path) -> None:
    machine = host(tmp_path)
    jumped(machine)
    machine.state, machine.from_release, machine.stamps = State.NORMAL, "", Stamps()
    Console(machine, ANN).window.arrive()
    assert held_to_schema(lines(tmp_path)) >= {"lost", "closed"}


def test_the_schema_names_every_field_that_the_acts_write() -> None:
    """Also of those records that no test above brings about."""
    found = 0
    writers = (acts, accounting, open_window, window_hooks)
    trees = (ast.parse(Path(module.__file__).read_text()) for module in writers)
    for node in (node for tree in trees for node in ast.walk(tree)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        event = node.args[0] if node.args else None
        if node.func.attr not in ("write", "_write") or not isinstance(event, ast.Constant):
            continue
        named = {k.arg for k in node.keywords if k.arg}
        assert named <= set(EVENTS[str(event.value)]["properties"]), ast.unparse(node)
        found += 1
    assert found > 13


def test_a_window_is_told_with_who_when_from_where_to_where_and_how_it_ended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = host(tmp_path)
    old = machine.release
    updated(machine)
    (one,) = read_history(tmp_path)
    assert (one.number, one.host, one.fault, one.unread) == (1, machine.name, "", 0)
    assert run_cli(tmp_path, "history") == Exit.OK
    shown = capsys.readouterr().out
    assert f"{old} -> {machine.release}" in shown
    assert str(ANN) in shown
    assert "finished" in shown
    assert run_cli(tmp_path, "history", "--json") == Exit.OK
    (plain,) = json.loads(capsys.readouterr().out)["windows"]
    assert (plain["from"], plain["to"], plain["open"]) == (old, machine.release, False)
    assert run_cli(tmp_path, "journal", "1") == Exit.OK
    assert len(capsys.readouterr().out.splitlines()) == len(one.records) > 8
    assert machine.state is State.NORMAL


def test_no_window_and_one_that_cannot_be_read_are_not_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(tmp_path / "nowhere", "history") == Exit.OK
    assert "No window was ever opened" in capsys.readouterr().out
    assert run_cli(tmp_path / "nowhere", "journal") == Exit.NOT_FOUND
    capsys.readouterr()
    for who in ("ann", "bob"):
        journal, _ = open_journal(tmp_path, "b")
        journal.write("opened", who=who)
        journal.write("closed", how="left")
        journal.close(trim=True)
    ordinary, path = Path.read_bytes, journal.path

    def broken(self: Path) -> bytes:
        if self == path:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(self))
        return ordinary(self)

    monkeypatch.setattr(Path, "read_bytes", broken)
    assert run_cli(tmp_path, "history") == Exit.FAILED
    shown = capsys.readouterr().out.splitlines()
    assert "CANNOT BE READ: Input/output error" in shown[1]
    assert "ann" in shown[2], "the others are told all the same"
    assert run_cli(tmp_path, "journal") == Exit.FAILED, "not the older one in its place"
    monkeypatch.undo()
    (tmp_path / "windows").rename(tmp_path / "moved")
    (tmp_path / "windows").write_text("a file")
    assert run_cli(tmp_path, "history") != Exit.OK
    assert "No window" not in capsys.readouterr().out


def test_old_windows_and_newer_ones_are_told(tmp_path: Path) -> None:
    (tmp_path / "windows").mkdir()
    path = tmp_path / "windows" / "20260101T000000.000000Z.jsonl"
    old = [
        {"event": "opened", "at": "t", "boot": "b", "up": 1, "data": {"who": "ann"}},
        {"event": "jump", "at": "t", "boot": "b", "up": 2, "data": {"tokens": [3], "target": "x"}},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in old) + "torn")
    path = tmp_path / "windows" / "000001-20260101T000000.000000Z.jsonl"
    path.write_bytes(newer("opened", who=7) + newer("closed", how="finished"))
    windows = read_history(tmp_path)
    assert [w.number for w in windows] == [1, 0]
    assert windows[0].result == "finished"
    assert "1 of its lines cannot be read" in windows[1].result
    assert chosen(tmp_path, "0").state.tokens == (3,)
    with pytest.raises(NotDone, match="no window '7'"):
        chosen(tmp_path, "7")


def test_names_from_a_journal_move_no_cursor(tmp_path: Path) -> None:
    journal, _ = open_journal(tmp_path, "b")
    journal.write("opened", who="\x1b[2Jann", release="old\n", host="h\x9b")
    journal.write("jump", target="\x1b]0;x\x07", verdict={"level": "\x1b", "line": "\x1b"})
    for line in history_text(tmp_path, read_history(tmp_path), ()):
        assert line.isprintable()


@pytest.mark.parametrize(
    "total", [None, True, "1", -1, 10**400, float("nan"), float("inf"), [1], {}]
)
def test_a_blackout_that_is_none_is_not_told(total: object) -> None:
    about = {"blackout": {"total_ms": total, "phases": [["freeze", total], ["jump", 2], 7]}}
    record = Record("arrived", "", "b", 1, about)
    assert PastWindow("w", (record,)).blackout is None
    about["blackout"]["total_ms"] = 5
    assert PastWindow("w", (record,)).blackout == RecordedBlackout(5.0, (("jump", 2.0),))


KEYS = st.sampled_from(
    ["verdict", "blackout", "promises", "promised", "who", "host", "unpreserved", "target",
     "unpreserved_count"]
)  # fmt: skip
PHASES = st.lists(st.lists(VALUES, max_size=2), max_size=2)
PARTS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(["level", "line", "reasons", "total_ms", "kept", "lost_names"], VALUES),
        "phases": PHASES,
    },
)
WRITTEN = st.builds(
    Record,
    event=st.sampled_from(sorted(EVENTS)),
    at=st.sampled_from(["", "2026-01-01T00:00:00.000+00:00", "\x1b", "9999-99"]),
    boot=st.sampled_from(["a", "b"]),
    up=st.floats(0, 1e9),
    data=st.dictionaries(KEYS, VALUES | PARTS, max_size=5),
    format=st.sampled_from([FORMAT, FORMAT, FORMAT + 1]),
)
FEWER = settings(SETTINGS, max_examples=20)


@FEWER
@given(st.lists(st.one_of(RECORDS, WRITTEN), max_size=4), st.binary(max_size=30))
def test_history_is_told_of_every_journal(records: list[Record], noise: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "windows").mkdir()
        path = Path(name) / "windows" / "000001-20260101T000000.000000Z.jsonl"
        path.write_bytes(b"".join(encode_record(r) for r in records) + noise)
        windows = read_history(Path(name))
        json.dumps(history_json(Path(name), windows, (), ""))
        for line in history_text(Path(name), windows, ()):
            assert line.isprintable()
        for one in windows:
            json.dumps([asdict(v) for v in (one.verdict, one.blackout) if v])
