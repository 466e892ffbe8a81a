# SPDX-License-Identifier: MIT
"""The verdict: what is amiss is told, what is not known is no good news."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luo_tui.model import (
    Condition,
    Device,
    Host,
    LuoState,
    Participant,
    Resource,
    Resources,
    ResourceState,
    Snapshot,
    SourceHealth,
    Stamps,
    State,
)
from luo_tui.sources.condition import read_condition
from luo_tui.update.before import Before, alike, before, handover
from luo_tui.update.facts import CameOver, Facts, Stands
from luo_tui.update.history import read_history
from luo_tui.update.journal import open_journal
from luo_tui.update.resource_list import Listed, Promised, promised
from luo_tui.update.verdict import SETTLED, Grade, Verdict, _all_kept, verdict
from luo_tui.update.window_state import FORMAT, Record, WindowState, window_state_of
from tests.unit.test_acts import ANN, Console, host
from tests.unit.test_history import jumped
from tests.unit.test_journal import SETTINGS, VALUES

NIC = Participant("pci-0000:3b:00.0", "pci", "0000:3b:00.0", "claimed", driver="luo_nic")
BEFORE = Before(
    devices={"0000:3b:00.0": "luo_nic", "0000:5e:00.0": "nvme", "0000:5f:00.0": ""},
    links={"ens3": "up", "ens4": "down"},
    failed_units=("old.service",),
    errors=frozenset({alike("ACPI: error at 0x1f00")}),
    kexecs=4,
)
CONDITION = Condition(
    links={"ens3": "up", "ens4": "down"},
    failed_units=("old.service",),
    errors=("ACPI: error at 0x2b00",),
    lines=("KHO: found kexec handover data.", "KHO: exec from: old (count 5)"),
    log_is_whole=True,
    up=SETTLED + 1,
)
SNAPSHOT = Snapshot(
    Host("hv-07", "new", "boot-2"),
    LuoState(State.UPDATED),
    resources=Resources([Resource(3, "memfd", ResourceState.RESTORED, "guest-db", 64)]),
    participants={NIC.id: NIC},
    devices={
        "0000:3b:00.0": Device("0000:3b:00.0", "pci", driver="luo_nic"),
        "0000:5e:00.0": Device("0000:5e:00.0", "pci", driver="nvme"),
        "0000:5f:00.0": Device("0000:5f:00.0", "pci"),
    },
    stamps=Stamps(arrived=5),
    from_release="old",
)
WINDOW = WindowState("w", jumped_from="boot-1", jumped_release="old", target="new")
PROMISED = Promised((Listed(3, "guest-db", "memfd", 64),), (NIC,), BEFORE)
FACTS = Facts(SNAPSHOT, may_act=True, window_state=WINDOW, promised=PROMISED)


def judge(facts: Facts = FACTS, condition: Condition = CONDITION) -> Verdict:
    found = verdict(facts, condition)
    assert found is not None
    return found


def seen(**changed: Any) -> Facts:
    return FACTS._replace(snapshot=SNAPSHOT._replace(**changed))


def window(**changed: Any) -> Facts:
    return FACTS._replace(window_state=WINDOW._replace(**changed))


def doubt(name: str) -> Facts:
    return seen(health={name: SourceHealth(name, fault="it died")})


def known(**changed: Any) -> Facts:
    return FACTS._replace(promised=PROMISED._replace(before=BEFORE._replace(**changed)))


def now(**changed: Any) -> Condition:
    return CONDITION._replace(**changed)


def test_an_update_that_went_well_is_good_and_says_from_what() -> None:
    found = judge()
    assert found.grade is Grade.GOOD
    assert found.line == "GOOD: new took over from old, and all is as it was."
    assert {r.about for r in found.reasons} == {
        "boot", "release", "handover", "state", "promise", "participant", "devices", "links",
        "units", "kernel log",
    }  # fmt: skip
    assert "kept: pci 0000:3b:00.0" in " ".join(map(str, found.reasons))


GONE = {k: v for k, v in SNAPSHOT.devices.items() if k != "0000:5e:00.0"}
UNBOUND = {**SNAPSHOT.devices, "0000:5e:00.0": Device("0000:5e:00.0", "pci")}
INCOMING = Resources([Resource(3, "memfd", ResourceState.INCOMING, "guest-db", 64)])


@pytest.mark.parametrize(
    ("facts", "condition", "grade", "words"),
    [
        (window(jumped_from="boot-2"), CONDITION, Grade.BAD, "the jump was not made"),
        (window(target="newer"), CONDITION, Grade.BAD, "this is new, and not the target newer"),
        (window(target=""), CONDITION, Grade.UNKNOWN, "target is not recorded"),
        (window(jumped_release="older"), CONDITION, Grade.UNKNOWN, "took over from old, and"),
        (window(newer_format=True), CONDITION, Grade.UNKNOWN, "a newer luo-tui"),
        (FACTS._replace(journal_fault="EIO"), CONDITION, Grade.UNKNOWN, "cannot be read"),
        (FACTS, now(lines=()), Grade.UNKNOWN, "has no line of it"),
        (known(kexecs=2), CONDITION, Grade.UNKNOWN, "counts 5 handovers, and 2 before"),
        (doubt("state"), CONDITION, Grade.UNKNOWN, "it died"),
        (seen(luo=LuoState(State.NORMAL)), CONDITION, Grade.UNKNOWN, "finished the update"),
        (seen(luo=LuoState(State.UNKNOWN, "x")), CONDITION, Grade.UNKNOWN, "unknown: x"),
        (seen(resources=Resources()), CONDITION, Grade.BAD, "lost: guest-db"),
        (seen(resources=INCOMING), CONDITION, Grade.NOT_YET, "not yet: guest-db"),
        (doubt("resources"), CONDITION, Grade.UNKNOWN, "not everything could be read"),
        (seen(participants={}), CONDITION, Grade.BAD, "lost: pci 0000:3b:00.0"),
        (FACTS._replace(promised=None, promised_fault="EIO"), CONDITION, Grade.UNKNOWN, "EIO"),
        (FACTS._replace(promised=PROMISED._replace(before=None)), CONDITION, Grade.UNKNOWN,
         "before the jump is not known"),
        (doubt("devices"), CONDITION, Grade.UNKNOWN, "could not all be read"),
        (known(devices=None), CONDITION, Grade.UNKNOWN, "before the jump is not known"),
        (seen(devices=GONE), CONDITION, Grade.BAD, "0000:5e:00.0 is GONE (driver nvme)"),
        (seen(devices=GONE), now(up=9.0), Grade.NOT_YET, "0000:5e:00.0 is GONE"),
        (seen(devices=UNBOUND), CONDITION, Grade.BAD, "has NO DRIVER, and had nvme"),
        (FACTS, now(links=None), Grade.UNKNOWN, "state could not be read"),
        (FACTS, now(links={"ens3": "down", "ens4": "down"}), Grade.BAD, "ens3 is down"),
        (FACTS, now(links={"ens3": "up"}), Grade.BAD, "ens4 is GONE"),
        (known(links=None), CONDITION, Grade.UNKNOWN, "before the jump is not known"),
        (FACTS, now(failed_units=None), Grade.UNKNOWN, "could not be asked"),
        (FACTS, now(failed_units=("a.service",)), Grade.BAD, "a.service has FAILED"),
        (known(failed_units=None), CONDITION, Grade.UNKNOWN, "had failed before is not known"),
        (FACTS, now(errors=None), Grade.UNKNOWN, "new errors could not be read"),
        (FACTS, now(errors=("nvme: reset",)), Grade.UNKNOWN, "a NEW error, to be looked at: nvme"),
        (FACTS, now(errors=("luo: token 3 is lost",)), Grade.BAD, "luo: token 3 is lost"),
        (known(errors=None), CONDITION, Grade.UNKNOWN, "errors are new is not known"),
        (FACTS, now(log_is_whole=False), Grade.UNKNOWN, "its beginning is no longer there"),
    ],
)  # fmt: skip
def test_each_thing_amiss_is_told_and_graded(
    facts: Facts, condition: Condition, grade: Grade, words: str
) -> None:
    found = judge(facts, condition)
    assert found.grade is grade
    worst = [str(r) for r in found.reasons if r.grade is grade]
    assert any(words in reason for reason in worst), worst
    assert found.line.startswith(f"{grade.upper()}: ")


COLD: dict[str, Any] = {"luo": LuoState(State.NORMAL), "from_release": "", "stamps": Stamps()}


@pytest.mark.parametrize(
    ("stands", "grade", "text"),
    [
        (Stands.GOES_ON, Grade.GOOD, "kept: web1 goes on"),
        (Stands.WAITS, Grade.NOT_YET, "web1 stands still: it is saved, and was not loaded"),
        (Stands.PAUSED, Grade.UNKNOWN, "web1 was loaded, and is not known to run: ask its monitor"),
        (Stands.ENDED, Grade.UNKNOWN, "web1 was loaded, and has ended since"),
        (Stands.LOST, Grade.BAD, "web1 was not saved before the jump"),
    ],
)
def test_a_guest_of_qemu_is_named(stands: Stands, grade: Grade, text: str) -> None:
    other = CameOver("db1", Stands.GOES_ON, 12.3)
    found = judge(FACTS._replace(came_over=(other, CameOver("web1", stands))))
    assert (grade, "guests", text) in found.reasons
    assert (Grade.GOOD, "guests", "kept: db1 goes on, after about 12 s") in found.reasons
    assert found.grade is grade


@pytest.mark.parametrize(
    ("clock", "text"),
    [
        ({"clock_set": True}, "; its clock was set"),
        (
            {"clock_fault": "it has no agent"},
            ", by which its clock is behind: it has no agent",
        ),
    ],
)
def test_what_the_pause_did_to_the_clock_of_a_guest_is_told(
    clock: dict[str, Any], text: str
) -> None:
    one = CameOver("db1", Stands.GOES_ON, 12.3, **clock)
    found = judge(FACTS._replace(came_over=(one,)))
    assert (Grade.GOOD, "guests", f"kept: db1 goes on, after about 12 s{text}") in found.reasons


def test_a_guest_that_the_jump_ended_by_agreement_is_named() -> None:
    window = WINDOW._replace(ended_guests=("old1 (qemu [41])",))
    found = judge(FACTS._replace(window_state=window))
    text = "ended by the jump, as it was agreed to: old1 (qemu [41])"
    assert (Grade.GOOD, "guests", text) in found.reasons
    assert found.line.endswith("and all else is as it was.")


@pytest.mark.parametrize(
    ("facts", "condition", "grade", "words"),
    [
        (seen(**COLD), now(lines=()), Grade.BAD, "BAD: COLD BOOT, NO HANDOVER"),
        (seen(**COLD), CONDITION, Grade.BAD, "BAD: NO HANDOVER: this kernel was started by a k"),
        (seen(**COLD), now(lines=(), log_is_whole=False), Grade.BAD, "BAD: NO HANDOVER: this"),
        (seen(**COLD | {"luo": LuoState(State.UNAVAILABLE)}), now(lines=()), Grade.BAD,
         "BAD: COLD BOOT"),
        (seen(**COLD | {"luo": LuoState(State.UNAVAILABLE)}), CONDITION, Grade.UNKNOWN,
         "no orchestrator that could take over: load it"),
        (seen(**COLD | {"luo": LuoState(State.UNAVAILABLE)}), now(lines=(), log_is_whole=False),
         Grade.UNKNOWN, "cannot be known"),
        (seen(**COLD)._replace(window_state=WINDOW._replace(closed="lost", lost_in="boot-2")),
         now(lines=()), Grade.BAD, "BAD: COLD BOOT"),
    ],
)  # fmt: skip
def test_a_boot_without_a_handover_is_named_before_all_else(
    facts: Facts, condition: Condition, grade: Grade, words: str
) -> None:
    found = judge(facts, condition)
    assert (found.grade, words in found.line) == (grade, True), found.line


@pytest.mark.parametrize(
    "state",
    [
        None,
        WindowState("w"),
        WINDOW._replace(closed="finished"),
        WINDOW._replace(closed="lost", lost_in="boot-1"),
    ],
)
def test_where_no_jump_led_here_there_is_no_verdict(state: WindowState | None) -> None:
    assert verdict(FACTS._replace(window_state=state), CONDITION) is None


def test_nothing_unknown_passes_as_good() -> None:
    """Each single thing that is taken away from the evidence takes the good verdict away."""
    for name, value in (("links", None), ("failed_units", None), ("errors", None)):
        assert judge(condition=now(**{name: value})).grade is not Grade.GOOD, name
    for name in ("devices", "links", "failed_units", "errors"):
        assert judge(known(**{name: None})).grade is not Grade.GOOD, name
    for name in ("state", "resources", "devices"):
        assert judge(doubt(name)).grade is not Grade.GOOD, name


def test_the_picture_of_before_comes_back_from_its_file(tmp_path: Path) -> None:
    journal, _ = open_journal(tmp_path, "b")
    listed = journal.write_promised([], [NIC], BEFORE)
    journal.write("jump", target="new", promised=listed)
    found = promised(tmp_path, journal.window_state())
    assert found.before == BEFORE
    assert [p.name for p in found.participants] == [NIC.name]
    # As earlier versions wrote it.
    journal.write("jump", target="new", promised=journal.write_promised([], [NIC]))
    assert promised(tmp_path, journal.window_state()).before is None


@settings(SETTINGS, max_examples=20)
@given(VALUES | st.dictionaries(st.sampled_from(["devices", "links", "failed_units", "errors",
                                                 "kexecs", "missing"]), VALUES))  # fmt: skip
def test_a_picture_of_any_shape_is_read(raw: object) -> None:
    found = Before.of(raw)
    if found is not None:
        json.dumps(found.plain())
        facts = FACTS._replace(promised=PROMISED._replace(before=found))
        for reason in judge(facts).reasons:
            assert str(reason).isprintable()


def test_the_picture_is_of_what_could_be_read() -> None:
    assert before(doubt("devices").snapshot, CONDITION).devices is None
    found = before(SNAPSHOT, CONDITION)
    assert found == BEFORE._replace(kexecs=5)
    assert before(SNAPSHOT, now(lines=())).kexecs == 0
    assert before(SNAPSHOT, now(lines=(), log_is_whole=False)).kexecs is None
    assert handover(now(lines=("KHO: exec from: 7.3.0-x (count 12)",))) == ("7.3.0-x", 12)


def test_a_jump_writes_the_picture_down_and_arriving_the_verdict(tmp_path: Path) -> None:
    machine = host(tmp_path, "device-lost")
    devices = {d.id: d.driver for d in machine.devices.values()}
    jumped(machine)
    (one,) = read_history(tmp_path)
    picture = promised(tmp_path, one.state).before
    assert picture is not None
    assert (picture.devices, picture.failed_units, picture.kexecs) == (devices, (), 0)
    assert picture.links
    Console(machine, ANN).window.arrive()
    (one,) = read_history(tmp_path)
    assert one.verdict is not None
    assert one.verdict.level == "bad"
    assert "it was switched off on the way" in " ".join(one.verdict.reasons)
    assert one.blackout is not None
    assert one.blackout.total > 0


@pytest.mark.parametrize("length", [1, 300, 5000])
def test_a_verdict_on_many_fits_into_its_record(length: int) -> None:
    many = tuple(Listed(n, "x" * length, "memfd", 1) for n in range(1000))
    facts = FACTS._replace(promised=Promised(many, (), BEFORE))
    record = judge(facts).record()
    assert len(json.dumps(record)) < 8192
    assert record["level"] == "bad"


# What is read of the host.


def kmsg(path: Path, *records: str) -> str:
    path.write_text("".join(f"{r}\n" for r in records))
    return str(path)


def script(folder: Path, text: str) -> str:
    folder.mkdir(exist_ok=True)
    path = folder / "systemctl"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


def reading(tmp_path: Path, **how: Any) -> Condition:
    return read_condition(
        **{
            "kmsg": str(tmp_path / "nothing"),
            "net": tmp_path / "net",
            "systemd": tmp_path / "no-systemd",
            **how,
        }
    )


def test_links_are_those_of_devices(tmp_path: Path) -> None:
    for name, state, real in (("ens3", "up", True), ("tap0", "up", False), ("ens4", "\x1b", True)):
        (tmp_path / "net" / name).mkdir(parents=True)
        (tmp_path / "net" / name / "operstate").write_text(f"{state}\n")
        if real:
            (tmp_path / "net" / name / "device").mkdir()
    assert reading(tmp_path).links == {"ens3": "up", "ens4": "\\x1b"}


def test_a_log_that_cannot_be_read_has_not_no_errors(tmp_path: Path) -> None:
    found = reading(tmp_path)
    assert (found.errors, found.log_is_whole) == (None, False)
    assert any("log could not be read" in sentence for sentence in found.missing)


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have reads of the log give one record each, as the kernel's file does."""

    def give(*those: bytes | OSError) -> None:
        left = list(those)
        ordinary = os.read

        def read(fd: int, size: int) -> bytes:
            if size != 8192:
                return ordinary(fd, size)
            if not left:
                raise BlockingIOError
            one = left.pop(0)
            if isinstance(one, OSError):
                raise one
            return one

        monkeypatch.setattr(os, "read", read)

    return give


