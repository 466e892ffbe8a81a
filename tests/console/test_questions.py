# SPDX-License-Identifier: MIT
"""Questions: what has the focus, what Escape does, what no key can do by accident."""

from __future__ import annotations

import asyncio
import re

import pytest
from textual.events import Paste

from luo_tui.console.console import KexecRequest
from luo_tui.console.screens import asking
from luo_tui.console.screens.asking import GRACE, AskAct, Asking
from luo_tui.console.screens.kexec import AskKexec
from luo_tui.console.screens.overview import Overview
from luo_tui.console.screens.walk import WalkScreen
from luo_tui.console.widgets.choice_button import ChoiceButton
from luo_tui.console.widgets.field import Field
from luo_tui.model import Resource, ResourceState, State
from luo_tui.orchestrator.simulated import SimulatedOrchestrator
from luo_tui.update.facts import Act
from tests.console.stage import Bench, flat, press, see, settle, text

NAME = tuple("demo-hv")
LEFT = Resource(7, "memfd", ResourceState.INCOMING, "guest-left", 1 << 20, 9, "vmm")


def ready_for(act: Act, bench: Bench) -> None:
    """Bring the host to where ``act`` is possible, by another console that has gone since."""
    if act is Act.PREPARE:
        bench.walk_to(Act.LOAD).window.release()
    elif act in (Act.KEXEC, Act.CANCEL):
        bench.walk_to(Act.PREPARE).window.release()
    else:
        bench.host.state = State.UPDATED


KEYS = {Act.PREPARE: "p", Act.KEXEC: "k", Act.CANCEL: "c", Act.FINISH: "f"}


@pytest.mark.parametrize("act", list(KEYS))
async def test_the_harmless_answer_has_the_focus_and_escape_is_no(bench: Bench, act: Act) -> None:
    ready_for(act, bench)
    before = bench.host.state
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        for no in ("escape", "enter"):
            await press(pilot, KEYS[act])
            assert isinstance(app.screen, AskAct)
            action = app.screen.question.action
            focused = app.focused
            assert isinstance(focused, ChoiceButton)
            assert focused.id == "keep"
            assert focused.label == action.keep
            assert f"> [ {action.keep} ]" in text(app)
            assert action.label in text(app)
            assert "On host  demo-hv" in text(app), "the question names the host"
            await press(pilot, no)
            assert isinstance(app.screen, Overview), no
            assert bench.host.state is before


@pytest.mark.parametrize("act", [Act.PREPARE, Act.CANCEL, Act.FINISH])
async def test_the_other_answer_acts_by_tab_and_enter(bench: Bench, act: Act) -> None:
    ready_for(act, bench)
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, KEYS[act], "tab", "enter")
        wanted = State.PREPARED if act is Act.PREPARE else State.NORMAL
        assert bench.host.state is wanted
        assert isinstance(app.screen, Overview)


async def test_a_click_is_an_answer_too(bench: Bench) -> None:
    ready_for(Act.CANCEL, bench)
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "c")
        await pilot.click("#go")
        await settle(pilot)
        assert bench.host.state is State.NORMAL


async def test_a_wrong_host_name_arms_nothing_and_is_said(bench: Bench) -> None:
    ready_for(Act.KEXEC, bench)
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "k", "tab")
        screen = app.screen
        assert isinstance(screen, AskKexec)
        for wrong in ("demo", "DEMO-HV", "demo-hv2", " demo-hv", "7.3.4-hv"):
            screen.query_one(Field).value = ""
            await press(pilot, *wrong, "enter")
            assert f"{wrong!r} is not 'demo-hv'" in flat(app)
            assert screen.query_one("#go", ChoiceButton).disabled
            await pilot.click("#go")
            await settle(pilot)
            assert app.screen is screen
        await press(pilot, "tab", "enter")
        assert isinstance(app.screen, Overview), "what Tab found was the harmless answer"
    assert app.return_value is None
    assert bench.host.state is State.PREPARED


async def test_no_enter_in_the_field_jumps_however_often(bench: Bench) -> None:
    ready_for(Act.KEXEC, bench)
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "k", "tab", *NAME, "enter", "enter", "enter")
        assert isinstance(app.screen, AskKexec)
        assert "Tab goes to the answer below, Enter there ends this kernel." in flat(app)
        # Taking a letter back disarms.
        await press(pilot, "backspace")
        assert app.screen.query_one("#go", ChoiceButton).disabled
        await press(pilot, "v", "tab", "enter")
    assert isinstance(app.return_value, KexecRequest)


async def test_the_name_cannot_be_pasted(bench: Bench) -> None:
    ready_for(Act.KEXEC, bench)
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "k", "tab")
        app.post_message(Paste("demo-hv\n"))
        await settle(pilot)
        assert isinstance(app.screen, AskKexec)
        assert app.screen.typed == ""
        assert "Pasting proves nothing" in text(app)


@pytest.mark.parametrize("act", list(KEYS))
async def test_a_question_goes_stale_when_the_state_changes(bench: Bench, act: Act) -> None:
    ready_for(act, bench)
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, KEYS[act])
        if act is Act.KEXEC:
            await press(pilot, "tab", *NAME, "tab")
        elsewhere = State.UPDATED if bench.host.state is State.NORMAL else State.NORMAL
        bench.host._enter(elsewhere)
        for _ in range(100):
            await pilot.pause(0.01)
            if app.view.snapshot.luo.state is elsewhere:
                break
        await settle(pilot)
        assert isinstance(app.screen, AskAct)
        assert re.search(rf"Withdrawn +The state was \w+ and is now {elsewhere}", flat(app))
        focused = app.focused
        assert focused is not None
        assert focused.id == "keep"
        await asyncio.sleep(GRACE)
        # Any other key leaves it where it is.
        await press(pilot, "x", "1")
        assert "> [ Go back ]" in text(app)
        assert "Withdrawn" in text(app)
        await press(pilot, "enter")
        assert isinstance(app.screen, Overview)
        assert bench.host.state is elsewhere


