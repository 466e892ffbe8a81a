# SPDX-License-Identifier: MIT
"""luo-tui-holder on a real kernel with sessions: each refusal, and whole updates on them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from functools import partial
from typing import Any

import machine as lab
import pytest
from machine import HOST_NAME, Machine

from tests.lab import driver

SESSIONS = "liveupdate=on luo.noload"
SLOW = 240
"""Seconds for what unpacks kernels, on a machine that has other work as well."""


@pytest.fixture
def host(built: lab.Built) -> Iterator[Machine]:
    """A machine whose kernel has its own orchestrator switched on."""
    m = Machine(f"test-{os.getpid()}-holder", built)
    m.boot(extra=SESSIONS)
    yield m
    m.remove()


def ssh(machine: Machine, command: str, user: str = "root") -> subprocess.CompletedProcess[str]:
    return machine.ssh(command, user=user, timeout=SLOW)


def must(machine: Machine, command: str) -> str:
    return machine.must(command, timeout=SLOW)


def holder(machine: Machine) -> str:
    """Return the holder's process id."""
    return must(machine, "grep -lx luo-tui-holder /proc/[0-9]*/comm").split("/")[2]


def status(machine: Machine, user: str = "root") -> dict[str, Any]:
    # Exit 4 where nobody can tell the state.
    return dict(json.loads(ssh(machine, "luo-tui status --json", user=user).stdout))


def resources(found: dict[str, Any]) -> dict[str, str]:
    return {r["name"]: r["state"] for r in found["resources"]}


def refused(machine: Machine, command: str, code: int, *said: str) -> None:
    done = ssh(machine, command)
    assert done.returncode == code, done
    for text in said:
        assert text in done.stderr, done.stderr


BUSY = """
import os, sys, time
from luo_tui.uapi import luo_sessions as s
device = s.open_device()
if sys.argv[1] == "session":
    kept = s.create_session(device, b"theirs")
    os.close(device)
open("/tmp/busy.up", "w").close()
time.sleep(1000)
"""


def beside(machine: Machine, what: str) -> str:
    """Let another process have the device, or a session; return its process id."""
    machine.put(BUSY.encode(), "/tmp/busy.py")
    return must(
        machine,
        f"rm -f /tmp/busy.up; setsid python3 /tmp/busy.py {what} >/tmp/busy.log 2>&1 </dev/null &"
        " echo $!; for i in $(seq 300); do [ -e /tmp/busy.up ] && exit 0; sleep 0.1; done;"
        " cat /tmp/busy.log >&2; exit 1",
    ).strip()


@pytest.mark.extra
def test_what_is_held_and_refused(host: Machine) -> None:
    must(host, "head -c 3000000 /dev/urandom >/tmp/web; : >/tmp/empty")
    assert "held web: token 1" in must(host, "luo-tui hold /tmp/web --name web")
    first = holder(host)
    must(host, "luo-tui hold /tmp/empty --name empty")
    assert holder(host) == first
    found = status(host)
    assert resources(found) == {"web": "preserved", "empty": "preserved"}
    assert found["state"] == "preserving"
    assert not found["faults"]
    # In whose session it is, the kernel says too.
    links = must(host, f"ls -l /proc/{first}/fd | grep luo_session").splitlines()
    held = sorted(line.partition(" -> ")[2] for line in links)
    assert held == [f"anon_inode:[luo_session] {name}" for name in ("empty", "web")]
    assert must(host, f"cat /proc/{first}/oom_score_adj").strip() == "-1000"

    refused(host, "luo-tui hold /tmp/web --name web", 6, "held already")
    refused(host, "luo-tui hold /tmp/web --name systemd", 2, "reserved (EPERM)", "systemd's own")
    long = "x" * 64
    refused(host, f"luo-tui hold /tmp/web --name {long}", 2, "1 to 63 bytes", "this one 64")
    must(host, f"luo-tui hold /tmp/web --name {long[:63]} && luo-tui unpreserve {long[:63]}")
    refused(host, "luo-tui restore web -o /tmp/out", 5, "after a kexec and before finish")
    theirs = beside(host, "session")
    refused(host, "luo-tui hold /tmp/web --name theirs", 6, "with another process (EEXIST)")
    must(host, f"kill {theirs}")
    pid = beside(host, "device")
    refused(host, "luo-tui hold /tmp/web --name late", 7, "another process owns", f"[{pid}]")
    must(host, f"kill {pid}")
    # The socket is root's alone, and whoever is not root is told so.
    assert must(host, "stat -c %a /run/luo-tui/holder.sock").strip() == "600"
    seen = status(host, "watcher")
    assert resources(seen) == {}
    assert "known to root alone" in str(seen["missing"]["resources"]), seen
    must(host, "luo-tui unpreserve web && luo-tui unpreserve empty")
    after = status(host)
    assert (after["state"], resources(after)) == ("normal", {})