def test_errors_are_the_kernels_own_and_the_beginning_is_asked_for(
    tmp_path: Path, records: Callable[..., None]
) -> None:
    path = kmsg(tmp_path / "kmsg")
    first = b"6,0,1,-;Linux version\n"
    late = b"6,9,1,-;Linux version\n"
    rest = (
        b"3,10,5,-;nvme: \x1breset\n SUBSYSTEM=pci\n",
        b"3,11,6,-;nvme: \x1breset\n",
        b"11,12,7,-;a user wrote this\n",
        b"nonsense\n",
        b"6,13,8,-;KHO: exec from: old (count 2)\n",
    )
    records(first, *rest)
    found = reading(tmp_path, kmsg=path)
    assert found.errors == ("nvme: \\x1breset",)
    assert (found.log_is_whole, handover(found)) == (True, ("old", 2))
    records(late, *rest)
    assert not reading(tmp_path, kmsg=path).log_is_whole
    records(BrokenPipeError(32, "overwritten"), late, *rest)
    assert reading(tmp_path, kmsg=path).errors == ("nvme: \\x1breset",)
    records(first, OSError(5, "Input/output error"))
    assert reading(tmp_path, kmsg=path).errors is None


def test_systemd_is_asked_and_no_answer_is_not_none_failed(tmp_path: Path) -> None:
    assert reading(tmp_path).failed_units == ()
    (tmp_path / "systemd").mkdir()

    def units(text: str) -> Condition:
        path = script(tmp_path / "bin", text)
        return reading(tmp_path, systemd=tmp_path / "systemd", path=path)

    assert units("echo b.service loaded failed failed B; echo a.mount x").failed_units == (
        "a.mount",
        "b.service",
    )
    refused = units("echo no bus >&2; exit 1")
    assert refused.failed_units is None
    assert any("no bus" in sentence for sentence in refused.missing)
    missing = reading(tmp_path, systemd=tmp_path / "systemd", path=str(tmp_path / "empty"))
    assert missing.failed_units is None


