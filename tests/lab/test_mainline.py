# SPDX-License-Identifier: MIT
"""Mainline's sessions on a real kernel: the calls, every refusal, and what the program tells."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import machine as lab
import pytest
from machine import Machine

from tests.lab import driver

MAINLINE = "liveupdate=on luo.noload"

CALLS = """
import errno, json, os, sys
from luo_tui.uapi import luo_sessions as s

def errno_of(call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"

def memfd(text):
    fd = os.memfd_create("held", os.MFD_CLOEXEC)
    os.write(fd, text)
    return fd

told = {}
device = s.open_device()
told["a second open"] = errno_of(s.open_device)
one = s.create_session(device, b"one")
told["name"] = s.get_name(one).decode()
told["inherited"] = os.get_inheritable(one)
told["link"] = os.readlink(f"/proc/self/fd/{one}")
told["the same name"] = errno_of(s.create_session, device, b"one")
told["an empty name"] = errno_of(s.create_session, device, b"")
told["64 bytes"] = errno_of(s.create_session, device, b"x" * 64)
told["63 bytes"] = errno_of(s.create_session, device, b"x" * 63)
told["an own one"] = errno_of(s.retrieve_session, device, b"one")
told["none came"] = errno_of(s.retrieve_session, device, b"other")
held = memfd(b"some bytes")
told["preserve"] = errno_of(s.preserve_fd, one, held, 7)
told["the same token"] = errno_of(s.preserve_fd, one, memfd(b"more"), 7)
told["the same file"] = errno_of(s.preserve_fd, one, held, 8)
told["a pipe"] = errno_of(s.preserve_fd, one, os.pipe()[0], 9)
told["no descriptor"] = errno_of(s.preserve_fd, one, 999, 9)
told["retrieve of an outgoing one"] = errno_of(s.retrieve_fd, one, 7)
told["finish of an outgoing one"] = errno_of(s.finish, one)
os.close(device)
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def mainline(built: lab.Built) -> Iterator[Machine]:
    """A machine whose kernel has its own orchestrator switched on."""
    m = Machine(f"test-{os.getpid()}-mainline", built)
    m.boot(extra=MAINLINE)
    yield m
    m.remove()


def python(machine: Machine, code: str) -> Any:
    return json.loads(machine.must("python3 -", stdin=code.encode()))


REFUSED = {
    "a second open": "EBUSY",
    "name": "one",
    "inherited": False,
    "link": "anon_inode:[luo_session] one",
    "the same name": "EEXIST",
    "an empty name": "EINVAL",
    "64 bytes": "EINVAL",
    "63 bytes": "done",
    "an own one": "ENOENT",
    "none came": "ENOENT",
    "preserve": "done",
    "the same token": "EEXIST",
    "the same file": "EBUSY",
    "a pipe": "ENOENT",
    "no descriptor": "EBADF",
    "retrieve of an outgoing one": "EINVAL",
    "finish of an outgoing one": "EINVAL",
}


def test_the_calls_and_their_refusals(mainline: Machine) -> None:
    assert python(mainline, CALLS) == REFUSED


HOLDER = b"""
import os, sys, time
from luo_tui.uapi import luo_sessions as s
device = s.open_device()
session = getattr(s, sys.argv[2])(device, sys.argv[1].encode())
os.close(device)
if sys.argv[2] == "create_session":
    held = os.memfd_create("guest")
    os.write(held, b"these bytes live on")
    s.preserve_fd(session, held, 7)
else:
    print(os.pread(s.retrieve_fd(session, 7), 100, 0).decode(), flush=True)
print("held", flush=True)
time.sleep(1000)
"""

JUMP = """
from luo_tui.uapi import kexec, kho
release = "{}"
with open(f"/boot/vmlinuz-{{release}}") as image, open(f"/boot/initrd.img-{{release}}") as initrd:
    kexec.load(image.fileno(), initrd.fileno(), kho.command_line())
kexec.reboot()
"""


def hold(machine: Machine, name: str, how: str = "create_session") -> str:
    """Let a process hold a session; return its pid once it has it."""
    machine.put(HOLDER, "/tmp/holder.py")
    log, pid = f"/tmp/{name}.log", f"/tmp/{name}.pid"
    machine.must(
        f"setsid python3 /tmp/holder.py {name} {how} >{log} 2>&1 </dev/null & echo $! >{pid};"
        f" for i in $(seq 200); do grep -q held {log} && break; sleep 0.1; done;"
        f" grep held {log} || {{ cat {log} >&2; exit 1; }}"
    )
    return machine.must(f"cat {pid}").strip()


def wait_for(machine: Machine, condition: str) -> None:
    """Wait for a command in the machine to succeed."""
    machine.must(f"for i in $(seq 200); do {condition} && exit 0; sleep 0.1; done; exit 1")


def status(machine: Machine, user: str = "root") -> dict[str, Any]:
    # Exit 4 where nobody can tell the state.
    return dict(json.loads(machine.ssh("luo-tui status --json", user=user).stdout))


def sessions(found: dict[str, Any]) -> dict[str, str]:
    return {p["name"]: p["state"] for p in found["participants"] if p["kind"] == "session"}


@pytest.mark.extra
def test_the_console_shows_them_and_what_this_kernel_has_not(mainline: Machine) -> None:
    pid = hold(mainline, "seen")
    with driver.over_ssh(mainline) as t:
        screen = t.wait_for(f"seen: held by python3 [{pid}]", timeout=180)
        assert "[preserving]" in screen
        assert "Preserving (derived): 1 session held by processes here" in screen
        t.send("2")
        t.wait_for("the kernel does not list it")
        t.send("5")
        t.wait_for("[ ] kexec")
        for key, said in (("p", "no prepare"), ("c", "no cancel"), ("f", "nothing to finish")):
            t.send(key)
            t.wait_for(said)
        assert "[ ] prepare" not in t.flat()
        t.send("1")
        mainline.must(f"kill -9 {pid}")
        t.wait_for("[normal]")
        driver.leave(t)
        t.wait_for_left()
    assert mainline.must("cat /sys/kernel/kexec_loaded").strip() == "0"


@pytest.mark.extra
def test_sessions_are_watched_across_an_update(mainline: Machine, built: lab.Built) -> None:
    cold = status(mainline)
    assert cold["orchestrator"].startswith("mainline sessions")
    assert (cold["state"], sessions(cold)) == ("normal", {})

    # A watcher hears of a session that comes and of its holder's end, and shuts nobody out.
    mainline.must("setsid luo-tui watch --json >/tmp/watch.log 2>&1 </dev/null &")
    wait_for(mainline, "grep -q . /tmp/watch.log")
    pid = hold(mainline, "web")
    held = status(mainline)
    assert (held["state"], sessions(held)) == ("preserving", {"web": f"held by python3 [{pid}]"})
    assert not held["faults"]
    wait_for(mainline, "grep -q 'takes part: held' /tmp/watch.log")
    mainline.must(f"kill -9 {pid}")
    wait_for(mainline, "grep -q 'takes part no longer' /tmp/watch.log")
    gone = status(mainline)
    assert (gone["state"], sessions(gone)) == ("normal", {})
    heard = [json.loads(line) for line in mainline.must("cat /tmp/watch.log").splitlines()]
    texts = [one["text"] for one in heard if "text" in one]
    came = texts.index(f"session web takes part: held by python3 [{pid}]")
    assert "session web takes part no longer" in texts[came:]
    assert "state normal -> preserving" in texts
    assert "state preserving -> normal" in texts

    # What the kernel has not is refused, and why is said.
    for command, what in (("prepare --yes", "no prepare"), ("cancel --yes", "no cancel")):
        done = mainline.ssh(f"luo-tui {command}")
        assert done.returncode == 5, done
        assert what in done.stderr

    # Without privilege it is not known, which is not the same as none.
    seen = status(mainline, "watcher")
    assert seen["state"] == "unknown", seen["detail"]
    assert any("known to root alone" in line for line in seen["derived_from"])

    hold(mainline, "db")
    before, release = mainline.boot_id(), built.kernels["new"].release
    mainline.put(JUMP.format(release).encode(), "/tmp/jump.py")
    mainline.ssh("setsid python3 /tmp/jump.py >/tmp/jump.log 2>&1 </dev/null &")
    mainline.wait_ready(before, 90)
    after = status(mainline)
    assert after["host"]["release"] == release
    assert (after["state"], sessions(after)) == ("updated", {})
    assert after["from_release"] == built.kernels["old"].release
    hold(mainline, "db", "retrieve_session")
    assert "these bytes live on" in mainline.must("cat /tmp/db.log")
    assert list(sessions(status(mainline))) == ["db"]
