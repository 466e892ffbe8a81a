# SPDX-License-Identifier: MIT
"""Each change is told once, in words, and what only was read again is not told."""

from __future__ import annotations

import pytest

from luo_tui.model import (
    Device,
    Host,
    KexecState,
    LuoState,
    Participant,
    Resource,
    ResourceState,
    Snapshot,
    State,
    Vitals,
)
from luo_tui.monitor.event_text import EventDraft, events_of
from luo_tui.monitor.fold import fold
from luo_tui.monitor.repeats import MOST, QUIET, Repeats
from luo_tui.sources.changes import (
    Change,
    DeviceGone,
    DevicePut,
    DevicesRead,
    ImagesRead,
    KernelPrinted,
    KernelSaid,
    KexecChanged,
    LuoChanged,
    ParticipantGone,
    ParticipantPut,
    ParticipantsRead,
    ReadingDone,
    ResourceGone,
    ResourcePut,
    ResourcesRead,
    SourceAlive,
    SourceFailed,
    VitalsRead,
    WindowsWritten,
)

GUEST = Resource(3, "memfd", ResourceState.PRESERVED, "guest", 4096, 7, "qemu")
PART = Participant("pci-a", "pci", "a", "registered")
NIC = Device("a", "pci", "network", "ice", "E810")
VITALS = Vitals(1 << 30, 1 << 29, users=("ann on pts/0",), watchdogs=("iTCO, 30 s",))
BEFORE = fold(
    Snapshot(Host("hv", "7.3", "b"), LuoState(State.NORMAL)),
    [
        ResourcesRead((GUEST,)),
        ParticipantsRead((PART,)),
        DevicesRead((NIC,)),
        VitalsRead(VITALS),
        ImagesRead(("vmlinuz-1\t1 1",)),
        SourceAlive("x"),
    ],
)


@pytest.mark.parametrize(
    ("change", "words", "grave"),
    [
        (LuoChanged(LuoState(State.PREPARED)), "state normal -> prepared", False),
        (LuoChanged(LuoState(State.UNAVAILABLE, "gone")), "-> unavailable: gone", True),
        (ResourcePut(GUEST._replace(token=4)), "guest (token 4) preserved by qemu [7]", False),
        (ResourcePut(GUEST._replace(bytes=8192)), "guest (token 3): 4 -> 8 KiB", False),
        (ResourcePut(GUEST._replace(result=5)), "guest (token 3) REFUSED (EIO)", True),
        (ResourceGone(3), "guest (token 3) is gone", False),
        (ResourcesRead(()), "guest (token 3) is gone", False),
        (ParticipantPut(PART._replace(state="prepared")), "pci a registered -> prepared", False),
        (ParticipantPut(PART._replace(result=16)), "pci a REFUSED (EBUSY)", True),
        (
            ParticipantPut(Participant("pci-b", "pci", "b", "refused", reason="a bridge")),
            "pci b cannot take part: a bridge",
            True,
        ),
        (ParticipantGone("pci-a"), "takes part no longer", False),
        (DevicePut(NIC._replace(id="c")), "pci c (E810) is there, driver ice", False),
        (DevicePut(NIC._replace(driver="")), "no driver", False),
        (DevicePut(NIC._replace(users=("ens3 (up)",))), "used by ens3 (up)", False),
        (DeviceGone("a"), "pci a (E810) is gone", False),
        (KexecChanged(KexecState(loaded=True)), "loaded for kexec", False),
        (KexecChanged(KexecState(crash_loaded=True)), "kdump is armed", False),
        (
            VitalsRead(VITALS._replace(users=("ann on pts/0", "bob on tty1"))),
            "logged in: bob on tty1",
            False,
        ),
        (VitalsRead(VITALS._replace(watchdogs=())), "no longer watchdog: iTCO", False),
        (ImagesRead(("vmlinuz-1\t1 1", "vmlinuz-2\t1 1")), "vmlinuz-2 is there", False),
        (ImagesRead(("vmlinuz-1\t2 2",)), "vmlinuz-1 was replaced", False),
        (ImagesRead(()), "vmlinuz-1 is gone", False),
        (KernelSaid("luo: frozen"), "luo: frozen", False),
        (KernelSaid("luo: bad", grave=True), "luo: bad", True),
        (SourceFailed("x", "no more", 1.0), "x is not live: no more", True),
        (ReadingDone("x", ("who is there is not known",)), "x: who is there is not known", False),
    ],
)
def test_a_change_is_told_once(change: Change, words: str, grave: bool) -> None:
    (told,) = events_of(BEFORE, [change])
    assert words in told.text
    assert told.grave is grave
    # EventDraft to one who knows it already, it is no news.
    if not isinstance(change, KernelSaid):
        assert list(events_of(fold(BEFORE, [change]), [change])) == []


