# SPDX-License-Identifier: MIT
"""Build the packages: a wheel, an sdist, and Debian's ``luo-tui`` and ``luo-dkms``.

    python -m luo_tui.packaging.build OUT

All come from one sdist, so that nothing is in them that is not in it. Two builds
of one source are the same byte for byte: every file has the day of CHANGELOG.md,
and what is bundled is named with its digest in ``debian/bundled.txt``.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from luo_tui import __version__
from luo_tui.packaging import changelog
from luo_tui.packaging.completions import FILES, completions
from luo_tui.packaging.manual import DEVICE, pages

CHECKOUT = Path(__file__).parents[2]
NOT_INSTALLED = ("packaging", "debian", "docs")
"""Folders of the package that build it, and are in none of what is built."""
_PLATFORM = ("--platform", "manylinux2014_x86_64", "--python-version", "3.11")
"""One wheel of each, wherever it is built; what is bundled is Python without a compiled part."""


class BuildFailed(Exception):
    """A step failed: which, and the last of what it said."""


def main() -> int:
    """Build all of them into the folder that is named; print their paths."""
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        for path in build(CHECKOUT, Path(sys.argv[1]).resolve()):
            print(path)
    except (BuildFailed, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def build(checkout: Path, out: Path) -> list[Path]:
    """Build what ``checkout`` has, into ``out``. BuildFailed, OSError, ValueError."""
    out.mkdir(parents=True, exist_ok=True)
    all_ = changelog.releases((checkout / "CHANGELOG.md").read_text(encoding="utf-8"))
    newest = all_[0]
    if newest.version != __version__:
        raise ValueError(f"CHANGELOG.md begins with {newest.version}; this is {__version__}")
    environment = {**os.environ, "SOURCE_DATE_EPOCH": f"{newest.at.timestamp():.0f}"}
    with tempfile.TemporaryDirectory(prefix="luo-tui-dist-") as name:
        work = Path(name)
        python = _python(checkout, work / "python", environment)
        source = _unpacked(next(p for p in python if p.name.endswith(".tar.gz")), work / "sdist")
        day = newest.day.isoformat()
        found = list(python)
        for folder, fill in (("luo_tui", _fill_console), ("kernel", _fill_module)):
            tree = work / folder / "tree"
            tree.mkdir(parents=True)
            fill(source, tree, day)
            shutil.copytree(source / folder / "debian", tree / "debian")
            name, maintainer = _names(tree / "debian/control")
            (tree / "debian/changelog").write_text(changelog.debian(name, maintainer, all_))
            found += _debian(tree, environment)
        return [Path(shutil.copy(path, out)) for path in found]


def _python(checkout: Path, out: Path, environment: Mapping[str, str]) -> list[Path]:
    _run([sys.executable, "-m", "hatchling", "build", "-d", out], checkout, environment)
    return sorted(out.iterdir())


def _unpacked(sdist: Path, work: Path) -> Path:
    work.mkdir()
    # Not by tarfile: Debian 12's has no filters yet, and later ones ask for one.
    _run(["tar", "-xf", sdist, "-C", work], sdist.parent, os.environ)
    (tree,) = work.iterdir()
    return tree


def _fill_console(source: Path, tree: Path, day: str) -> None:
    """Lay out the source of ``luo-tui``: modules, manual and completions."""
    modules = tree / "modules"
    without = shutil.ignore_patterns("__pycache__")
    shutil.copytree(source / "luo_tui", modules / "luo_tui", ignore=without)
    for name in NOT_INSTALLED:
        shutil.rmtree(modules / "luo_tui" / name)
    bundled = source / "luo_tui/debian/bundled.txt"
    _run(
        [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", "install", "--no-deps",
         "--no-compile", "--require-hashes", "--only-binary=:all:", *_PLATFORM,
         "--target", modules, "-r", bundled],
        tree,
        os.environ,
    )  # fmt: skip
    # Programs of the libraries, which nobody asked for.
    shutil.rmtree(modules / "bin", ignore_errors=True)
    _write(tree / "man", {f: text for f, text in pages(source, day).items() if f != DEVICE})
    _write(tree / "completions", {FILES[shell]: text for shell, text in completions().items()})
    shutil.copytree(source / "luo_tui/docs", tree / "docs")
    for name in ("README.md", "CHANGELOG.md", "LICENSE"):
        shutil.copy(source / name, tree)


def _fill_module(source: Path, tree: Path, day: str) -> None:
    """Lay out the source of ``luo-dkms``: the module's, less the lab."""
    without = shutil.ignore_patterns("lab", "debian")
    shutil.copytree(source / "kernel", tree, ignore=without, dirs_exist_ok=True)
    _write(tree / "man", {DEVICE: pages(source, day)[DEVICE]})


def _write(folder: Path, files: Mapping[str, str]) -> None:
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


def _names(control: Path) -> tuple[str, str]:
    """Return the source's name and its maintainer."""
    text = control.read_text(encoding="utf-8")
    fields = dict(re.findall(r"^(\S+): (.*)$", text, re.MULTILINE))
    return fields["Source"], fields["Maintainer"]


def _debian(tree: Path, environment: Mapping[str, str]) -> list[Path]:
    _run(["dpkg-buildpackage", "-b", "-us", "-uc", "-tc"], tree, environment)
    return sorted(tree.parent.glob("*.deb"))


def _run(command: list[str | Path], folder: Path, environment: Mapping[str, str]) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**environment, "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        tail = "\n".join(done.stdout.splitlines()[-20:])
        raise BuildFailed(f"{' '.join(map(str, command))} failed ({done.returncode}):\n{tail}")


if __name__ == "__main__":
    sys.exit(main())
