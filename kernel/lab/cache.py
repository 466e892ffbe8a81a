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
# What the lab has in common with the package is the package's; nobody has to install it.
if str(CHECKOUT) not in sys.path:
    sys.path.append(str(CHECKOUT))

from luo_tui.machine.qemu import end_with_parent  # noqa: E402 - found by the line before

_STAMP = ".complete"
_KEEP = 6
_KEEP_OF = {"module": 24, "bare": 3, "full": 3, "booted": 4}
_locks: list[int] = []


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

    It is built in place, since kernels keep their paths, and the stamp is written
    last: whatever an interrupted build has left behind is thrown away by the next
    one. Two builders wait for each other.
    """
    folder = root() / f"{kind}-{name}"
    stamp = folder / _STAMP
    with locked(kind):
        if not stamp.exists():
            if folder.exists():
                say(f"clearing away what an interrupted build has left ({kind})")
                shutil.rmtree(folder)
            folder.mkdir()
            build(folder)
            _forget(kind)
        stamp.touch()
    return folder


def _forget(kind: str) -> None:
    """Throw away what has not been asked for longest; a few stay, for other checkouts."""
    stamps = list(root().glob(f"{kind}-*/{_STAMP}"))
    for stamp in sorted(stamps, key=lambda s: s.stat().st_mtime, reverse=True)[
        _KEEP_OF.get(kind, _KEEP) :
    ]:
        stamp.unlink()
        shutil.rmtree(stamp.parent)


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold a lock by name, together with every command that is run meanwhile.

    A builder that was killed leaves commands that still write into its folder;
    with them the lock ends only when the last of them has.
    """
    with (root() / f"{name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another build to end ({name})")
            fcntl.flock(file, fcntl.LOCK_EX)
        _locks.append(file.fileno())
        try:
            yield
        finally:
            _locks.pop()


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
            pass_fds=_locks,
            preexec_fn=end_with_parent,
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
