# SPDX-License-Identifier: MIT
"""Asks systemd by its own programs: its bus would be a dependency, for a few questions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from luo_tui.sources.reading import Reading

RUNS = Path("/run/systemd/system")
"""The folder that is there where systemd is process 1 (sd_booted(3))."""
PATH = "/usr/bin:/bin"
_PATIENCE = 30.0
"""Seconds in which systemd has to answer."""


def ask(
    arguments: Sequence[str],
    what: str,
    reading: Reading,
    path: str = PATH,
    program: str = "systemctl",
) -> list[str] | None:
    """Return the lines of the answer; None where there is none, noted as ``what`` and why.

    Foreign text is as it is there.
    """
    import subprocess

    try:
        done = subprocess.run(
            (program, *arguments),
            env={"PATH": path, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        reading.lacks(what, f"systemd did not answer within {_PATIENCE:.0f} s")
        return None
    except OSError as error:
        reading.lacks(what, error.strerror or str(error))
        return None
    if done.returncode:
        reading.lacks(what, done.stderr.decode(errors="surrogateescape").strip())
        return None
    return done.stdout.decode(errors="surrogateescape").splitlines()
