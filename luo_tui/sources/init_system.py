# SPDX-License-Identifier: MIT
"""Process 1 where it is systemd: which one, and the order to shut down and kexec.

systemctl(1), ``kexec``: with an image loaded already it is that image which is
started. systemd stops the services, preserves what they left with it (261 and
later), and jumps last; where the kernel refuses then, it reboots.
"""

from __future__ import annotations

import errno
import re
import subprocess
from pathlib import Path

from luo_tui.model import InitSystem
from luo_tui.sources import systemctl
from luo_tui.sources.clean import clean
from luo_tui.sources.descriptor_stores import read_stores
from luo_tui.sources.reading import Reading

_VERSION = re.compile(r"Version=(\d{1,6})")
_PATIENCE = 60.0
"""Seconds in which systemd has to take the order."""
_LONGEST = 200


def read_init_system(systemd: Path = systemctl.RUNS, path: str = systemctl.PATH) -> InitSystem:
    """Ask process 1, where it is systemd; never fails."""
    if not systemd.is_dir():
        return InitSystem()
    reading = Reading()
    asked = ("show", "--no-pager", "--property=Version")
    lines = systemctl.ask(asked, "systemd could not be asked for its version", reading, path)
    found = next(filter(None, map(_VERSION.match, lines or ())), None)
    version = int(found[1]) if found else 0
    return InitSystem("systemd", version, read_stores(systemd, path), reading.missing)


def order_kexec(path: str = systemctl.PATH) -> None:
    """Order systemd to shut down and kexec. OSError: it did not take the order."""
    try:
        done = subprocess.run(
            ("systemctl", "--no-ask-password", "--no-wall", "kexec"),
            env={"PATH": path, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        said = f"systemd did not answer within {_PATIENCE:.0f} s"
        raise OSError(errno.ETIMEDOUT, said) from error
    if done.returncode:
        said = clean(done.stderr.decode(errors="replace").strip())[:_LONGEST]
        raise OSError(errno.ECANCELED, said or f"systemctl ended with {done.returncode}")
