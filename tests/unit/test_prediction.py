# SPDX-License-Identifier: MIT
"""The next blackout is predicted by earlier ones, said before it, and held against it after."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from luo_tui.model import ResourceState
from luo_tui.orchestrator.simulated import SimulatedHost, SimulatedJump
from luo_tui.update import history
from luo_tui.update.facts import Act
from luo_tui.update.history import HistoryReader, PastWindow
from luo_tui.update.prediction import predict, predict_prepare
from luo_tui.update.report import report_json, report_text
from luo_tui.update.walk import walk
from luo_tui.update.window_state import Record
from tests.unit.test_acts import Console, host


def window(number: int, *phases: tuple[str, float]) -> PastWindow:
    dark = {"total_ms": sum(took for _, took in phases), "phases": [list(p) for p in phases]}
    data = {"blackout": dark} if phases else {}
    record = Record("arrived", "2026-11-01T00:00:00Z", "boot", 1.0, data)
    return PastWindow(f"{number:06}-x", (record,))


def test_the_median_of_the_latest_ones_counts() -> None:
    took = [100.0, 900.0, 110.0, 120.0, 130.0, 5000.0, 6000.0]
    windows = [window(9 - n, ("freeze", t), ("jump", 10 * t)) for n, t in enumerate(took)]
    found = predict(windows)
    assert found is not None
    assert (found.total, found.windows) == (11 * 120.0, 5)
    assert found.phases == (("freeze", 120.0), ("jump", 1200.0))
    assert found.text() == "1,320 ms, by 5 earlier updates of this host (1,100 to 9,900)"


def test_of_an_even_number_it_lies_between() -> None:
    found = predict([window(2, ("jump", 100.0)), window(1, ("jump", 200.0))])
    assert found is not None
    assert found.phases == (("jump", 150.0),)


def test_what_was_measured_otherwise_or_not_at_all_does_not_count() -> None:
    old, new, none = window(1, ("all", 9e9)), window(3, ("jump", 1200.0)), window(2)
    found = predict([new, none, old])
    assert found is not None
    assert found.text() == "1,200 ms, by 1 earlier update of this host"
    assert predict([none]) is None
    assert predict([]) is None


def update(machine: SimulatedHost) -> Console:
    """Go through a whole update; return the console of the next kernel."""
    before = Console(machine)
    before.load()
    before.prepare()
    with pytest.raises(SimulatedJump):
        before.kexec()
    before.window.release()
    after = Console(machine)
    after.window.arrive()
    machine.restore_for_agents()
    after.window.finish(after.yes(Act.FINISH))
    return after


def test_it_is_said_before_the_jump_and_held_against_what_was_measured(tmp_path: Path) -> None:
    machine = host(tmp_path)
    first = update(machine)
    told = walk(first.window.facts(first.target)).action(Act.KEXEC)
    assert told is None
    console = Console(machine)
    console.load()
    machine.start_process("again", 1 << 20, 77, "vmm")
    console.prepare()
    offered = walk(console.window.facts(console.target)).action(Act.KEXEC)
    assert offered is not None
    said = [line for line in offered.does if line.startswith("The blackout will take ")]
    assert len(said) == 1
    assert "by 1 earlier update of this host" in said[0]
    with pytest.raises(SimulatedJump):
        console.kexec()
    console.window.release()
    after = Console(machine)
    after.window.arrive()
    newest, oldest = HistoryReader(machine.folder).read()
    assert newest.predicted is not None
    assert oldest.blackout is not None
    assert newest.predicted.total == oldest.blackout.total
    assert oldest.predicted is None
    text = "\n".join(report_text(newest))
    assert f"predicted: {oldest.blackout.total:,.1f} ms; measured is " in text
    assert report_json(newest)["predicted_ms"]["total"] == oldest.blackout.total
    assert report_json(oldest)["predicted_ms"] is None
    assert "predicted" not in "\n".join(report_text(oldest))


def test_a_journal_is_read_again_only_when_it_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = host(tmp_path)
    update(machine)
    reader = HistoryReader(machine.folder)
    read = []
    monkeypatch.setattr(history, "read_window", lambda p: read.append(p) or PastWindow(p.stem))
    assert len(reader.read()) == len(reader.read()) == len(read) == 1
    (path,) = (machine.folder / "windows").glob("*.jsonl")
    with path.open("ab") as journal:
        journal.write(b"{}\n")
    reader.read()
    assert len(read) == 2
    path.unlink()
    assert reader.read() == ()


@pytest.mark.root
def test_a_folder_that_cannot_be_read_is_no_empty_history(tmp_path: Path) -> None:
    (tmp_path / "windows").write_text("a file")
    reader = HistoryReader(tmp_path)
    assert reader.read() == ()
    assert reader.fault == os.strerror(20)


# -- prepare ----------------------------------------------------------------------------------


def prepared(number: int, *those: tuple[int, float]) -> PastWindow:
    records = tuple(
        Record(
            "done",
            "2026-11-01T00:00:00Z",
            "boot",
            1.0,
            {"act": "prepare", "bytes": b, "took_ms": t},
        )
        for b, t in those
    )
    return PastWindow(f"{number:06}-x", records)


def test_a_prepare_takes_what_earlier_ones_took_for_as_many_bytes() -> None:
    windows = [prepared(3, (8 << 30, 40_000.0)), prepared(2, (4 << 30, 16_000.0)), prepared(1)]
    found = predict_prepare(windows, 8 << 30)
    assert found is not None
    assert (found.seconds, found.prepares) == (36.0, 2)
    assert found.text() == "about 36 s, by 2 earlier prepares of this host"
    short = predict_prepare(windows, 100 << 20)
    assert short is not None
    assert short.text().startswith("less than a second, by 2")


def test_what_kept_next_to_nothing_tells_nothing_of_many_bytes() -> None:
    few = [prepared(2, (4096, 30.0)), prepared(1, (0, 30.0))]
    assert predict_prepare(few, 8 << 30) is None
    assert predict_prepare(few, 0) is None
    assert predict_prepare([], 1 << 30) is None
    # The latest five count, of those that are like it.
    many = [*few, *(prepared(n, (1 << 30, 1000.0 * n)) for n in range(9, 2, -1))]
    found = predict_prepare(many, 1 << 30)
    assert found is not None
    assert (found.seconds, found.prepares) == (7.0, 5)


def test_what_a_prepare_took_is_written_down_and_said_of_the_next(tmp_path: Path) -> None:
    machine = host(tmp_path)
    machine.start_process("guest", 1 << 20, 77, "vmm")
    console = Console(machine)
    console.load()
    console.prepare()
    (one,) = HistoryReader(machine.folder).read()
    ((kept, took),) = one.prepares
    assert kept == console.look().bytes_in(ResourceState.PRESERVED) > 1 << 20
    assert took > 0
    console.window.cancel(console.yes(Act.CANCEL))
    console.load()
    offered = walk(console.window.facts(console.target)).action(Act.PREPARE)
    assert offered is not None
    assert "It takes less than a second, by 1 earlier prepare of this host." in offered.does