def test_a_verdict_in_a_record_changes_nothing_of_the_window() -> None:
    told = judge().record()
    jump = Record("jump", "t", "boot-1", 1, {"target": "new", "release": "old"})
    plain = Record("arrived", "t", "boot-2", 2, {"release": "new"})
    with_it = plain._replace(data={**plain.data, "verdict": told})
    assert plain.format == FORMAT
    assert window_state_of("w", [jump, plain]) == window_state_of("w", [jump, with_it])


def test_one_promise_is_not_counted_as_many() -> None:
    assert [_all_kept(n) for n in (1, 2, 1000)] == [
        "the one promise is kept",
        "all 2 promises are kept",
        "all 1,000 promises are kept",
    ]


def test_the_log_tells_when_the_first_program_ran_and_the_update_had_arrived(
    tmp_path: Path, records: Callable[..., None]
) -> None:
    path = kmsg(tmp_path / "kmsg")
    records(
        b"6,0,0,-;Linux version\n",
        # Anybody who may write to the log could say so.
        b"14,1,100,-;Run /init as init process\n",
        b"6,2,312500,-;Run /init as init process\n",
        b"6,3,900000,-;Run /sbin/init as init process\n",
        b"6,4,1250000,-,caller=T1;luo: took over 3 files and 1 subsystems from 7.3.3\n",
    )
    found = reading(tmp_path, kmsg=path)
    assert (found.init_up, found.arrived_up) == (0.3125, 1.25)
    records(b"6,0,0,-;Linux version\n")
    found = reading(tmp_path, kmsg=path)
    assert (found.init_up, found.arrived_up) == (None, None)
