# SPDX-License-Identifier: MIT
"""What arrives is checked before it is used, tried outside a kernel with whatever bytes there are.

``arrival/mutate.c`` says how. The same seed makes the same changes.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import cache
import pytest

HERE = Path(__file__).parent
SANITIZED = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")


@pytest.fixture(scope="module")
def mutate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("mutate") / "mutate"
    sources = (HERE / "arrival" / "mutate.c", cache.KERNEL / "luo_check.c")
    flags = ("-std=gnu11", "-g", "-O2", "-Wall", "-Wextra", "-Werror", f"-I{cache.KERNEL}")
    cache.run(["gcc", *flags, *SANITIZED, "-o", made, *sources], "building mutate")
    return made


def run(program: Path, turns: int, seed: int) -> None:
    done = subprocess.run(
        [program, str(turns), str(seed)], capture_output=True, text=True, timeout=1200, check=False
    )
    assert done.returncode == 0, f"seed {seed}: {done.stdout}{done.stderr}"
    assert re.search(rf"^mutate: {turns} turns", done.stdout, re.M)


def test_no_bytes_lead_beyond_what_came(mutate: Path) -> None:
    run(mutate, 200_000, 1)


@pytest.mark.extra
def test_a_million_changes(mutate: Path, request: pytest.FixtureRequest) -> None:
    run(mutate, 1_000_000, request.config.getoption("--seed") or 2)
