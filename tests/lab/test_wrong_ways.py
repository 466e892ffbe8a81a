# SPDX-License-Identifier: MIT
"""What goes wrong in a maintenance window, on a real kernel: nothing is lost, all is said."""

from __future__ import annotations

import json
import os
import time

import pytest
from machine import Built, Machine

from tests.lab import driver

# A foreign tool: one event ioctl by number, as luoctl would send it.
EVENT = (
    "python3 -c \"import fcntl,os;fcntl.ioctl(os.open('/dev/liveupdate', os.O_RDWR), 0xBA00 + {})\""
)
PREPARE, FREEZE, CANCEL = 4, 5, 6
JUMP = 'python3 -c "from luo_tui.uapi import kexec; kexec.reboot()"'


def state(machine: Machine) -> str:
    return machine.must("cat /sys/kernel/liveupdate/state").strip()


def foreign(machine: Machine, event: int) -> None:
    machine.must(EVENT.format(event))


def loaded(machine: Machine) -> bool:
    return machine.must("cat /sys/kernel/kexec_loaded").strip() == "1"


def hold(machine: Machine, name: str = "cache") -> None:
    machine.must("echo precious >/dev/shm/f")
    machine.must(f"luo-tui hold /dev/shm/f --name {name}")


def whole_update(machine: Machine, target: str) -> None:
    """A full update after whatever went wrong: nothing was left behind that hinders it."""
    driver.into(machine, target)
    machine.must("rm -f /dev/shm/back; luo-tui restore cache -o /dev/shm/back")
    assert machine.must("cat /dev/shm/back") == "precious\n"
    with driver.over_ssh(machine) as t:
        driver.finish(t)
        driver.leave(t)
        t.wait_for_left()
    assert state(machine) == "normal"


def consoles(machine: Machine) -> list[str]:
    return machine.ssh("pgrep -f 'luo_tui$' || true").stdout.split()


def gone(machine: Machine) -> bool:
    """Whether no console is left, soon."""
    for _ in range(60):
        if not consoles(machine):
            return True
        time.sleep(0.25)
    return False


@pytest.fixture(scope="module")
def shared(built: Built):  # type: ignore[no-untyped-def]
    """One machine for the tests that leave it as they found it."""
    machine = Machine(f"test-{os.getpid()}-wrong-ways", built)
    machine.start()
    yield machine
    machine.remove()


@pytest.fixture
def host(shared: Machine):  # type: ignore[no-untyped-def]
    """The shared machine, in state normal with one thing held and no window open."""
    assert state(shared) == "normal"
    hold(shared)
    yield shared
    shared.ssh("pkill -KILL -f luo_tui")
    if state(shared) in ("prepared", "frozen"):
        foreign(shared, CANCEL)
    shared.ssh("python3 -c 'from luo_tui.uapi import kexec; kexec.unload()'")
    shared.ssh("luo-tui unpreserve cache; rm -rf /var/lib/luo-tui/windows /var/lib/luo-tui/holds")
    assert state(shared) == "normal"


def test_without_root_all_but_names_is_shown_and_nothing_can_be_pressed(host: Machine) -> None:
    with driver.over_ssh(host, user="watcher") as t:
        screen = t.wait_for("1 resource preserved for an update.")
        assert "sudo luo-tui" in screen
        assert "cache" not in screen, "under which name it is kept is root's to see"
        t.send("w")
        t.wait_for("Acting needs root: sudo luo-tui")
        for key in "lpkcfu":
            t.send(key)
        assert "[ Stay" not in t.wait_for("NORMAL")
        driver.leave(t)
        t.send("q")
        t.wait_for_left()
        assert t.left_on() == []
    assert host.ssh("luo-tui hold /etc/passwd --name x", user="watcher").returncode == 3
    assert host.ssh("luo-tui unpreserve cache", user="watcher").returncode == 3
    assert host.ssh("luo-tui status", user="watcher").returncode == 0
    assert not loaded(host)


@pytest.mark.extra
def test_a_wrong_host_name_does_nothing(built: Built, host: Machine) -> None:
    target = built.kernels["new"].release
    with driver.over_ssh(host) as t:
        driver.load(t, target)
        driver.prepare(t)
        for wrong in ("LAB-HV", target):
            driver.ask_kexec(t, target, wrong)
            # The dangerous button is not armed, so the focus is on the harmless one again.
            screen = t.wait_for("> [ Stay prepared ]")
            assert f"( End this kernel: kexec into {target} )" in screen
            t.press("enter", "[>] freeze and kexec")
        assert state(host) == "prepared"
        driver.cancel(t)
    assert state(host) == "normal"


