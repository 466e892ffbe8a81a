# SPDX-License-Identifier: MIT
"""The host's locks: one window, one act at a time, and nobody who only reads stands in the way."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from luo_tui.errors import Exit, NotDone
from luo_tui.update import lock as lock_module
from luo_tui.update.lock import (
    SIZE,
    Lock,
    LockReading,
    act_count,
    act_lock,
    act_reading,
    decode,
    encode,
)  # fmt: skip
from luo_tui.update.lock_folder import UnsafeLock
from luo_tui.update.person import Person


def test_one_lock_for_a_host(tmp_path: Path) -> None:
    mine, other = Lock(tmp_path), Lock(tmp_path)
    assert other.holder() is None
    mine.take(Person("ann", "pts/1", "", 4))
    mine.take(Person("ann", "pts/1", "", 4))
    assert mine.held
    assert mine.holder() is None
    seen = other.holder()
    assert seen is not None
    assert seen._replace(since="") == Person("ann", "pts/1", "", 4)
    assert datetime.now(UTC) - datetime.fromisoformat(seen.since) < timedelta(seconds=60)
    with pytest.raises(OSError, match="unavailable") as caught:
        other.take(Person("bob"))
    assert caught.value.errno == errno.EAGAIN
    assert not other.held
    mine.release()
    mine.release()
    assert other.holder() is None
    other.take(Person("bob"))


def test_the_lock_goes_with_its_process(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from luo_tui.update.lock import Lock\n"
        "from luo_tui.update.person import Person\n"
        f"lock = Lock(pathlib.Path({str(tmp_path)!r})); lock.take(Person('eve'))\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    holder = Lock(tmp_path).holder()
    assert holder is not None
    assert holder.user == "eve"
    child.kill()
    child.communicate()
    assert Lock(tmp_path).holder() is None


ANN = Person("ann", "pts/1", "192.0.2.7", 4)
BOB = Person("bob", "pts/2", "", 5)


def test_what_the_holder_does_is_seen_by_others(tmp_path: Path) -> None:
    mine, other = Lock(tmp_path), Lock(tmp_path)
    mine.show_doing("nobody hears this")
    assert not (tmp_path / "window.lock").exists(), "who does not hold the lock writes nothing"
    mine.take(ANN)
    for doing in ("under way: prepare", "", "asked to confirm: freeze and kexec"):
        mine.show_doing(doing)
        seen = other.holder()
        assert seen is not None
        assert seen.doing == doing
        assert (tmp_path / "window.holder").stat().st_size == SIZE
    mine.release()
    mine.show_doing("too late")
    other.take(BOB)
    assert (seen := Lock(tmp_path).holder()) is not None
    assert (seen.user, seen.doing) == ("bob", ""), "nothing of the last holder is left"


def test_a_text_that_is_half_written_is_waited_for(tmp_path: Path) -> None:
    mine, other = Lock(tmp_path), Lock(tmp_path)
    mine.take(ANN)
    path = tmp_path / "window.holder"
    whole = path.read_bytes()
    with path.open("r+b", buffering=0) as text:
        text.write(b"x" * (SIZE // 2))
        rest = threading.Timer(0.01, os.pwrite, (text.fileno(), whole, 0))
        rest.start()
        who = other.holder()
        rest.join()
    assert who is not None
    assert who.user == "ann"


def test_a_reader_never_sees_half_of_a_text(tmp_path: Path) -> None:
    mine, other = Lock(tmp_path), Lock(tmp_path)
    mine.take(ANN)
    texts = ("a" * 160, "b" * 160, "")
    done = threading.Event()

    def write() -> None:
        for n in range(3000):
            mine.show_doing(texts[n % 3])
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    while not done.is_set():
        who = other.holder()
        assert who is not None
        assert who.user == "ann"
        seen.add(who.doing)
    writer.join()
    assert seen <= set(texts)
    # And should the kernel mix the two, that is noticed.
    old, new = encode(ANN._replace(doing="x" * 160)), encode(ANN._replace(doing="y" * 160))
    assert decode(old) is not None
    assert [cut for cut in range(1, SIZE) if decode(new[:cut] + old[cut:]) not in (
        None, decode(old), decode(new)
    )] == []  # fmt: skip
    assert decode(new[:150] + old[150:]) is None


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"null", b"\xff" * SIZE, b"x" * (1 << 20), b"{" * SIZE, b'{"user":"eve"}'],
)
def test_a_foreign_text_names_nobody_and_hides_nobody(tmp_path: Path, content: bytes) -> None:
    mine, other = Lock(tmp_path), Lock(tmp_path)
    mine.take(ANN)
    (tmp_path / "window.holder").write_bytes(content)
    assert other.holder() == Person(), "somebody has it all the same"
    mine.show_doing("choosing the target")
    mine.release()
    assert other.holder() is None
    other.take(BOB)
    assert (seen := mine.holder()) is not None
    assert seen.user == "bob"


@pytest.mark.parametrize("name", ["\x1b[2J", "\u202egnp", "\udcff", "\U0001f4a9" * 300, '"\\' * 99])
def test_hostile_names_are_made_harmless_and_fit(tmp_path: Path, name: str) -> None:
    mine = Lock(tmp_path)
    mine.take(Person(name, name, name, 1 << 70, name))
    mine.show_doing(name)
    seen = Lock(tmp_path).holder()
    assert seen is not None
    assert seen.user
    assert all(t.isprintable() for t in (seen.user, seen.tty, seen.doing, str(seen)))
    assert (tmp_path / "window.holder").stat().st_size == SIZE


def test_a_full_disk_does_not_harm_the_act(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = Lock(tmp_path)
    mine.take(ANN)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(lock_module.os, "pwrite", full)
        mine.show_doing("under way: prepare")
    assert mine.held
    assert (seen := Lock(tmp_path).holder()) is not None
    assert seen.user == "ann"
    mine.release()
    with monkeypatch.context() as patch:
        patch.setattr(lock_module.os, "pwrite", full)
        with pytest.raises(OSError, match="No space"):
            mine.take(ANN)
    assert not mine.held


def test_a_lock_file_that_was_replaced_is_no_lock_any_more(tmp_path: Path) -> None:
    mine, other = Lock(tmp_path), Lock(tmp_path)
    mine.take(ANN)
    assert not mine.lost
    (tmp_path / "window.lock").unlink()
    assert mine.lost
    other.take(BOB)
    seen = mine.holder()
    assert seen is not None
    assert seen.user == "bob"
    mine.release()
    assert other.held
    assert not other.lost


def test_watching_opens_the_lock_for_reading_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = Lock(tmp_path), Lock(tmp_path)
    mine.take(ANN)
    opened: list[int] = []
    ordinary = os.open

    def watched(path: str, flags: int, *more: int, **most: int) -> int:
        fd = ordinary(path, flags, *more, **most)
        opened.append(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE)
        return fd

    monkeypatch.setattr(lock_module.os, "open", watched)
    assert other.holder() is not None
    assert set(opened) == {os.O_RDONLY}


def test_who_acts_is_found_behind_sudo_and_inside_tmux(tmp_path: Path) -> None:
    code = (
        "from luo_tui.update.lock import Person\n"
        "who = Person.here()\n"
        "print(who.origin, who.inside, sep='|')"
    )

    def said(outer: dict[str, str]) -> str:
        """What a program says whose own environment was emptied, as sudo does."""
        clean = {k: v for k, v in os.environ.items() if k not in ("SSH_CONNECTION", "TMUX", "STY")}
        inner = f"env -i PYTHONPATH={os.environ.get('PYTHONPATH', '.')} {sys.executable} -c"
        done = subprocess.run(
            ["/bin/sh", "-c", f'{inner} "$0"; true', code],
            env={**clean, **outer}, capture_output=True, text=True, check=True,
            cwd=Path(__file__).parents[2],
        )  # fmt: skip
        return done.stdout.strip()

    assert said({"SSH_CONNECTION": "192.0.2.7 5 192.0.2.1 22"}) == "192.0.2.7|"
    inside = {"TMUX": "/tmp/tmux-0/default,1,0", "SSH_CONNECTION": "192.0.2.7 5 192.0.2.1 22"}
    assert said(inside) == "|tmux"
    assert said({"STY": "9.pts-0.host"}) == "|screen"
    assert str(Person("ann", "pts/3", "", 7, "tmux")) == "ann on pts/3 in tmux (pid 7)"


NOBODY = 65534


@pytest.fixture
def locks() -> Iterator[Path]:
    """A lock folder that every user can reach, as /run is."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name) / "luo-tui"


