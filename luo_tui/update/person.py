# SPDX-License-Identifier: MIT
"""Who acts: a person at a terminal, as far as the system knows."""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from luo_tui.sources.clean import clean

_ANCESTORS = 16
_ENVIRON = 256 * 1024
_NOBODY = 0xFFFFFFFF
_HIGHEST_PID = 1 << 22
"""PID_MAX_LIMIT (include/linux/threads.h)."""
_INSIDE = {"TMUX": "tmux", "STY": "screen"}


class Person(NamedTuple):
    """A person at a terminal, as far as the system knows."""

    user: str = ""
    tty: str = ""
    origin: str = ""
    """Address that an ssh session came from; empty on the host itself."""
    pid: int = 0
    inside: str = ""
    """``tmux`` or ``screen``: there the origin is unknown, people attach from anywhere."""
    since: str = ""
    """UTC, ISO 8601: since when the lock is held; for its holder alone."""
    doing: str = ""
    """What the holder is doing now; empty when nothing is under way and nothing is asked."""

    @classmethod
    def here(cls) -> Person:
        """Return the one who runs this process; never fails."""
        tty = ""
        for stream in (0, 1, 2):
            with contextlib.suppress(OSError):
                tty = os.ttyname(stream).removeprefix("/dev/")
                break
        origin, inside = _came_from()
        return cls(_short(_user()), _short(tty), _short(origin), os.getpid(), inside)

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Person:
        """Build from what was written down; foreign text is made harmless.

        KeyError, TypeError: this is no person.
        """
        return cls(
            _text(raw["user"]),
            _text(raw["tty"]),
            _text(raw["origin"]),
            _pid(raw["pid"]),
            _text(raw.get("inside", ""), 32),
            _text(raw.get("since", ""), 32),
            _text(raw.get("doing", ""), 160),
        )

    def is_at_the_same_place(self, other: Person) -> bool:
        """Whether both are the same person at the same terminal, be it in two processes."""
        mine, theirs = (self.user, self.tty, self.origin), (other.user, other.tty, other.origin)
        return mine == theirs

    @property
    def place(self) -> str:
        """User, terminal and origin, in words."""
        inside = f" in {self.inside}" if self.inside else ""
        where = f" from {self.origin}" if self.origin else ""
        return f"{self.user or 'somebody'} on {self.tty or 'no terminal'}{inside}{where}"

    def __str__(self) -> str:
        return f"{self.place} (pid {self.pid})"


def _short(text: str, limit: int = 64) -> str:
    return clean(text)[:limit]


def _text(raw: object, limit: int = 64) -> str:
    if not isinstance(raw, str):
        raise TypeError("no text")
    return _short(raw, limit)


def _pid(raw: object) -> int:
    """Return a process id; 0 for a number that none can have."""
    if not isinstance(raw, int) or isinstance(raw, bool):
        raise TypeError("no number")
    return raw if 0 <= raw <= _HIGHEST_PID else 0


def _user() -> str:
    """Return the login's user; behind su and sudo that is the person, not the privilege."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        uid = int(Path("/proc/self/loginuid").read_text())
        if uid != _NOBODY:
            return pwd.getpwuid(uid).pw_name
    if name := os.environ.get("SUDO_USER"):
        return name
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(os.getuid()).pw_name
    return f"uid {os.getuid()}"


def _came_from() -> tuple[str, str]:
    """Return ssh origin, and tmux or screen where it is one; sudo drops both, the parents know."""
    for environ in _environments():
        for name, inside in _INSIDE.items():
            if environ.get(name):
                return "", inside
        if origin := environ.get("SSH_CONNECTION", "").partition(" ")[0]:
            return origin, ""
    return "", ""


def _environments() -> Iterator[Mapping[str, str]]:
    """Yield the environment of this process and of its parents, as far as they may be read."""
    yield os.environ
    pid = os.getppid()
    for _ in range(_ANCESTORS):
        if pid <= 1:
            return
        folder = Path(f"/proc/{pid}")
        found: dict[str, str] = {}
        try:
            with (folder / "environ").open("rb") as file:
                for entry in file.read(_ENVIRON).split(b"\0"):
                    name, _, value = entry.decode(errors="replace").partition("=")
                    found[name] = value
        except OSError:
            pass
        yield found
        try:
            stat = (folder / "stat").read_bytes()
            pid = int(stat.rpartition(b")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            return
