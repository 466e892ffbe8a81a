# SPDX-License-Identifier: MIT
"""What is told of a guest by its record: no more than the kernel and its process bear out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from luo_tui.guests.context import read_context
from luo_tui.guests.proc import started
from luo_tui.guests.record import Kept, Phase, Record
from luo_tui.model import (
    Host,
    LuoState,
    Resource,
    Resources,
    ResourceState,
    Snapshot,
    State,
    Vitals,
)
from luo_tui.orchestrator.choose import open_orchestrator
from luo_tui.update.facts import Stands
from luo_tui.update.guest_facts import armed, came_over, no_more, recorded
from luo_tui.update.window_state import WindowState

HERE, BEFORE = "boot-2", "boot-1"
WINDOW = WindowState("7", jumped_from=BEFORE)
AFTER = Snapshot(Host("hv", "7.3", HERE), LuoState(State.UPDATED))
GONE = 0
"""No process began then, but the first."""


@pytest.fixture
def record() -> Record:
    pid = os.getpid()
    return Record(
        name="web1",
        phase=Phase.ARMED,
        boot=HERE,
        pid=pid,
        started=started(Path(f"/proc/{pid}")),
        argv=("qemu",),
        exe="/usr/bin/qemu",
        cwd="/",
        socket="/run/web1.qmp",
        machine="pc-q35-7.2",
        context=read_context(Path("/proc"), pid, ()),
        memory={"ram": Kept(1, 4096)},
        state=Kept(2, 4096),
    )


def preserving(*tokens: int) -> Snapshot:
    kept = Resources(Resource(t, "memfd", ResourceState.PRESERVED, "ram") for t in tokens)
    return Snapshot(Host("hv", "7.3", HERE), LuoState(State.NORMAL), resources=kept)


def test_a_guest_is_armed_while_all_of_it_is_preserved(record: Record) -> None:
    (one,) = armed((record,), preserving(1, 2, 3))
    assert (one.name, one.pid, one.tokens) == ("web1", os.getpid(), (1, 2))
    for left in ((), (1,), (2, 3)):
        assert armed((record,), preserving(*left)) == (), "its record alone proves nothing"


def test_where_tokens_are_given_anew_what_is_preserved_is_known_by_its_name(
    record: Record,
) -> None:
    named = record._replace(
        memory={"ram": Kept(1, 4096, name="guest web1 ram")},
        state=Kept(2, 4096, name="guest web1 (devices)"),
    )
    names = {1: "guest web1 ram", 2: "guest web1 (devices)"}
    for found, is_armed in (
        (names, True),
        ({**names, 3: "other"}, True),
        ({**names, 2: "other"}, False),
        ({1: names[1]}, False),
        ({}, False),
    ):
        kept = Resources(Resource(t, "memfd", ResourceState.PRESERVED, n) for t, n in found.items())
        there = preserving()._replace(resources=kept)
        assert bool(armed((named,), there, named=True)) is is_armed, found
        assert no_more((named,), there) == (() if is_armed else ("web1",))
    assert no_more((named._replace(boot=BEFORE),), preserving()) == ()
    assert no_more((), preserving()) == ()


def test_that_an_armed_guest_has_ended_is_told(record: Record) -> None:
    (one,) = armed((record._replace(started=GONE),), preserving(1, 2))
    assert one.ended
    (one,) = armed((record,), preserving(1, 2))
    assert not one.ended
    assert armed((record._replace(boot=BEFORE),), preserving(1, 2)) == ()


@pytest.mark.parametrize(
    ("changed", "stands"),
    [
        ({"phase": Phase.SAVED}, Stands.WAITS),
        ({"phase": Phase.ARMED}, Stands.LOST),
        ({"phase": Phase.SAVING}, Stands.LOST),
        ({"phase": Phase.LOADED, "paused": 5.0, "went_on": 9.5}, Stands.GOES_ON),
        ({"phase": Phase.LOADED}, Stands.PAUSED),
        ({"phase": Phase.LOADED, "goes_on": False}, Stands.GOES_ON),
        ({"phase": Phase.LOADED, "went_on": 9.5, "started": GONE}, Stands.ENDED),
    ],
)
def test_what_became_of_it(record: Record, changed: dict[str, object], stands: Stands) -> None:
    (one,) = came_over((record._replace(boot=BEFORE, **changed),), WINDOW, AFTER)  # type: ignore[arg-type]
    assert one.stands is stands


def test_of_another_jump_nothing_is_told(record: Record) -> None:
    assert came_over((record._replace(boot="boot-0"),), WINDOW, AFTER) == ()
    assert came_over((record,), WindowState("7"), AFTER) == ()


def test_a_folder_that_is_closed_to_this_user_tells_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(_: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_dir", closed)
    assert recorded(open_orchestrator(), tmp_path) == ()


@pytest.mark.parametrize(
    ("booted", "seconds"), [(106.0, 9.0), (106.0 + 86_400, 0.0), (106.0 - 86_400, 0.0), (0.0, 0.0)]
)
def test_how_long_it_stood_is_told_where_the_clock_ran_on(
    record: Record, booted: float, seconds: float
) -> None:
    window = WINDOW._replace(left_at="1970-01-01T00:01:42.500+00:00")
    kernel = AFTER._replace(vitals=Vitals(booted_at=booted))
    off = booted - 106 if booted else 0
    one = record._replace(boot=BEFORE, phase=Phase.LOADED, paused=100.0, went_on=109.0 + off)
    (told,) = came_over((one,), window, kernel)
    assert (told.stands, told.seconds) == (Stands.GOES_ON, seconds)
