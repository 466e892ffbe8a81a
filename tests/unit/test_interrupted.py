# SPDX-License-Identifier: MIT
"""A host that was started anew in the middle of a window: what is known of it is told plainly."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from luo_tui.model import State
from luo_tui.orchestrator.simulated import SimulatedHost, SimulatedJump
from luo_tui.orchestrator.simulated.boot import COMPATIBLE
from luo_tui.update.accounting import Accounting
from luo_tui.update.facts import Act, Arrival, arrival
from luo_tui.update.history import read_history
from luo_tui.update.hook import HookPoint
from luo_tui.update.person import Person
from luo_tui.update.verdict import Grade, verdict
from luo_tui.update.walk import walk
from luo_tui.update.window_state import WindowState
from tests.unit.test_acts import Console, host
from tests.unit.test_window_hooks import Planned

BOB = Person("bob", "pts/7", "", 77)


def power_cut(console: Console, release: str = "") -> None:
    """End everything on the host, and start it by its firmware."""
    machine = console.host
    console.window.release()
    machine.state, machine.image, machine.boot_id = State.NORMAL, "", str(uuid.uuid4())
    machine.boots += 1
    machine.arrive(release or machine.release, COMPATIBLE)


def window(machine: SimulatedHost) -> WindowState:
    return read_history(machine.folder)[0].state


def begun(machine: SimulatedHost, upto: str) -> Console:
    console = Console(machine)
    console.load()
    if upto == "prepare":
        console.prepare()
    return console


@pytest.mark.parametrize("upto", ["load", "prepare"])
def test_a_window_whose_kernel_is_gone_is_closed_and_says_so(tmp_path: Path, upto: str) -> None:
    machine = host(tmp_path)
    power_cut(begun(machine, upto))
    after = Console(machine, BOB)
    facts = after.window.facts()
    assert facts.gone_holder is None, "there is nothing to take over"
    (note,) = (n for n in walk(facts).notes if "started anew" in n)
    assert note.endswith("The next act ends it.")
    assert Accounting(after.window).arrive_unattended()
    assert not Accounting(after.window).arrive_unattended()
    assert window(machine).closed == "interrupted: this host was started anew"
    assert verdict(after.window.facts(), machine.condition()) is None
    assert not any("started anew" in n for n in walk(after.window.facts()).notes)
    # It is in nobody's way.
    after.load()
    assert len(read_history(tmp_path)) == 2


def test_the_next_console_closes_it_too_and_begins_another(tmp_path: Path) -> None:
    machine = host(tmp_path)
    power_cut(begun(machine, "prepare"))
    after = Console(machine, BOB)
    after.window.arrive()
    after.load()
    assert [w.state.closed for w in read_history(tmp_path)] == [
        "",
        "interrupted: this host was started anew",
    ]
    assert "taken" not in [r.event for r in read_history(tmp_path)[1].records]


def test_what_began_then_has_no_known_end(tmp_path: Path) -> None:
    machine = host(tmp_path)
    console = begun(machine, "load")
    console.window.write("begin", act="prepare", confirmed="Prepare")
    power_cut(console)
    after = Console(machine)
    (note,) = (n for n in walk(after.window.facts()).notes if "not how it ended" in n)
    assert "prepare began" in note
    after.window.arrive()
    (act,) = (a for a in window(machine).acts if a.what == "prepare")
    assert act.result == "its end is not known"


def test_a_hook_is_undone_in_the_next_kernel(tmp_path: Path) -> None:
    folder = tmp_path / "planned"
    folder.mkdir()
    machine = host(tmp_path / "host")
    plan = Planned(folder, HookPoint.BEFORE_PREPARE, HookPoint.ON_FAILURE)
    console = plan.console(machine)
    console.load()
    console.window.write("hook", point=HookPoint.BEFORE_PREPARE, phase="begin", program="x")
    power_cut(console)
    Accounting(Console(machine).window).arrive_unattended()
    assert plan.ran() == ["on-failure"]
    assert window(machine).closed.startswith("interrupted")


def updated(machine: SimulatedHost) -> Console:
    console = begun(machine, "prepare")
    with pytest.raises(SimulatedJump):
        console.kexec()
    console.window.release()
    after = Console(machine)
    after.window.arrive()
    return after


@pytest.mark.parametrize("release", ["", "6.1.0-firmware"])
def test_an_update_that_arrived_and_was_not_finished_is_lost(tmp_path: Path, release: str) -> None:
    machine = host(tmp_path)
    power_cut(updated(machine), release)
    after = Console(machine)
    facts = after.window.facts()
    assert arrival(facts.snapshot, facts.window_state) is Arrival.LOST
    assert "The update had arrived before, in a kernel that is gone" in walk(facts).notes[0]
    judged = verdict(facts, machine.condition())
    assert judged is not None
    assert judged.grade is Grade.BAD
    assert any("COLD BOOT BEFORE THE FINISH" in r.text for r in judged.reasons)
    after.window.arrive()
    assert window(machine).closed == "lost"
    assert walk(after.window.facts()).notes[0].startswith("THE HANDOVER IS LOST")


def test_the_next_update_after_it_is_accounted_for(tmp_path: Path) -> None:
    machine = host(tmp_path)
    power_cut(updated(machine))
    Console(machine).window.arrive()
    after = updated(machine)
    assert window(machine).arrived
    after.window.finish(after.yes(Act.FINISH, "discard"))
    assert [w.state.closed for w in read_history(tmp_path)] == ["finished", "lost"]


def test_a_jump_is_accounted_for_in_a_window_that_saw_one_before(tmp_path: Path) -> None:
    """Another tool has finished the first update, and nobody has closed the window."""
    machine = host(tmp_path)
    first = updated(machine)
    machine.state = State.NORMAL
    first.load()
    first.prepare()
    with pytest.raises(SimulatedJump):
        first.kexec()
    first.window.release()
    after = Console(machine)
    facts = after.window.facts()
    assert arrival(facts.snapshot, facts.window_state) is Arrival.ARRIVED
