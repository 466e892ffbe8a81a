# SPDX-License-Identifier: MIT
"""The walk answers from facts and journal alone."""

from __future__ import annotations

import pytest

from luo_tui.model import (
    Host,
    KernelImage,
    KexecState,
    LuoState,
    Resource,
    Resources,
    ResourceState,
    Snapshot,
    State,
)
from luo_tui.update.facts import (
    Act,
    Facts,
    Finding,
    Level,
    Step,
    gone_holder,
    handover_lost,
    ours_is_loaded,
    typed_word,
)
from luo_tui.update.offers import Ask
from luo_tui.update.person import Person
from luo_tui.update.walk import walk
from luo_tui.update.window_state import Done, WindowState
from luo_tui.update.wording import size_text

HOST = Host("hv-07", "7.3.4-old", "boot-1")
GUEST = Resource(0, "memfd", ResourceState.PRESERVED, "guest-db", 64 << 20, 812, "vmm")
IMAGE = KernelImage("/boot/vmlinuz-7.3.4-new", "7.3.4-new", 9_000_000)
STORY = WindowState(
    "w",
    opened_by="root on ttyS0 (pid 9)",
    opened_at="2026-01-01T00:00:00.000+00:00",
    boot="boot-1",
    release="7.3.4-old",
    target="7.3.4-new",
    image=IMAGE.path,
    loaded_in="boot-1",
)


def picture(state: State, *resources: Resource, loaded: bool = False, **more: object) -> Snapshot:
    snapshot = Snapshot(HOST, LuoState(state), Resources(resources))
    return snapshot._replace(kexec=KexecState(loaded), **more)  # type: ignore[arg-type]


def facts(snapshot: Snapshot, **more: object) -> Facts:
    return Facts(snapshot, may_act=True)._replace(**more)  # type: ignore[arg-type]


def possible(f: Facts) -> set[Act]:
    return {a.act for a in walk(f).actions if a.possible}


def test_each_state_offers_its_own_acts_and_no_others() -> None:
    assert possible(facts(picture(State.NORMAL))) == set()
    assert possible(facts(picture(State.NORMAL), image=IMAGE)) == {Act.LOAD}
    loaded = picture(State.NORMAL, GUEST, loaded=True)
    assert possible(facts(loaded, window_state=STORY, image=IMAGE)) == {
        Act.PREPARE,
        Act.UNLOAD,
    }
    # A key that repeats must not load the same image again and again; another one may be loaded.
    loaded = facts(picture(State.NORMAL, GUEST, loaded=True), window_state=STORY, image=IMAGE)
    assert Act.LOAD not in possible(loaded)
    assert Act.LOAD in possible(loaded._replace(image=IMAGE._replace(path="/boot/vmlinuz-other")))
    here = facts(picture(State.PREPARED, GUEST, loaded=True), window_state=STORY, image=IMAGE)
    assert possible(here) == {
        Act.KEXEC,
        Act.CANCEL,
    }
    here = facts(picture(State.FROZEN, GUEST, loaded=True), window_state=STORY, image=IMAGE)
    assert possible(here) == {
        Act.KEXEC,
        Act.CANCEL,
    }
    assert possible(facts(picture(State.UPDATED))) == {Act.FINISH}
    assert possible(facts(picture(State.UNAVAILABLE))) == set()
    assert possible(facts(picture(State.UNKNOWN))) == set()


@pytest.mark.parametrize("state", list(State))
def test_without_privilege_nothing_is_possible_and_the_command_is_named(state: State) -> None:
    result = walk(Facts(picture(state, GUEST, loaded=True), may_act=False, window_state=STORY))
    assert all("sudo luo-tui" in a.blocked for a in result.actions)
    assert "sudo luo-tui" in " ".join(result.notes)


@pytest.mark.parametrize("state", [State.NORMAL, State.PREPARED, State.FROZEN, State.UPDATED])
def test_while_another_console_has_the_window_nothing_is_possible(state: State) -> None:
    other = Person("ann", "pts/3", "192.0.2.7", 77)
    result = walk(
        facts(
            picture(state, GUEST, loaded=True), window_state=STORY, lock_holder=other, image=IMAGE
        )
    )
    assert result.actions
    assert all("ann on pts/3 from 192.0.2.7" in a.blocked for a in result.actions)


def test_kexec_needs_our_own_image_of_this_boot() -> None:
    prepared = picture(State.PREPARED, GUEST, loaded=True)
    assert ours_is_loaded(prepared, STORY)
    for window_state in (
        None,
        STORY._replace(loaded_in="boot-0"),
        STORY._replace(closed="cancelled"),
    ):
        assert not ours_is_loaded(prepared, window_state)
        offer = walk(facts(prepared, window_state=window_state)).action(Act.KEXEC)
        assert offer is not None
        assert not offer.possible
        assert walk(facts(prepared, window_state=window_state)).action(Act.LOAD) is not None
    assert not ours_is_loaded(picture(State.PREPARED, GUEST), STORY)


