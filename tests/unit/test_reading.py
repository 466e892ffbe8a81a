# SPDX-License-Identifier: MIT
"""How a reading ends; the scanner of open files; and who is logged in."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path
from typing import Any

import pytest

from luo_tui.sources.logins import UNKNOWN, Login, Logind, Logins
from luo_tui.sources.processes import OpenFiles, Process, open_files
from luo_tui.sources.reading import Reading


def test_what_is_not_there_is_no_gap(tmp_path: Path) -> None:
    reading = Reading()
    assert reading.entries(tmp_path / "none") == []
    assert reading.text(tmp_path / "none") == ""
    assert reading.link(tmp_path / "none") == ""
    for code in (errno.ENODEV, errno.ESRCH):
        reading.refused(OSError(code, "gone"), "{} could not be read", "x")
    assert reading.missing == ()


def test_a_refusal_is_a_gap_and_exhaustion_is_a_failure(tmp_path: Path) -> None:
    reading = Reading()
    assert reading.text(tmp_path) == ""
    (tmp_path / "file").write_text("")
    assert reading.link(tmp_path / "file") == ""
    assert reading.missing == (
        f"{tmp_path} could not be read: Is a directory",
        f"{tmp_path}/file could not be read: Invalid argument",
    )
    for code in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
        with pytest.raises(OSError, match=r".+"):
            reading.refused(OSError(code, "none left"), "x")


def test_gaps_of_one_kind_are_one_sentence(tmp_path: Path) -> None:
    reading = Reading()
    for name in ("a", "b", "b", "c\x1b[2J", "d", "e{}"):
        reading.lacks("the state of {} is not known", "molten", name)
    reading.lacks("nobody knows")
    assert reading.missing == (
        "the state of a, b, c\\x1b[2J and 2 more is not known: molten",
        "nobody knows",
    )
    for name in ("b", "c\x1b[2J", "d", "e{}"):
        reading.forget(name)
    assert reading.missing[0] == "the state of a is not known: molten"


def process(proc: Path, pid: int, comm: str, *files: str) -> Path:
    folder = proc / str(pid)
    (folder / "fd").mkdir(parents=True)
    (folder / "comm").write_text(f"{comm}\n")
    for number, file in enumerate(files):
        (folder / "fd" / str(number)).symlink_to(file)
    return folder


def test_open_files_are_found_by_name(tmp_path: Path) -> None:
    process(tmp_path, 1, "init")
    process(tmp_path, 10, "vmm", "/dev/kvm", "/dev/kvm", "/dev/vfio/7 (deleted)", "/tmp/x")
    process(tmp_path, 9, "vmm\x1b", "/dev/kvm")
    (tmp_path / "self").mkdir()
    (tmp_path / "11").mkdir()  # It is ending: its descriptors have gone already.
    found = open_files(tmp_path, "/dev/")
    assert found.complete
    assert found.by_path == {
        "/dev/kvm": (Process(9, "vmm\\x1b"), Process(10, "vmm")),
        "/dev/vfio/7": (Process(10, "vmm"),),
    }
    assert str(found.of("/dev/vfio/7")[0]) == "vmm [10]"
    assert found.of("/dev/none") == ()


def test_a_hidden_process_makes_it_incomplete(tmp_path: Path) -> None:
    process(tmp_path, 10, "vmm", "/dev/kvm")
    found = open_files(tmp_path, "/dev/")
    assert not found.complete, "without the first process /proc hides some"
    assert found.of("/dev/kvm") == (Process(10, "vmm"),)
    assert not open_files(tmp_path / "none", "/dev/").complete


@pytest.mark.parametrize(
    ("code", "complete"), [(errno.EACCES, False), (errno.EPERM, False), (errno.ESRCH, True)]
)
def test_a_refusal_makes_it_incomplete_and_an_end_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, complete: bool
) -> None:
    process(tmp_path, 1, "init")
    process(tmp_path, 10, "vmm", "/dev/kvm")
    scandir = os.scandir

    def refused(folder: Path) -> object:
        if "/10/" in str(folder):
            raise OSError(code, os.strerror(code))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refused)
    found = open_files(tmp_path, "/dev/")
    assert (found.by_path, found.complete) == ({}, complete)
    code = errno.EMFILE
    with pytest.raises(OSError, match="Too many open files"):
        open_files(tmp_path, "/dev/")


def test_this_machine_can_be_looked_through() -> None:
    with Path("/dev/null").open("rb"):
        found = open_files(Path("/proc"), "/dev/null")
    assert os.getpid() in {p.pid for p in found.of("/dev/null")}
    assert isinstance(found, OpenFiles)


class Library:
    """Stands in for libsystemd: sessions by id, each with what sd-login(3) would tell."""

    def __init__(self, sessions: dict[str, dict[str, str]], result: int = 0) -> None:
        self._sessions, self._result = sessions, result
        self._kept: dict[int, Any] = {}
        self.freed: list[int] = []

    def free(self, pointer: Any) -> None:
        value = pointer if isinstance(pointer, int) else pointer.value
        del self._kept[value]
        self.freed.append(value)

    @property
    def leaked(self) -> int:
        return len(self._kept)

    def _text(self, text: str) -> int:
        kept = ctypes.create_string_buffer(text.encode(errors="surrogateescape"))
        self._kept[ctypes.addressof(kept)] = kept
        return ctypes.addressof(kept)

    def sd_get_sessions(self, found: Any) -> int:
        if self._result < 0:
            return self._result
        array = (ctypes.c_void_p * (len(self._sessions) + 1))(
            *(self._text(name) for name in self._sessions), None
        )
        self._kept[ctypes.addressof(array)] = array
        found._obj.contents = ctypes.c_void_p.from_buffer(array)
        return len(self._sessions)

    def _get(self, what: str, session: bytes, found: Any) -> int:
        text = self._sessions[session.decode()].get(what)
        if text is None:
            return -errno.ENODATA
        if text == "ended":
            return -errno.ENXIO
        found._obj.value = self._text(text)
        return 0

    def sd_session_get_class(self, session: bytes, found: Any) -> int:
        return self._get("class", session, found)

    def sd_session_get_state(self, session: bytes, found: Any) -> int:
        return self._get("state", session, found)

    def sd_session_get_username(self, session: bytes, found: Any) -> int:
        return self._get("username", session, found)

    def sd_session_get_tty(self, session: bytes, found: Any) -> int:
        return self._get("tty", session, found)

    def sd_session_get_remote_host(self, session: bytes, found: Any) -> int:
        return self._get("remote_host", session, found)


ANN = {"class": "user", "state": "active", "username": "ann", "tty": "tty1"}
BOB = {"class": "user", "state": "online", "username": "b\x1bob", "remote_host": "192.0.2.7"}
OTHERS = {
    "m": {"class": "manager", "state": "active", "username": "ann"},
    "g": {"class": "greeter", "state": "active", "username": "gdm"},
    "c": {"class": "user", "state": "closing", "username": "eve"},
    "e": {"class": "ended"},
}


def booted(run: Path) -> Path:
    for name in ("sessions", "system"):
        (run / "systemd" / name).mkdir(parents=True)
    return run


def no_utmp() -> list[Login]:
    raise AssertionError("there is no utmp here")


def test_logind_knows_who_is_logged_in(tmp_path: Path) -> None:
    library = Library({"1": ANN, "2": BOB, **OTHERS})
    logins = Logins(booted(tmp_path), lambda: Logind(library, library.free), no_utmp)
    for _ in range(2):
        assert logins.read() == (
            ("ann on tty1", "b\\x1bob on no terminal from 192.0.2.7"),
            (),
        )
    assert library.leaked == 0
    assert library.freed


def test_nobody_is_logged_in_where_somebody_knows_that(tmp_path: Path) -> None:
    library = Library({})
    logins = Logins(booted(tmp_path), lambda: Logind(library, library.free), no_utmp)
    assert logins.read() == ((), ())


def test_an_old_library_tells_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Old(Library):
        def __getattribute__(self, name: str) -> Any:
            if name == "sd_session_get_username":
                raise AttributeError(name)
            return super().__getattribute__(name)

        def sd_session_get_uid(self, _session: bytes, found: Any) -> int:
            found._obj.value = 0
            return 0

    library = Old({"1": ANN})
    logins = Logins(booted(tmp_path), lambda: Logind(library, library.free), no_utmp)
    assert logins.read() == (("root on tty1",), ())


def test_nobody_keeps_account_of_logins(tmp_path: Path) -> None:
    def none() -> Logind:
        raise AssertionError("there is no logind here")

    assert Logins(tmp_path, none, no_utmp).read() == ((), (UNKNOWN,))
    # A package's empty folder is no logind.
    (tmp_path / "systemd" / "sessions").mkdir(parents=True)
    assert Logins(tmp_path, none, no_utmp).read() == ((), (UNKNOWN,))


def test_a_logind_that_does_not_answer_is_told(tmp_path: Path) -> None:
    library = Library({}, result=-errno.EIO)
    logins = Logins(booted(tmp_path), lambda: Logind(library, library.free), no_utmp)
    assert logins.read() == (
        (),
        ("who is logged in could not be asked of logind: Input/output error",),
    )

    def missing() -> Logind:
        raise OSError("libsystemd.so.0: cannot open shared object file")

    found, (told,) = Logins(tmp_path, missing, no_utmp).read()
    assert (found, "libsystemd.so.0" in told) == ((), True)


def test_utmp_is_asked_too_and_nobody_is_named_twice(tmp_path: Path) -> None:
    library = Library({"1": ANN, "2": BOB})
    (booted(tmp_path) / "utmp").touch()
    entries = [
        Login("ann", "tty1"),
        Login("b\x1bob", "pts/3", "192.0.2.7"),  # An ssh, whose terminal logind does not know.
        Login("eve", "ttyS0"),
    ]
    logins = Logins(tmp_path, lambda: Logind(library, library.free), lambda: entries)
    assert logins.read() == (
        ("ann on tty1", "b\\x1bob on no terminal from 192.0.2.7", "eve on ttyS0"),
        (),
    )


def test_this_system_is_asked_without_an_error() -> None:
    found, missing = Logins().read()
    assert isinstance(found, tuple)
    assert isinstance(missing, tuple)
