# SPDX-License-Identifier: MIT
"""An update on a kernel without moves: what is offered, refused, written down and accounted for."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from luo_tui.errors import ActFailed, Exit, NotDone
from luo_tui.model import LuoState, Participant, Resource, ResourceState, State
from luo_tui.orchestrator import ALL_MOVES, Abilities, Move
from luo_tui.orchestrator.simulated import HOST_NAME, SimulatedHost, SimulatedJump
from luo_tui.orchestrator.simulated.sessions import SimulatedSessions
from luo_tui.update.consent import Consent, objection
from luo_tui.update.facts import Act, Arrival, Facts, Step, arrival, arrival_is_due
from luo_tui.update.held import HOLDS, Held, HeldRecords
from luo_tui.update.hold import Holds
from luo_tui.update.journal import read
from luo_tui.update.offers import offered
from luo_tui.update.promises import Became, promises_of
from luo_tui.update.resource_list import Listed, Promised
from luo_tui.update.rules import not_now, refusal, states_of
from luo_tui.update.walk import walk
from luo_tui.update.window_state import WindowState
from tests.unit.test_acts import Console, host

DIRECT = Abilities(moves=False, holders_must_live=True)


class Direct(Console):
    """A console on the simulated host with sessions."""

    def __init__(self, machine: SimulatedHost) -> None:
        super().__init__(machine)
        from luo_tui.monitor.reading import reader

        self.orchestrator = SimulatedSessions(machine)
        around = self.orchestrator.surroundings()
        self.look = reader(self.orchestrator, around)
        self.window.orchestrator = self.orchestrator
        self.window._look = self.look
        self.window._reader._orchestrator = self.orchestrator

    def facts(self) -> Facts:
        return self.window.facts(self.target)


@pytest.fixture
def console(tmp_path: Path) -> Direct:
    return Direct(host(tmp_path))


REACHED = {
    ALL_MOVES: (State.NORMAL, State.PREPARED, State.FROZEN, State.UPDATED),
    DIRECT: (State.NORMAL, State.PRESERVING, State.UPDATED),
}


@pytest.mark.parametrize(
    ("act", "state", "abilities"),
    [
        (act, state, abilities)
        for abilities, states in REACHED.items()
        for state in states
        for act in Act
        if state not in states_of(act, abilities)
    ],
)
def test_why_not_is_said_of_every_act_in_every_state(
    act: Act, state: State, abilities: Abilities
) -> None:
    assert not_now(act, LuoState(state), abilities=abilities).startswith("Not now: ")


def test_what_the_kernel_has_not_is_not_offered(console: Direct) -> None:
    assert console.look().luo.state is State.PRESERVING
    facts = console.facts()
    for act, text in ((Act.PREPARE, "no prepare"), (Act.CANCEL, "no cancel")):
        assert offered(act, facts) is None
        found = refusal(act, facts)
        assert found is not None
        assert text in found.reason
    found_walk = walk(facts)
    assert Step.PREPARE not in found_walk.steps
    assert found_walk.steps[Step.KEXEC] == "kexec"
    assert found_walk.step is Step.LOAD
    assert "(derived)" in found_walk.headline
    console.load()
    after = walk(console.facts())
    assert after.step is Step.KEXEC
    assert any("no prepare and no freeze" in note for note in after.notes)
    action = after.action(Act.KEXEC)
    assert action is not None
    assert action.possible
    assert not any("freeze" in line for line in action.does)
    assert "unload the image" in action.way_back
    assert any("goes along if that process lives" in line for line in action.survives)
    console.window.unload(console.yes(Act.UNLOAD))
    assert console.events()[-1] == "closed"


def test_a_whole_update_without_moves(console: Direct, tmp_path: Path) -> None:
    console.load()
    with pytest.raises(SimulatedJump):
        console.kexec()
    console.window.release()
    (path,) = (tmp_path / "windows").glob("*.jsonl")
    (jumped,) = [r for r in read(path) if r.event == "jump"]
    assert jumped.data["acts"] == ["kexec"]
    after = Direct(console.host)
    assert after.look().luo.state is State.UPDATED
    assert after.window.is_owed(after.facts())
    after.window.arrive()
    promises = after.facts().promises
    assert promises.recorded
    assert not promises.lost
    after.window.finish(after.yes(Act.FINISH))
    assert after.look().luo.state.at_rest
    assert after.events() == [
        "opened", "begin", "done", "jump", "opened", "arrived", "begin", "done", "closed",
    ]  # fmt: skip
    # And on into the next one: nothing is left under way.
    found = walk(after.window.facts())
    assert found.step is Step.CHECK


def test_a_kexec_that_does_not_happen_leaves_nothing_to_take_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = Direct(host(tmp_path))
    console.load()
    asked: list[Move] = []

    def refuse() -> None:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    monkeypatch.setattr(console.orchestrator, "move", asked.append)
    monkeypatch.setattr(console.orchestrator.kexec, "reboot", refuse)
    with pytest.raises(ActFailed) as failed:
        console.kexec()
    assert asked == []
    assert failed.value.state is State.PRESERVING
    assert not any("cancelled" in line for line in failed.value.more)
    assert "The kernel image was unloaded." in failed.value.more
    assert not console.host.image
    assert console.events()[-3:] == ["done", "returned", "closed"]


def held(console: Direct, name: str, token: int) -> None:
    here = console.look().host
    records = HeldRecords(console.host.folder / HOLDS)
    records.write(
        Held(name, token, 4096, "0" * 64, "/x", here.boot_id, "now", "me", here.release, 9, "h")
    )


def test_a_holder_that_has_ended_stops_the_kexec(console: Direct) -> None:
    console.load()
    consent = console.yes(Act.KEXEC, HOST_NAME)
    held(console, "web", 4711)
    facts = console.facts()
    assert facts.dropped == ("web",)
    assert any("HELD NO MORE: web" in note for note in walk(facts).notes)
    with pytest.raises(NotDone, match="held no more, for its holder has ended: web") as refused:
        console.window.kexec(consent, console.target, lambda: None)
    assert refused.value.code is Exit.REFUSED
    assert console.look().host.boot_id == facts.snapshot.host.boot_id
    # Given up, it is in nobody's way.
    HeldRecords(console.host.folder / HOLDS).forget("web")
    assert refusal(Act.KEXEC, console.facts()) is None


def test_a_holder_that_ends_after_the_consent_makes_it_void(console: Direct) -> None:
    console.load()
    consent = console.yes(Act.KEXEC, HOST_NAME)
    token = console.look().outgoing[0].token
    console.host.unpreserve(token)
    with pytest.raises(NotDone, match="shown as preserved and is no longer"):
        console.window.kexec(consent, console.target, lambda: None)
    # A session of somebody else's counts as much.
    session = Participant("session x", "session", "x", "held by vmm [7]")
    shown = console.facts().snapshot._replace(participants={session.id: session})
    agreed = Consent.to(Act.KEXEC, console.facts()._replace(snapshot=shown), typed=HOST_NAME)
    found = objection(agreed, console.facts())
    assert found is not None
    assert "session x was shown as taking part" in found.reason


def test_what_is_held_is_known_by_its_holder(console: Direct, tmp_path: Path) -> None:
    """The record says who has it, so that another holder's token proves nothing."""
    holds = Holds(console.orchestrator, console.host.folder, console.look)
    file = tmp_path / "file"
    file.write_bytes(b"x" * 5000)
    made = holds.hold(file, "web")
    assert console.facts().dropped == ()
    console.host.unpreserve(made.token)
    assert console.facts().dropped == ("web",)
    with pytest.raises(NotDone, match="not in memory any more"):
        holds.unpreserve("web")