@pytest.mark.extra
def test_cancel_from_prepared_unloads_the_image(built: Built, host: Machine) -> None:
    with driver.over_ssh(host) as t:
        driver.load(t, built.kernels["new"].release)
        assert loaded(host)
        driver.prepare(t)
        driver.cancel(t)
        assert state(host) == "normal"
        assert not loaded(host)
        driver.leave(t)
        t.wait_for_left()
    resources = json.loads(host.must("luo-tui status --json"))["resources"]
    assert [r["name"] for r in resources] == ["cache"]


@pytest.mark.extra
def test_a_kexec_with_nothing_loaded_changes_nothing(host: Machine) -> None:
    foreign(host, PREPARE)
    with driver.over_ssh(host) as t:
        t.wait_for("another tool did")
        t.send("w")
        t.wait_for("load the target kernel first")
        t.send("k")
        assert "To arm it" not in t.wait_for("PREPARED")
        # By the system call itself: EINVAL, and the state stays.
        done = host.ssh(JUMP)
        assert done.returncode != 0
        assert "[Errno 22]" in done.stderr
        assert state(host) == "prepared"
        driver.cancel(t)


@pytest.mark.extra
def test_a_host_found_frozen_is_taken_back(host: Machine) -> None:
    with driver.over_ssh(host) as t:
        t.wait_for("Nothing is prepared.")
        foreign(host, PREPARE)
        t.wait_for("another tool did")
        foreign(host, FREEZE)
        t.wait_for("found frozen")
        t.send("w")
        driver.cancel(t, "frozen")
        assert state(host) == "normal"


@pytest.mark.extra
def test_a_second_console_watches(built: Built, host: Machine) -> None:
    with driver.over_ssh(host) as first, driver.over_ssh(host) as second:
        driver.load(first, built.kernels["new"].release)
        second.wait_for("Nothing is prepared.")
        driver.prepare(first)
        screen = second.wait_for("open in another console")
        assert "root on pts/" in screen
        second.send("w")
        second.wait_for("PREPARED")
        for key in "kcl":
            second.send(key)
        assert "> [ Stay prepared ]" not in second.wait_for("PREPARED")
        assert state(host) == "prepared"
        driver.cancel(first)
        second.wait_for("Nothing is prepared.")


@pytest.mark.extra
def test_a_console_killed_after_prepare_is_picked_up(built: Built, host: Machine) -> None:
    with driver.over_ssh(host) as t:
        driver.load(t, built.kernels["new"].release)
        driver.prepare(t)
        host.must("pkill -KILL -f 'luo_tui$'")
    assert state(host) == "prepared"
    with driver.over_ssh(host) as t:
        screen = t.wait_for("Prepared: 1 resource would survive")
        assert "Window opened by root on pts/" in screen
        driver.take_over_if_asked(t)
        t.send("w")
        t.wait_for("[>] freeze and kexec")
        driver.ask_kexec(t, built.kernels["new"].release)
        t.send("escape")
        t.wait_for("[>] freeze and kexec")
        driver.cancel(t)
    assert not loaded(host)


@pytest.mark.extra
@pytest.mark.parametrize(
    ("moment", "end"),
    [
        ("overview", "HUP"),
        ("overview", "ctrl+backslash"),
        ("loaded", "HUP"),
        ("loaded", "TERM"),
        ("asked to prepare", "HUP"),
        ("asked to prepare", "ctrl+backslash"),
        ("asked to kexec", "HUP"),
        ("asked to kexec", "TERM"),
    ],
)
def test_signals_at_each_moment(built: Built, host: Machine, moment: str, end: str) -> None:
    """Ctrl+C and Ctrl+Z end nothing; what ends the console leaves all in order."""
    target = built.kernels["new"].release
    with driver.over_ssh(host, "sh -c 'luo-tui; echo left with $?; sleep 60'") as t:
        t.wait_for("Nothing is prepared.")
        if moment != "overview":
            driver.load(t, target)
        if moment == "asked to prepare":
            t.press("p", "> [ Stay normal ]")
        if moment == "asked to kexec":
            driver.prepare(t)
            driver.ask_kexec(t, target)
        was = "prepared" if moment == "asked to kexec" else "normal"
        t.send("ctrl+c", "ctrl+z")
        t.pump(1)
        assert consoles(host), t.text()
        assert "left with" not in t.flat()
        assert state(host) == was
        if end.isupper():
            host.must(f"pkill -{end} -f 'luo_tui$'")
        else:
            t.send(end)
        t.wait_for("left with")
        assert t.left_on() == []
        assert "Traceback" not in t.flat()
        assert state(host) == was
        # What was ours is unloaded when the console leaves in order.
        assert not loaded(host)


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param("overview", marks=pytest.mark.extra),
        pytest.param("loaded", marks=pytest.mark.extra),
        pytest.param("prepared", marks=pytest.mark.extra),
        "asked to kexec",
    ],
)
def test_a_cut_line_at_each_step(built: Built, host: Machine, moment: str) -> None:
    """ssh dies: the console journals and goes, the next one takes over."""
    target = built.kernels["new"].release
    with driver.over_ssh(host) as t:
        t.wait_for("Nothing is prepared.")
        if moment != "overview":
            driver.load(t, target)
        if moment in ("prepared", "asked to kexec"):
            driver.prepare(t)
        if moment == "asked to kexec":
            driver.ask_kexec(t, target)
        t.process.kill()
    assert gone(host), "a console without a terminal still runs"
    assert not loaded(host)
    if moment in ("prepared", "asked to kexec"):
        assert state(host) == "prepared"
        with driver.over_ssh(host) as t:
            t.wait_for("Prepared: 1 resource would survive")
            driver.take_over_if_asked(t)
            t.send("w")
            driver.cancel(t)
    assert state(host) == "normal"