def kexec(machine: Machine, target: str, *, prepares: bool = False) -> dict[str, Any]:
    """Load, and jump by commands; wait for the target. Return what was shown before."""
    before = machine.boot_id()
    must(machine, f"luo-tui load {target}{' && luo-tui prepare --yes' * prepares}")
    shown: dict[str, Any] = json.loads(must(machine, "luo-tui kexec --show --json"))
    assert shown["possible"], shown["blocked"]
    agree = f"--agree {shown['digest']}" if "--agree" in " ".join(shown["needs"]) else ""
    jump(machine, f"luo-tui kexec --yes-to {HOST_NAME} {agree}", before, target)
    return shown


def jump(machine: Machine, command: str, before: str, target: str, patience: float = SLOW) -> None:
    """Run what jumps, and wait for the target; ``before`` is the boot id by then."""
    must(machine, f"setsid {command} >/tmp/kexec.log 2>&1 </dev/null &")
    try:
        machine.wait_ready(before, patience)
    except lab.cache.LabError as error:
        raise AssertionError(must(machine, "cat /tmp/kexec.log")) from error
    assert must(machine, "uname -r").strip() == target


@pytest.mark.extra
@pytest.mark.parametrize("extra", [SESSIONS, ""], ids=["sessions", "luo.ko"])
def test_a_file_is_given_back_over_a_chain_of_updates(
    cold: Machine, built: lab.Built, extra: str
) -> None:
    """What `arrive` has given back is held again for the next update, in its place."""
    cold.boot(extra=extra)
    file = "/var/lib/luo-tui/web"
    must(cold, f"head -c 20000000 /dev/urandom >{file}")
    digest = must(cold, f"sha256sum <{file}").split()[0]
    old, new = (built.kernels[name].release for name in ("old", "new"))
    for number, target in enumerate((new, old, new)):
        must(cold, f"luo-tui hold {file} --name web --back-to {file} && rm {file}")
        kexec(cold, target, prepares=not extra)
        assert ssh(cold, f"ls {file}").returncode, "nobody has asked for it yet"
        if extra:
            # Before anybody has asked the holder, it is not known: not lost.
            assert "is to retrieve web" in str(status(cold)["missing"]["resources"])
        done = ssh(cold, "luo-tui arrive")
        assert done.returncode in (0, 15), done
        assert status(cold)["state"] == "updated"
        assert must(cold, f"sha256sum <{file}").split()[0] == digest
        if extra:
            refused(cold, "luo-tui restore web -o /tmp/out", 8, "Nothing is held")
        must(cold, "luo-tui finish --yes")
        after = status(cold)
        assert (after["state"], resources(after)) == ("normal", {})
        assert must(cold, "luo-tui history").count("finished") == number + 1
    assert must(cold, f"sha256sum <{file}").split()[0] == digest


