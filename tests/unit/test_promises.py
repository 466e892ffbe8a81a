# SPDX-License-Identifier: MIT
"""What was promised before the jump, and what has become of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from luo_tui.errors import NotDone
from luo_tui.model import (
    Host,
    LuoState,
    Participant,
    Resource,
    Resources,
    ResourceState,
    Snapshot,
    SourceHealth,
    State,
)
from luo_tui.monitor.event_text import events_of
from luo_tui.orchestrator.simulated import HOST_NAME, SimulatedJump, machinery
from luo_tui.sources.changes import ParticipantPut, ResourceGone
from luo_tui.update.device_outcome import Outcome, device_outcomes
from luo_tui.update.facts import Act, Facts
from luo_tui.update.journal import read
from luo_tui.update.offers import DISCARD
from luo_tui.update.promises import Became, promises_of, taking_part
from luo_tui.update.resource_list import Listed, Promised
from luo_tui.update.walk import walk
from tests.unit.test_acts import Console, host

GUEST = Resource(3, "memfd", ResourceState.RESTORED, "guest-db", 64 << 20, 812, "vmm")
CARD = Participant("pci-0000:3b:00.0", "pci", "0000:3b:00.0", "claimed", driver="mlx5_core")
VFIO = Participant("subsystem-vfio-v1", "subsystem", "vfio-v1", "incoming")
PROMISED = Promised((Listed(3, "guest-db", "memfd", 64 << 20, 812, "vmm"),), (CARD, VFIO))


def arrived(*there: Resource | Participant, doubt: str = "") -> Snapshot:
    resources = Resources(r for r in there if isinstance(r, Resource))
    participants = {p.id: p for p in there if isinstance(p, Participant)}
    health = {"resources": SourceHealth("resources", missing=(doubt,))} if doubt else {}
    here = Host("hv-07", "7.3.4-new", "boot-2")
    return Snapshot(here, LuoState(State.UPDATED), resources, participants, health=health)


@pytest.mark.parametrize(
    ("there", "became", "label", "reason"),
    [
        ((CARD, VFIO), Became.LOST, "guest-db (token 3)", "did not arrive"),
        (
            (CARD, VFIO, GUEST._replace(state=ResourceState.INCOMING)),
            Became.NOT_YET,
            "guest-db (token 3)",
            "nobody has restored it yet",
        ),
        (
            (CARD, VFIO, GUEST._replace(state=ResourceState.INCOMING, bytes=4096)),
            Became.FAILED,
            "guest-db (token 3)",
            "4,096 of its 67,108,864 bytes",
        ),
        (
            # Without its handler nobody knows how large it is (kernel/luo_resource.c).
            (CARD, VFIO, Resource(3, "unknown", ResourceState.INCOMING, "guest-db", handler="x1")),
            Became.NOT_YET,
            "guest-db (token 3)",
            "cannot be restored before x1 is there",
        ),
        (
            (CARD, VFIO, GUEST._replace(state=ResourceState.UNKNOWN)),
            Became.NOT_KNOWN,
            "guest-db (token 3)",
            "could not be read",
        ),
        (
            (CARD, VFIO, GUEST._replace(name="another")),
            Became.LOST,
            "guest-db (token 3)",
            "another (token 3) is there in its place",
        ),
        (
            (CARD, VFIO, GUEST._replace(abandoned=True)),
            Became.NOT_YET,
            "guest-db (token 3)",
            "restored by a process that is gone",
        ),
        ((GUEST, VFIO), Became.LOST, "pci 0000:3b:00.0", "knows nothing of it"),
        (
            (GUEST, VFIO, CARD._replace(state="lost", reason="it was off")),
            Became.LOST,
            "pci 0000:3b:00.0",
            "it was off",
        ),
        (
            (GUEST, VFIO, CARD._replace(state="registered")),
            Became.LOST,
            "pci 0000:3b:00.0",
            "did not come over",
        ),
        (
            (GUEST, VFIO, CARD._replace(state="incoming")),
            Became.NOT_YET,
            "pci 0000:3b:00.0",
            "no driver",
        ),
        ((GUEST, CARD), Became.LOST, "subsystem vfio-v1", "knows nothing of it"),
        (
            (GUEST, CARD, VFIO._replace(state="unclaimed")),
            Became.NOT_YET,
            "subsystem vfio-v1",
            "no driver",
        ),
    ],
)
def test_each_promise_has_an_outcome(there: Any, became: Became, label: str, reason: str) -> None:
    found = promises_of(arrived(*there), PROMISED)
    (one,) = found.open
    assert (one.became, one.label) == (became, label)
    assert reason in one.reason
    assert found.kept == 2
    assert not found.all_kept
    headline = walk(Facts(arrived(*there), may_act=True, promised=PROMISED)).headline
    assert "All is restored" not in headline
    assert headline.startswith("LOST: ") == (became is Became.LOST)


def test_all_is_restored_is_said_of_exactly_what_was_promised() -> None:
    whole = arrived(GUEST, CARD, VFIO)
    assert promises_of(whole, PROMISED).all_kept
    assert walk(Facts(whole, may_act=True, promised=PROMISED)).headline.endswith("All is restored.")
    unknown = walk(Facts(whole, may_act=True)).headline
    assert "what was promised is not known" in unknown
    # What this kernel tells of itself counts without any record.
    lost = arrived(GUEST, CARD._replace(state="lost", reason="it was off"))
    assert walk(Facts(lost, may_act=True)).headline.startswith("LOST: pci 0000:3b:00.0: it was off")


def test_what_cannot_be_read_is_not_known_and_never_kept_or_lost() -> None:
    doubtful = arrived(doubt="the class could not be listed")
    found = promises_of(doubtful, PROMISED)
    assert {o.became for o in found.open} == {Became.NOT_KNOWN}
    assert found.kept == 0
    said = walk(Facts(doubtful, may_act=True, promised=PROMISED)).headline
    assert "not known" in said
    assert "LOST" not in said


def test_a_lost_device_is_agreed_to_and_recorded(tmp_path: Path) -> None:
    machine = host(tmp_path, "device-lost")
    console = Console(machine)
    console.load()
    console.prepare()
    with pytest.raises(SimulatedJump):
        console.kexec()
    console.window.release()
    after = Console(machine)
    facts = after.window.facts()
    assert facts.promised is not None
    assert {p.label for p in facts.promised.participants} >= {"pci 0000:3b:00.0"}
    standing = walk(facts)
    assert standing.headline.startswith("LOST: pci 0000:3b:00.0: it was switched off on the way.")
    finish = standing.action(Act.FINISH)
    assert finish is not None
    assert list(finish.lost) == [
        "pci 0000:3b:00.0: it was switched off on the way: it is lost already"
    ]
    assert finish.typed == DISCARD
    after.window.arrive()
    shown = after.yes(Act.FINISH, DISCARD)
    with pytest.raises(NotDone, match=r"More is lost than was shown: pci 0000:3b:00\.0"):
        after.window.finish(replace(shown, lost=()))
    after.window.finish(shown)
    path = next((tmp_path / "windows").glob("*.jsonl"))
    records = {r.event: r.data for r in read(path)}
    assert records["arrived"]["promises"]["lost"] == 1
    assert records["arrived"]["promises"]["lost_names"] == [
        "pci 0000:3b:00.0: it was switched off on the way"
    ]
    begun = [r for r in read(path) if r.event == "begin"][-1]
    assert (begun.data["act"], begun.data["promises"]["lost"]) == ("finish", 1)
    assert begun.data["typed"] == DISCARD


def test_what_was_promised_is_named_when_the_whole_handover_is_lost(tmp_path: Path) -> None:
    machine = host(tmp_path)
    console = Console(machine)
    console.load()
    console.prepare()
    machine.scenario = "target-incompatible"
    with pytest.raises(SimulatedJump):
        console.kexec()
    console.window.release()
    after = Console(machine)
    for _ in range(2):
        note = walk(after.window.facts()).notes[0]
        assert note.startswith("THE HANDOVER IS LOST")
        assert "guest-web1 (token 0)" in note
        after.window.arrive()


def test_a_promise_file_that_was_tampered_with_promises_nothing(tmp_path: Path) -> None:
    machine = host(tmp_path)
    console = Console(machine)
    console.load()
    console.prepare()
    with pytest.raises(SimulatedJump):
        console.kexec()
    console.window.release()
    path = next((tmp_path / "windows").glob("*.promised.json"))
    whole = json.loads(path.read_text())
    path.write_text(json.dumps({**whole, "resources": [], "participants": []}))
    facts = Console(machine).window.facts()
    assert facts.promised is None
    assert "not what was written" in facts.promised_fault
    assert "All is restored" not in walk(facts).headline
    assert any("What was promised cannot be read" in note for note in walk(facts).notes)


def test_what_registers_after_prepare_is_not_promised(tmp_path: Path) -> None:
    machine = host(tmp_path)
    console = Console(machine)
    console.load()
    console.prepare()
    machine.plug(machinery.PLUGGED_NIC, machinery.PLUGGED_PART)
    late = machinery.PLUGGED_PART.label
    facts = console.window.facts()
    assert late not in {p.label for p in taking_part(facts.snapshot)}
    offer = walk(facts).action(Act.KEXEC)
    assert offer is not None
    assert not any(machinery.PLUGGED_NIC.id in line for line in offer.survives)
    (outcome,) = (
        o for o in device_outcomes(facts.snapshot) if o.device.id == machinery.PLUGGED_NIC.id
    )
    assert outcome.outcome is Outcome.RESET
    assert "came after prepare" in outcome.reason
    with pytest.raises(SimulatedJump):
        console.kexec()
    console.window.release()
    promised = Console(machine).window.facts().promised
    assert promised is not None
    assert late not in {p.label for p in promised.participants}


def test_what_still_arrives_is_not_recorded_as_lost(tmp_path: Path) -> None:
    machine = host(tmp_path)
    console = Console(machine)
    console.load()
    console.prepare()
    with pytest.raises(SimulatedJump):
        console.kexec()
    console.window.release()
    # luo.ko is in state updated while it still lists what came.
    came = dict(machine._kept)
    machine._kept.clear()
    after = Console(machine)
    looks = 0

    def look() -> Snapshot:
        nonlocal looks
        looks += 1
        if looks > 2:
            for token in list(came)[: looks - 2]:
                machine._kept[token] = came[token]
        return console_look()

    console_look = after.look
    after.window._look = look
    after.window.arrive()
    path = next((tmp_path / "windows").glob("*.jsonl"))
    (record,) = (r for r in read(path) if r.event == "arrived")
    assert record.data["promises"]["lost"] == 0


def test_a_subsystem_that_went_makes_the_consent_void(tmp_path: Path) -> None:
    machine = host(tmp_path)
    console = Console(machine)
    console.load()
    console.prepare()
    consent = console.yes(Act.KEXEC, HOST_NAME)
    del machine.participants["subsystem-vfio-v1"]
    with pytest.raises(NotDone, match="subsystem vfio-v1 was shown as taking part"):
        console.window.kexec(consent, console.target, lambda: None)


def test_a_loss_is_a_grave_event() -> None:
    lost = CARD._replace(state="lost", reason="it was off")
    before = arrived(CARD._replace(state="frozen"), GUEST._replace(state=ResourceState.INCOMING))
    (event,) = events_of(before, [ParticipantPut(lost)])
    assert event.grave
    assert "it was off" in event.text
    (event,) = events_of(arrived(), [ParticipantPut(lost)])
    assert event.grave
    (event,) = events_of(before, [ResourceGone(3)])
    assert event.grave
