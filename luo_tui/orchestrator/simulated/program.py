# SPDX-License-Identifier: MIT
"""How the program starts itself anew, from the very files that run now.

Python puts the working folder before everything else when a module is started
by its name. A demo may run in a folder that others write to, so the programs
that it starts look for modules where this one's lie, and never there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import luo_tui

_FOLDER = Path(luo_tui.__file__).resolve().parents[1]
"""What the package lies in."""


def command(module: str, *arguments: str) -> list[str]:
    """Return the command line that runs a module of this package."""
    return [sys.executable, "-P", "-m", module, *arguments]


def environment(**more: str) -> Mapping[str, str]:
    """Return the environment for it: this one's, with ``more``."""
    before = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    # An empty or a relative entry is the working folder, or lies in it.
    paths = [str(_FOLDER), *(p for p in before if Path(p).is_absolute())]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
        "PYTHONSAFEPATH": "1",
        **more,
    }
