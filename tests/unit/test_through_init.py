# SPDX-License-Identifier: MIT
"""A kexec through the init system: when it is refused, what it keeps, and what became of that."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from luo_tui.errors import ActFailed, Exit, NotDone
from luo_tui.model import (
    DescriptorStore,
    DescriptorStores,
    Guest,
    InitSystem,
    Participant,
    Resource,
    Resources,
    ResourceState,
    State,
    Work,
)
from luo_tui.orchestrator.simulated import HOST_NAME, SimulatedHost
from luo_tui.orchestrator.simulated.sessions import SimulatedSessions
from luo_tui.sources.init_system import order_kexec, read_init_system
from luo_tui.update.before import Before, before
from luo_tui.update.consent import Consent, digest, objection
from luo_tui.update.facts import Act, Facts, GoesAlong
from luo_tui.update.journal import read
from luo_tui.update.offers import offered
from luo_tui.update.rules import refusal
from luo_tui.update.through_init import objection_to_init
from luo_tui.update.verdict import Grade
from luo_tui.update.window_state import Record, window_state_of
from tests.unit.test_acts import host
from tests.unit.test_direct_kexec import Direct
from tests.unit.test_verdict import BEFORE, CONDITION, FACTS, PROMISED, SNAPSHOT, WINDOW, judge

STORES = DescriptorStores(
    (
        DescriptorStore("db.service", 2, "yes", carried=1),
        DescriptorStore("journal.service", 6, "yes", carried=0),
        DescriptorStore("vm.service", 1, "on-success", ("ram",), 1, ("vm.service-7",)),
        DescriptorStore("web.service", 3, "restart", held=("web.service-8",)),
    ),
    kexecs=0,
)
SYSTEMD = InitSystem("systemd", 262, STORES)
KEPT = Participant("session 7", "session", "vm.service-7", "held by systemd [1], vmm [7]")
RESTARTED = Participant("session 8", "session", "web.service-8", "held by systemd [1]")
THEIRS = Participant("session x", "session", "x", "held by vmm [7]")


class Host(SimulatedSessions):
    """A simulated host with an init system, which takes the order or not."""

    init = SYSTEMD
    refuses: OSError | None = None
    ordered = 0

    def init_system(self) -> InitSystem:
        return self.init

    def kexec_by_init(self) -> None:
        self.ordered += 1
        if self.refuses is not None:
            raise self.refuses


class Through(Direct):
    """A console whose kexec goes through the init system."""

    def __init__(self, machine: SimulatedHost) -> None:
        super().__init__(machine)
        self.machine = Host(machine)
        self.orchestrator = self.machine
        self.window.orchestrator = self.machine
        self.window._reader._orchestrator = self.machine
        self.window.go_through_init()
        # What luo-tui-holder holds would end with the shutdown.
        for resource in self.look().outgoing:
            machine.unpreserve(resource.token)

    def kexec(self, typed: str = HOST_NAME) -> None:
        consent = self.yes(Act.KEXEC, typed)
        self.window.kexec_through_init(consent, self.target, lambda: None)


@pytest.fixture
def console(tmp_path: Path) -> Through:
    made = Through(host(tmp_path))
    made.load()
    return made


def held(facts: Facts) -> Facts:
    """Let luo-tui-holder have something."""
    one = Resource(3, "memfd", ResourceState.PRESERVED, "web", 64)
    return facts._replace(snapshot=facts.snapshot._replace(resources=Resources([one])))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f._replace(through=InitSystem()), "Process 1 is no systemd"),
        (lambda f: f._replace(through=InitSystem("systemd", 252)), "systemd 252 hands nothing"),
        (lambda f: f._replace(through=InitSystem("systemd")), "did not tell its version"),
        (lambda f: f._replace(through=SYSTEMD._replace(missing=("no bus",))), "known: no bus"),
        (
            lambda f: f._replace(
                through=SYSTEMD._replace(stores=DescriptorStores(missing=("no answer",)))
            ),
            "What units left with systemd is not known: no answer",
        ),
        (lambda f: f._replace(armed=(GoesAlong("vm-1", 7, 64, (3,)),)), "Guests of QEMU"),
        (
            lambda f: f._replace(arms_guests=True, work=Work(guests=(Guest(7, "vm-1"),))),
            "Guests of QEMU",
        ),
        (held, "luo-tui-holder ends with the shutdown, and what it holds with it: web"),
    ],
)
def test_what_cannot_go_through_the_init_system_is_refused(
    console: Through, change: Callable[[Facts], Facts], said: str
) -> None:
    facts = console.facts()
    assert refusal(Act.KEXEC, facts) is None
    found = refusal(Act.KEXEC, change(facts))
    assert found is not None
    assert said in found.reason
    # Directly none of this speaks against it.
    assert refusal(Act.KEXEC, change(facts)._replace(through=None)) is None


def test_a_kernel_with_moves_is_not_frozen_within_a_shutdown() -> None:
    # Of LUO v2 are the facts of the verdict's tests.
    facts = FACTS._replace(through=SYSTEMD)
    assert "may refuse the freeze" in objection_to_init(facts)
    assert objection_to_init(facts._replace(through=None)) == ""


def test_what_it_keeps_and_costs_is_said_before(console: Through) -> None:
    facts = console.facts()
    parts = {p.id: p for p in (KEPT, RESTARTED, THEIRS)}
    facts = facts._replace(snapshot=facts.snapshot._replace(participants=parts))
    action = offered(Act.KEXEC, facts)
    assert action is not None
    assert action.possible
    assert action.label.startswith("Shut down by systemd, and kexec into ")
    assert any("COLD REBOOT" in line and "no veto and no undo" in line for line in action.does)
    survives, lost = "\n".join(action.survives), "\n".join(action.lost)
    assert "1 descriptor of db.service: systemd gives" in survives
    assert "1 descriptor of vm.service: systemd gives" in survives
    assert "session vm.service-7: systemd has it" in survives
    assert Consent.to(Act.KEXEC, facts).participants == (KEPT,)
    later = facts._replace(snapshot=facts.snapshot._replace(from_release="6.19"))
    action_later = offered(Act.KEXEC, later)
    assert action_later is not None
    assert "if it was made here: one that came over from 6.19 ends" in "".join(
        action_later.survives
    )
    assert "journal.service" not in survives
    assert "web.service" not in survives
    # It is given back to a restarted unit alone.
    assert "session web.service-8, held by systemd [1]: it ends with the shutdown" in lost
    assert "1 descriptor of db.service: neither a memfd nor a session" in lost
    assert "6 descriptors of journal.service: neither" in lost
    assert "session x, held by vmm [7]: it ends with the shutdown" in action.beyond
    assert "services are stopped first" in lost


def test_the_consent_is_to_this_way_and_to_these_stores(console: Through) -> None:
    facts = console.facts()
    agreed = Consent.to(Act.KEXEC, facts, typed=HOST_NAME)
    assert agreed.stores == (("db.service", 1), ("vm.service", 1))
    assert objection(agreed, facts) is None
    fewer = SYSTEMD._replace(stores=DescriptorStores(STORES.stores[:2]))
    for other, said in (
        (facts._replace(through=None), "agreed to jump in another way"),
        (facts._replace(through=fewer), "vm.service was shown with 1 descriptor to hand over"),
    ):
        found = objection(agreed, other)
        assert found is not None
        assert said in found.reason
        assert digest(Consent.to(Act.KEXEC, other)) != digest(agreed)
    directly = Consent.to(Act.KEXEC, facts._replace(through=None), typed=HOST_NAME)
    found = objection(directly, facts)
    assert found is not None
    assert "in another way" in found.reason
    with pytest.raises(NotDone, match="in another way"):
        console.window.kexec_through_init(directly, console.target, lambda: None)
    assert not console.machine.ordered


def test_the_order_is_given_once_and_written_down_before(console: Through) -> None:
    console.kexec()
    assert console.machine.ordered == 1
    (path,) = (console.host.folder / "windows").glob("*.jsonl")
    jumped = read(path)[-1]
    assert jumped.event == "jump"
    assert jumped.data["through"] == "systemd"
    assert jumped.data["acts"] == ["kexec"]
    state = console.window.window_state()
    assert state is not None
    assert state.through == "systemd"
    # The image is what systemd starts.
    assert console.host.image


def test_an_order_that_is_not_taken_leaves_all_as_it_was(console: Through) -> None:
    said = "Operation inhibited by backup"
    console.machine.refuses = OSError(errno.ECANCELED, said)
    with pytest.raises(ActFailed) as failed:
        console.kexec()
    assert failed.value.explanation.code is Exit.REFUSED
    assert f"It said: {said}." in failed.value.more
    assert failed.value.state is State.NORMAL
    assert console.host.image
    assert console.events()[-2:] == ["jump", "returned"]
    state = console.window.window_state()
    assert state is not None
    assert (state.through, state.jumped_from, state.closed) == ("", "", "")
    # And it can be ordered again.
    console.machine.refuses = None
    console.kexec()
    assert console.machine.ordered == 2


def test_an_order_without_an_answer_may_have_been_taken(console: Through) -> None:
    console.machine.refuses = OSError(errno.ETIMEDOUT, "systemd did not answer within 60 s")
    with pytest.raises(ActFailed, match="Whether it shuts down is not known"):
        console.kexec()
    assert console.events()[-1] == "jump"
    assert console.host.image


# -- what became of it ----------------------------------------------------------------------


def test_the_picture_before_has_what_may_come_over() -> None:
    found = before(SNAPSHOT, CONDITION._replace(stores=STORES))
    assert found.stores == (("db.service", 1), ("vm.service", 1))
    assert Before.of(found.plain()) == found
    unknown = DescriptorStores(missing=("no answer",))
    found = before(SNAPSHOT, CONDITION._replace(stores=unknown))
    assert found.stores is None
    assert Before.of(found.plain()) == found
    # An older version promised nothing.
    older = found.plain()
    del older["stores"]
    assert Before.of(older) == found._replace(stores=())
    strange = Before.of({"stores": [["a"], [1, 2], ["b", True], ["c", 3], "d"]})
    assert strange is not None
    assert strange.stores == (("c", 3),)


BACK = DescriptorStores((DescriptorStore("db.service", 2, "yes"),), kexecs=1)


@pytest.mark.parametrize(
    ("through", "was", "now", "grade", "text"),
    [
        ("systemd", (("db.service", 2),), BACK, Grade.GOOD, "kept: 2 descriptors of db.service"),
        ("systemd", (("db.service", 3),), BACK, Grade.BAD, "LOST: of 3 descriptors of db"),
        ("systemd", (("vm.service", 1),), BACK, Grade.BAD, "of vm.service systemd has 0"),
        (
            "systemd",
            (("db.service", 2),),
            BACK._replace(kexecs=0),
            Grade.BAD,
            "nothing was handed over to this systemd",
        ),
        (
            "systemd",
            (("db.service", 2),),
            BACK._replace(kexecs=None),
            Grade.UNKNOWN,
            "does not tell whether they were handed over",
        ),
        (
            "systemd",
            (("db.service", 2),),
            DescriptorStores(missing=("no answer",)),
            Grade.UNKNOWN,
            "is not known: no answer",
        ),
        ("systemd", None, BACK, Grade.UNKNOWN, "what units had left with systemd is not known"),
        # What the same unit has left since is no proof.
        ("", (("db.service", 2),), BACK, Grade.UNKNOWN, "LOST, for the jump went past systemd"),
        ("", (), BACK, None, ""),
    ],
)
def test_what_became_of_the_stores_is_told(
    through: str,
    was: tuple[tuple[str, int], ...] | None,
    now: DescriptorStores,
    grade: Grade | None,
    text: str,
) -> None:
    facts = FACTS._replace(
        window_state=WINDOW._replace(through=through),
        promised=PROMISED._replace(before=BEFORE._replace(stores=was)),
    )
    found = [r for r in judge(facts, CONDITION._replace(stores=now)).reasons if r.about == "stores"]
    if grade is None:
        assert found == []
        return
    (reason,) = found
    assert reason.grade is grade
    assert text in reason.text


@pytest.mark.parametrize(
    ("through", "kexecs", "grade", "text"),
    [
        ("systemd", 1, Grade.GOOD, "kept: session ram-7"),
        ("systemd", 0, Grade.BAD, "LOST: session ram-7: nothing was handed over"),
        ("", 0, Grade.UNKNOWN, "LOST: session ram-7: nothing was handed over"),
        ("", None, Grade.GOOD, "kept: session ram-7"),
    ],
)
def test_a_session_that_systemd_made_anew_is_none_that_came_over(
    through: str, kexecs: int | None, grade: Grade, text: str
) -> None:
    session = Participant("session 7", "session", "ram-7", "held by systemd [1]")
    facts = FACTS._replace(
        snapshot=SNAPSHOT._replace(participants={session.id: session}),
        window_state=WINDOW._replace(through=through),
        promised=PROMISED._replace(participants=(session,)),
    )
    now = DescriptorStores(
        (DescriptorStore("vm.service", 1, "yes", ("ram",), 1, ("ram-7",)),), kexecs=kexecs
    )
    told = judge(facts, CONDITION._replace(stores=now)).reasons
    (reason,) = [r for r in told if r.about == "participant"]
    assert reason.grade is grade
    assert text in reason.text


def test_a_jump_that_was_made_directly_is_not_through_anything() -> None:
    for data, through in (({"through": "systemd"}, "systemd"), ({}, ""), ({"through": 7}, "")):
        jump = Record("jump", "2026-12-01T00:00:00+00:00", "b", 1.0, data)
        assert window_state_of("w", (jump,)).through == through


# -- asking it, and ordering it -------------------------------------------------------------


def program(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


def test_systemd_is_asked_which_it_is(tmp_path: Path) -> None:
    assert read_init_system(tmp_path / "none", "") == InitSystem()
    answers = (
        'case "$*" in\n*Version*) echo Version=262.1-1 ;;\n*KExecCount*) echo KExecCount=4 ;;\n'
        # A stopped unit that has a store is not shown unless it is asked for by this state.
        "*dead-resources-pinned*) printf 'Id=db.service\\nNFileDescriptorStore=4\\n"
        "FileDescriptorStorePreserve=yes\\n' ;;"
        "\nesac"
    )
    path = program(tmp_path, "systemctl", answers)
    # As systemd 262 tells of a memfd, one that came over, a session, and a pipe.
    rows = (
        '[["m",33279,0,1,31,0,0,"/memfd:kept (deleted)",2],'
        '["o",33279,0,1,10,0,0,"/ (deleted)",2],'
        '["s",384,0,14,18,0,0,"anon_inode:[luo_session] db.service-70",2],'
        '["p",4480,0,13,13,0,0,"pipe:[13]",0]]'
    )
    program(tmp_path, "busctl", f'echo \'{{"type":"a(suuutuusu)","data":[{rows}]}}\'')
    found = read_init_system(tmp_path, path)
    store = DescriptorStore("db.service", 4, "yes", carried=3, held=("db.service-70",))
    assert found == InitSystem("systemd", 262, DescriptorStores((store,), kexecs=4))
    assert found.stores.stores[0].promised == 3
    # What it does not tell says nothing of the store.
    for answer in ("exit 1", "echo", "echo '{\"data\":[7]}'", "echo '{\"data\":[[[1]]]}'"):
        program(tmp_path, "busctl", answer)
        (store,) = read_init_system(tmp_path, path).stores.stores
        assert (store.carried, store.promised) == (None, 4)


def test_no_answer_is_told(tmp_path: Path) -> None:
    path = program(tmp_path, "systemctl", "echo 'Failed to connect to bus' >&2; exit 1")
    found = read_init_system(tmp_path, path)
    assert (found.name, found.version) == ("systemd", 0)
    assert "Failed to connect to bus" in found.missing[0]
    assert found.stores.missing


def test_the_order_goes_to_systemctl(tmp_path: Path) -> None:
    path = program(tmp_path, "systemctl", f'echo "$*" >{tmp_path}/told')
    order_kexec(path)
    assert (tmp_path / "told").read_text().split()[-1] == "kexec"
    path = program(tmp_path, "systemctl", "printf 'Operation \\033[2Jinhibited' >&2; exit 1")
    with pytest.raises(OSError, match="inhibited") as refused:
        order_kexec(path)
    assert refused.value.errno == errno.ECANCELED
    assert "\x1b" not in str(refused.value)
