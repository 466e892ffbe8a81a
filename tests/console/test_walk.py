# SPDX-License-Identifier: MIT
"""The whole walk, by keys, on the simulated host."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from luo_tui.console.console import Console, KexecRequest, Left
from luo_tui.console.screens.asking import AskAct
from luo_tui.console.screens.help import Help
from luo_tui.console.screens.kexec import AskKexec
from luo_tui.console.screens.notice import Notice
from luo_tui.console.screens.overview import Overview
from luo_tui.console.screens.walk import WalkScreen
from luo_tui.console.widgets.choice_button import ChoiceButton
from luo_tui.console.wishes import Wishes
from luo_tui.errors import ActFailed
from luo_tui.model import State
from luo_tui.orchestrator.simulated import SimulatedJump
from luo_tui.update.consent import Consent
from luo_tui.update.facts import Act
from tests.console.stage import Bench, flat, press, settle, text

LOAD = ("w", "t", "enter", "l")
PREPARE = (*LOAD, "p", "tab", "enter")
NAME = ("d", "e", "m", "o", "-", "h", "v")
JUMP = ("k", "tab", *NAME, "tab", "enter")


async def test_what_a_check_finds_amiss_is_shown_with_what_would_come_of_it(bench: Bench) -> None:
    bench.host.kdump = True
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "w", "t", "enter")
        assert "1 to look at" in text(app)
        assert "kdump is armed now" in flat(app)
        assert "why If the new kernel panics, no dump of it is written." in flat(app)


async def test_from_normal_over_the_kexec_to_normal(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert isinstance(app.screen, Overview)
        assert "[normal]" in text(app)
        assert "DEMO" in text(app)
        await press(pilot, "w")
        assert isinstance(app.screen, WalkScreen)
        assert "[>] check             next" in text(app)
        await press(pilot, "t")
        assert "runs now" in text(app)
        assert "CANNOT BE LOADED: is cut short" in flat(app)
        await press(pilot, "enter")
        assert "[>] load              next" in text(app)
        assert "12 ok" in text(app)
        await press(pilot, "l")
        assert "[>] prepare           next" in text(app)
        assert "loaded by this window" in text(app)
        assert "Done: Load 7.3.4-hv." in text(app)
        await press(pilot, "p")
        assert isinstance(app.screen, AskAct)
        assert "From now until cancel or finish nothing can be preserved" in flat(app)
        assert "Way back  Cancel the update: prepared -> normal." in text(app)
        await press(pilot, "tab", "enter")
        assert bench.host.state is State.PREPARED
        assert "PREPARED" in text(app)
        assert "[>] freeze and kexec  next" in text(app)
        await press(pilot, "k")
        assert isinstance(app.screen, AskKexec)
        lines = [line for line in text(app).splitlines() if line.strip()]
        assert lines[3].strip().startswith("Lost      Every process on demo-hv ends")
        assert "Services are not stopped first" in text(app)
        # What is lost comes first, device by device; what survives is a page further.
        await press(pilot, "pagedown", "pagedown")
        assert "guest-web1 (token 0), 8 GiB" in flat(app)
        await press(pilot, "tab", *NAME, "tab", "enter")
    request = app.return_value
    assert isinstance(request, KexecRequest)
    assert request.consent.typed == "demo-hv"
    assert bench.host.state is State.PREPARED, "the console itself must not jump"
    with pytest.raises(SimulatedJump):
        app.session.window.kexec(request.consent, request.target, lambda: None)
    app.session.window.release()  # what the jump does to the process that made it

    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert "[updated]" in text(app)
        assert "This kernel took over from 7.3.3-hv. All is restored." in text(app)
        assert "blackout" in text(app)
        assert "freeze:" in text(app)
        window_state = app.session.window.window_state()
        assert window_state is not None
        assert window_state.arrived
        await press(pilot, "f")
        assert "Finish: updated -> normal" in text(app)
        await press(pilot, "tab", "enter")
        assert bench.host.state is State.NORMAL
        assert "[normal]" in text(app)
        await press(pilot, "q")
    assert app.return_value == Left(())
    window_state = app.session.window.window_state()
    assert window_state is not None
    assert window_state.closed == "finished"


async def test_cancel_goes_back_and_unloads(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, *PREPARE, "c")
        assert "Cancel the update: prepared -> normal" in text(app)
        await press(pilot, "tab", "enter")
        assert bench.host.state is State.NORMAL
        assert not bench.host.image
        assert "The kernel image was unloaded." in flat(app)
        assert "[>] load              next" in text(app)


async def test_unload(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, *LOAD)
        assert bench.host.image
        await press(pilot, "u")
        assert not bench.host.image
        assert "none loaded" in text(app)


async def test_a_key_that_is_not_possible_says_why_and_does_nothing(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        for key, why in (
            ("l", "Choose a target kernel first."),
            ("p", "Load the target kernel first."),
            ("k", "Not now: this host is NORMAL. Prepare first."),
            ("c", "Not now: this host is NORMAL. There is nothing to cancel."),
            ("f", "Not now: this host is NORMAL. There is nothing to finish."),
            ("u", "Not now: this host is NORMAL. No kernel image is loaded."),
        ):
            await press(pilot, key)
            assert isinstance(app.screen, Overview), key
            assert why in text(app), key
        assert app.session.window.window_state() is None, "not even a window was opened"
        await press(pilot, "x")
        assert "Not now: this host" not in text(app), "what was said is gone with the next key"


async def test_a_held_key_loads_once_and_enter_alone_does_nothing(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, *["enter"] * 5)
        assert isinstance(app.screen, WalkScreen)
        assert app.session.window.window_state() is None
        await press(pilot, "t", "enter", "l", "l", "l")
        assert "It is loaded already" in text(app)
        await press(pilot, "p", *["enter"] * 4)
        assert bench.host.state is State.NORMAL


async def test_pasted_text_into_no_field_does_nothing(bench: Bench) -> None:
    from textual.events import Paste

    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, *LOAD)
        app.post_message(Paste("p\t\nq"))
        await settle(pilot)
        assert isinstance(app.screen, WalkScreen)
        assert bench.host.state is State.NORMAL


@pytest.mark.parametrize(
    ("scenario", "keys", "said", "state"),
    [
        ("prepare-refused", PREPARE, "Could not prepare: a participant refused", State.NORMAL),
        (
            "target-incompatible",
            ("w", "t", "enter", "l"),
            "Install a matching luo.ko",
            State.NORMAL,
        ),
    ],
)
async def test_failures_before_the_jump(
    make: Callable[..., Bench], scenario: str, keys: tuple[str, ...], said: str, state: State
) -> None:
    bench = make(scenario)
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, *keys)
        assert said in flat(app)
        assert bench.host.state is state
        if isinstance(app.screen, Notice):
            assert "The state is now: normal." in text(app)
            focused = app.focused
            assert isinstance(focused, ChoiceButton)
            await press(pilot, "x")
            assert isinstance(app.screen, Notice), "only its own key closes it"
            await press(pilot, "enter")
        assert isinstance(app.screen, WalkScreen)


@pytest.mark.parametrize(
    ("scenario", "said"),
    [
        ("freeze-refused", "Could not freeze: a participant refused"),
        ("kexec-no-image", "Could not kexec: no kernel image is loaded"),
    ],
)
async def test_a_jump_that_does_not_happen_is_told_in_the_next_console(
    make: Callable[..., Bench], scenario: str, said: str
) -> None:
    bench = make(scenario)
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, *PREPARE, *JUMP)
    request = app.return_value
    assert isinstance(request, KexecRequest)
    with pytest.raises(ActFailed) as caught:
        app.session.window.kexec(request.consent, request.target, lambda: None)
    assert bench.host.state is State.NORMAL, "frozen is no place to rest"
    again = bench.console(notice=caught.value.lines())
    async with again.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert isinstance(again.screen, Notice)
        assert said in flat(again)
        assert "The state is now: normal." in flat(again)
        await press(pilot, "enter")
        assert isinstance(again.screen, Overview)


async def test_what_nobody_restored_is_named_before_it_is_discarded(
    make: Callable[..., Bench],
) -> None:
    bench = make("nothing-restored")
    session = bench.walk_to(Act.PREPARE)
    with pytest.raises(SimulatedJump):
        bench.host.reboot()
    session.window.release()
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert "4 resources not restored yet" in text(app)
        await press(pilot, "f")
        assert "Finish and discard 4 unrestored: updated -> normal" in text(app)
        for name in ("guest-web1", "guest-db1", "guest-ci", "vm-state"):
            assert name in text(app)
        assert "None: what is discarded is gone." in text(app)
        await press(pilot, "enter")
        assert bench.host.state is State.UPDATED
        # Neither the keys that did it once, nor a click, nor another word.
        await press(pilot, "f", "tab", "enter")
        await pilot.click("#go")
        await press(pilot, *"demo-hv", "enter", "tab", "enter")
        assert bench.host.state is State.UPDATED
        await press(pilot, "f", "tab", *"discard", "tab", "enter")
        assert bench.host.state is State.NORMAL


async def test_no_orchestrator_is_said_and_offers_nothing(bench: Bench) -> None:

    from luo_tui.model import LuoState

    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        gone = LuoState(State.UNAVAILABLE, "luo.ko is not loaded")
        view = app.session.view
        app.session.view = lambda shown: view(shown._replace(luo=gone))  # type: ignore[method-assign]
        app.viewer.ask()
        while not app.viewer.idle:
            await pilot.pause(0.01)
        await pilot.pause()
        assert "No live update on this kernel: luo.ko is not loaded" in text(app)
        assert "UNAVAILABLE" in text(app)
        await pilot.press("w")
        await pilot.pause()
        for key in "lpkcfu":
            await pilot.press(key)
            await pilot.pause()
            assert isinstance(app.screen, WalkScreen)


def jumped(bench: Bench) -> None:
    """Have a console make the whole jump, and leave."""
    session = bench.walk_to(Act.PREPARE)
    target = session.view(session.window.facts().snapshot).target
    assert target is not None
    facts = session.window.facts(target)
    consent = Consent.to(Act.KEXEC, facts, typed="demo-hv")
    with pytest.raises(SimulatedJump):
        session.window.kexec(consent, target, lambda: None)
    session.window.release()


async def test_a_restore_that_failed_is_the_headline_with_what_to_do(
    make: Callable[..., Bench],
) -> None:
    bench = make("memory-short")
    jumped(bench)
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        failed = "RESTORE FAILED: guest-db1 (token 1): there is not enough memory"
        assert flat(app).index(failed) < flat(app).index("This kernel took over from 7.3.3-hv.")
        assert "All else is restored." in flat(app)
        assert "not restored yet" not in flat(app)
        await press(pilot, "w")
        assert failed in flat(app)
        owner = "Its owner was cloud-hyperviso [2177], which runs in this kernel."
        assert owner in flat(app)
        assert "raise the limit or restore from a larger cgroup, then try again" in flat(app)
        told = [e for e in app.view.log.since(0) if e.grave]
        assert [failed in e.text for e in told] == [True]
        await press(pilot, "2", "enter")
        assert "RESTORE FAILED at " in flat(app)
        await press(pilot, "escape", "5")
        bench.host.short_of_memory = False
        bench.host.restore_for_agents()
        await settle(pilot)
        assert "took over from 7.3.3-hv. All is restored." in flat(app)
        assert "FAILED" not in flat(app)


async def test_a_device_that_was_promised_and_is_lost_is_the_headline(
    make: Callable[..., Bench],
) -> None:
    bench = make("device-lost")
    jumped(bench)
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        lost = "LOST: pci 0000:3b:00.0: it was switched off on the way."
        assert flat(app).index(lost) < flat(app).index("This kernel took over from 7.3.3-hv.")
        assert "All is restored" not in flat(app)
        await press(pilot, "w")
        assert lost in flat(app)
        assert any(e.grave and "0000:3b:00.0" in e.text for e in app.view.log.since(0))
        await press(pilot, "f")
        assert "Lost pci 0000:3b:00.0: it was switched off on the way: it is lost" in flat(app)
        await press(pilot, "tab", "enter")
        assert bench.host.state is State.UPDATED
        await press(pilot, "escape", "f", "tab", *"discard", "tab", "enter")
        assert bench.host.state is State.NORMAL


async def test_a_guest_that_starts_while_the_kexec_is_asked_for_withdraws_the_question(
    bench: Bench,
) -> None:
    session = bench.walk_to(Act.PREPARE)
    session.window.release()
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "k")
        assert "guest-late" not in flat(app)
        assert "is lost (7: chrony, cron, nginx, rsyslog, ssh, systemd-logind, vmmd)." in flat(app)
        with pytest.raises(OSError, match="busy"):
            bench.host.start_process("guest-late", 2 << 30, 2399, "cloud-hyperviso")
        bench.host.say("vmm[2399]: liveupdate: preserve guest-late: Device or resource busy")
        app.session.window._reader.forget()
        app.viewer.ask()
        await settle(pilot)
        assert "Withdrawn guest-late" in flat(app)
        assert "[ Ask again, as it is now ]" in flat(app)
        await press(pilot, "escape", "k")
        assert "Lost 1 started since prepare will be lost: guest-late (cloud" in flat(app)


async def test_f1_opens_the_help_and_closes_it(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "f1")
        assert isinstance(app.screen, Help)
        await press(pilot, "f1")
        assert isinstance(app.screen, Overview)


async def test_a_jump_that_did_not_happen_leaves_log_theme_and_place(
    make: Callable[..., Bench],
) -> None:
    bench = make("freeze-refused")
    bench.walk_to(Act.PREPARE).window.release()
    session = bench.session()
    app = Console(session)
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        bench.host.say("somebody was here")
        await press(pilot, "2", "k", "tab", *NAME, "tab", "enter")
    request = app.return_value
    assert isinstance(request, KexecRequest)
    assert app.place == "resources"
    told = session.hub(lambda: None).log.last
    assert told > 0
    with pytest.raises(ActFailed):
        session.window.kexec(request.consent, request.target, lambda: None)
    again = Console(session, ("refused",), None, Wishes(theme=app.theme, place=app.place))
    async with again.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        await press(pilot, "enter")
        assert again.screen.WORD == "resources"
        await press(pilot, "4")
        assert again.hub.log.last > told
        assert "somebody was here" in flat(again)
    said = [event.text for event in again.hub.log.since(0)]
    assert sum(text.startswith("watching begins") for text in said) == 2
    assert sum(text == "somebody was here" for text in said) == 1


async def test_what_is_under_way_tells_for_how_long(bench: Bench) -> None:
    bench.walk_to(Act.LOAD).window.release()
    app = bench.console()
    go_on = threading.Event()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        app._work("wait for a test", lambda: go_on.wait(20))
        for _ in range(60):
            await pilot.pause(0.1)
            if "wait for a test ... 2 s" in flat(app):
                break
        assert "Under way: wait for a test ... 2 s" in flat(app)
        go_on.set()
        await settle(pilot)
        await pilot.pause(1.3)
        assert "wait for a test" not in flat(app)