def test_kexec_opens_with_the_loss_and_wants_the_name_typed() -> None:
    snapshot = picture(State.PREPARED, GUEST, loaded=True)
    offer = walk(facts(snapshot, window_state=STORY)).action(Act.KEXEC)
    assert offer is not None
    assert offer.ask is Ask.TYPE
    assert offer.typed == "hv-07"
    assert offer.lost[0].startswith("Every process on hv-07 ends")
    assert any("not stopped" in line for line in offer.lost)
    assert offer.survives == ("guest-db (token 0), 64 MiB",)
    assert "7.3.4-new" in offer.label
    assert offer.keep == "Stay prepared"


def test_a_host_without_a_name_wants_the_target_typed() -> None:
    nameless = picture(State.PREPARED)._replace(host=HOST._replace(has_real_name=False))
    assert typed_word(nameless, "7.3.4-new") == "7.3.4-new"
    assert typed_word(picture(State.PREPARED), "7.3.4-new") == "hv-07"


def test_finish_names_what_nobody_restored() -> None:
    left = GUEST._replace(state=ResourceState.INCOMING)
    back = Resource(1, "memfd", ResourceState.RESTORED, "guest-web", 4096)
    offer = walk(facts(picture(State.UPDATED, left, back))).action(Act.FINISH)
    assert offer is not None
    assert offer.lost == ("guest-db (token 0), 64 MiB, of vmm [812]",)
    assert "discard 1 unrestored" in offer.label
    assert offer.survives == ("guest-web (token 1), 4 KiB (restored)",)
    # Restored, and its process has ended: finish would be the end of it.
    gone = back._replace(abandoned=True)
    offer = walk(facts(picture(State.UPDATED, gone))).action(Act.FINISH)
    assert offer is not None
    assert (offer.lost, offer.survives) == (
        ("guest-web (token 1), 4 KiB, of an unknown process: restored by a process that is gone",),
        (),
    )
    assert "discard 1 that no process has" in offer.label
    walked = walk(facts(picture(State.UPDATED, gone)))
    assert walked.headline.endswith("1 resource restored by processes that are gone.")
    none_left = walk(facts(picture(State.UPDATED, back))).action(Act.FINISH)
    assert none_left is not None
    assert none_left.lost == ()
    assert none_left.label == "Finish: updated -> normal"


def test_a_blocker_stops_the_load_and_a_warning_does_not() -> None:
    blocker = Finding("target LUO", Level.BLOCKER, "The target reads b.", "Install a matching one.")
    warning = Finding("resources", Level.WARNING, "Nothing is preserved.")
    normal = picture(State.NORMAL)
    offer = walk(facts(normal, image=IMAGE, findings=(warning, blocker))).action(Act.LOAD)
    assert offer is not None
    assert offer.blocked == "The target reads b. Install a matching one."
    assert possible(facts(normal, image=IMAGE, findings=(warning,))) == {Act.LOAD}


@pytest.mark.parametrize(
    ("snapshot", "more", "step"),
    [
        (picture(State.NORMAL), {}, Step.CHECK),
        (picture(State.NORMAL), {"image": IMAGE}, Step.LOAD),
        (picture(State.NORMAL, loaded=True), {"window_state": STORY}, Step.PREPARE),
        (picture(State.PREPARED, loaded=True), {"window_state": STORY}, Step.KEXEC),
        (picture(State.UPDATED, GUEST._replace(state=ResourceState.INCOMING)), {}, Step.RESTORE),
        (picture(State.UPDATED), {}, Step.FINISH),
        (picture(State.UNAVAILABLE), {}, None),
    ],
)
def test_the_step_follows_from_the_kernels_state(
    snapshot: Snapshot, more: dict[str, object], step: Step | None
) -> None:
    result = walk(facts(snapshot, **more))
    assert result.step is step
    expected = list(Step)[: list(Step).index(step)] if step else []
    assert result.done == set(expected)


def test_a_lost_handover_is_the_first_thing_said() -> None:
    jumped = STORY._replace(jumped_from="boot-0", jumped_at="then", promised_count=2)
    cold = picture(State.NORMAL)
    assert handover_lost(cold, jumped)
    first = walk(facts(cold, window_state=jumped)).notes[0]
    assert first.startswith("THE HANDOVER IS LOST")
    assert "2 resources" in first
    # It stays said in that boot after it was written down, and in no other.
    assert handover_lost(cold, jumped._replace(lost_in="boot-1", closed="lost"))
    assert not handover_lost(cold, jumped._replace(lost_in="boot-0", closed="lost"))
    assert not handover_lost(picture(State.UPDATED), jumped)
    assert not handover_lost(cold, jumped._replace(arrived=True, closed="finished"))
    assert not handover_lost(cold, None)


def test_a_jump_that_did_not_happen_is_told() -> None:
    here = STORY._replace(jumped_from="boot-1", jumped_at="then")
    notes = walk(facts(picture(State.PREPARED, loaded=True), window_state=here)).notes
    assert any("did not happen" in n for n in notes)


