# SPDX-License-Identifier: MIT
"""The blackout, from the kernel's stamps."""

from datetime import UTC, datetime

import pytest

from luo_tui.model import (
    Condition,
    Host,
    InitTimes,
    LuoState,
    Resource,
    Resources,
    ResourceState,
    Snapshot,
    Stamps,
    State,
    Vitals,
)
from luo_tui.update.blackout import blackout, by_systemd, guests_text
from luo_tui.update.clocks import Moment
from luo_tui.update.window_state import WindowState

WHOLE = Stamps(
    tsc_khz=1000, prepare_begin=1, prepare_end=2, freeze_begin=1_000, freeze_end=3_000,
    jump=10_000, arrived=1_500_000,
)  # fmt: skip


def test_phases_add_up_to_the_whole() -> None:
    dark = blackout(WHOLE)
    assert dark is not None
    assert dark.total == 1499.0
    assert [p.milliseconds for p in dark.phases] == [2.0, 7.0, 1490.0]
    assert sum(p.milliseconds for p in dark.phases) == dark.total


@pytest.mark.parametrize(
    ("init", "arrived", "after"),
    [
        (0.2, 1.0, [490.0, 200.0, 800.0]),
        (0.0, 1.49, [0.0, 0.0, 1490.0]),
        # Not told; built in; longer than there was time for, such as another boot's.
        (None, 1.0, [1490.0]),
        (0.2, None, [1490.0]),
        (1.0, 0.2, [1490.0]),
        (0.2, 1.5, [1490.0]),
    ],
)
def test_the_new_kernels_log_tells_its_boot_apart(
    init: float | None, arrived: float | None, after: list[float]
) -> None:
    dark = blackout(WHOLE, Condition(init_up=init, arrived_up=arrived))
    assert dark is not None
    assert [round(p.milliseconds, 6) for p in dark.phases] == [2.0, 7.0, *after]
    assert dark.total == 1499.0


def test_a_kexec_by_systemd_is_told_by_its_own_times() -> None:
    took = by_systemd(Condition(init_times=InitTimes(100.0, 101.5, 101.75, 102.0, 106.0)))
    assert took is not None
    assert took.total == 6000.0
    assert [p.milliseconds for p in took.phases] == [1500.0, 250.0, 250.0, 4000.0]
    assert by_systemd(Condition()) is None
    # The new kernel began with another time: nothing is reckoned by such a clock.
    assert by_systemd(Condition(init_times=InitTimes(100.0, 101.5, 101.75, 102.0, 7.0))) is None


def test_what_did_not_cross_has_no_blackout() -> None:
    assert blackout(Stamps()) is None
    assert blackout(Stamps(tsc_khz=1000, freeze_begin=5, freeze_end=6)) is None
    assert blackout(Stamps(tsc_khz=0, freeze_begin=5, arrived=6)) is None
    assert blackout(Stamps(tsc_khz=1000, freeze_begin=7, arrived=6)) is None


def test_guests_stand_still_for_longer_than_the_kernel() -> None:
    incoming = Resource(1, "memfd", ResourceState.INCOMING, "web")
    restored = Resource(2, "memfd", ResourceState.RESTORED, "db")
    jumped = datetime(2026, 1, 15, 12, 0, 0, tzinfo=UTC)
    at = jumped.isoformat()
    window_state = WindowState("w")._replace(jumped_at=at, left_at=at)

    def told(
        *resources: Resource,
        at: float = 0.0,
        off: float = 0.0,
        state: WindowState | None = window_state,
    ) -> str:
        luo, host = LuoState(State.UPDATED), Host("h", "7", "b")
        vitals = Vitals(booted_at=jumped.timestamp() + 2 + off)
        seen = Moment(at + off, at - jumped.timestamp() - 2) if at else None
        kept = Resources(resources)
        return guests_text(Snapshot(luo=luo, host=host, resources=kept, vitals=vitals), state, seen)

    assert told() == ""
    assert told(incoming, restored).endswith("1 not yet")
    assert told(restored).endswith("is not known")
    seen = jumped.timestamp() + 9.2
    assert told(restored, at=seen).endswith(", about 9 s after the jump began")
    # A clock that was set in the jump gives no time that nobody believes.
    for off in (86_400, -86_400, -60):
        assert told(restored, at=seen, off=off).endswith("not known: the clock was set meanwhile")
    for state in (None, window_state._replace(jumped_at="no time")):
        assert told(restored, at=seen, state=state).startswith("the last memory was restored at ")
