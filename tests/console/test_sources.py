# SPDX-License-Identifier: MIT
"""Files that others write, and the kernel's lines."""

from __future__ import annotations

import ctypes
import errno
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from luo_tui.console.session import View
from luo_tui.console.widgets import presenter
from luo_tui.model import Device, Host, LuoState, Snapshot, SourceHealth, State, Vitals
from luo_tui.sources.changes import (
    Change,
    ImagesRead,
    KernelPrinted,
    KernelSaid,
    ReadingDone,
    WindowsWritten,
)
from luo_tui.sources.files import FilesSource, read_images
from luo_tui.sources.inotify import OPENED, Watcher
from luo_tui.sources.kmsg import KmsgSource, console_level, is_kernel_console, shown
from luo_tui.update.facts import Facts
from luo_tui.update.lock import Lock
from luo_tui.update.walk import walk

CONSOLES = """\
tty0                 -WU (EC p  )    4:1
ttyS0                -W- (E  p a)    4:64
"""


@pytest.mark.parametrize(
    ("tty", "is_one"),
    [
        ("ttyS0", True),
        ("ttyS1", False),
        ("tty1", True),
        ("tty12", True),
        ("console", True),
        ("pts/0", False),
        ("ttyprintk", False),
        ("hvc0", False),
    ],
)
def test_which_terminal_is_the_kernels_own(tty: str, is_one: bool) -> None:
    assert is_kernel_console(tty, CONSOLES) is is_one
    assert not is_kernel_console("tty1", "ttyS0 -W-")
    assert not is_kernel_console("ttyS0", "")


def test_which_lines_the_consoles_show() -> None:
    assert shown(b"3,1,2,-;bad", 4)
    assert not shown(b"6,1,2,-;chatter", 4)
    assert shown(b"30,1,2,-;facility 3, level 6", 7)
    assert not shown(b" continued", 7)
    assert 0 <= console_level() <= 15


def wait(source: FilesSource | KmsgSource, seconds: float = 3) -> list[Change]:
    """Drain the source once it has something to say; an empty list when it has not.

    Asked for a fresh look, it is opened anew and enumerated, as the hub would.
    """
    poll = select.poll()
    poll.register(source.fileno(), source.events)
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if not poll.poll(left * 1000):
            continue
        changes = source.drain()
        if changes is None:
            source.reopen()
            return list(source.enumerate())
        if changes:
            return list(changes)
    return []