def test_what_others_did_is_told() -> None:
    assert any("another tool" in n for n in walk(facts(picture(State.PREPARED))).notes)
    # A console that was killed in between wrote down that it began, and no more.
    killed = STORY._replace(under_way="prepare")
    notes = walk(facts(picture(State.PREPARED, loaded=True), window_state=killed)).notes
    assert any("prepare began" in n for n in notes)
    assert not any("another tool" in n for n in notes)
    assert any("found frozen" in n for n in walk(facts(picture(State.FROZEN))).notes)
    foreign = walk(facts(picture(State.NORMAL, loaded=True)))
    assert any("did not load" in n for n in foreign.notes)
    torn = STORY._replace(under_way="prepare")
    assert any(
        "prepare began" in n for n in walk(facts(picture(State.NORMAL), window_state=torn)).notes
    )


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"), (1, "1 B"), (1023, "1023 B"), (1024, "1 KiB"), (1536, "1.5 KiB"),
        (64 << 20, "64 MiB"), (1 << 40, "1 TiB"), (5 << 50, "5120 TiB"),
    ],
)  # fmt: skip
def test_sizes(number: int, text: str) -> None:
    assert size_text(number) == text


ANN = Person("ann", "pts/1", "192.0.2.7", 4)
HELD = STORY._replace(holder=ANN, held_in="boot-1")


@pytest.mark.parametrize(
    ("me", "boot", "asked"),
    [
        (ANN._replace(pid=9), "boot-1", False),  # her own terminal again
        (ANN._replace(tty="pts/2"), "boot-1", True),
        (ANN._replace(origin="192.0.2.8"), "boot-1", True),
        (ANN._replace(tty="pts/2"), "boot-2", False),  # after the jump no console is left
        (Person("bob", "pts/1", "192.0.2.7", 4), "boot-1", True),
        (Person("bob", "pts/1", "192.0.2.7", 4), "boot-2", True),
    ],
)
def test_who_has_to_take_a_window_over(me: Person, boot: str, asked: bool) -> None:
    assert gone_holder(HELD, boot, me) == (ANN if asked else None)
    assert gone_holder(None, boot, me) is None
    assert gone_holder(HELD._replace(closed="cancelled"), boot, me) is None
    assert gone_holder(HELD._replace(holder=None), boot, me) is None


@pytest.mark.parametrize("state", [State.NORMAL, State.PREPARED, State.FROZEN, State.UPDATED])
def test_nothing_but_taking_over_is_possible_where_the_owner_is_gone(state: State) -> None:
    bob = Person("bob", "pts/2")
    window_state = HELD._replace(
        under_way="prepare", acts=(Done("prepare", "2026-01-01T00:00:00+00:00"),)
    )
    gone = facts(picture(state, GUEST, loaded=True), window_state=window_state, image=IMAGE, me=bob)
    assert possible(gone) == {Act.TAKE_OVER}
    offer = walk(gone).action(Act.TAKE_OVER)
    assert offer is not None
    assert offer.label == "Take over the window of ann on pts/1 (gone)"
    assert offer.ask is Ask.CONFIRM
    shown = " ".join(offer.does)
    assert str(ANN) in shown
    assert "prepare began, and its end is not known" in shown
    assert f"The kernel's state is now: {state}." in shown
    assert any("key o" in n for n in walk(gone).notes)
    blocked = [a.blocked for a in walk(gone).actions if a.act is not Act.TAKE_OVER]
    assert blocked
    assert all("ann on pts/1 from 192.0.2.7" in b and "take it over" in b for b in blocked)
    # Not to its owner, not while somebody has it, not without privilege.
    for other in (
        gone._replace(mine=True),
        gone._replace(lock_holder=ANN),
        gone._replace(me=ANN),
        gone._replace(me=None),
    ):
        assert walk(other).action(Act.TAKE_OVER) is None
    assert possible(gone._replace(may_act=False)) == set()


def test_who_watches_is_told_what_the_owner_does() -> None:
    owner = ANN._replace(since="2026-01-01T00:00:00+00:00", doing="under way: prepare")
    notes = walk(facts(picture(State.NORMAL), window_state=HELD, lock_holder=owner)).notes
    assert any(n.startswith("Its owner, since 20") and "under way: prepare" in n for n in notes)
    assert len(
        walk(facts(picture(State.NORMAL), lock_holder=owner._replace(doing=""))).notes
    ) == len(walk(facts(picture(State.NORMAL), lock_holder=owner)).notes), (
        "nothing jumps when it ends"
    )


def test_who_lost_the_window_is_told() -> None:
    bob = Person("bob", "pts/2", "", 5)
    window_state = HELD._replace(holder=bob, taken_from=ANN)
    said = walk(
        facts(picture(State.NORMAL), window_state=window_state, lock_holder=bob, me=ANN)
    ).notes
    assert any("You had this window; bob on pts/2 (pid 5) has taken it over." in n for n in said)
    other = walk(
        facts(picture(State.NORMAL), window_state=window_state, lock_holder=bob, me=Person("eve"))
    ).notes
    assert not any("You had" in n for n in other)


def test_an_act_of_our_own_is_not_called_an_orphan() -> None:
    busy = HELD._replace(under_way="prepare")
    notes = walk(facts(picture(State.NORMAL), window_state=busy, me=ANN, mine=True)).notes
    assert not any("its console is gone" in n for n in notes)
