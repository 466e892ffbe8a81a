# SPDX-License-Identifier: MIT
"""Simulated hosts that a test has begun are switched off behind it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from luo_tui.orchestrator.simulated import SimulatedHost


@pytest.fixture(autouse=True)
def hosts_are_switched_off(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """They hold a descriptor for each resource, as a kernel does; many would pass for a guest."""
    hosts: list[SimulatedHost] = []
    begin = SimulatedHost.__init__

    def remembered(self: SimulatedHost, *arguments: object, **more: object) -> None:
        hosts.append(self)
        begin(self, *arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(SimulatedHost, "__init__", remembered)
    yield
    for host in hosts:
        host.close()
