# SPDX-License-Identifier: MIT
"""What is checked on the host passes, and fails, for its real cause; each code is one question."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from luo_tui.cli import check as command
from luo_tui.cli import main as cli
from luo_tui.errors import Exit
from luo_tui.model import (
    Device,
    Guest,
    Host,
    LuoState,
    Participant,
    Resource,
    Resources,
    ResourceState,
    Snapshot,
    SourceHealth,
    State,
    Vitals,
    Work,
)
from luo_tui.orchestrator.simulated import HOST_NAME, SimulatedHost, SimulatedOrchestrator
from luo_tui.update.checks import handover, surroundings
from luo_tui.update.checks import host as host_checks
from luo_tui.update.checks import target as target_checks
from luo_tui.update.checks.host import JOURNAL_NEEDS, run_host_checks
from luo_tui.update.facts import Facts, Finding, Level
from luo_tui.update.person import Person
from luo_tui.update.window_state import WindowState

CODES = 30
"""Checks that there are; their codes leave none out."""
GUEST = Resource(1, "memfd", ResourceState.PRESERVED, "guest-db", 64 << 20, 812, "vmm")
SNAPSHOT = Snapshot(Host("hv", "old", "b"), LuoState(State.NORMAL), Resources((GUEST,)))
GOOD = Facts(SNAPSHOT, may_act=True, work=Work(guests=(Guest(812, "vmm", ("guest-db",), 64),)))
ROOM = JOURNAL_NEEDS
ANN = Person("ann", "pts/1", "", 11)


def levels(facts: Facts = GOOD, free: int | None = ROOM, fault: str = "") -> dict[str, Level]:
    return {f.check: f.level for f in run_host_checks(facts, free, fault)}


def pictured(**what: Any) -> Facts:
    return GOOD._replace(snapshot=SNAPSHOT._replace(**what))


def test_a_good_host_passes_everything() -> None:
    assert set(levels().values()) == {Level.OK}
    assert len(levels()) == 11


UNREAD = {"devices": SourceHealth("devices", missing=("a disk could not be looked at",))}
NO_LOGINS = {
    "host activity": SourceHealth(
        "host activity", missing=("who is logged in cannot be known here",)
    )
}
CARD = Device("0000:3b:00.0", "pci", driver="mlx5_core", users=("eth0",))


def read(source: str, *missing: str, fault: str = "") -> dict[str, SourceHealth]:
    return {source: SourceHealth(source, fault=fault, missing=missing)}


NO_LUO = LuoState(State.UNAVAILABLE, "luo.ko is not loaded")
OPEN = "who has /dev/liveupdate open is not known: some processes could not be looked at"
ARMED = "whether watchdog0 is armed is not told by this kernel"


@pytest.mark.parametrize(
    ("found", "facts"),
    [
        ({"privilege": "warning", "device node": "unknown"}, GOOD._replace(may_act=False)),
        ({"picture": "unknown", "devices": "unknown"}, pictured(health=UNREAD)),
        ({"picture": "unknown", "logins": "unknown"}, pictured(health=NO_LOGINS)),
        ({"window": "warning"}, GOOD._replace(lock_holder=ANN)),
        ({"window": "warning"}, GOOD._replace(window_state=WindowState("3", opened_by="ann"))),
        ({"window": "unknown"}, GOOD._replace(lock_fault="Permission denied")),
        ({"window": "unknown"}, GOOD._replace(journal_fault="it is damaged")),
        ({"device node": "warning"}, pictured(vitals=Vitals(holders=("luod [7]",)))),
        (
            {"participants": "warning"},
            pictured(participants={"x": Participant("x", "subsystem", "vfio", "refused")}),
        ),
        ({"devices": "warning"}, pictured(devices={CARD.id: CARD})),
        ({"guests": "unknown"}, GOOD._replace(work=None)),
        ({"guests": "unknown"}, GOOD._replace(work=Work(missing=("/proc is not there",)))),
        ({"guests": "warning"}, GOOD._replace(work=Work(guests=(Guest(9, "qemu"),)))),
        ({"logins": "warning"}, pictured(vitals=Vitals(users=("ann on tty1", "bo on tty2")))),
        ({"device node": "unknown", "participants": "unknown"}, pictured(luo=NO_LUO)),
        (
            {
                "picture": "unknown",
                "device node": "unknown",
                "logins": "unknown",
                "watchdogs": "unknown",
            },
            pictured(health=read("host activity", fault="it died")),
        ),
        (
            {"picture": "unknown", "device node": "unknown"},
            pictured(health=read("host activity", OPEN)),
        ),
        (
            {"picture": "unknown", "watchdogs": "unknown"},
            pictured(health=read("host activity", ARMED)),
        ),
        (
            {"picture": "unknown", "participants": "unknown"},
            pictured(health=read("resources", fault="udev is gone")),
        ),
        ({"watchdogs": "warning"}, pictured(vitals=Vitals(watchdogs=("watchdog0, 30 s",)))),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, dict) else "",
)
def test_each_fault_is_found_by_its_check(found: dict[str, str], facts: Facts) -> None:
    assert {n: str(v) for n, v in levels(facts).items() if v is not Level.OK} == found
    for finding in run_host_checks(facts, ROOM):
        assert finding.text.endswith(".")
        assert (finding.why == "") is (finding.level is Level.OK)
        assert finding.evidence


@pytest.mark.parametrize(
    ("state", "arms", "text", "remedy"),
    [
        (State.NORMAL, False, "1 guest not preserved yet: ", "Have them preserved before prepare."),
        (State.NORMAL, True, "1 guest not preserved yet: ", "Prepare arms those of QEMU"),
        (State.PREPARED, True, "1 guest not preserved: ", "Cancel, have them preserved, and"),
        (State.UPDATED, False, "1 guest not preserved: ", "Have them preserved before prepare."),
    ],
)
def test_a_guest_is_told_as_lost_only_once_it_is(
    state: State, arms: bool, text: str, remedy: str
) -> None:
    guest = Guest(9, "qemu", is_qemu=True)
    facts = pictured(luo=LuoState(state))._replace(work=Work(guests=(guest,)), arms_guests=arms)
    (found,) = (f for f in run_host_checks(facts, ROOM) if f.check == "guests")
    assert (found.level, found.text.startswith(text)) == (Level.WARNING, True), found.text
    assert found.remedy.startswith(remedy)


def test_one_login_is_ones_own() -> None:
    assert levels(pictured(vitals=Vitals(users=("ann on tty1",))))["logins"] is Level.OK


def test_a_journal_that_would_not_fit_blocks() -> None:
    assert levels(free=JOURNAL_NEEDS - 1)["journal"] is Level.BLOCKER
    assert levels(free=None, fault="gone")["journal"] is Level.UNKNOWN


def test_each_code_is_one_question() -> None:
    found: dict[str, str] = {}
    for module in (target_checks, host_checks, handover, surroundings):
        for one in vars(module).values():
            if isinstance(one, type) and isinstance(getattr(one, "code", None), str):
                assert found.setdefault(one.code, one.name) == one.name
    assert sorted(found) == [f"LUO-C-{n:03}" for n in range(1, CODES + 1)]
    assert len(set(found.values())) == len(found)


@pytest.mark.parametrize(
    ("ended", "code"),
    [
        ((), Exit.OK),
        ((Level.OK,), Exit.OK),
        ((Level.OK, Level.UNKNOWN), Exit.DOUBTFUL),
        ((Level.WARNING,), Exit.DOUBTFUL),
        ((Level.WARNING, Level.UNKNOWN, Level.BLOCKER), Exit.BLOCKED),
    ],
)
def test_the_worst_counts(ended: Sequence[Level], code: Exit) -> None:
    assert command.verdict([Finding("x", level, "") for level in ended]) is code


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimulatedHost:
    made = SimulatedHost(tmp_path / "host")
    made.lay_boot()
    orchestrator = SimulatedOrchestrator(made)
    monkeypatch.setattr(cli, "open_orchestrator", lambda: orchestrator)
    return made


def check(host: SimulatedHost, *arguments: str) -> int:
    return cli.run(["--folder", str(host.folder / "journal"), "check", *arguments])


def test_the_command_tells_programs(
    host: SimulatedHost, capsys: pytest.CaptureFixture[str]
) -> None:
    code = check(host, "7.3.4-hv", "--json")
    told = json.loads(capsys.readouterr().out)
    jsonschema.validate(told, json.loads(command.schema_text()), jsonschema.Draft202012Validator)
    results = {r["code"]: r for r in told["results"]}
    assert list(results) == [f"LUO-C-{n:03}" for n in range(1, CODES + 1)]
    assert (told["host"], told["target"], told["state"]) == (HOST_NAME, "7.3.4-hv", "normal")
    assert told["image"] == str(host.boot_folder / "vmlinuz-7.3.4-hv")
    assert results["LUO-C-003"]["result"] == "ok"
    # Nothing is preserved on it yet.
    assert results["LUO-C-008"]["result"] == "warning"
    assert (code, told["verdict"]) == (Exit.DOUBTFUL, "doubtful")
    assert not (host.folder / "journal").exists(), "a check writes nothing"
    assert host.image == "", "and loads nothing"


def test_the_command_tells_a_person(
    host: SimulatedHost, capsys: pytest.CaptureFixture[str]
) -> None:
    (host.boot_folder / "vmlinuz-7.3.4-hv").write_bytes(b"no kernel")
    assert check(host, str(host.boot_folder / "vmlinuz-7.3.4-hv")) == Exit.BLOCKED
    told = capsys.readouterr().out
    assert "LUO-C-003  blocker  image:" in told
    assert "not checked" in told
    assert told.splitlines()[-1].startswith("1 blocker, ")


def test_a_target_that_is_not_there(
    host: SimulatedHost, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(host, "9.9") == Exit.NOT_FOUND
    assert "there is no such kernel" in capsys.readouterr().err
    for image in host.boot_folder.glob("vmlinuz-*"):
        if not image.name.endswith(host.release):
            image.unlink()
    # Without one that is meant, the host is checked all the same.
    assert check(host) == Exit.DOUBTFUL
    assert "LUO-C-003  unknown  image:" in capsys.readouterr().out


def test_the_schema_is_printed(host: SimulatedHost, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(host, "--schema") == Exit.OK
    jsonschema.Draft202012Validator.check_schema(json.loads(capsys.readouterr().out))


def test_room_is_looked_for_where_the_folder_is_to_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def statvfs(path: Path) -> os.statvfs_result:
        asked.append(path)
        if len(asked) > 1:
            raise PermissionError(errno.EACCES, "Permission denied")
        return os.statvfs_result((1024, 512, 100, 50, 40, 1, 1, 1, 0, 255))

    monkeypatch.setattr(os, "statvfs", statvfs)
    assert command._room(tmp_path / "not" / "yet") == (40 * 512, "")
    assert command._room(tmp_path) == (None, f"{tmp_path}: Permission denied")
    assert asked == [tmp_path, tmp_path]