def until(source: FilesSource, change: Change, seconds: float = 5) -> bool:
    """Wait for this change; whatever else is told before does not matter."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if change in wait(source, 0.5):
            return True
    return False


def names(changes: Iterable[Change]) -> list[str]:
    """Return the names of the images that were read last."""
    read = [c.images for c in changes if isinstance(c, ImagesRead)]
    return [image.split("\t")[0] for image in read[-1]] if read else []


def test_kernel_lines_about_updates_are_told_with_their_times(tmp_path: Path) -> None:
    path = tmp_path / "kmsg"
    os.mkfifo(path)
    keep = os.open(path, os.O_RDWR)
    source = KmsgSource(str(path))
    try:
        source.reopen()
        assert list(source.enumerate()) == [ReadingDone("kernel lines")]
        os.write(keep, b"3,7,2000000,-;luo: evil \x1b[2J\xff line\n")
        told = wait(source)
        said = told[0]
        assert isinstance(said, KernelSaid)
        assert said.text == "luo: evil \\x1b[2J\\xff line"
        assert said.grave
        assert abs(said.at - (time.time() - time.monotonic() + 2)) < 0.1
        assert told[1:] == [KernelPrinted()]
        os.write(keep, b"7,8,3,-;nothing of ours\n")
        assert wait(source, 0.3) == []
        # Opened again it tells nothing twice.
        source.reopen()
        os.write(keep, b"6,7,2000000,-;luo: again\n")
        assert not any(isinstance(c, KernelSaid) for c in wait(source, 0.3))
    finally:
        source.close()
        os.close(keep)
    source.close()


def test_kernel_lines_that_may_not_be_read_are_missing(tmp_path: Path) -> None:
    source = KmsgSource(str(tmp_path / "none"))
    source.reopen()
    (done,) = source.enumerate()
    assert isinstance(done, ReadingDone)
    (missing,) = done.missing
    assert "not shown here" in missing
    assert "No such file" in missing
    assert wait(source, 0.2) == []
    source.close()


def test_lines_that_were_overwritten_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "kmsg"
    os.mkfifo(path)
    keep = os.open(path, os.O_RDWR)
    source = KmsgSource(str(path))
    records: list[bytes | Exception] = [BrokenPipeError(), b"6,9,1,-;luo: hello\n", b""]

    def read(_fd: int, _size: int) -> bytes:
        record = records.pop(0)
        if isinstance(record, Exception):
            raise record
        return record

    try:
        source.reopen()
        monkeypatch.setattr(os, "read", read)
        said = [c.text for c in source.drain() or () if isinstance(c, KernelSaid)]
        assert said == [
            "luo: hello",
            "lines of the kernel were overwritten before they could be read",
        ]
    finally:
        monkeypatch.undo()
        source.close()
        os.close(keep)


def test_images_come_and_go_once_they_are_whole(tmp_path: Path) -> None:
    boot = tmp_path / "boot"
    boot.mkdir()
    (boot / "vmlinuz-1").write_bytes(b"1")
    source = FilesSource(boot, tmp_path / "state", tmp_path / "run")
    try:
        source.reopen()
        read = source.enumerate()
        assert names(read) == ["vmlinuz-1"]
        assert ReadingDone("files") in read
        with (boot / "vmlinuz-2").open("wb") as file:
            file.write(b"half")
            file.flush()
            assert wait(source, 1) == []
        assert names(wait(source)) == ["vmlinuz-1", "vmlinuz-2"]
        (boot / "vmlinuz-1").unlink()
        assert names(wait(source)) == ["vmlinuz-2"]
        # Moved here as a whole, from where nobody watches.
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere" / "vmlinuz-3").write_bytes(b"3")
        (tmp_path / "elsewhere" / "vmlinuz-3").rename(boot / "vmlinuz-3")
        assert names(wait(source)) == ["vmlinuz-2", "vmlinuz-3"]
    finally:
        source.close()


def test_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    boot = tmp_path / "late" / "boot"
    source = FilesSource(boot, tmp_path / "state", tmp_path / "run")
    try:
        source.reopen()
        boot.mkdir(parents=True)
        while wait(source, 0.8):
            pass
        (boot / "vmlinuz-3").write_bytes(b"3")
        assert until(source, ImagesRead(read_images(boot)))
    finally:
        source.close()


@pytest.mark.parametrize("how", ["removed", "moved away", "moved away with its parent"])
def test_a_folder_that_is_made_again_is_watched_again(tmp_path: Path, how: str) -> None:
    parent = tmp_path / "host"
    boot, state = parent / "boot", tmp_path / "state"
    boot.mkdir(parents=True)
    (boot / "vmlinuz-1").write_bytes(b"1")
    (state / "windows").mkdir(parents=True)
    locks = tmp_path / "run"
    locks.mkdir()
    source = FilesSource(boot, state, locks)
    try:
        source.reopen()
        assert names(source.enumerate()) == ["vmlinuz-1"]
        if how == "removed":
            (boot / "vmlinuz-1").unlink()
            boot.rmdir()
        elif how == "moved away":
            boot.rename(parent / "boot.old")
        else:
            parent.rename(tmp_path / "other")
        boot.mkdir(parents=True)
        # inotify does not tell of all that: a look of its own does.
        source._looked -= source.every
        while wait(source, 0.8):
            pass
        if how != "removed":
            assert source._looked > 0
            source._looked -= source.every
            assert source.drain() is None
            source.reopen()
            assert names(source.enumerate()) == []
        (boot / "vmlinuz-2").write_bytes(b"2")
        assert until(source, ImagesRead(read_images(boot)))
    finally:
        source.close()


def test_the_folder_of_windows_is_made_again(tmp_path: Path) -> None:
    boot, state = tmp_path / "boot", tmp_path / "state"
    boot.mkdir()
    (state / "windows").mkdir(parents=True)
    source = FilesSource(boot, state, tmp_path / "run")
    try:
        source.reopen()
        (state / "windows").rmdir()
        state.rmdir()
        while wait(source, 0.8):
            pass
        (state / "windows").mkdir(parents=True)
        while wait(source, 0.8):
            pass
        (state / "windows" / "a.jsonl").write_text("{}\n")
        assert WindowsWritten() in wait(source)
        # Written unseen, it is found by looking; looked at again, it is no news.
        while wait(source, 0.8):
            pass
        source._heard = lambda *_: False  # type: ignore[method-assign]
        source._watcher._matters = source._heard
        assert WindowsWritten() not in source.enumerate()
        (state / "windows" / "a.jsonl").write_text("{}\n{}\n")
        assert wait(source, 0.5) == []
        source._looked -= source.every
        assert WindowsWritten() in (source.drain() or ())
    finally:
        source.close()


def test_no_inotify_left_is_a_fault_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from watchdog.observers import inotify_c

    boot = tmp_path / "boot"
    boot.mkdir()
    source = FilesSource(boot, tmp_path / "state", tmp_path / "run")
    source.reopen()
    source.close()

    def full(_fd: int, _path: bytes, _mask: int) -> int:
        ctypes.set_errno(errno.ENOSPC)
        return -1

    monkeypatch.setattr(inotify_c, "inotify_add_watch", full)
    before, threads = len(list(Path("/proc/self/fd").iterdir())), threading.active_count()
    for _ in range(3):
        with pytest.raises(OSError, match="watch limit"):
            source.reopen()
        source.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert threading.active_count() == threads


def test_images_that_cannot_be_listed_are_not_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boot = tmp_path / "boot"
    boot.mkdir()
    source = FilesSource(boot, tmp_path / "state", tmp_path / "run")

    def refused(_path: Path) -> object:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "iterdir", refused)
    read = source.enumerate()
    assert not any(isinstance(c, ImagesRead) for c in read)
    missing = f"the kernel images in {boot} could not be listed: Permission denied"
    assert ReadingDone("files", (missing,)) in read


def test_what_may_not_be_watched_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    boot = tmp_path / "boot"
    boot.mkdir()
    source = FilesSource(boot, tmp_path / "state", tmp_path / "run")
    monkeypatch.setattr(os, "access", lambda path, _mode: Path(path) != boot)
    try:
        source.reopen()
        (done,) = [c for c in source.enumerate() if isinstance(c, ReadingDone)]
        assert [m for m in done.missing if "noticed late" in m and str(boot) in m]
        (tmp_path / "state" / "windows").mkdir(parents=True)
        assert WindowsWritten() in wait(source), "the other folder is watched all the same"
        # It is looked at now and then.
        (boot / "vmlinuz-1").write_bytes(b"1")
        source._looked -= source.every
        assert names(source.drain() or ()) == ["vmlinuz-1"]
    finally:
        source.close()


def test_an_open_device_is_noticed(tmp_path: Path) -> None:
    device = tmp_path / "liveupdate"
    device.write_text("")
    heard: list[str] = []

    def matters(kind: str, path: Path, is_folder: bool) -> bool:
        assert (path, is_folder) == (device, False)
        heard.append(kind)
        return True

    watcher = Watcher(OPENED, matters)
    watcher.open()
    try:
        watcher.watch([device])
        assert watcher.whole
        poll = select.poll()
        poll.register(watcher.fileno(), select.POLLIN)
        assert poll.poll(200) == []
        os.close(os.open(device, os.O_RDONLY))
        assert poll.poll(5000)
        time.sleep(0.1)
        assert heard == ["opened", "closed_no_write"]
        watcher.silence()
        assert poll.poll(0) == []
        with pytest.raises(FileNotFoundError):
            watcher.watch([tmp_path / "none"])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "access", lambda *_: False)
            with pytest.raises(PermissionError):
                watcher.watch([device])
        watcher.watch([])
        assert watcher.whole
    finally:
        watcher.close()
    watcher.close()
    assert not [t for t in threading.enumerate() if type(t).__module__.startswith("watchdog")]


def test_its_threads_take_no_signals_and_no_time(tmp_path: Path) -> None:
    watcher = Watcher(OPENED, lambda *_: True)
    watcher.open()
    try:
        watcher.watch([tmp_path])
        mine = [t for t in threading.enumerate() if type(t).__module__.startswith("watchdog")]
        assert len(mine) >= 2

        def status(thread: threading.Thread, field: str) -> str:
            text = Path(f"/proc/self/task/{thread.native_id}/status").read_text()
            return text.partition(f"{field}:")[2].split()[0]

        for thread in mine:
            assert int(status(thread, "SigBlk"), 16) & (1 << (signal.SIGTERM - 1))
        time.sleep(0.2)
        before = [status(t, "voluntary_ctxt_switches") for t in mine]
        time.sleep(1.5)
        assert [status(t, "voluntary_ctxt_switches") for t in mine] == before
    finally:
        watcher.close()


def picture(*health: SourceHealth) -> Snapshot:
    nic = Device("0000:3b:00.0", "pci", "network", "ice")
    return Snapshot(
        Host("hv", "7.3", "b"),
        LuoState(State.NORMAL),
        devices={nic.id: nic},
        vitals=Vitals(cpus=8, load=1.5),
        health={h.name: h for h in health},
    )


def test_what_is_not_known_is_shown_where_it_is_missed() -> None:
    missing = SourceHealth("devices", missing=("sda1 may be in use by ZFS",))
    logins = SourceHealth("host activity", missing=("who is logged in cannot be known here",))
    lines = SourceHealth("kernel lines", missing=("they are not shown here",))
    dead = SourceHealth("resources", "Too many open files", 1.0)
    snapshot = picture(missing, logins, lines, dead)
    above = list(presenter.faults(snapshot))
    assert [("not live since" in r.text, r.style) for r in above] == [
        (True, "$text-error"),
        (False, "$text-note"),
    ]
    assert above[1].text == "kernel lines: they are not shown here"
    told = [(r.label, r.text) for r in presenter.vitals(snapshot)]
    assert told[-1] == ("unknown", "who is logged in cannot be known here")
    assert told[0][1].startswith("1.5 on 8 CPUs; kdump not armed"), "memory is not known"
    shown = [(r.label, r.text) for r in presenter.machine(view_of(snapshot))]
    assert shown[-2:] == [
        ("devices", "none is known that is in use and is reset; not all is known"),
        ("", "sda1 may be in use by ZFS"),
    ]
    shown = [(r.label, r.text) for r in presenter.machine(view_of(picture()))]
    assert shown[-1] == ("devices", "none that is in use is reset")


def view_of(snapshot: Snapshot) -> View:
    facts = Facts(snapshot, may_act=False)
    return View(facts, walk(facts), "test", demo=True, ours=False)


def test_the_folder_tells_of_a_journal_and_of_a_lock_that_dies(tmp_path: Path) -> None:
    folder, locks = tmp_path / "state" / "luo-tui", tmp_path / "run" / "luo-tui"
    locks.parent.mkdir()
    source = FilesSource(tmp_path / "boot", folder, locks)
    try:
        source.reopen()
        (tmp_path / "unrelated").write_text("x")
        assert wait(source, 1) == []
        (folder / "windows").mkdir(parents=True)
        while wait(source, 0.8):
            pass
        (folder / "windows" / "a.jsonl").write_text("{}\n")
        assert WindowsWritten() in wait(source)
        code = (
            "import pathlib, time\n"
            "from luo_tui.update.lock import Lock\n"
            "from luo_tui.update.person import Person\n"
            f"Lock(pathlib.Path({str(locks)!r})).take(Person('eve')); time.sleep(60)"
        )
        holder = subprocess.Popen([sys.executable, "-c", code])
        assert WindowsWritten() in wait(source, 10)
        while wait(source, 0.8):
            pass
        # Whoever looks stirs nothing, or two consoles would wake each other for ever.
        assert Lock(locks).holder() is not None
        assert wait(source, 0.8) == []
        holder.kill()
        holder.wait()
        assert WindowsWritten() in wait(source), "the lock's death was not noticed"
    finally:
        source.close()
    source.close()
