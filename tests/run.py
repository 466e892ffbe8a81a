# SPDX-License-Identifier: MIT
"""Runs the test folders, one process each, and prints the minutes that each took.

    python tests/run.py [--lab] FOLDER...

With --lab the tests that need the virtual machine run as well; ``contract`` and
``lab`` then run side by side, a machine each. ``bench`` prints figures.
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
SIDE_BY_SIDE = {"contract", "lab"}


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


def main() -> int:
    """Run what was asked for; exit 1 if anything failed or nothing ran."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lab", action="store_true")
    parser.add_argument("folders", nargs="+")
    args = parser.parse_args()
    together = [f for f in args.folders if args.lab and f in SIDE_BY_SIDE]
    batches = [[f] for f in args.folders if f not in together and f != "bench"]
    batches += [together] if together else []
    # Figures are taken when nothing else runs.
    batches += [["bench"]] if "bench" in args.folders else []
    results = []
    for batch in batches:
        with ThreadPoolExecutor(len(batch)) as pool:
            for result in pool.map(lambda f: run(f, args.lab), batch):
                folder, seconds, code, text = result
                print(f"--- tests/{folder}: {seconds / 60:.1f} min, exit {code}", flush=True)
                print(text, flush=True)
                results.append(result)
    print("minutes by folder:")
    for folder, seconds, code, _ in results:
        print(f"  {folder:10} {seconds / 60:5.1f}  {'ok' if code == 0 else f'FAILED ({code})'}")
    return 0 if results and all(code == 0 for _, _, code, _ in results) else 1


if __name__ == "__main__":
    sys.exit(main())
