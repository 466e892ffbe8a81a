# SPDX-License-Identifier: MIT
"""The Debian packages in roots that have nothing else: install, use, upgrade, remove, purge."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import cache
import pytest

from luo_tui import __version__
from luo_tui.packaging import build, manual, roff
from tests.fresh import root
from tests.fresh.test_fresh import HERE, SUITES

PAGES = [(n.rpartition(".")[0], a) for n, a in manual.ABOUT.items() if n != manual.DEVICE]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the packages, built as `make dist` does."""
    out = tmp_path_factory.mktemp("dist")
    build.build(cache.CHECKOUT, out)
    return out


def fresh(tree: Path, suite: str, work: Path, *folders: Path) -> root.Root:
    """A root with packages beside the checkout: in debs-0, debs-1 ..."""
    root.copy_checkout(work / "checkout")
    for number, folder in enumerate(folders):
        shutil.copytree(folder, work / "checkout" / f"debs-{number}")
    return root.Root(tree, suite, work)


def test_two_builds_are_the_same(built: Path, tmp_path: Path) -> None:
    # From another place, at another time.
    root.copy_checkout(tmp_path / "elsewhere")
    build.build(tmp_path / "elsewhere", tmp_path / "out")
    names = {path.name for path in built.iterdir()}
    assert names == {
        f"luo-dkms_{__version__}_all.deb",
        f"luo-tui_{__version__}_all.deb",
        f"luo_tui-{__version__}-py3-none-any.whl",
        f"luo_tui-{__version__}.tar.gz",
    }
    for name in names:
        assert (built / name).read_bytes() == (tmp_path / "out" / name).read_bytes(), name


def test_lintian_finds_no_error(built: Path) -> None:
    done = subprocess.run(
        ["lintian", "--allow-root", "--fail-on", "error,warning", *built.glob("*.deb")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


@pytest.mark.parametrize("suite", SUITES)
def test_the_console_is_installed_used_and_purged(suite: str, built: Path, tmp_path: Path) -> None:
    machine = fresh(root.bare(suite), suite, tmp_path, built)
    said = machine.run("sh tests/fresh/console.sh $PWD/debs-0", root=True)
    assert said.splitlines() == [
        f"luo-tui {__version__}",
        "status: 4",
        "LUO state   unavailable",
        "memory-short",
        "No window was ever opened here ",
        "drawn",
        *(f"{roff.plain(name)} \\- {roff.plain(about)}" for name, about in PAGES),
        "no file is left",
        "no folder is left",
    ]


def test_completions_complete_what_is_there_now(built: Path, tmp_path: Path) -> None:
    machine = fresh(root.bare(HERE), HERE, tmp_path, built)
    said = machine.run("sh tests/fresh/completions.sh $PWD/debs-0", root=True)
    assert said.splitlines() == [
        "7",
        "bash: status",
        "bash: prepared",
        "bash: resource",
        "bash: 7",
        "fish: status",
        "fish: 7",
        "zsh: read",
    ]
