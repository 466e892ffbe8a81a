# SPDX-License-Identifier: MIT
"""The abuse programs as process 1 of machines with the debug kernel, two at a time."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "kernel" / "lab"))

from tests.abuse.guest import Guest, Run, Scenario


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("abuse")
    group.addoption("--soak", action="store_true", help="abuse for hours, not for minutes")
    group.addoption("--seed", type=int, help="what chance follows from, as a failure printed it")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs the virtual machine."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.lab)


@pytest.fixture(scope="session")
def guests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Guest]]:
    """What the machines of a kernel are started with; those that still run are ended."""
    made: dict[str, Guest] = {}

    def guest(kernel: str) -> Guest:
        if kernel not in made:
            made[kernel] = Guest(tmp_path_factory.mktemp(f"abuse-{kernel}"), kernel)
        return made[kernel]

    yield guest
    for guest_ in made.values():
        guest_.end_all()


@pytest.fixture(scope="session")
def results(
    request: pytest.FixtureRequest, guests: Callable[[str], Guest]
) -> Iterator[Callable[[Scenario], Run]]:
    """Runs what was chosen, in the order of the tests, and gives each test its own."""
    soak = bool(request.config.getoption("--soak", default=False))
    seed = request.config.getoption("--seed", default=None)
    if seed is None:
        # A test says the same today and tomorrow; a soak looks for what is new.
        seed = int(time.time()) if soak else 1
    items = [i for i in request.session.items if isinstance(i, pytest.Function)]
    params = [i.callspec.params.get("scenario") for i in items if hasattr(i, "callspec")]
    chosen = [s for s in params if isinstance(s, Scenario)]
    with ThreadPoolExecutor(2) as pool:
        runs: dict[Scenario, Future[Run]] = {
            s: pool.submit(guests(s.kernel).run, s, seed, soak) for s in chosen
        }
        yield lambda scenario: runs[scenario].result()
        for run in runs.values():
            run.cancel()
        for kernel in {s.kernel for s in chosen}:
            guests(kernel).end_all()
