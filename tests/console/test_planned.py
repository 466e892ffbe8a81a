# SPDX-License-Identifier: MIT
"""The console in a window that goes by a plan: it says so, and its questions name the hooks."""

from __future__ import annotations

from pathlib import Path

from luo_tui.console.console import Console
from luo_tui.console.screens.asking import AskAct
from luo_tui.console.session import Session
from luo_tui.model import State
from luo_tui.monitor.reading import reader
from luo_tui.orchestrator.simulated import SimulatedOrchestrator
from luo_tui.update.plan_files import read_plan
from tests.console.stage import Bench, flat, press, settle


async def test_a_console_goes_by_its_plan(bench: Bench, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    hook = tmp_path / "hook"
    hook.write_text(f'#!/bin/sh\necho "$LUO_TUI_HOOK" >>{ran}\n')
    hook.chmod(0o755)
    path = tmp_path / "plan.toml"
    path.write_text(
        'format = 1\ntarget = "7.3.4-hv"\nchange = "CHG-1"\napproved_by = "eve"\n'
        f'[command_line]\nadd = ["console=ttyS1"]\n[hooks.before-prepare]\nrun = ["{hook}"]\n'
    )
    path.chmod(0o600)
    orchestrator = SimulatedOrchestrator(bench.host)
    look = reader(orchestrator, orchestrator.surroundings())
    app = Console(Session(orchestrator, bench.folder, look, plan=read_plan(path)))
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        await press(pilot, "w")
        assert "The next window goes by a plan: CHG-1, approved by eve." in flat(app)
        await press(pilot, "t", "enter")
        await settle(pilot)
        await press(pilot, "l")
        await settle(pilot)
        assert "It goes by a plan: CHG-1, approved by eve." in flat(app)
        await press(pilot, "p")
        assert isinstance(app.screen, AskAct)
        assert f"Runs the plan's hook before-prepare: {hook} (at most 60 s)." in flat(app)
        await press(pilot, "tab", "enter")
        await settle(pilot)
    assert bench.host.state is State.PREPARED
    assert ran.read_text() == "before-prepare\n"
    state = app.session.window.window_state()
    assert state is not None
    assert state.command_line.endswith(" console=ttyS1")