async def test_what_was_meant_for_the_question_does_not_acknowledge_its_end(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "GRACE", 3600)
    ready_for(Act.PREPARE, bench)
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "p")
        old = app.view.snapshot
        see(app, old._replace(resources=old.resources.changed({next(iter(old.resources)): None})))
        await press(pilot, "enter", "tab", "enter")
        assert "Withdrawn" in text(app)


async def test_a_withdrawn_question_is_asked_again_as_it_is_now(bench: Bench) -> None:
    ready_for(Act.PREPARE, bench)
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "p")
        first = next(iter(app.view.snapshot.resources.by_token.values()))
        less = first._replace(bytes=first.bytes - (1 << 30))
        old = app.view.snapshot
        see(app, old._replace(resources=old.resources.changed({first.token: less})))
        await settle(pilot)
        assert f"{first.label} has shrunk" in flat(app)
        assert bench.host.state is State.NORMAL
        await asyncio.sleep(GRACE)
        await press(pilot, "tab")
        assert "> [ Ask again, as it is now ]" in text(app)
        await press(pilot, "enter")
        assert isinstance(app.screen, AskAct)
        assert not app.screen.stale
        assert "> [ Stay normal ]" in text(app)
        assert bench.host.state is State.NORMAL


@pytest.mark.parametrize("act", [Act.PREPARE, Act.KEXEC, Act.FINISH])
async def test_a_question_goes_stale_when_more_is_lost(bench: Bench, act: Act) -> None:
    ready_for(act, bench)
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, KEYS[act])
        old = app.view.snapshot
        first = next(iter(old.resources))
        news = {LEFT.token: LEFT} if act is Act.FINISH else {first: None}
        shown = old._replace(resources=old.resources.changed(news))
        see(app, shown)
        await settle(pilot)
        assert isinstance(app.screen, AskAct)
        assert app.screen.stale


@pytest.mark.parametrize("act", [Act.PREPARE, Act.KEXEC])
async def test_a_question_bears_what_only_survives_besides(bench: Bench, act: Act) -> None:
    ready_for(act, bench)
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, KEYS[act])
        old = app.view.snapshot
        more = LEFT._replace(state=ResourceState.PRESERVED)
        shown = old._replace(resources=old.resources.changed({more.token: more}))
        see(app, shown)
        assert isinstance(app.screen, AskAct)
        assert not app.screen.stale


async def test_a_cancel_does_not_mind_another_resource(bench: Bench) -> None:
    ready_for(Act.CANCEL, bench)
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "c")
        old = app.view.snapshot
        more = LEFT._replace(state=ResourceState.PRESERVED)
        shown = old._replace(resources=old.resources.changed({more.token: more}))
        see(app, shown)
        await settle(pilot)
        assert isinstance(app.screen, AskAct)
        assert not app.screen.stale


async def test_what_changed_between_the_yes_and_the_act_is_told(bench: Bench) -> None:
    ready_for(Act.PREPARE, bench)
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "p")
        screen = app.screen
        assert isinstance(screen, AskAct)
        bench.host.state = State.UPDATED  # no event: nobody has noticed
        await press(pilot, "tab", "enter")
        assert "The state was normal and is now updated. Nothing was done" in flat(app)
        await press(pilot, "enter")
        assert "UPDATED" in text(app)


async def test_leaving_a_prepared_host_is_asked(bench: Bench) -> None:
    ready_for(Act.CANCEL, bench)
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        for key in ("q", "ctrl+q"):
            await press(pilot, key)
            assert isinstance(app.screen, Asking)
            assert "> [ Go on here ]" in text(app)
            assert "[ Stay prepared and leave ]" in text(app)
            await press(pilot, "escape")
            assert isinstance(app.screen, Overview)
        await press(pilot, "q", "ctrl+q")
        assert "Answer first: Esc changes nothing." in text(app)
        await press(pilot, "tab", "enter")
    assert app.return_value is not None
    assert bench.host.state is State.PREPARED


async def test_a_host_with_a_long_name_can_be_typed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "hypervisor-" + "x" * 53
    bench.host.name = name
    ready_for(Act.KEXEC, bench)
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "k")
        assert f"To arm it, type {name}:" in flat(app)
        await press(pilot, "tab")
        assert isinstance(app.focused, Field)
        assert app.focused.region.width >= 30
        assert app.screen.region.contains_region(app.focused.region)
        await press(pilot, *name, "tab", "enter")
    assert isinstance(app.return_value, KexecRequest)


async def test_a_host_without_a_name_wants_the_target_typed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    ordinary = SimulatedOrchestrator.host
    monkeypatch.setattr(
        SimulatedOrchestrator,
        "host",
        lambda self: ordinary(self)._replace(name="localhost", has_real_name=False),
    )
    ready_for(Act.KEXEC, bench)
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "k", "tab", *"localhost", "enter")
        assert "'localhost' is not '7.3.4-hv'" in flat(app)
        app.screen.query_one(Field).value = ""
        await press(pilot, *"7.3.4-hv", "tab", "enter")
    assert isinstance(app.return_value, KexecRequest)


async def test_ctrl_c_says_how_to_leave(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        for screen, keys in ((Overview, ()), (WalkScreen, ("w",))):
            await press(pilot, *keys, "ctrl+c")
            assert isinstance(app.screen, screen)
            assert "To leave: Ctrl+Q" in text(app)
