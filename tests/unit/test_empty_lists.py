# SPDX-License-Identifier: MIT
"""What is said where a list is empty: what that means, what to do, and never what is not known."""

from __future__ import annotations

import pytest

from luo_tui.model import Host, LuoState, Snapshot, SourceHealth, State
from luo_tui.update.empty_lists import (
    no_devices,
    no_events,
    no_guests,
    no_images,
    no_resources,
    no_windows,
)
from luo_tui.update.facts import Facts
from luo_tui.update.guest_list import GuestList
from luo_tui.update.resource_list import Listed, Promised

EMPTY = Snapshot(Host("h", "7", "b"), LuoState(State.NORMAL))


def facts(state: State, promised: Promised | None = None, **more: object) -> Facts:
    changed = EMPTY._replace(luo=LuoState(state), **more)  # type: ignore[arg-type]
    return Facts(changed, True, promised=promised)


@pytest.mark.parametrize(
    ("state", "means", "do"),
    [
        (State.NORMAL, "carry no memory across", "luo-tui hold"),
        (State.PREPARED, "nothing can be", "cancel first (key c)"),
        (State.FROZEN, "nothing can be", "cancel first (key c)"),
        (State.UPDATED, "Nothing came over", "nothing waits"),
        (State.UNAVAILABLE, "nothing can be preserved", "overview (key 1)"),
        (State.UNKNOWN, "does not know", "nothing can be said"),
    ],
)
def test_what_an_empty_list_of_resources_means(state: State, means: str, do: str) -> None:
    said = no_resources(facts(state))
    assert means in said
    assert do in said


def test_nothing_came_over_though_it_was_promised() -> None:
    promise = Promised((Listed(1, "a"), Listed(2, "b")))
    assert "2 promises are broken: the window (key 5)" in no_resources(
        facts(State.UPDATED, promise)
    )


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("lack", [{"fault": "it died"}, {"missing": ("EIO",)}])
def test_what_could_not_be_read_is_never_empty(state: State, lack: dict[str, object]) -> None:
    for name in ("resources", "devices"):
        health = {name: SourceHealth(name, **lack)}  # type: ignore[arg-type]
        found = facts(state, health=health)
        said = no_resources(found) if name == "resources" else no_devices(found.snapshot)
        assert "not known: " in said or "not known, " in said
        assert "it died" in said or "EIO" in said
        for claim in ("Nothing", "none", "no PCI"):
            assert claim not in said
    assert no_events("no space").startswith("What happened is not known: no space")
    assert no_windows("EACCES").startswith("Which windows there were is not known: EACCES")


def test_each_says_what_to_do() -> None:
    assert "key 5" in no_windows("")
    assert "by its path below" in no_images("/boot")
    assert "will stand here" in no_events("")
    assert "none that a kexec would reset" in no_devices(EMPTY)


def test_what_it_means_that_no_guest_is_listed() -> None:
    assert "No guest runs on this host" in no_guests(GuestList())
    assert "being looked for" in no_guests(None)
    said = no_guests(GuestList(missing=("which guests run is known to root alone",)))
    assert said.startswith("Whether a guest runs here is not known: ")
    assert "No guest" not in said
