# SPDX-License-Identifier: MIT
"""Metrics tell what the host has; what cannot be read has no value."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

from luo_tui.cli.main import run
from luo_tui.cli.metrics import metrics_text
from luo_tui.model import Snapshot, State
from luo_tui.orchestrator.simulated import SimulatedHost
from luo_tui.update.history import PastWindow, read_history
from luo_tui.update.window_state import Record
from tests.unit.test_acts import ANN, Console, host
from tests.unit.test_history import updated

LINE = re.compile(r'(luo_[a-z_]+(?:\{[a-z_]+="[a-z ]+"\})?) (-?[0-9.e+]+)')


def look(machine: SimulatedHost) -> Snapshot:
    return Console(machine, ANN).look()


def values(machine: SimulatedHost, now: float = 0.0) -> dict[str, float]:
    return parsed(metrics_text(look(machine), read_history(machine.folder), now))


def parsed(text: str) -> dict[str, float]:
    """All values by name and label, after a look at the format's rules."""
    found: dict[str, float] = {}
    told: set[str] = set()
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# "):
            what, name, _ = line[2:].split(" ", 2)
            if what == "HELP":
                assert name not in told, "a metric stands in one place"
                told.add(name)
            continue
        match = LINE.fullmatch(line)
        assert match, line
        assert match[1] not in found
        assert match[1].partition("{")[0] in told
        found[match[1]] = float(match[2])
    return found


def test_a_day_without_a_window(tmp_path: Path) -> None:
    machine = host(tmp_path)
    found = values(machine)
    assert found['luo_state{state="normal"}'] == 1
    assert sum(v for k, v in found.items() if k.startswith("luo_state")) == 1
    assert found['luo_resources{state="preserved"}'] > 0
    assert found['luo_resource_bytes{state="preserved"}'] > 1 << 20
    assert found["luo_faults"] == 0
    assert found["luo_window_open"] == 0
    assert "luo_window_age_seconds" not in found
    assert not any(name.startswith("luo_last") for name in found)


def test_an_open_window_has_an_age_and_a_finished_one_its_verdict(tmp_path: Path) -> None:
    machine = host(tmp_path)
    console = Console(machine, ANN)
    console.load()
    found = values(machine, time.time() + 3600)
    assert found["luo_window_open"] == 1
    assert 3600 <= found["luo_window_age_seconds"] < 3660
    console.prepare()
    found = values(machine)
    assert found['luo_state{state="prepared"}'] == 1
    # A clock that was set back makes no age that is below nothing.
    assert found["luo_window_age_seconds"] == 0


def test_an_update_leaves_its_blackout_and_its_verdict(tmp_path: Path) -> None:
    machine = host(tmp_path)
    updated(machine)
    found = values(machine)
    (past,) = read_history(machine.folder)
    assert past.verdict is not None
    assert found[f'luo_last_verdict{{verdict="{past.verdict.level}"}}'] == 1
    assert sum(v for k, v in found.items() if k.startswith("luo_last_verdict{")) == 1
    assert found["luo_last_verdict_timestamp_seconds"] == pytest.approx(time.time(), abs=600)


def test_a_recorded_blackout_is_told_in_seconds(tmp_path: Path) -> None:
    machine = host(tmp_path)
    snapshot = look(machine)
    data = {"blackout": {"total_ms": 1234.5, "phases": []}}
    past = PastWindow("000001-20261127T010000.000000Z", (Record("arrived", "t", "b", 1.0, data),))
    found = parsed(metrics_text(snapshot, [past], 0.0))
    assert found["luo_last_blackout_seconds"] == 1.2345


def test_what_cannot_be_read_has_no_value_and_is_counted(tmp_path: Path) -> None:
    machine = host(tmp_path)
    snapshot = look(machine)
    found = parsed(metrics_text(snapshot, None, 0.0))
    assert found["luo_faults"] == 1
    assert "luo_window_open" not in found
    damaged = PastWindow("000002-20261127T010000.000000Z", fault="Input/output error")
    found = parsed(metrics_text(snapshot, [damaged], 0.0))
    assert found["luo_faults"] == 1
    assert "luo_window_open" not in found

    health = dict(snapshot.health)
    health["resources"] = health["resources"]._replace(fault="too many open files")
    found = parsed(metrics_text(snapshot._replace(health=health), (), 0.0))
    assert found["luo_faults"] == 1
    assert not any(name.startswith("luo_resource") for name in found)

    luo = snapshot.luo._replace(state=State.UNAVAILABLE)
    found = parsed(metrics_text(snapshot._replace(luo=luo), (), 0.0))
    assert found['luo_state{state="unavailable"}'] == 1
    assert not any(name.startswith("luo_resource") for name in found)


def test_a_file_is_replaced_whole_for_all_to_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "luo.prom"
    out.write_text("old")
    before = os.umask(0o077)
    try:
        assert run(["--folder", str(tmp_path / "none"), "metrics", "-o", str(out)]) == 0
    finally:
        os.umask(before)
    assert parsed(out.read_text())['luo_state{state="unavailable"}'] == 1
    assert out.stat().st_mode & 0o777 == 0o644
    assert [p.name for p in tmp_path.iterdir()] == ["luo.prom"]
    assert run(["metrics", "-o", str(tmp_path / "no" / "luo.prom")]) == 1
    assert "no/luo.prom: No such file or directory" in capsys.readouterr().err
