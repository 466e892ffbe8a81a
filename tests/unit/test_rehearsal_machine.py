# SPDX-License-Identifier: MIT
"""A rehearsal in a machine: what is preserved in it, what it prints, what came of it."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from luo_tui.errors import Exit
from luo_tui.model import Guest, Work
from luo_tui.orchestrator.simulated import SimulatedJump
from luo_tui.update.facts import Act
from luo_tui.update.history import HistoryReader, RecordedBlackout
from luo_tui.update.prediction import predict
from luo_tui.update.rehearsal import report, sizes, steps, verdict
from luo_tui.update.rehearsal.guests import guests_here, not_rehearsed
from luo_tui.update.rehearsal.lines import Lines
from luo_tui.update.rehearsal.protocol import MARK, Failed
from luo_tui.update.rehearsal.record import KEPT, NAME, RehearsalReader, fitting, write_record
from luo_tui.update.rehearsal.sizes import MIB, Loads, machine, scaled
from luo_tui.update.rehearsal.verdict import End
from luo_tui.update.report import report_json
from luo_tui.update.walk import walk
from tests.unit.test_acts import Console, host
from tests.unit.test_prediction import window

PAGE = sizes.PAGE
LOADS = Loads(first_initrd=60 * MIB, second_initrd=30 * MIB, kernel=40 * MIB)
STAMPS = {
    "tsc_khz": 1000, "prepare_begin": 1, "prepare_end": 2, "freeze_begin": 1_000_000,
    "freeze_end": 1_002_000, "jump": 1_012_000, "arrived": 2_512_000,
}  # fmt: skip
PHASES = (("freeze", 2.0), ("jump", 1510.0))
FIRST = (
    "SeaBIOS (version 1.16)\r\n[    0.000000] Linux version 7.3.4-luo-old (x)\r\n"
    "[    0.100000] Command line: kho=on liveupdate=off\r\n[    0.2] KHO: scratch is there\r\n"
)
SECOND = "[    0.000000] Linux version 7.3.4-luo-new (x)\r\n"


def event(name: str, **data: object) -> str:
    return f"[    1.234567] {MARK}{json.dumps({'event': name, **data})}\r\n"


def whole(*, luo: bool = True) -> list[tuple[float, str]]:
    """What is printed in a rehearsal that goes well, and when."""
    boot = {"init_up": 1.0, "arrived_up": 1.2}
    state: dict[str, Any] = {"state": "updated", "stamps": STAMPS} if luo else {"state": ""}
    return [
        (3.0, FIRST + event("booted", release="7.3.4-luo-old", up=2.5)),
        (4.0, event("preserved", files=2, bytes=8192, seconds=0.5)),
        (5.0, event("loaded", seconds=0.25) + event("prepared", seconds=0.001) * luo),
        (5.5, event("jumping")),
        (8.0, SECOND + event("booted", release="7.3.4-luo-new", up=2.0)),
        (8.1, event("arrived", **state, **boot)),
        (8.2, event("restored", files=2, seconds=0.002) + event("finished", seconds=0.001)),
        (8.3, event("done")),
    ]


def read(printed: list[tuple[float, str]]) -> Lines:
    lines = Lines()
    for at, text in printed:
        # In pieces that end anywhere.
        for begin in range(0, len(text), 7):
            lines.feed(text[begin : begin + 7], at)
    return lines


def test_all_that_is_preserved_is_there_and_smaller_by_one_factor() -> None:
    wanted = (8 * 1024 * MIB, 4 * 1024 * MIB, 3 * PAGE, 1, 0)
    found = scaled(wanted, 64 * MIB)
    assert len(found.sizes) == len(wanted)
    assert sum(found.sizes) <= 64 * MIB
    assert all(size % PAGE == 0 for size in found.sizes)
    assert found.sizes[0] == pytest.approx(2 * found.sizes[1], rel=0.001)
    assert found.sizes[3:] == (PAGE, 0)
    assert found.factor == pytest.approx(64 / (12 * 1024), rel=0.001)


def test_what_has_room_has_its_size() -> None:
    assert scaled((2 * MIB, 1), 3 * MIB) == ((2 * MIB, PAGE), 1.0, 0)
    assert scaled((), 3 * MIB) == ((), 1.0, 0)


def test_too_many_are_made_fewer_and_keep_a_page_each() -> None:
    found = scaled([MIB] * (sizes.MOST_FILES + 5), 0)
    assert found.sizes == (PAGE,) * sizes.MOST_FILES
    assert found.left_out == 5


def test_a_machine_has_room_for_what_it_loads_and_for_what_is_preserved() -> None:
    asked: dict[str, Any] = {"memory": 0, "most": 256 * MIB, "available": 64 << 30, "scratch": ""}
    small = machine(LOADS, 64 * MIB, **asked)
    assert (small.memory, small.room) == (sizes.LEAST, 64 * MIB)
    _low, area, _ = small.scratch.split(",")
    assert int(area.removesuffix("M")) * MIB > LOADS.kernel + LOADS.second_initrd
    large = machine(LOADS, 64 << 30, **(asked | {"most": 4096 * MIB}))
    assert large.room == 4096 * MIB
    assert large.memory * MIB > large.room + 2 * LOADS.first_initrd
    assert machine(LOADS, MIB, **(asked | {"scratch": "1M,2M,0"})).scratch == "1M,2M,0"
    # What is left is not known.
    assert machine(LOADS, 64 * MIB, **(asked | {"available": 0})) == small
    with pytest.raises(ValueError, match="needs more than"):
        machine(LOADS, MIB, **(asked | {"memory": 256}))
    with pytest.raises(ValueError, match="takes 1,024 MiB, and this host has 1,000 left"):
        machine(LOADS, MIB, **(asked | {"available": 1000 * MIB}))


def test_a_rehearsal_that_goes_well_has_its_phases_by_the_kernels_stamps() -> None:
    found = verdict.judge(read(whole()), End.DONE, 0.5, 60, sessions=False)
    assert (found.passed, found.why, found.code) == (True, "", Exit.OK)
    assert found.blackout is not None
    assert found.blackout.record() == {
        "total_ms": 1512.0,
        "phases": [
            ["freeze", 2.0],
            ["device shutdown, until the jump", 10.0],
            ["jump and decompression, until the kernel's clock runs", 300.0],
            ["kernel boot, until the first program", 1000.0],
            ["userspace up to luo.ko", 200.0],
        ],
    }
    assert found.seconds == {
        "boot": 2.5, "preserve": 0.5, "load": 0.25, "prepare": 0.001, "kexec": 2.5,
        "restore": 0.002, "finish": 0.001,
    }  # fmt: skip


def test_by_sessions_it_is_measured_from_outside() -> None:
    found = verdict.judge(read(whole(luo=False)), End.DONE, 0.5, 60, sessions=True)
    assert found.passed
    assert found.blackout is not None
    # 2.5 s until its program told of itself, which began a second after the kernel had started it.
    assert found.blackout.total == pytest.approx(1500.0)
    assert [p.milliseconds for p in found.blackout.phases] == pytest.approx([500.0, 1000.0])


def test_whoever_waits_is_told_how_far_it_is() -> None:
    lines, told = Lines(), []
    for at, text in whole():
        lines.feed(text, at)
        told.append(verdict.where(lines))
    assert told[0] == "1 of 8 steps: booted"
    assert "5 of 8 steps: the target boots" in told
    assert told[-1].startswith("8 of 8")
    lines.feed(event("progress", step="restore", done=3, of=9), 9.0)
    assert verdict.where(lines) == "8 of 8 steps: restore 3 of 9"


def test_a_refusal_is_told_with_its_meaning_and_the_kernels_lines() -> None:
    printed = [*whole()[:2], (5.0, event("failed", step="load", text="x", errno=99))]
    found = verdict.judge(read(printed), End.FAILED, 0.5, 60, sessions=False)
    assert (found.passed, found.code, found.blackout) == (False, Exit.BLOCKED, None)
    assert found.why.startswith("In the running kernel: could not load the kernel image: ")
    assert found.why.endswith(" (EADDRNOTAVAIL).")
    assert found.lines == ("KHO: scratch is there",)


def test_what_did_not_arrive_is_told_by_the_new_kernels_lines() -> None:
    refused = (
        "[    2.0] luo: handover refused: it is 'luo-ko-v3', this module reads 'luo-ko-v0'\r\n"
    )
    text = "the new kernel's state is normal, and not updated"
    printed = [*whole()[:5], (8.1, refused + event("failed", step="arrive", text=text, errno=0))]
    found = verdict.judge(read(printed), End.FAILED, 0.5, 60, sessions=False)
    assert found.why == f"In the target: {text}."
    assert [line[:21] for line in found.lines] == ["luo: handover refused"]


def test_a_panic_is_quoted() -> None:
    panic = "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)"
    printed = [*whole()[:4], (8.0, SECOND + f"[    1.0] {panic}\r\n[    1.1] Rebooting\r\n")]
    lines = read(printed)
    assert lines.panic == panic
    found = verdict.judge(lines, End.PANIC, 0.5, 60, sessions=False)
    assert found.why == f"In the machine the target gave up: {panic}"
    assert panic in found.lines
    assert found.code is Exit.BLOCKED


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [
        (End.STOPPED, Exit.BLOCKED, "ended without a word, in the target"),
        (End.TIMED_OUT, Exit.TIMED_OUT, "not through in 60 s: the target ran, after jumping"),
        (End.SILENT, Exit.TIMED_OUT, "CONFIG_SERIAL_8250_CONSOLE"),
    ],
)
def test_each_end_has_its_words(end: End, code: Exit, said: str) -> None:
    found = verdict.judge(read(whole()[:4]), end, 0.5, 60, sessions=False)
    assert said in found.why
    assert (found.passed, found.code) == (False, code)


def test_a_kernel_that_comes_to_no_step_may_do_so_without_kvm() -> None:
    printed = read([(1.0, "[    0.0] Linux version 7.3.4\r\n")])
    found = verdict.judge(printed, End.TIMED_OUT, 0.5, 60, sessions=False)
    assert found.why == (
        "It was not through in 60 s: the running kernel ran, before the first step. "
        "--timeout gives it longer. --accel tcg does without KVM."
    )
    later = verdict.judge(read(whole()[:4]), End.TIMED_OUT, 0.5, 60, sessions=False)
    assert later.why.endswith("after jumping. --timeout gives it longer.")


def test_nothing_but_the_machines_own_program_is_believed() -> None:
    lines = read([(1.0, f"[    1.0] luo: somebody says {MARK}" + '{"event":"done"}\r\n')])
    assert lines.event("done") is None
    lines.feed(f"[ 1.0] {MARK}[1]\r\n[ 1.0] {MARK}{{\r\n[ 1.0] {MARK}" + '{"event":1}\r\n', 2.0)
    assert lines.told == []
    assert lines.anything


def test_the_whole_of_a_memfd_is_compared() -> None:
    size = steps.CHUNK + 3 * PAGE + 5
    pieces = dict(steps.content(4, size))
    assert sum(map(len, pieces.values())) == size
    pages = {piece[at : at + 16] for piece in pieces.values() for at in range(0, len(piece), PAGE)}
    assert len(pages) == size // PAGE + 1, "two pages could take each other's place"
    fd = os.memfd_create("x")
    try:
        steps._fill(fd, 4, size)
        steps._compare(fd, 4, size, size, 9)
        with pytest.raises(Failed, match="file 6 of 9 is not what it was: byte 0 differs"):
            steps._compare(fd, 5, size, size, 9)
        os.pwrite(fd, b"\xff", steps.CHUNK + PAGE + 77)
        with pytest.raises(Failed, match=f"byte {steps.CHUNK + PAGE + 77:,} differs"):
            steps._compare(fd, 4, size, size, 9)
        with pytest.raises(Failed, match="came back with"):
            steps._compare(fd, 4, size + 1, size, 9)
    finally:
        os.close(fd)


QEMU = Guest(7, "qemu-system-x86", ("ram",), 4 << 30, name="web1", is_qemu=True)
ARMED = QEMU._replace(pid=8, name="db", memory=("ram", "luo-state-db"))
OTHER = Guest(9, "cloud-hyperviso", ("vm",), 1 << 30)


def test_memfds_stand_for_the_guests_that_prepare_would_arm() -> None:
    work = Work(guests=(QEMU, ARMED, OTHER), missing=("some are not known",))
    found = guests_here(work, arms=True)
    # What is armed is preserved, and counted there.
    assert (found.memory, found.states) == ((4 << 30,), 2)
    first, second, third = not_rehearsed(found)
    assert first.startswith("2 guests (web1 (qemu-system-x86 [7]), db (qemu-system-x86 [8])): no ")
    assert "stand for their memory and their devices' state" in first
    assert "the blackout is without it" in first
    assert second == "1 guest (vm (cloud-hyperviso [9])): not armed by prepare on this host"
    assert third == "some are not known"
    assert list(not_rehearsed(guests_here(Work(), arms=True))) == []


def test_guests_that_are_not_armed_have_no_stand_ins() -> None:
    found = guests_here(Work(guests=(QEMU,)), arms=False)
    assert (found.memory, found.states) == ((), 0)
    assert list(not_rehearsed(found)) == [
        f"1 guest ({QEMU.label}): not armed by prepare on this host"
    ]


def test_a_guest_whose_memory_only_root_sees_is_told_so() -> None:
    found = guests_here(Work(guests=(QEMU._replace(memory=(), bytes=0),)), arms=True)
    assert (found.memory, found.states) == ((), 1)
    first, second = not_rehearsed(found)
    assert "Memfds stand for their devices' state" in first
    assert "only root sees it" in second


def told(**more: Any) -> dict[str, Any]:
    dark = {"total_ms": 1512.0, "phases": [list(phase) for phase in PHASES]}
    about = {"at": "2026-11-01T22:00:00+00:00", "host": "h", "release": "a", "target": "b"}
    return {"passed": True, "blackout": dark, "accel": "kvm", **about, **more}


def test_a_prediction_says_that_it_is_a_rehearsals(tmp_path: Path) -> None:
    path = write_record(tmp_path / "new", told())
    assert path == tmp_path / "new" / NAME
    found = fitting(RehearsalReader(tmp_path / "new").read(), "h", "a", "b")
    assert found is not None
    assert found.blackout == RecordedBlackout(1512.0, PHASES)
    predicted = predict([], found)
    assert predicted is not None
    assert predicted.text() == "1,512 ms, by a rehearsal in a machine (KVM)"
    assert predicted.record()["rehearsed"] == "kvm"
    # What was measured on the host itself outranks it.
    measured = predict([window(1, ("freeze", 5.0))], found)
    assert measured is not None
    assert (measured.total, measured.rehearsed) == (5.0, "")


def test_the_newest_rehearsal_of_the_same_counts(tmp_path: Path) -> None:
    for number, target in enumerate(("b", "c", "b")):
        write_record(tmp_path, told(target=target, memory_mib=number))
    read = RehearsalReader(tmp_path).read
    found = [fitting(read(), "h", "a", target) for target in ("b", "c", "d", "")]
    assert [one and one.memory for one in found] == [2, 1, None, 2]
    assert fitting(read(), "h", "another") is None
    assert fitting(read(), "another", "a") is None
    # One that failed since is not outranked by an older one.
    write_record(tmp_path, told(passed=False, blackout=None))
    assert fitting(read(), "h", "a", "b") is None
    assert fitting(read(), "h", "a", "c") is not None


def test_the_latest_ones_are_kept(tmp_path: Path) -> None:
    for number in range(KEPT + 5):
        write_record(tmp_path, told(memory_mib=number))
    kept = [one.memory for one in RehearsalReader(tmp_path).read()]
    assert kept == list(range(KEPT + 5))[: -KEPT - 1 : -1]


def test_the_file_is_read_when_it_has_changed(tmp_path: Path) -> None:
    reader = RehearsalReader(tmp_path)
    assert (reader.read(), reader.fault) == ((), "")
    write_record(tmp_path, told())
    assert reader.read() is reader.read()
    write_record(tmp_path, told())
    assert len(reader.read()) == 2
    (tmp_path / NAME).unlink()
    assert reader.read() == ()
    (tmp_path / NAME).mkdir()
    assert (reader.read(), reader.fault) == ((), os.strerror(errno.EISDIR))


@pytest.mark.parametrize("more", [{"passed": False}, {"blackout": None}, {"blackout": {"x": 1}}])
def test_what_tells_of_no_blackout_predicts_nothing(more: dict[str, Any], tmp_path: Path) -> None:
    write_record(tmp_path, told() | more)
    read = RehearsalReader(tmp_path).read()
    assert len(read) == 1
    assert fitting(read, "h", "a", "b") is None


def test_a_machine_that_emulates_the_processor_predicts_nothing(tmp_path: Path) -> None:
    read = RehearsalReader(tmp_path).read
    write_record(tmp_path, told(accel="tcg"))
    assert fitting(read(), "h", "a", "b") is None
    write_record(tmp_path, told(memory_mib=1))
    write_record(tmp_path, told(accel="tcg"))
    found = fitting(read(), "h", "a", "b")
    assert found is not None
    assert found.memory == 1, "an older one with KVM still does"
    write_record(tmp_path, told(accel="tcg", passed=False))
    assert fitting(read(), "h", "a", "b") is None


@pytest.mark.parametrize("line", ["", "[]", "{", "null", '{"format": 2}', '{"format": 1}'])
def test_what_is_no_record_is_passed_over_and_stays(line: str, tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(f"{line}\n")
    assert RehearsalReader(tmp_path).read() == ()
    write_record(tmp_path, told())
    assert len(RehearsalReader(tmp_path).read()) == 1
    assert (tmp_path / NAME).read_text().startswith(f"{line}\n")


def test_a_record_is_told_whole_and_moves_no_cursor(tmp_path: Path) -> None:
    failed = told(passed=False, blackout=None, why="In the target: it \x1b[2J gave up.")
    for one in (failed, told(seconds={"boot": 1.5, "x": "y"}, lines=["KHO: found", 7])):
        write_record(tmp_path, one)
    good, bad = RehearsalReader(tmp_path).read()
    lines = [line for one in (good, bad) for part in report.sections(one) for line in part.lines]
    assert all(line.isprintable() for line in lines)
    said = "\n".join(lines)
    for wanted in ("kernel: a -> b", "1,512.0 ms in the machine", "took: boot 1.500 s", "KHO: f"):
        assert wanted in said
    assert report.result(good) == "rehearsal passed in a machine (KVM); blackout 1,512 ms"
    assert report.result(bad).startswith("rehearsal FAILED in a machine (KVM): In the target: it ")


@pytest.mark.parametrize("other", ["", "host", "release", "target"])
def test_the_window_predicts_by_a_rehearsal_of_what_is_to_be_done(
    other: str, tmp_path: Path
) -> None:
    simulated = host(tmp_path)
    console = Console(simulated)
    here = console.window.facts(console.target).snapshot.host
    about = {"host": here.name, "release": here.release, "target": console.target.image.release}
    if other:
        about[other] = "another"
    write_record(simulated.folder, told(**about))
    console.load()
    console.prepare()
    offered = walk(console.window.facts(console.target)).action(Act.KEXEC)
    assert offered is not None
    said = [line for line in offered.does if line.startswith("The blackout will take ")]
    wanted = "The blackout will take 1,512 ms, by a rehearsal in a machine (KVM)."
    assert said == ([] if other else [wanted])
    with pytest.raises(SimulatedJump):
        console.kexec()
    newest, *_ = HistoryReader(simulated.folder).read()
    assert newest.predicted == (None if other else RecordedBlackout(1512.0, PHASES, "kvm"))
    assert report_json(newest)["predicted_ms"] == (
        None if other else {"total": 1512.0, "phases": list(map(list, PHASES)), "rehearsed": "kvm"}
    )
