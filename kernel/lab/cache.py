# SPDX-License-Identifier: GPL-2.0
"""Where built things are kept: outside the checkout, by the hash of what they are made from."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import inspect
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

LAB = Path(__file__).resolve().parent
KERNEL = LAB.parent
CHECKOUT = KERNEL.parent
_STAMP = ".complete"


class LabError(Exception):
    """Something the user has to know, in words."""


def root() -> Path:
    """Return the cache's folder, which is made if need be."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(base) / "luo-tui"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def key(*parts: str | bytes | Path) -> str:
    """Return a name for what is made from ``parts``: texts, and files by their content."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            content = part.read_bytes()
        else:
            content = part.encode() if isinstance(part, str) else part
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()[:16]


def recipe(*functions: Callable[..., object]) -> str:
    """Return the text of the functions that build something, as a part of its key."""
    return "\n".join(inspect.getsource(f) for f in functions)


def make(kind: str, name: str, build: Callable[[Path], None]) -> Path:
    """Return the folder ``kind-name``, built if it is not there whole.

    The stamp is written last: whatever an interrupted build has left behind is
    thrown away by the next one. Two builders wait for each other.
    """
    folder = root() / f"{kind}-{name}"
    with _locked(root() / f"{kind}.lock"):
        if not (folder / _STAMP).exists():
            if folder.exists():
                shutil.rmtree(folder)
            folder.mkdir()
            build(folder)
            (folder / _STAMP).touch()
    return folder


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def say(text: str) -> None:
    """Tell the user what takes time."""
    print(f"lab: {text}", file=sys.stderr, flush=True)


def run(
    command: Sequence[str | Path], what: str, *, log: Path | None = None, **options: object
) -> str:
    """Run a command to its end; LabError with ``what`` and its last lines if it fails.

    Returns what it printed, both streams together; ``log`` keeps that too.
    """
    try:
        done = subprocess.run(
            [str(c) for c in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            **options,  # type: ignore[call-overload]
        )
    except FileNotFoundError as error:
        raise LabError(
            f"{what}: {error.filename} is missing. As root: apt-get install {_all_packages()}"
        ) from error
    text = str(done.stdout)
    if log is not None:
        log.write_text(text)
    if done.returncode:
        tail = "\n".join(text.splitlines()[-15:])
        raise LabError(f"{what} failed (exit {done.returncode}):\n{tail}")
    return text


def _all_packages() -> str:
    lines = (LAB / "packages").read_text().splitlines()
    return " ".join(line for line in lines if line and not line.startswith("#"))
