# SPDX-License-Identifier: MIT
"""The Debian packages in roots that have nothing else: install, use, upgrade, remove, purge."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import cache
import pytest

from luo_tui import __version__
from luo_tui.packaging import build, manual, roff
from tests.fresh import root
from tests.fresh.test_fresh import HERE, SUITES

PAGES = [(n.rpartition(".")[0], a) for n, a in manual.ABOUT.items() if n != manual.DEVICE]


LATER = "99.1"
REFUSED = (
    "luo-dkms: a window of luo-tui is open on this host.",
    "luo-dkms: nothing was removed. End it first (luo-tui), then repeat.",
)


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


@pytest.mark.extra
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


@pytest.fixture(scope="module")
def later(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the packages of a later version: only the number differs."""
    checkout = tmp_path_factory.mktemp("later") / "checkout"
    root.copy_checkout(checkout)
    for name in ("pyproject.toml", "luo_tui/__init__.py", "kernel/dkms.conf"):
        text = (checkout / name).read_text()
        assert f'"{__version__}"' in text, name
        (checkout / name).write_text(text.replace(f'"{__version__}"', f'"{LATER}"'))
    changes = checkout / "CHANGELOG.md"
    entry = f"## {LATER} (2030-01-01)\n\n- Another number.\n\n## {__version__} "
    changes.write_text(changes.read_text().replace(f"## {__version__} ", entry))
    # A module that is imported stays what it is: a process of its own, in its folder.
    subprocess.run(
        [sys.executable, "-m", "luo_tui.packaging.build", checkout / "out"],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return checkout / "out"


@pytest.mark.extra
@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_the_module_stays_while_a_window_is_open(
    suite: str, built: Path, later: Path, tmp_path: Path
) -> None:
    machine = fresh(root.full(suite), suite, tmp_path, built, later)
    said = machine.run("sh tests/fresh/module.sh $PWD/debs-0 $PWD/debs-1", root=True)
    assert said.splitlines() == [
        f"luo/{__version__}",
        "liveupdate",
        "/usr/lib/udev/rules.d/60-liveupdate.rules",
        *REFUSED,
        *REFUSED,
        f"luo-dkms {__version__} installed",
        f"luo-dkms {LATER} installed",
        f"luo-tui {LATER}",
        "   1  2026-11-27 01:00:00",
        f"luo/{LATER}",
        "removed",
    ]


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
        "ExecStart=/usr/bin/luo-tui arrive --wall",
        "luo-tui-arrive.service",
        "luo-tui-holder.service",
        "the login is told nothing",
        "no file is left",
        "no folder is left",
    ]


@pytest.mark.extra
def test_completions_complete_what_is_there_now(built: Path, tmp_path: Path) -> None:
    machine = fresh(root.bare(HERE), HERE, tmp_path, built)
    said = machine.run("sh tests/fresh/completions.sh $PWD/debs-0", root=True)
    assert said.splitlines() == [
        "7",
        "bash: status",
        "bash: prepared preserving",
        "bash: resource",
        "bash: 7",
        "fish: status",
        "fish: 7",
        "zsh: read",
    ]
