# SPDX-License-Identifier: MIT
"""What the acts make of a journal or a lock that is newer, unreadable, or led elsewhere."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo
from pathlib import Path

import pytest

from luo_tui.errors import ActFailed, NotDone
from luo_tui.model import State
from luo_tui.orchestrator.simulated import SimulatedJump
from luo_tui.update import journal as journal_module
from luo_tui.update.facts import Act, Facts
from luo_tui.update.journal import encode_record, open_journal
from luo_tui.update.offers import DISCARD
from luo_tui.update.resource_list import promised
from luo_tui.update.walk import walk
from luo_tui.update.window_state import FORMAT, Record
from tests.unit.test_acts import ANN, BOB, Console, host


class Clock(datetime):
    """A clock that is ahead, as one is before NTP has set it right."""

    ahead = timedelta(hours=2)

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:
        return datetime.now(tz) + cls.ahead


def test_a_clock_that_was_put_right_hides_no_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = host(tmp_path)
    monkeypatch.setattr(journal_module, "datetime", Clock)
    first = Console(machine)
    first.load()
    first.window.unload(first.yes(Act.UNLOAD))
    monkeypatch.setattr(Clock, "ahead", timedelta())
    second = Console(machine)
    second.load()
    window_state = second.window.window_state()
    assert window_state is not None
    assert window_state.closed == ""
    second.prepare()
    assert machine.state is State.PREPARED
    second.window.cancel(second.yes(Act.CANCEL))
    second.load()
    assert second.window.leave("quit") == ("The kernel image was unloaded.",)
    assert not second.look().kexec.loaded


def test_a_newer_versions_open_window_is_left_alone(tmp_path: Path) -> None:
    machine = host(tmp_path)
    journal, _ = open_journal(tmp_path, machine.boot_id)
    path = journal.path
    journal.write("opened", who="ann")
    journal.close(trim=True)
    with path.open("ab") as file:
        newer = Record("begun", "", machine.boot_id, 1.0, {"act": {"of": "another kind"}})
        file.write(encode_record(newer._replace(format=FORMAT + 1)))
    before = path.read_bytes()
    console = Console(machine, BOB)
    with pytest.raises(NotDone, match=f"newer luo-tui.*{path.name}"):
        console.load()
    assert path.read_bytes() == before
    assert not console.look().kexec.loaded
    assert Console(machine, ANN).window.holder() is None, "nobody is kept out by it"
    facts = Facts(console.look(), may_act=True, window_state=console.window.window_state())
    for action in walk(facts).actions:
        assert path.name in action.blocked
    path.unlink()
    console.load()


def test_a_journal_that_cannot_be_read_stops_the_act_and_says_so(tmp_path: Path) -> None:
    machine = host(tmp_path)
    (tmp_path / "windows").write_text("a file")
    console = Console(machine)
    assert console.window.window_state() is None
    assert "Not a directory" in console.window.journal_reading().fault
    with pytest.raises(ActFailed, match="journal"):
        console.load()
    assert not console.look().kexec.loaded
    assert Console(machine).window.holder() is None
    facts = Facts(
        console.look(), may_act=True, journal_fault=console.window.journal_reading().fault
    )
    assert any("journal cannot be read" in note for note in walk(facts).notes)


def test_a_lock_that_is_led_elsewhere_stops_the_act_and_says_so(tmp_path: Path) -> None:
    machine = host(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    machine.lock_folder.symlink_to(tmp_path / "elsewhere")
    console = Console(machine)
    assert console.window.holder() is None
    assert "is a symbolic link" in console.window.lock_reading().fault
    with pytest.raises(NotDone, match=r"is a symbolic link.*Nothing was done"):
        console.load()
    assert not console.look().kexec.loaded
    facts = Facts(console.look(), may_act=True, lock_fault=console.window.lock_reading().fault)
    assert any("is a symbolic link" in note for note in walk(facts).notes)


def test_one_window_for_a_host_whatever_folder_the_journal_has(tmp_path: Path) -> None:
    machine = host(tmp_path / "host")
    here, there = Console(machine, ANN), Console(machine, BOB)
    there.window = type(there.window)(
        there.orchestrator, tmp_path / "another folder", there.look, BOB
    )
    here.load()
    with pytest.raises(NotDone, match="open in another console: ann"):
        there.load()


def test_a_jump_writes_down_by_name_what_it_carries(tmp_path: Path) -> None:
    machine = host(tmp_path, "nothing-restored")
    console = Console(machine)
    console.load()
    console.prepare()
    outgoing = console.look().outgoing
    with pytest.raises(SimulatedJump):
        console.kexec()
    console.window.release()
    after = Console(machine)
    window_state = after.window.window_state()
    assert window_state is not None
    assert (window_state.tokens, window_state.promised_count) == ((), len(outgoing))
    assert [(r.token, r.name, r.bytes) for r in promised(tmp_path, window_state).resources] == [
        (r.token, r.name, r.bytes) for r in outgoing
    ]
    lost = after.look().incoming
    after.window.arrive()
    after.window.finish(after.yes(Act.FINISH, DISCARD))
    discarded = next((tmp_path / "windows").glob("*.discarded.json")).read_text()
    assert all(r.name in discarded for r in lost)
