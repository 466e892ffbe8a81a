# SPDX-License-Identifier: MIT
"""Who is logged in: from logind by sd-login(3), and from utmp where there is one.

logind's own files under /run/systemd are private to it; libsystemd reads them
for others. Debian 13 has no utmp any more, other systems have no logind. A login
that bypassed PAM stands in utmp alone.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from luo_tui.sources.clean import clean

_LIBRARY = "libsystemd.so.0"
UNKNOWN = "who is logged in cannot be known here (no utmp, no logind)"


class Login(NamedTuple):
    """One person's session."""

    user: str
    tty: str = ""
    host: str = ""

    def __str__(self) -> str:
        """Return it as ``name on tty from where``."""
        where = f" from {self.host}" if self.host else ""
        return clean(f"{self.user} on {self.tty or 'no terminal'}{where}")


class Logind:
    """sd-login(3), as far as it is needed. Every call's refusal is an OSError with its errno."""

    def __init__(self, library: Any = None, free: Callable[[Any], Any] | None = None) -> None:
        """Take the system's libsystemd, or a test's. OSError where there is none."""
        self._library = ctypes.CDLL(_LIBRARY) if library is None else library
        if free is None:
            free = ctypes.CDLL(None).free
            free.argtypes = [ctypes.c_void_p]
            free.restype = None
        self._free = free
        self._names: dict[int, str] = {}

    def logins(self) -> Iterator[Login]:
        """Yield the sessions of people; one that ends meanwhile is none."""
        for session in self._sessions():
            try:
                # user, user-early, user-light: sd_session_get_class(3) of systemd 256.
                if not self._told("class", session).startswith("user"):
                    continue
                if self._told("state", session) == "closing":
                    continue
                user = self._user(session)
            except OSError:
                continue
            yield Login(
                user, self._may_lack("tty", session), self._may_lack("remote_host", session)
            )

    def _sessions(self) -> list[bytes]:
        found = ctypes.POINTER(ctypes.c_void_p)()
        number = self._checked(self._library.sd_get_sessions(ctypes.byref(found)))
        names = []
        for at in range(number):
            names.append(ctypes.string_at(found[at] or 0))
            self._free(found[at])
        self._free(ctypes.cast(found, ctypes.c_void_p))
        return names

    def _user(self, session: bytes) -> str:
        if hasattr(self._library, "sd_session_get_username"):
            return self._told("username", session)
        uid = ctypes.c_uint32()  # systemd before 254 knows the number alone.
        self._checked(self._library.sd_session_get_uid(session, ctypes.byref(uid)))
        if uid.value not in self._names:
            self._names[uid.value] = _name(uid.value)
        return self._names[uid.value]

    def _told(self, what: str, session: bytes) -> str:
        text = ctypes.c_void_p()
        call = getattr(self._library, f"sd_session_get_{what}")
        self._checked(call(session, ctypes.byref(text)))
        if not text.value:
            return ""
        try:
            return ctypes.string_at(text.value).decode(errors="surrogateescape")
        finally:
            self._free(text)

    def _may_lack(self, what: str, session: bytes) -> str:
        try:
            return self._told(what, session)
        except OSError:  # ENODATA: the session has none.
            return ""

    @staticmethod
    def _checked(result: int) -> int:
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        return result


class Logins:
    """Asks whoever keeps account of logins on this system."""

    def __init__(
        self,
        run: Path = Path("/run"),
        logind: Callable[[], Logind] = Logind,
        utmp: Callable[[], list[Login]] | None = None,
    ) -> None:
        """Take the system's, or a test's."""
        self._run, self._open, self._utmp = run, logind, utmp or _utmp
        self._logind: Logind | None = None

    def read(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return who is logged in, and in sentences what could not be learned. Never fails."""
        found: list[Login] = []
        missing: list[str] = []
        asked = False
        if self._has_logind():
            try:
                if self._logind is None:
                    self._logind = self._open()
                found += self._logind.logins()
                asked = True
            except OSError as error:
                missing.append(
                    f"who is logged in could not be asked of logind: {error.strerror or error}"
                )
        if (self._run / "utmp").exists():
            try:
                found += [u for u in self._utmp() if not any(_same(u, k) for k in found)]
                asked = True
            except (OSError, RuntimeError) as error:
                missing.append(f"who is logged in could not be read from utmp: {error}")
        if not asked and not missing:
            missing.append(UNKNOWN)
        return tuple(sorted(str(login) for login in found)), tuple(clean(m) for m in missing)

    def _has_logind(self) -> bool:
        """Whether logind, or elogind, keeps account here: an empty folder alone proves nothing."""
        try:
            sessions = list((self._run / "systemd" / "sessions").iterdir())
        except OSError:
            return False
        # sd_booted(3) looks at the same folder.
        return bool(sessions) or (self._run / "systemd" / "system").is_dir()


def _same(entry: Login, session: Login) -> bool:
    """Whether utmp and logind mean one login; logind may not know the terminal of an ssh."""
    if entry.user != session.user:
        return False
    return entry.tty == session.tty or (not session.tty and entry.host == session.host)


def _name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _utmp() -> list[Login]:
    import psutil  # Slow to import, and of no use on a system without the file.

    return [Login(u.name, u.terminal or "", u.host or "") for u in psutil.users()]
