# SPDX-License-Identifier: MIT
"""Runs the tests, some processes side by side, and prints the minutes that each took.

    python tests/run.py check | test | test-all

What each of them runs stands in ``RUNS``. A test that is marked ``extra`` is in
``test-all`` alone. No test may skip itself: one that does is a failure here.

``test`` has to end in time, counted from ``--began``: there is a limit for a run
that found the kernels built, and one for a run that had to build them.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "kernel/lab"))

import cache

TESTS = Path(__file__).parent
AT_ONCE = 3
"""Processes of tests: more than processors, since half of their time they wait."""
WARM, COLD = 30, 60
"""Minutes that ``test`` may take with the kernels in the cache, and without."""
KERNELS = ("kernels", "prior", "debug")
LONGEST_FIRST = ("fresh", "lab", "contract", "console", "abuse", "guests", "unit")
SINGLY = ("lab", "contract", "console")
"""Each file of these is a process of its own, so that all have work to the end."""
ALONE = ("bench",)
"""Prints figures, when nothing else runs."""


@dataclass(frozen=True)
class Run:
    """One of the ways to run the tests."""

    folders: tuple[str, ...]
    select: str = ""
    build: tuple[str, ...] | None = None
    """How the lab is built before it, if it is."""
    limited: bool = False


_LANDING = ("guests", "console", "contract", "lab", "abuse", "fresh")
"""``fresh`` runs ``unit``, in a root that has nothing of this machine's."""
RUNS = {
    "check": Run(("unit", "console", "contract"), "not lab and not extra"),
    "test": Run(_LANDING, "not extra", (), limited=True),
    "test-all": Run(("unit", *_LANDING, *ALONE), "", ("--all",)),
}


@dataclass(frozen=True)
class Part:
    """What one process runs."""

    path: Path
    tests: int

    @property
    def name(self) -> str:
        """Return its path, as it is printed."""
        return str(self.path.relative_to(TESTS))


@dataclass(frozen=True)
class Ran:
    """How one process of tests ended."""

    part: Part
    seconds: float
    fault: str


def parts(run: Run) -> list[Part]:
    """Return what there is to run, in the order in which it begins; exit 1 if that fails."""
    command = pytest("--collect-only", "-q", *paths(run.folders), *marked(run))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    files = re.findall(r"^tests/(\S+\.py)::", done.stdout, re.MULTILINE)
    if done.returncode or not files:
        sys.exit(f"{done.stdout}{done.stderr}\nno tests could be collected")
    print(f"tests: {done.stdout.strip().splitlines()[-1]}", flush=True)
    numbers: dict[Path, int] = {}
    for file in files:
        folder = file.partition("/")[0]
        path = TESTS / (file if folder in SINGLY else folder)
        numbers[path] = numbers.get(path, 0) + 1
    found = [Part(path, number) for path, number in numbers.items()]
    return sorted(found, key=_turn)


def _turn(part: Part) -> tuple[int, int]:
    folder = part.path.relative_to(TESTS).parts[0]
    first = LONGEST_FIRST.index(folder) if folder in LONGEST_FIRST else len(LONGEST_FIRST)
    return first, -part.path.stat().st_size


def perform(part: Part, run: Run) -> Ran:
    """Run the tests of ``part`` and print what they said, once they are through."""
    began = time.monotonic()
    command = pytest("-q", part.path, *marked(run))
    if part.name in ALONE:
        command.append("-s")
    with tempfile.TemporaryFile("w+") as out:
        done = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, check=False)
        out.seek(0)
        said = out.read()
    seconds = time.monotonic() - began
    print(f"--- tests/{part.name}: {seconds / 60:.1f} min, exit {done.returncode}\n{said}")
    sys.stdout.flush()
    return Ran(part, seconds, fault(done.returncode, said))


def fault(code: int, said: str) -> str:
    """Return what is wrong with how pytest ended, and nothing if all is well."""
    if code:
        return f"FAILED ({code})"
    counts = said.strip().splitlines()[-1:]
    if not counts or not re.match(r"\d+ passed", counts[0]):
        return "FAILED (nothing has passed)"
    if re.search(r"\d+ (skipped|xfailed|xpassed)", counts[0]):
        return "FAILED (a test has skipped itself)"
    return ""


def pytest(*arguments: str | Path) -> list[str]:
    """Return the command that runs pytest."""
    return [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *map(str, arguments)]


def paths(folders: Iterable[str]) -> list[Path]:
    """Return the folders of tests by their names."""
    return [TESTS / f for f in folders]


def marked(run: Run) -> list[str]:
    """Return what selects the tests by their marks."""
    return ["-m", run.select] if run.select else []


def kernels() -> set[Path]:
    """Return what lies built in the cache and takes long to build."""
    return {p for kind in KERNELS for p in cache.root().glob(f"{kind}-*/.complete")}


def build(arguments: Sequence[str]) -> bool:
    """Build the lab; return whether a kernel had to be built for it. Exit 1 if that fails."""
    before = kernels()
    done = subprocess.run([sys.executable, cache.LAB, "build", *arguments], check=False)
    if done.returncode:
        sys.exit("the lab could not be built")
    return not kernels() <= before


def summary(results: Iterable[Ran]) -> bool:
    """Print the minutes of each part; return whether all went well."""
    print("minutes:")
    for ran in results:
        print(f"  {ran.part.name:36} {ran.seconds / 60:5.1f}  {ran.fault or 'ok'}")
    return not any(ran.fault for ran in results)


def in_time(began: float, built: bool) -> bool:
    """Print how long all took beside how long it may take; return whether that is enough."""
    minutes = (time.time() - began) / 60
    limit = COLD if built else WARM
    how = "the kernels were built in this run" if built else "the kernels were in the cache"
    print(f"  {'all, with what came before':36} {minutes:5.1f}  of {limit}: {how}")
    if minutes > limit:
        print(f"FAILED: it took longer than {limit} minutes")
    return minutes <= limit


def main() -> int:
    """Run what was asked for; exit 1 if anything failed, or was not in time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", choices=RUNS)
    parser.add_argument("--began", type=float, default=time.time(), metavar="EPOCH")
    args = parser.parse_args()
    run = RUNS[args.run]
    to_do = parts(run)
    built = build(run.build) if run.build is not None else False
    with ThreadPoolExecutor(AT_ONCE) as pool:
        together = (part for part in to_do if part.name not in ALONE)
        results = list(pool.map(lambda part: perform(part, run), together))
    results += [perform(part, run) for part in to_do if part.name in ALONE]
    well = summary(results)
    if run.limited:
        well = in_time(args.began, built) and well
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
