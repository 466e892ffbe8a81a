# SPDX-License-Identifier: MIT
"""The names of the holder's sessions, in a file that outlasts the kernel.

The kernel gives a session to whoever asks for it by name, and tells no names. So
a name is on the disk before its session is made. With each stands the boot that
it was made in: one of this boot that nobody has was dropped when its holder ended.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

FOLDER = Path("/var/lib/luo-tui")
FILE = "sessions.json"
FORMAT = 1
_LARGEST = 4 << 20


class Names:
    """Boot ids by the sessions' names."""

    def __init__(self, folder: Path = FOLDER) -> None:
        """``folder`` is made when something is written."""
        self._path = folder / FILE

    def read(self) -> dict[str, str]:
        """Return what is written down; empty where there is no file.

        OSError: it cannot be read. ValueError, with words: it makes no sense.
        """
        try:
            with self._path.open("rb") as file:
                data = file.read(_LARGEST)
        except FileNotFoundError:
            return {}
        try:
            raw = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{self._path} is damaged") from error
        if not isinstance(raw, dict) or raw.get("v") != FORMAT:
            raise ValueError(f"{self._path} is damaged, or a newer luo-tui wrote it")
        found = raw.get("sessions")
        if not isinstance(found, dict) or not all(isinstance(b, str) for b in found.values()):
            raise ValueError(f"{self._path} is damaged")
        return found

    def write(self, sessions: Mapping[str, str]) -> None:
        """Put these in the place of those; they are on the disk on return. OSError."""
        self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        new = self._path.with_name(f".{FILE}.new")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(new, flags, 0o600)
        try:
            view = memoryview(json.dumps({"v": FORMAT, "sessions": dict(sessions)}).encode())
            while view:
                view = view[os.write(fd, view) :]
            os.fsync(fd)
            new.replace(self._path)
        except BaseException:
            with contextlib.suppress(OSError):
                new.unlink()
            raise
        finally:
            os.close(fd)
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