def as_nobody(work: Callable[[], object]) -> str:
    """Do something as a user without privilege; return its result in words."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reader)
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            os.write(writer, repr(work()).encode())
        except BaseException as error:
            os.write(writer, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        said = file.read().decode()
    os.waitpid(pid, 0)
    return said


@pytest.mark.root
@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_a_reader_without_privilege_sees_who_has_it(locks: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        mine = Lock(locks)
        mine.take(ANN)
    finally:
        os.umask(before)
    seen = as_nobody(lambda: Lock(locks).holder())
    assert "user='ann', tty='pts/1'" in seen
    mine.show_doing("under way: prepare")
    assert "doing='under way: prepare'" in as_nobody(lambda: Lock(locks).holder())
    mine.release()
    assert as_nobody(lambda: Lock(locks).reading()) == repr(LockReading())
    assert (locks.stat().st_mode & 0o777, (locks / "window.lock").stat().st_mode & 0o777) == (
        0o755,
        0o600,
    )


@pytest.mark.root
def test_a_holder_that_dies_is_gone_for_everybody(locks: Path) -> None:
    child = os.fork()
    if child == 0:
        Lock(locks).take(ANN)
        time.sleep(60)
        os._exit(0)
    try:
        while Lock(locks).holder() is None:
            time.sleep(0.01)
        assert "ann" in as_nobody(lambda: Lock(locks).holder())
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
    assert as_nobody(lambda: Lock(locks).reading()) == repr(LockReading())
    assert Lock(locks).holder() is None


@pytest.mark.root
def test_no_reader_can_stand_in_the_way(locks: Path) -> None:
    """Whoever can open a file can lock it: any user could have made every act fail."""
    for lock in (Lock(locks), Lock(locks, "act")):
        lock.take(ANN)
        lock.release()
    ready, go = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        for path in sorted(locks.iterdir()):
            try:
                fd = os.open(path, os.O_RDONLY)
                fcntl.fcntl(
                    fd, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_RDLCK, 0, 0, 0, 0)
                )
                fcntl.flock(fd, fcntl.LOCK_SH)
            except OSError:
                continue
        os.write(ready[1], b".")
        os.read(go[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    try:
        other = Lock(locks)
        other.take(BOB)
        with act_lock(locks, BOB, "cancel", wait=0):
            pass
        assert other.held
    finally:
        os.write(go[1], b".")
        os.waitpid(child, 0)


@pytest.mark.root
def test_what_cannot_be_read_is_not_said_to_be_free(
    locks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = Lock(locks)
    mine.take(ANN)
    with monkeypatch.context() as patch:
        patch.setattr(lock_module, "LOCKS", locks / "none")
        # Root asks the kernel by the file itself.
        assert Lock(locks).holder() is not None
        assert "No such file" in as_nobody(lambda: Lock(locks).reading().fault)
    locks.chmod(0o700)
    assert "Permission denied" in as_nobody(lambda: Lock(locks).reading().fault)
    assert as_nobody(lambda: Lock(locks).holder()).startswith("OSError")
    mine.release()
    # The next one opens it up again.
    Lock(locks).take(BOB)
    assert as_nobody(lambda: Lock(locks).reading().fault) == repr("")


def plant_link(locks: Path, name: str) -> None:
    target = locks.parent / "precious"
    target.write_text("not ours")
    (locks / name).symlink_to(target)


def plant_hard_link(locks: Path, name: str) -> None:
    target = locks.parent / "precious"
    target.write_text("not ours")
    os.link(target, locks / name)


def plant_pipe(locks: Path, name: str) -> None:
    os.mkfifo(locks / name)


def plant_folder(locks: Path, name: str) -> None:
    (locks / name).mkdir()


@pytest.mark.parametrize("plant", [plant_link, plant_hard_link, plant_pipe, plant_folder])
@pytest.mark.parametrize("name", ["window.lock", "window.holder"])
def test_nothing_is_led_elsewhere(
    locks: Path, plant: Callable[[Path, str], None], name: str
) -> None:
    locks.mkdir(mode=0o755)
    plant(locks, name)
    with pytest.raises(UnsafeLock, match="cannot be used: window") as refused:
        Lock(locks).take(ANN)
    assert refused.value.errno in (errno.ELOOP, errno.EPERM)
    if name == "window.lock":
        assert "cannot be used" in Lock(locks).reading().fault
    precious = locks.parent / "precious"
    if precious.exists():
        assert precious.read_text() == "not ours"
        assert precious.stat().st_mode & 0o777 != 0o600
    with pytest.raises(NotDone, match="cannot be used"), act_lock_on(locks, plant):
        pass


def act_lock_on(locks: Path, plant: Callable[[Path, str], None]):  # type: ignore[no-untyped-def]
    (locks.parent / "precious").unlink(missing_ok=True)
    plant(locks, "act.lock")
    return act_lock(locks, ANN, "hold cache", wait=0)


def test_a_folder_that_is_led_elsewhere_is_refused(locks: Path) -> None:
    elsewhere = locks.parent / "elsewhere"
    elsewhere.mkdir()
    locks.symlink_to(elsewhere)
    with pytest.raises(UnsafeLock, match="is a symbolic link") as refused:
        Lock(locks).take(ANN)
    assert refused.value.errno == errno.ELOOP
    assert "is a symbolic link" in Lock(locks).reading().fault
    assert list(elsewhere.iterdir()) == []
    locks.unlink()
    locks.write_text("a file")
    with pytest.raises(UnsafeLock, match="is not a folder"):
        Lock(locks).take(ANN)


@pytest.mark.root
def test_somebody_elses_folder_or_file_is_refused(locks: Path) -> None:
    locks.mkdir(mode=0o755)
    os.chown(locks, NOBODY, NOBODY)
    with pytest.raises(UnsafeLock, match=f"belongs to user {NOBODY}"):
        Lock(locks).take(ANN)
    os.chown(locks, 0, 0)
    (locks / "window.lock").touch()
    os.chown(locks / "window.lock", NOBODY, NOBODY)
    with pytest.raises(UnsafeLock, match=f"belongs to user {NOBODY}"):
        Lock(locks).take(ANN)
    assert f"belongs to user {NOBODY}" in Lock(locks).reading().fault


def test_a_child_neither_keeps_nor_drops_what_its_parent_holds(locks: Path) -> None:
    mine = Lock(locks)
    mine.take(ANN)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writer)
        mine.release()
        os.read(reader, 1)
        os._exit(0)
    other = os.fork()
    if other == 0:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    try:
        time.sleep(0.1)
        assert Lock(locks).holder() is not None, "a child has dropped it"
        mine.release()
        assert Lock(locks).holder() is None, "a child keeps it"
    finally:
        os.close(writer)
        os.waitpid(child, 0)
        os.waitpid(other, 0)


def test_one_act_at_a_time_and_who_does_it_is_named(locks: Path) -> None:
    with act_lock(locks, ANN, "restore cache") as act:
        assert act.count == act_count(locks) == 0
        started = time.monotonic()
        with (
            pytest.raises(NotDone, match=r"ann on pts/1.*\(restore cache\)") as refused,
            act_lock(locks, BOB, "cancel", wait=0.2),
        ):
            pass
        assert refused.value.code is Exit.BUSY
        assert "Nothing was done" in str(refused.value)
        assert time.monotonic() - started >= 0.2
        seen = act_reading(locks).person
        assert seen is not None
        assert (seen.user, seen.doing) == ("ann", "restore cache")
        # The window is another lock.
        Lock(locks).take(BOB)
    assert act_reading(locks) == LockReading()
    with act_lock(locks, BOB, "cancel", wait=0):
        pass


def test_an_act_waits_for_another_to_end(locks: Path) -> None:
    entered, order = threading.Event(), []

    def first() -> None:
        with act_lock(locks, ANN, "hold cache"):
            entered.set()
            time.sleep(0.2)
            order.append("hold")

    thread = threading.Thread(target=first)
    thread.start()
    entered.wait()
    with act_lock(locks, BOB, "cancel"):
        order.append("cancel")
    thread.join()
    assert order == ["hold", "cancel"]


def test_the_act_lock_goes_with_whatever_ends_the_act(locks: Path) -> None:
    for ends in (ValueError, KeyboardInterrupt, MemoryError, SystemExit):
        with pytest.raises(ends), act_lock(locks, ANN, "hold", wait=0):
            raise ends
    child = os.fork()
    if child == 0:
        lock = act_lock(locks, ANN, "hold")
        lock.__enter__()
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    with act_lock(locks, BOB, "cancel", wait=0):
        pass


def test_some_acts_run_beside_each_other_and_beside_nothing_else(locks: Path) -> None:
    with act_lock(locks, ANN, "restore a", shared=True, wait=0):
        with act_lock(locks, BOB, "restore b", shared=True, wait=0):
            with pytest.raises(NotDone), act_lock(locks, BOB, "finish", wait=0):
                pass
            assert act_reading(locks).person is not None
        with pytest.raises(NotDone), act_lock(locks, BOB, "finish", wait=0):
            pass
    with (
        act_lock(locks, BOB, "finish", wait=0),
        pytest.raises(NotDone),
        act_lock(locks, ANN, "restore a", shared=True, wait=0),
    ):
        pass


def test_acts_are_counted_also_beside_each_other(locks: Path) -> None:
    assert act_count(locks) == 0
    with (
        act_lock(locks, ANN, "restore a", shared=True) as one,
        act_lock(locks, BOB, "restore b", shared=True) as other,
    ):
        one.begin()
        assert act_count(locks) == 1
        other.begin()
        assert act_count(locks) == 2
        assert (one.count, other.count) == (0, 0)
    with act_lock(locks, ANN, "refused before it began"):
        pass
    assert act_count(locks) == 2
    (locks / "act.count").unlink()
    (locks / "act.count").symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="cannot be used"):
        act_count(locks)
