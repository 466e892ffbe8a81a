# SPDX-License-Identifier: MIT
"""Runs the test folders, two processes side by side, and prints the minutes that each took.

    python tests/run.py [--lab] FOLDER...

With --lab the tests that need the virtual machine run as well; each file of
``lab`` then runs by itself, so that both processors have work to the end.
``bench`` prints figures, when nothing else runs.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).parent
AT_ONCE = 2
LONGEST_FIRST = ("contract", "abuse", "lab", "console", "unit")


@dataclass(frozen=True)
class Ran:
    """How one process of tests ended."""

    name: str
    seconds: float
    code: int


def run(path: Path, *, lab: bool) -> Ran:
    """Run the tests in ``path`` and print what they said, once they are through."""
    began = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(path)]
    if path.name == "bench":
        command.append("-s")
    if not lab:
        command += ["-m", "not lab"]
    name = str(path.relative_to(TESTS))
    with tempfile.TemporaryFile("w+") as out:
        done = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, check=False)
        out.seek(0)
        seconds = time.monotonic() - began
        head = f"--- tests/{name}: {seconds / 60:.1f} min, exit {done.returncode}"
        print(f"{head}\n{out.read()}", flush=True)
    return Ran(name, seconds, done.returncode)


def parts(folders: Iterable[str], *, lab: bool) -> Iterator[Path]:
    """Yield what one process each runs, in the order in which they begin."""
    for folder in sorted(folders, key=LONGEST_FIRST.index):
        if folder == "lab" and lab:
            files = (TESTS / folder).glob("test_*.py")
            yield from sorted(files, key=lambda f: f.stat().st_size, reverse=True)
        else:
            yield TESTS / folder


def main() -> int:
    """Run what was asked for; exit 1 if anything failed or nothing ran."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lab", action="store_true")
    parser.add_argument("folders", nargs="+")
    args = parser.parse_args()
    bench = [TESTS / f for f in args.folders if f == "bench"]
    rest = parts((f for f in args.folders if f != "bench"), lab=args.lab)
    began = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = list(pool.map(lambda path: run(path, lab=args.lab), rest))
    results += [run(path, lab=args.lab) for path in bench]
    print("minutes:")
    for ran in results:
        end = "ok" if ran.code == 0 else f"FAILED ({ran.code})"
        print(f"  {ran.name:32} {ran.seconds / 60:5.1f}  {end}")
    print(f"  {'from begin to end':32} {(time.monotonic() - began) / 60:5.1f}")
    return 0 if results and all(ran.code == 0 for ran in results) else 1


if __name__ == "__main__":
    sys.exit(main())
