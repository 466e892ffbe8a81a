# SPDX-License-Identifier: MIT
"""Entry point of ``luo-tui-holder`` and of ``python3 -m luo_tui.arrival``."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from luo_tui.arrival.holder import COMM, run
from luo_tui.arrival.names import FOLDER
from luo_tui.arrival.protocol import SOCKET

_NOT_PERMITTED = 3
"""As luo-tui's own exit codes have it."""


def command_line() -> argparse.ArgumentParser:
    """Return the parser, which the manual page is made of, too."""
    parser = argparse.ArgumentParser(
        prog=COMM,
        description="Own the sessions of luo-tui on a kernel that has sessions (Linux 6.19 and "
        "later, liveupdate=on), until the kexec. `luo-tui hold` starts it where it does not run. "
        "SIGTERM ends it, and drops what it holds.",
    )
    parser.add_argument("--background", action="store_true", help="go on in a process of its own")
    parser.add_argument(
        "--folder", type=Path, default=FOLDER, help=f"where the names of sessions lie ({FOLDER})"
    )
    return parser


def main() -> int:
    """Be the holder until SIGTERM; say why where that cannot be."""
    args = command_line().parse_args()
    if os.geteuid():
        print(f"{COMM}: only root may hold sessions.", file=sys.stderr)
        return _NOT_PERMITTED
    try:
        run(SOCKET, args.folder, background=args.background)
    except OSError as error:
        print(f"{COMM}: {error.filename or SOCKET}: {error.strerror or error}.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
