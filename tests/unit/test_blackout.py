# SPDX-License-Identifier: MIT
"""The blackout, from the kernel's stamps."""

from luo_tui.model import Stamps
from luo_tui.update.blackout import blackout

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


def test_what_did_not_cross_has_no_blackout() -> None:
    assert blackout(Stamps()) is None
    assert blackout(Stamps(tsc_khz=1000, freeze_begin=5, freeze_end=6)) is None
    assert blackout(Stamps(tsc_khz=0, freeze_begin=5, arrived=6)) is None
    assert blackout(Stamps(tsc_khz=1000, freeze_begin=7, arrived=6)) is None
