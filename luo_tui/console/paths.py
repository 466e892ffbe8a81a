# SPDX-License-Identifier: MIT
"""A path as an operator types it: a file's name, or a sentence that says what is wrong with it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from luo_tui.errors import NotDone


def typed_path(typed: str) -> Path:
    """Return the whole path that was typed; ``~`` and ``~user`` are home directories.

    Raises NotDone with a sentence. Reads the passwd database, not the file.
    """
    text = typed.strip()
    if not text:
        raise NotDone("No path is typed.")
    if "\0" in text:
        raise NotDone("A path has no NUL character in it.")
    try:
        path = Path(text).expanduser()
    except RuntimeError as error:
        raise NotDone(f"{text}: there is no such user, or it has no home directory.") from error
    if not path.is_absolute():
        raise NotDone(f"{text}: type the whole path, from / on.")
    return path


def existing_file(typed: str) -> Path:
    """Return the path of a regular file that can be read. Raises NotDone; may take long.

    What is no regular file is not opened: a pipe or a terminal would never answer.
    """
    path = typed_path(typed)
    try:
        mode = path.stat().st_mode
        readable = os.access(path, os.R_OK)
    except OSError as error:
        raise NotDone(f"{path}: {why_not(error)}.") from error
    if stat.S_ISDIR(mode):
        raise NotDone(f"{path} is a directory, not a file.")
    if not stat.S_ISREG(mode):
        raise NotDone(f"{path} is no ordinary file.")
    if not readable:
        raise NotDone(f"{path} cannot be read by this user.")
    return path


def why_not(error: OSError) -> str:
    """Return the reason of an error about a file, in the system's words."""
    return error.strerror or str(error) or type(error).__name__
