# SPDX-License-Identifier: MIT
"""Runs the test folders, one process each, and prints the minutes that each took.

    python tests/run.py [--lab] FOLDER...

With --lab the tests that need the virtual machine run as well, in two lanes side
by side, a machine each. ``bench`` prints figures, when nothing else runs.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TESTS = Path(__file__).parent
LANES = (("contract", "abuse"), ("lab",))
"""Folders that take minutes in the virtual machine, in lanes of about the same length."""


def run(folder: str, lab: bool) -> tuple[str, float, int, str]:
    """Run one folder; return its name, seconds, exit code and what it printed."""
    began = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(TESTS / folder)]
    if folder == "bench":
        command.append("-s")
    if not lab:
        command += ["-m", "not lab"]
    with tempfile.TemporaryFile("w+") as out:
        done = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, check=False)
        out.seek(0)
        return folder, time.monotonic() - began, done.returncode, out.read()


def lane_of(folders: list[str], lab: bool) -> list[tuple[str, float, int, str]]:
    """Run folders one after the other, and tell of each when it is through."""
    results = []
    for result in (run(folder, lab) for folder in folders):
        folder, seconds, code, text = result
        print(f"--- tests/{folder}: {seconds / 60:.1f} min, exit {code}\n{text}", flush=True)
        results.append(result)
    return results


def main() -> int:
    """Run what was asked for; exit 1 if anything failed or nothing ran."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lab", action="store_true")
    parser.add_argument("folders", nargs="+")
    args = parser.parse_args()
    lanes = [[f for f in lane if f in args.folders] for lane in LANES] if args.lab else []
    slow = {f for lane in lanes for f in lane}
    first = [f for f in args.folders if f not in slow and f != "bench"]
    results = lane_of(first, args.lab)
    with ThreadPoolExecutor(len(LANES)) as pool:
        for done in pool.map(lambda lane: lane_of(lane, args.lab), lanes):
            results += done
    results += lane_of([f for f in args.folders if f == "bench"], args.lab)
    print("minutes by folder:")
    for folder, seconds, code, _ in results:
        print(f"  {folder:10} {seconds / 60:5.1f}  {'ok' if code == 0 else f'FAILED ({code})'}")
    return 0 if results and all(code == 0 for _, _, code, _ in results) else 1


if __name__ == "__main__":
    sys.exit(main())