@pytest.mark.extra
def test_an_image_that_is_no_kernel(host: Machine) -> None:
    host.must("head -c 4096 /dev/urandom >/boot/vmlinuz-9.9.9-random")
    host.must("head -c 100000 /boot/vmlinuz-*-luo-new >/boot/vmlinuz-9.9.9-short")
    try:
        with driver.over_ssh(host) as t:
            t.wait_for("Nothing is prepared.")
            screen = t.press("t", "vmlinuz-9.9.9-short")
            assert "is not a kernel image" in screen
            assert "is cut short" in screen
            assert not loaded(host)
    finally:
        host.must("rm /boot/vmlinuz-9.9.9-*")


@pytest.mark.extra
def test_a_full_disk_stops_before_anything_is_changed(built: Built, host: Machine) -> None:
    host.ssh(
        # What the file system held back for itself is there again after each sync.
        "for i in 1 2 3 4; do"
        " dd if=/dev/zero of=/var/lib/luo-tui/fill-$i bs=1k 2>/dev/null; sync; done"
    )
    try:
        assert host.ssh("luo-tui hold /etc/passwd --name other").returncode == 10
        with driver.over_ssh(host) as t:
            t.wait_for("Nothing is prepared.")
            t.send("w")
            t.wait_for("[>] check")
            t.press("t", "vmlinuz-")
            t.press("enter", f"Load {built.kernels['new'].release}")
            t.wait_until_gone("Under way")
            screen = t.press("l", "the disk is full")
            assert "ENOSPC" in screen
            assert "normal" in screen
            assert not loaded(host)
        assert host.ssh("ls /var/lib/luo-tui/windows").stdout == ""
        names = [r["name"] for r in json.loads(host.must("luo-tui status --json"))["resources"]]
        assert names == ["cache"]
    finally:
        host.must("rm /var/lib/luo-tui/fill-*")


@pytest.mark.extra
def test_after_every_wrong_way_a_full_update(built: Built, machine: Machine) -> None:
    """Cancelled from prepared and from frozen, then updated after all."""
    target = built.kernels["new"].release
    hold(machine)
    with driver.over_ssh(machine) as t:
        driver.load(t, target)
        driver.prepare(t)
        driver.cancel(t)
        driver.leave(t)
        t.wait_for_left()
    foreign(machine, PREPARE)
    foreign(machine, FREEZE)
    foreign(machine, CANCEL)
    whole_update(machine, target)


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        pytest.param("luo.noload", "luo.ko is not loaded", marks=pytest.mark.extra),
        pytest.param("kho=off", "Kexec HandOver is off", marks=pytest.mark.extra),
    ],
)
def test_a_host_without_luo_says_what_is_missing(cold: Machine, extra: str, reason: str) -> None:
    cold.boot(extra=extra)
    done = cold.ssh("luo-tui status")
    assert done.returncode == 4
    assert reason in done.stdout
    with driver.over_ssh(cold) as t:
        screen = t.wait_for("No live update on this kernel")
        assert reason in screen
        t.send("w")
        for key in "lpkcf":
            t.send(key)
        t.wait_for("No live update on this kernel")
    assert cold.ssh("luo-tui hold /etc/passwd --name x").returncode == 4
