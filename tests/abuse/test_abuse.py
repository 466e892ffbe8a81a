# SPDX-License-Identifier: MIT
"""luo.ko under abuse, watched by lockdep, KASAN, kmemleak and the kernel's other checks.

Each scenario is a C program beside this file, whose head says what it does. After it the
module is unloaded and nothing may be lost; the kernel may have found nothing to complain
about, from its first line to its last.

    pytest tests/abuse --seed 7 -k fuzz     the same as a run that printed this seed
    make soak                               hours of it, each time with another seed

A short one of some runs on the kernel that the lab updates, without those checks: it
is what every change has to pass, and finds what a state, a token or a byte tells.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.abuse.guest import Run, Scenario

# A kho_add_subtree() that cannot be shown in debugfs, and kmemleak where it is less exact.
OUT_OF_MEMORY = r"WARNING: .*kho_add_subtree|kmemleak: Cannot allocate a scan area"
# What is damaged has "no possible address", which is no matter of lockdep's.
REFUSED = r"luo: .*(refused|lost|cannot be restored): "
EDU = ("-device", "edu,addr=0x10,dma_mask=0xffffffff")
SCENARIOS = (
    Scenario("fuzz", rounds=2, count=50_000, soak=1_000_000, checks=50_000),
    Scenario("faults", rounds=2, count=400, soak=20_000, checks=100, harmless=OUT_OF_MEMORY),
    Scenario("arrival", rounds=1, count=10_000, soak=1_000_000, checks=3),
    Scenario("damage", rounds=0, count=6, soak=201, checks=10, harmless=REFUSED),
    Scenario("image", rounds=1, checks=10, qemu=EDU),
    Scenario("rounds", rounds=6, checks=50),
    Scenario("security", rounds=2, checks=100),
    Scenario("threads", rounds=2, count=25, soak=3600, checks=100, cpus=2),
)

SHORT = (
    Scenario("fuzz", rounds=2, count=50_000, checks=50_000, kernel="old"),
    Scenario("rounds", rounds=6, checks=50, kernel="old"),
    Scenario("security", rounds=2, checks=100, kernel="old"),
    Scenario("threads", rounds=2, count=10, checks=100, cpus=2, kernel="old"),
)


@pytest.mark.extra
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
def test_abuse(scenario: Scenario, results: Callable[[Scenario], Run]) -> None:
    judge(scenario, results)


@pytest.mark.parametrize("scenario", SHORT, ids=lambda s: s.name)
def test_a_short_abuse(scenario: Scenario, results: Callable[[Scenario], Run]) -> None:
    judge(scenario, results)


def judge(scenario: Scenario, results: Callable[[Scenario], Run]) -> None:
    run = results(scenario)
    print(run.words())
    complaints = run.complaints(scenario)
    told = "\n\n".join(complaints[:5])
    assert not complaints, f"seed {run.seed}, whole log in {run.where}\n\n{told}"
