# SPDX-License-Identifier: MIT
"""What runs on a host and ends with its kernel, read from /proc and the control groups."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from luo_tui.guests.process import read_process
from luo_tui.sources.clean import clean
from luo_tui.sources.work import LARGE, read_work


def process(proc: Path, pid: int, comm: str, started: int = 0, *links: str) -> Path:
    folder = proc / str(pid)
    (folder / "fd").mkdir(parents=True)
    (folder / "comm").write_text(f"{comm}\n")
    numbers = ["S", *["0"] * 18, str(started)]
    (folder / "stat").write_text(f"{pid} ({comm}) ) {' '.join(numbers)} 0 0\n")
    for number, link in enumerate(links):
        (folder / "fd" / str(number)).symlink_to(link)
    return folder


def unit(cgroups: Path, name: str, populated: str = "1") -> None:
    folder = cgroups / "system.slice" / name
    folder.mkdir(parents=True)
    (folder / "cgroup.events").write_text(f"populated {populated}\nfrozen 0\n")


def test_guests_are_those_with_virtual_cpus(tmp_path: Path) -> None:
    process(tmp_path, 1, "init")
    ticks = os.sysconf("SC_CLK_TCK")
    process(tmp_path, 40, "qemu) x", 300 * ticks, "/dev/null", "/dev/kvm")
    process(tmp_path, 41, "sshd", 0, "/dev/null", "/dev/kvmfr0")
    found = read_work(tmp_path, tmp_path / "none")
    assert found.names == {"init", "qemu) x", "sshd"}
    (guest,) = found.guests
    assert (guest.pid, guest.comm, guest.started) == (40, "qemu) x", 300.0)
    assert guest.label == "qemu) x [40]"
    assert (found.services, found.missing) == ((), ())


def test_a_guest_of_qemu_has_the_name_that_it_was_given(tmp_path: Path) -> None:
    """Also without virtual CPUs of the kernel's: QEMU can do without."""
    process(tmp_path, 1, "init")
    said = {
        40: "-m\x00128\x00-name\x00guest=web1,debug-threads=on",
        41: "-name\x00a,,b\x1b[2J",
        42: "-daemonize",
        43: "",
    }
    for pid, words in said.items():
        folder = process(tmp_path, pid, "qemu-system-x86", 0, "/memfd:ram (deleted)")
        (folder / "exe").symlink_to("/usr/bin/qemu-system-x86_64 (deleted)")
        (folder / "cmdline").write_text(f"/usr/bin/qemu-system-x86_64\0{words}\0")
    image = process(tmp_path, 44, "qemu-img")
    (image / "exe").symlink_to("/usr/bin/qemu-img")
    (tmp_path / "43/cmdline").unlink()
    found = read_work(tmp_path, tmp_path / "none")
    assert [(g.pid, g.name, g.is_qemu) for g in found.guests] == [
        (40, "web1", True),
        (41, clean("a,b\x1b[2J"), True),
        (42, "", True),
        (43, "", True),
    ]
    assert found.guests[0].label == "web1 (qemu-system-x86 [40])"
    # QEMU calls all guests' memory by one name.
    assert found.guests[2].label == "qemu-system-x86 [42]"
    assert found.missing == ()


def test_a_large_memfd_is_taken_for_a_guests() -> None:
    """On this machine, with a memfd of this process, which is looked at as another one's."""
    before = read_work(me=1)
    large = os.memfd_create("a-guest")
    small = os.memfd_create("no-guest")
    try:
        os.ftruncate(large, LARGE)
        os.ftruncate(small, 4096)
        (guest,) = (g for g in read_work(me=1).guests if g.pid == os.getpid())
        assert guest.memory[0] == "a-guest"
        assert guest.bytes >= LARGE + 4096
        assert guest.label == f"a-guest ({guest.comm} [{os.getpid()}])"
        assert 0 < guest.started < 1e9
        assert os.getpid() not in {g.pid for g in read_work().guests}
    finally:
        os.close(large)
        os.close(small)
    assert os.getpid() not in {g.pid for g in before.guests}


def test_a_memfd_that_came_over_a_session_has_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mainline's kernel gives it back without: it is memory all the same."""
    came = os.memfd_create("came")
    link = f"/proc/{os.getpid()}/fd/{came}"
    really = os.readlink

    def readlink(path: str) -> str:
        return "/ (deleted)" if os.fspath(path) == link else really(path)

    monkeypatch.setattr(os, "readlink", readlink)
    try:
        os.ftruncate(came, LARGE)
        (guest,) = (g for g in read_work(me=1).guests if g.pid == os.getpid())
        assert guest.memory[0] == ""
        assert guest.bytes >= LARGE
        nameless = guest._replace(memory=guest.memory[:1])
        assert nameless.label == f"{guest.comm} [{os.getpid()}]"
        (found,) = (m for m in read_process(Path("/proc"), os.getpid()).memfds if m.fd == came)
        assert found.bytes == LARGE
    finally:
        os.close(came)


def test_services_are_the_units_that_have_processes(tmp_path: Path) -> None:
    process(tmp_path / "proc", 1, "init")
    cgroups = tmp_path / "cgroup"
    unit(cgroups, "nginx.service")
    unit(cgroups, "done.service", "0")
    unit(cgroups, "system-getty.slice/getty@tty1.service")
    unit(cgroups, "boot.mount")
    assert read_work(tmp_path / "proc", cgroups).services == ("getty@tty1", "nginx")


def test_what_cannot_be_seen_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As with hidepid: the first process is not among them.
    process(tmp_path, 40, "mine")
    found = read_work(tmp_path, tmp_path / "none")
    assert found.names is None
    (missing,) = found.missing
    assert missing.startswith("which guests run is ")

    def refuse(_folder: object) -> object:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "scandir", refuse)
    process(tmp_path, 1, "init")
    with pytest.raises(OSError, match="Too many"):
        read_work(tmp_path, tmp_path / "none")
