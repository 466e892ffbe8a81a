# SPDX-License-Identifier: MIT
"""What the README promises is true on a machine that has nothing but what it asks for.

On the Debian that runs here this is part of ``make test``; on the others, of
``make test-all``, and there all of ``make check`` runs, and the lab builds its kernels
with that Debian's compiler.
"""

from __future__ import annotations

import platform
from pathlib import Path

import cache
import machine as lab
import pytest

from tests.fresh import root

HERE = platform.freedesktop_os_release()["VERSION_CODENAME"]
OTHERS = [suite for suite in ("bookworm", "trixie") if suite != HERE]
SUITES = [HERE, *(pytest.param(suite, marks=pytest.mark.extra) for suite in OTHERS)]
PYTEST = '"$(make -s venv)" -m pytest -q -p no:cacheprovider'


@pytest.mark.parametrize("suite", SUITES)
def test_the_console_opens_with_the_prerequisites_alone(suite: str, tmp_path: Path) -> None:
    fresh = root.Root(root.bare(suite), suite, tmp_path)
    assert "memory-short" in fresh.run("make demo ARGS=--list")
    # And nothing more is there: neither by the README's word nor by the host's.
    for name in ("gcc", "qemu-system-x86_64"):
        assert fresh.run(f"command -v {name} || echo nothing") == "nothing\n"
    with pytest.raises(cache.LabError, match="missing packages; as root: apt-get install bc"):
        fresh.run("make test")


@pytest.mark.parametrize("suite", SUITES)
def test_the_packages_are_all_that_the_tests_need(suite: str, tmp_path: Path) -> None:
    fresh = root.Root(root.full(suite), suite, tmp_path)
    assert fresh.run("make packages", root=True) == ""
    if suite == HERE:
        said = fresh.run(f"{PYTEST} tests/unit")
    else:
        said = fresh.run("make check")
    print(said)
    assert " failed" not in said
    assert " skipped" not in said


@pytest.mark.parametrize("suite", SUITES)
def test_the_module_builds_and_a_machine_boots(suite: str, tmp_path: Path) -> None:
    # Of one compiler one set of kernels is enough: it is where the host has it.
    shared = [lab.build().kernels["old"].build.parent] if suite == HERE else []
    fresh = root.Root(root.full(suite), suite, tmp_path, shared)
    tests = "tests/lab/test_dkms.py tests/lab/test_lab.py::test_a_kexec_leads_into_the_other_kernel"
    said = fresh.run(f"{PYTEST} {tests}", root=True)
    print(said)
    assert said.splitlines()[-1].startswith("5 passed in ")
