# SPDX-License-Identifier: MIT
"""Reads plans: the file that an operator names, and the copy that a window keeps of it."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from luo_tui.errors import Exit, NotDone
from luo_tui.update.durable import write_file
from luo_tui.update.plan import LONGEST, BadPlan, Plan, parse_plan


def read_plan(path: Path) -> tuple[Plan, str]:
    """Read a plan's file; return it, and its text. NotDone: it is none, or not to be trusted.

    As root only a file counts that root owns and nobody else may write to: it
    names programs that are run.
    """
    try:
        data = _read(path)
    except OSError as error:
        code = Exit.NOT_FOUND if isinstance(error, FileNotFoundError) else Exit.REFUSED
        raise NotDone(f"{path}: {error.strerror or error}. Nothing was done.", code) from error
    try:
        text = _decoded(data)
        return parse_plan(text), text
    except BadPlan as wrong:
        raise NotDone(f"{path}: {wrong}. Nothing was done.", Exit.USAGE) from wrong


def _read(path: Path) -> bytes:
    # A pipe would wait for its writer.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    with os.fdopen(fd, "rb") as file:
        about = os.fstat(fd)
        if not stat.S_ISREG(about.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        if os.geteuid() == 0:
            if about.st_uid != 0:
                raise OSError(
                    errno.EPERM, f"for root only a file of root counts: chown root {path}"
                )
            if about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise OSError(errno.EPERM, f"others may write to it: chmod go-w {path}")
        data = file.read(LONGEST + 1)
    if len(data) > LONGEST:
        raise OSError(errno.EFBIG, f"it is longer than {LONGEST >> 10} KiB")
    return data


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadPlan(f"line {line}: byte {error.start + 1} of the file is not UTF-8") from error


def keep_copy(folder: Path, window: str, text: str) -> None:
    """Lay a copy beside the window's journal, for all to read. OSError: ENOSPC."""
    write_file(_copy(folder, window), text.encode())


def kept_plan(folder: Path, window: str, digest: str) -> Plan:
    """Read the copy that the window has. NotDone: it is not what the journal says it is."""
    path = _copy(folder, window)
    plan, _ = read_plan(path)
    if plan.digest != digest:
        raise NotDone(f"{path} is not the plan that this window was begun with.", Exit.MISMATCH)
    return plan


def _copy(folder: Path, window: str) -> Path:
    return folder / "windows" / f"{window}.plan.toml"