@pytest.mark.extra
def test_a_holder_that_was_killed_stops_the_kexec(host: Machine, built: lab.Built) -> None:
    must(host, "head -c 4000000 /dev/urandom >/tmp/web; luo-tui hold /tmp/web --name web")
    must(host, f"luo-tui load {built.kernels['new'].release}")
    boot = host.boot_id()
    must(host, f"kill -9 {holder(host)}")
    refused(host, f"luo-tui kexec --yes-to {HOST_NAME}", 6, "its holder has ended: web")
    assert host.boot_id() == boot
    # Given up and held anew, it goes.
    assert "not in memory" in ssh(host, "luo-tui unpreserve web").stderr
    must(host, "luo-tui hold /tmp/web --name web")
    shown = json.loads(must(host, "luo-tui kexec --show --json"))
    assert any("web (token" in line for line in shown["survives"]), shown


@pytest.mark.extra
def test_too_little_room_for_a_retrieve_loses_nothing(host: Machine, built: lab.Built) -> None:
    must(host, "head -c 8000000 /dev/urandom >/tmp/web; luo-tui hold /tmp/web --name web")
    kexec(host, built.kernels["new"].release)
    must(host, "luo-tui arrive || [ $? = 15 ]")
    group = "/sys/fs/cgroup/small"
    must(
        host,
        "grep -q cgroup2 /proc/mounts || mount -t cgroup2 none /sys/fs/cgroup;"
        f" echo +memory >/sys/fs/cgroup/cgroup.subtree_control; mkdir {group} &&"
        f" echo {holder(host)} >{group}/cgroup.procs && echo 4M >{group}/memory.max",
    )
    refused(host, "luo-tui restore web -o /tmp/out", 6, "nothing is lost", "memory.max of cgroup")
    must(host, f"echo max >{group}/memory.max")
    must(host, "luo-tui restore web -o /tmp/out && luo-tui finish --yes")


def test_a_whole_update_by_keys(host: Machine, built: lab.Built) -> None:
    target = built.kernels["new"].release
    must(host, "head -c 5000000 /dev/urandom >/var/lib/luo-tui/web")
    must(host, "luo-tui hold /var/lib/luo-tui/web --name web")
    before = host.boot_id()
    with driver.over_ssh(host) as t:
        see = partial(t.wait_for, timeout=SLOW)
        see("Preserving (derived)")
        t.send("w")
        see("Choose a target kernel first.")
        t.press("t", f"vmlinuz-{target}", SLOW)
        t.press("enter", f"Load {target}", SLOW)
        t.wait_until_gone("Under way", SLOW)
        t.press("l", f"Done: Load {target}.", SLOW)
        screen = t.press("k", "> [ Stay preserving ]", SLOW)
        assert screen.index(f"Every process on {HOST_NAME} ends") < screen.index("Survives")
        t.send("tab")
        t.wait_until_gone("> [ Stay preserving ]")
        t.send(*HOST_NAME)
        see(f"[{HOST_NAME} ")
        t.send("tab")
        see(f"> [ End this kernel: kexec into {target} ]")
        t.press("enter", f"into {target} ...", SLOW)
        t.meanwhile(lambda: host.wait_ready(before, SLOW))
    must(host, "luo-tui arrive || [ $? = 15 ]")
    must(host, "luo-tui restore web -o /tmp/out && cmp /tmp/out /var/lib/luo-tui/web")
    with driver.over_ssh(host) as t:
        see = partial(t.wait_for, timeout=SLOW)
        see("This kernel took over from")
        driver.take_over_if_asked(t)
        screen = t.press("f", "> [ Stay updated ]", SLOW)
        assert "Lost Nothing." in screen
        t.send("tab")
        t.wait_until_gone("> [ Stay updated ]")
        t.press("enter", "Done: Finish", SLOW)
        see("Normal (derived)")
        driver.leave(t)
        t.wait_for_left()
    assert status(host)["state"] == "normal"