@pytest.mark.parametrize("derived", [True, False])
@pytest.mark.parametrize("directly", [True, False])
def test_a_jump_is_judged_by_a_kernel_of_its_own_kind(
    console: Direct, derived: bool, directly: bool
) -> None:
    window = WindowState("w", jumped_from="another boot", jumped_directly=directly)
    snapshot = console.look()
    evidence = ("the log",) if derived else ()
    for state, became in (
        (State.UPDATED, Arrival.ARRIVED),
        (State.NORMAL, Arrival.LOST),
        *(((State.PRESERVING, Arrival.LOST),) if derived else ()),
    ):
        here = snapshot._replace(luo=LuoState(state, "", evidence))
        assert arrival(here, window) is (became if derived == directly else Arrival.UNKNOWN)
        assert arrival_is_due(here, window) is (derived == directly)


def test_a_promised_session_is_there_or_not_known(console: Direct) -> None:
    web = Participant("session web", "session", "web", "held by vmm [7]")
    mine = Participant("session db", "session", "db", "held by luo-tui-holder [9]")
    promised = Promised((Listed(1, "db", "memfd", 5, 9, "h"),), (web, mine))
    db = Resource(1, "memfd", ResourceState.RESTORED, "db", 5, 9, "h")
    updated = LuoState(State.UPDATED, "", ("the log",))
    snapshot = console.look()._replace(
        luo=updated, resources={1: db}, participants={web.id: web}, health={}
    )
    from luo_tui.model import Resources

    snapshot = snapshot._replace(resources=Resources([db]))
    assert promises_of(snapshot, promised).all_kept
    nobody = snapshot._replace(participants={})
    found = promises_of(nobody, promised)
    assert [(o.label, o.became) for o in found.open] == [("session web", Became.NOT_KNOWN)]
    # As long as its file is not given back, its holder is to be seen.
    waiting = nobody._replace(resources=Resources([db._replace(state=ResourceState.INCOMING)]))
    assert {o.label for o in promises_of(waiting, promised).that(Became.NOT_KNOWN)} == {
        "session web",
        "session db",
    }
