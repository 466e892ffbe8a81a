# SPDX-License-Identifier: MIT
"""The console on a real kernel under abuse: bursts of events, no udevd, hostile names."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from machine import Machine

from tests.console.test_abuse import HOSTILE, shapes
from tests.lab.test_live import Hands, leave, look_on
from tests.terminal import Terminal

TIMES = int(os.environ.get("LUO_TUI_BURST", "1000"))
"""How often something is preserved and given up: two events each time."""
MORE_THAN_FIT = max(TIMES, 10_000)
"""As above: sixteen thousand events fit into the socket."""
PATIENCE = 240
"""Seconds: the machine's one processor is shared with all that makes and handles the events."""
GROWTH = 24 << 10
"""KiB that a console may grow in a burst: twenty thousand events in its log, and the socket's."""


@pytest.fixture
def hands(machine: Machine) -> Iterator[Hands]:
    h = Hands(machine)
    yield h
    h.close()


def console_pid(machine: Machine) -> int:
    """Return the console's process in the guest: the one with a thread for the hub."""
    found = machine.must("grep -lx hub /proc/[0-9]*/task/*/comm 2>/dev/null | head -1; true")
    number = re.match(r"/proc/(\d+)/", found) if found else None
    if number is None:
        found = machine.must("pgrep -f '^python3 -m luo_tui'")
        return int(found.split()[0])
    return int(number[1])


def rss(machine: Machine, pid: int) -> int:
    """Return a process's memory in KiB."""
    return int(machine.must(f"grep VmRSS /proc/{pid}/status").split()[1])


def meanwhile(t: Terminal, hands: Hands, name: str, **arguments: object) -> threading.Thread:
    """Have the hands do something in a thread, which the caller joins."""
    thread = threading.Thread(target=lambda: hands.do(name, **arguments))
    thread.start()
    return thread


def read_until(t: Terminal, wanted: str, seconds: float) -> float:
    """Read until ``wanted`` is on the screen, quiet or not; return how long that took."""
    began = time.monotonic()
    while wanted not in t.flat():
        t.pump(0.05)
        assert time.monotonic() - began < seconds, f"no {wanted!r}:\n{t.text()}"
    return time.monotonic() - began


def same_as_sysfs(machine: Machine, t: Terminal, names: list[str]) -> None:
    """See that exactly these are preserved, by the class and by the screen."""
    said = machine.must("cat /sys/class/liveupdate/token*/name").split()
    assert sorted(said) == sorted(names)
    t.wait_for(f"resources {len(names)} preserved", 180)
    for name in names:
        t.wait_for(name)
    assert "not live" not in t.flat()


@pytest.mark.extra
def test_a_burst_of_events(machine: Machine, hands: Hands) -> None:
    hands.preserve("before")
    with look_on(machine) as t:
        pid = console_pid(machine)
        before = rss(machine, pid)
        burst = meanwhile(t, hands, "burst", times=TIMES)
        keys = []
        while burst.is_alive():
            t.send_now("5")
            keys.append(read_until(t, "[5 window]", PATIENCE))
            t.send_now("1")
            keys.append(read_until(t, "[1 overview]", PATIENCE))
            t.pump(1)
        burst.join()
        began = time.monotonic()
        hands.preserve("after")
        same_as_sysfs(machine, t, ["before", "after"])
        grown = rss(machine, pid) - before
        print(
            f"\n{2 * TIMES} events; {len(keys)} keys answered meanwhile, "
            f"the slowest in {max(keys):.1f} s; right {time.monotonic() - began:.1f} s after the "
            f"end; {grown} KiB more than {before}"
        )
        assert grown < GROWTH
        leave(t)


@pytest.mark.extra
def test_more_events_than_the_socket_holds(machine: Machine, hands: Hands) -> None:
    """The console does not run while they come: afterwards it is right all the same."""
    hands.preserve("before")
    with look_on(machine) as t:
        pid = console_pid(machine)
        before = rss(machine, pid)
        machine.must(f"kill -STOP {pid}")
        rate = t.meanwhile(lambda: hands.do("burst", times=MORE_THAN_FIT))
        hands.preserve("after")
        machine.must(f"kill -CONT {pid}")
        same_as_sysfs(machine, t, ["before", "after"])
        print(f"\n{rate} events a second; {rss(machine, pid) - before} KiB more than {before}")
        # Its news arrive as before.
        hands.preserve("later")
        same_as_sysfs(machine, t, ["before", "after", "later"])
        leave(t)


@pytest.mark.extra
def test_news_come_whatever_becomes_of_udevd(machine: Machine, hands: Hands) -> None:
    with look_on(machine) as t:
        for number, command in enumerate(
            (
                "killall -9 systemd-udevd",
                "/lib/systemd/systemd-udevd --daemon",
                "killall systemd-udevd",
                "rm -f /run/udev/control",
            )
        ):
            machine.must(command)
            hands.preserve(f"name-{number}")
            t.wait_for(f"resources {number + 1} preserved", 20)
        leave(t)
    with look_on(machine) as t:
        hands.preserve("never-there")
        t.wait_for("resources 5 preserved", 20)
        machine.must("/lib/systemd/systemd-udevd --daemon")
        hands.preserve("there-again")
        t.wait_for("resources 6 preserved", 20)
        leave(t)


@pytest.mark.extra
def test_hostile_names_are_only_text(machine: Machine, hands: Hands) -> None:
    def written(names: tuple[bytes, ...]) -> tuple[set[str], str]:
        tokens: list[Any] = []
        with look_on(machine) as t:
            t.record = bytearray()
            for name in names:
                hands.do("call_myself", name=name.hex())
                tokens.append(hands.preserve(name))
            t.wait_for(f"resources {len(names)} preserved")
            seen = t.text()
            for key in "512341?":
                t.send(key)
                t.pump(1)
                seen += t.text()
            t.send("escape")
            t.pump(1)
            leave(t)
            for token in tokens:
                hands.do("unpreserve", token=token)
            return shapes(bytes(t.record)), seen

    harmless, _ = written(tuple(b"name-%d" % n for n in range(len(HOSTILE))))
    hostile, seen = written(HOSTILE)
    assert hostile <= harmless, hostile - harmless
    assert r"\x1b]52" in seen
    assert "[bold red]markup" in seen