@pytest.mark.parametrize(
    "change",
    [
        ResourcesRead((GUEST,)),
        ParticipantsRead((PART,)),
        DevicesRead((NIC,)),
        VitalsRead(VITALS._replace(load=3.5, memory_available=1)),
        LuoChanged(LuoState(State.NORMAL)),
        SourceAlive("x"),
        ReadingDone("x"),
        WindowsWritten(),
        KernelPrinted(),
        ResourceGone(99),
    ],
)
def test_what_is_as_it_was_is_not_told(change: Change) -> None:
    assert list(events_of(BEFORE, [change])) == []


def test_what_comes_and_goes_within_one_burst_is_told() -> None:
    told = list(events_of(BEFORE, [ResourcePut(GUEST._replace(token=9)), ResourceGone(9)]))
    assert [t.text for t in told] == [
        "guest (token 9) preserved by qemu [7]",
        "guest (token 9) is gone",
    ]


def test_what_was_never_restored_is_a_loss() -> None:
    before = fold(BEFORE, [ResourcePut(GUEST._replace(state=ResourceState.INCOMING))])
    (told,) = events_of(before, [ResourceGone(3)])
    assert told.grave
    assert "without having been restored" in told.text


def test_what_goes_after_it_was_restored_is_released() -> None:
    before = fold(BEFORE, [ResourcePut(GUEST._replace(state=ResourceState.RESTORED))])
    (told,) = events_of(before, [ResourceGone(3)])
    assert not told.grave
    assert told.text == "guest (token 3) released: it had been restored"


def test_a_source_that_comes_back_is_told() -> None:
    before = fold(BEFORE, [SourceFailed("x", "no more", 1.0)])
    assert [t.text for t in events_of(before, [SourceAlive("x")])] == ["x is live again"]


def test_a_reading_that_is_complete_again_is_told() -> None:
    before = fold(BEFORE, [ReadingDone("x", ("a", "b"))])
    assert [t.text for t in events_of(before, [ReadingDone("x", ("b", "c"))])] == ["x: c"]
    (told,) = events_of(before, [ReadingDone("x")])
    assert told.text == "x: everything can be read again"


def test_a_source_may_die_with_something_missing_and_come_back_with_it() -> None:
    missing, fault = ReadingDone("x", ("a",)), SourceFailed("x", "no more", 1.0)
    dead = fold(BEFORE, [missing, fault])
    assert dead.doubts() == ("x: no more", "x: a")
    assert dead.doubts("y") == ()
    alive = fold(dead, [SourceAlive("x"), missing])
    assert alive.doubts("x", "y") == ("x: a",)
    assert [t.text for t in events_of(dead, [SourceAlive("x"), missing])] == ["x is live again"]
    assert fold(alive, [ReadingDone("x")]).health["x"].complete


def told(repeats: Repeats, now: float, *texts: str) -> list[str]:
    drafts = [EventDraft("source", text, "x") for text in texts]
    return [d.text for d in repeats.filtered(drafts, now)]


def test_a_fault_that_comes_and_goes_is_told_a_few_times() -> None:
    repeats = Repeats()
    for number in range(1, MOST):
        assert told(repeats, 10.0 * number, "dead") == ["dead"]
    (last,) = told(repeats, 50.0, "alive")
    assert last.startswith("alive; this comes and goes")
    assert told(repeats, 60.0, "dead", "alive") == []
    assert told(repeats, 60.0 + QUIET - 1, "dead") == []
    assert told(repeats, 60.0 + 2 * QUIET, "dead") == ["dead"]
    # Another source, and all that is no source, is told.
    others = [EventDraft("source", "y is dead", "y"), EventDraft("state", "x", "x")]
    for _ in range(MOST - 1):
        assert list(repeats.filtered(others, 60.0 + 2 * QUIET)) == others
