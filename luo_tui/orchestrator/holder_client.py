# SPDX-License-Identifier: MIT
"""Requests to luo-tui-holder, which is started where it does not run.

Every refusal is an OSError: :class:`luo_tui.errors.HolderError` says at which step.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from socket import socket

from luo_tui.arrival.protocol import Object, ask, connect
from luo_tui.errors import HolderError, Op

UNIT = "luo-tui-holder.service"
_BY_SYSTEMD = Path("/run/systemd/system")
"""There where systemd is the init system (sd_booted(3))."""
_NOT_RUNNING = (errno.ENOENT, errno.ECONNREFUSED, errno.ENOTDIR)
_PATIENCE = 600.0
"""Seconds that one request may take: large files are preserved page by page."""
_STARTING = 60.0
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
"""All that a program is started with: root's own is nobody's business there."""
_PROGRAM = (
    "import sys; sys.path[:0] = [{!r}]; from luo_tui.arrival.__main__ import main; sys.exit(main())"
)


def is_running() -> bool:
    """Whether a holder answers. OSError: it cannot be found out."""
    try:
        connect().close()
    except OSError as error:
        if error.errno in _NOT_RUNNING:
            return False
        raise
    return True


def request(call: str, fd: int = -1, **more: object) -> tuple[Object, int]:
    """Make one request, with a descriptor or without; return the answer and its descriptor.

    HolderError: the holder refused, does not answer, or could not be started.
    """
    with _reached() as end:
        try:
            answer, given = ask(end, {"call": call, **more}, fd, _PATIENCE)
        except OSError as error:
            raise HolderError(Op.HOLDER, error.errno or errno.EIO, _sentence(error)) from error
    if answer.get("ok") is True:
        return answer, given
    if given >= 0:
        os.close(given)
    op, code, said = answer.get("op"), answer.get("errno"), answer.get("said")
    known = Op(op) if op in set(Op) else Op.HOLDER
    raise HolderError(known, code if isinstance(code, int) else errno.EIO, str(said or ""))


def start() -> None:
    """Start the holder, and wait until it answers. HolderError: why it could not be."""
    if _BY_SYSTEMD.is_dir():
        # In a unit of its own it outlives the login that it is started from.
        said = _run(["/usr/bin/systemctl", "start", UNIT])
        if said is None:
            return
        said = _run(
            [
                "/usr/bin/systemd-run",
                "--quiet",
                f"--unit={UNIT}",
                "--service-type=notify",
                *_command(),
            ]
        )
    else:
        said = _run([*_command(), "--background"])
    if said is not None:
        raise HolderError(Op.HOLDER, errno.ENOENT, said)


def _reached() -> socket:
    for again in (True, False):
        try:
            return connect()
        except OSError as error:
            if again and error.errno in _NOT_RUNNING:
                start()
                continue
            raise HolderError(Op.HOLDER, error.errno or errno.EIO, _sentence(error)) from error
    raise AssertionError("unreachable")


def _command() -> list[str]:
    """Return the command line of the holder as it belongs to this program."""
    root = str(Path(__file__).parents[2])
    return [sys.executable, "-I", "-c", _PROGRAM.format(root)]


def _run(command: list[str]) -> str | None:
    """Run a command to its end; None where it succeeded, else what it said."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=_ENVIRONMENT,
            text=True,
            errors="backslashreplace",
            timeout=_STARTING,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{command[0]}: {error}"
    if not done.returncode:
        return None
    return done.stderr.strip() or f"{command[0]} ended with {done.returncode}."


def _sentence(error: OSError) -> str:
    plain = os.strerror(error.errno or 0)
    return f"{error.strerror}." if error.strerror and error.strerror != plain else ""
