# SPDX-License-Identifier: MIT
"""What a screen says survives, survives: every scenario's claims against the host's own truth.

The truth is the simulated kernel's: what it holds after the jump, and in which
state. What the screens say is read off them as an operator would.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from luo_tui.console.console import Console
from luo_tui.console.screens.kexec import AskKexec
from luo_tui.errors import ActFailed, NotDone
from luo_tui.model import ResourceState, State
from luo_tui.orchestrator.simulated import SCENARIOS
from tests.console.stage import Bench, flat, jump, load_and_prepare, press, settle

ALL = (220, 320)
"""So large that nothing has to be scrolled."""
_TOKEN = re.compile(r"([\w-]+) \(token (\d+)\)")
_STATES = "|".join(s.upper() for s in State)


@dataclass(frozen=True)
class Truth:
    """What the simulated kernel holds."""

    state: State
    incoming: frozenset[str]
    restored: frozenset[str]
    lost_devices: frozenset[str]


def truth(bench: Bench) -> Truth:
    host = bench.host
    by_state: dict[ResourceState, set[str]] = {state: set() for state in ResourceState}
    for resource in host.resources():
        by_state[resource.state].add(resource.name)
    return Truth(
        host.state,
        frozenset(by_state[ResourceState.INCOMING]),
        frozenset(by_state[ResourceState.RESTORED]),
        frozenset(p.name for p in host.participants.values() if p.state == "lost"),
    )


def part(said: str, begin: str, *ends: str) -> str:
    """Return what stands between two labels of a question."""
    _, _, rest = said.partition(f" {begin} ")
    at = min((i for end in ends if (i := rest.find(f" {end} ")) >= 0), default=len(rest))
    return rest[:at]


def state_shown(app: Console) -> str:
    """Return the state in the first line of the screen."""
    words = re.findall(rf"\b({_STATES})\b", flat(app)[:200])
    assert words, flat(app)[:200]
    return str(words[0])


async def seen(bench: Bench, *keys: str) -> str:
    """Open a console, press keys, and return all that is on the screen; its state must be true."""
    app = bench.console()
    async with app.run_test(size=ALL) as pilot:
        await settle(pilot)
        await press(pilot, *keys)
        await settle(pilot)
        assert state_shown(app) == bench.host.state.upper()
        said = flat(app)
        kexec = isinstance(app.screen, AskKexec)
    app.session.window.release()
    return said if not keys or keys[-1] != "k" or kexec else ""


@pytest.mark.parametrize("scenario", sorted(SCENARIOS))
async def test_what_is_claimed_is_true(make: Callable[..., Bench], scenario: str) -> None:
    bench = make(scenario)
    before = {r.name for r in bench.host.resources()}
    assert "preserved" in await seen(bench)
    try:
        load_and_prepare(bench)
    except (NotDone, ActFailed):
        # Nothing is half done: the host is as it was, and says so.
        assert scenario in ("prepare-refused", "target-incompatible")
        assert bench.host.state is State.NORMAL
        said = await seen(bench, "5")
        assert "Nothing is prepared." in said
        assert {r.name for r in bench.host.resources()} == before
        return
    said = await seen(bench, "k")
    survives = part(said, "Survives", "Does", "Way back")
    promised = {name for name, _ in _TOKEN.findall(survives)}
    lost = part(said, "Lost", "Survives")
    more = re.search(r"and ([\d,]+) more", survives)
    others = survives.count(", runs on") + survives.count(": its state is handed over")
    number = len(promised) + others + (int(more[1].replace(",", "")) if more else 0)
    # A list is cut once, and what is left out is counted: the participants stand at its end.
    assert number == len(before) + len(bench.host.participants)
    assert promised <= before
    assert not any(f"{name} (token" in lost for name in promised)
    devices = set(re.findall(r"pci (\S+) \([^)]*\), runs on", survives))

    if not jump(bench):
        assert scenario in ("freeze-refused", "kexec-no-image")
        assert bench.host.state is State.NORMAL
        assert "Nothing is prepared." in await seen(bench, "5")
        assert {r.name for r in bench.host.resources()} == before
        return
    now = truth(bench)
    assert now.state is State.UPDATED
    # All that was said to survive is there; of what is not, the screen says it is lost.
    assert now.incoming | now.restored == before
    said = await seen(bench, "5")
    assert ("All is restored." in said) is (not now.incoming and not now.lost_devices)
    for name in now.lost_devices & devices:
        assert re.search(rf"LOST[^.]*{re.escape(name)}", said), said
    if now.incoming:
        assert re.search(r"not restored yet|RESTORE FAILED", said), said

    asked = await seen(bench, "f")
    discarded = {name for name, _ in _TOKEN.findall(part(asked, "Lost", "Survives", "Way back"))}
    counted = re.search(r"discard ([\d,]+) unrestored", asked)
    assert (int(counted[1].replace(",", "")) if counted else 0) == len(now.incoming)
    assert discarded <= now.incoming
    assert bool(discarded) is bool(now.incoming)
    kept = {name for name, _ in _TOKEN.findall(part(asked, "Survives", "Lost", "Way back"))}
    assert kept <= now.restored
