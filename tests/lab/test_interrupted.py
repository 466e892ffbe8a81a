# SPDX-License-Identifier: MIT
"""The power fails, or the clock is set, in the middle of a window, on real kernels.

Only the disk with the journal survives a power cut: QEMU is killed, and the machine
is started anew.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from machine import HOST_NAME, Built, Machine

from luo_tui.errors import Exit
from tests.lab import driver

pytestmark = pytest.mark.extra

SLOW = 240
"""Seconds for what unpacks kernels, on a machine that has other work as well."""
FOLDER = "/var/lib/luo-tui"
HOOK = f"""\
#!/bin/sh
echo $LUO_TUI_HOOK >>{FOLDER}/ran
sync
[ $LUO_TUI_HOOK != before-freeze ] || sleep 1000
"""
INTERRUPTED = "closed (interrupted: this host was started anew)"
LOST = "closed (lost)"


def ssh(machine: Machine, command: str) -> subprocess.CompletedProcess[str]:
    """Run a command that must not crash, whatever it finds."""
    done = machine.ssh(command, timeout=SLOW)
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return done


def must(machine: Machine, command: str) -> str:
    done = ssh(machine, command)
    assert done.returncode == 0, f"{command}: {done}"
    return done.stdout


def told(machine: Machine, command: str) -> Any:
    return json.loads(ssh(machine, f"luo-tui {command} --json").stdout)


def wait(machine: Machine, command: str) -> None:
    """Wait until a command in the machine succeeds."""
    end = time.monotonic() + SLOW
    while machine.ssh(command, timeout=SLOW).returncode:
        assert time.monotonic() < end, machine.log()[-2000:]
        time.sleep(0.2)


def cut_power(machine: Machine) -> None:
    """End the machine in this very moment; nothing is written any more."""
    os.kill(machine.running(), signal.SIGKILL)
    machine.stop()


def kexec(machine: Machine) -> None:
    """Begin the jump, by a process that nobody waits for."""
    agree = told(machine, "kexec --show")["digest"]
    command = f"luo-tui kexec --yes-to {HOST_NAME} --agree {agree}"
    must(machine, f"setsid {command} >/tmp/kexec.log 2>&1 </dev/null &")


def upto(machine: Machine, moment: str, target: str) -> None:
    """Walk a window up to a moment; the machine is to be cut off there."""
    must(machine, "echo precious >/dev/shm/f; luo-tui hold /dev/shm/f --name cache")
    if moment == "hook":
        must(machine, f"cat >{FOLDER}/hook <<'END'\n{HOOK}END\nchmod 755 {FOLDER}/hook")
        hooks = "".join(
            f"[hooks.{p}]\nrun = ['{FOLDER}/hook']\n" for p in ("before-freeze", "on-failure")
        )
        must(machine, f"luo-tui plan new {target} | sed 's/^#  \"/  \"/' >{FOLDER}/plan.toml")
        must(machine, f"cat >>{FOLDER}/plan.toml <<'END'\n{hooks}END\n")
        run = f"luo-tui run {FOLDER}/plan.toml --yes-to {HOST_NAME}"
        must(machine, f"setsid {run} >/tmp/run.log 2>&1 </dev/null &")
        wait(machine, f"grep before-freeze {FOLDER}/ran")
        return
    must(machine, f"luo-tui load {target}")
    if moment == "loaded":
        return
    must(machine, "luo-tui prepare --yes")
    if moment == "prepared":
        return
    before = machine.boot_id()
    kexec(machine)
    if moment == "updated":
        machine.wait_ready(before, SLOW)
        assert told(machine, "arrive")["written"]
        return
    end = time.monotonic() + SLOW
    while "Starting new kernel" not in machine.log():
        assert time.monotonic() < end, must(machine, "cat /tmp/kexec.log")
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("moment", "boots", "note", "ends"),
    [
        ("loaded", "old", "started anew while a window was open, without a jump", INTERRUPTED),
        ("prepared", "old", "started anew while a window was open, without a jump", INTERRUPTED),
        ("hook", "old", "this kernel ({old}) is not the target: an ordinary boot", LOST),
        ("kexec", "old", "this kernel ({old}) is not the target: an ordinary boot", LOST),
        ("kexec", "new", "this kernel ({new}) took nothing over", LOST),
        ("updated", "old", "The update had arrived before, in a kernel that is gone", LOST),
    ],
    ids=["loaded", "prepared", "hook", "kexec", "kexec-then-target", "updated"],
)
def test_what_is_known_after_a_power_cut_is_told_plainly(
    built: Built, machine: Machine, moment: str, boots: str, note: str, ends: str
) -> None:
    releases = {name: built.kernels[name].release for name in ("old", "new")}
    note = note.format(**releases)
    upto(machine, moment, releases["new"])
    cut_power(machine)
    machine.boot(kernel=boots, fresh=False, wait=SLOW)

    # Whoever only looks is told, and changes nothing.
    journal = must(machine, f"cat {FOLDER}/windows/*.jsonl")
    status = told(machine, "status")
    assert (status["state"], status["faults"]) == ("normal", {})
    assert any(note in n for n in status["notes"]), status["notes"]
    assert "left open by root" in must(machine, "luo-tui status")
    assert note in must(machine, "luo-tui status")
    assert "1  " in must(machine, "luo-tui history")
    for form in ("text", "md", "html", "json"):
        must(machine, f"luo-tui report --format {form}")
    assert must(machine, f"cat {FOLDER}/windows/*.jsonl") == journal

    # Written down once, by a command or by the next console.
    if moment == "prepared":
        with driver.over_ssh(machine) as t:
            t.wait_for("Nothing is prepared.")
            t.send("w")
            t.wait_for("[>] check")
            driver.leave(t)
            t.send("q")
            t.wait_for_left()
    elif ends == LOST:
        done = ssh(machine, "luo-tui arrive")
        assert done.returncode == Exit.BAD_VERDICT, done
        assert done.stdout.startswith("BAD: COLD BOOT"), done
        assert "is LOST" in done.stdout
        assert not told(machine, "arrive")["written"]
    else:
        said = told(machine, "arrive")
        assert (said["verdict"], said["written"], said["faults"]) == (None, True, [])
        assert not told(machine, "arrive")["written"]
    assert ends in must(machine, "luo-tui status")
    report = json.loads(must(machine, "luo-tui report --format json"))
    assert report["unread_lines"] == 0
    assert (report["verdict"] or {}).get("level") == ("bad" if ends == LOST else None)
    if moment == "hook":
        assert must(machine, f"cat {FOLDER}/ran").split() == ["before-freeze", "on-failure"]

    # And it is in nobody's way.
    must(machine, "echo precious >/dev/shm/f; luo-tui hold /dev/shm/f --name cache")
    other = releases["old" if boots == "new" else "new"]
    must(machine, f"luo-tui load {other}")
    must(machine, "luo-tui prepare --yes && luo-tui cancel --yes")
    assert [w["number"] for w in told(machine, "history")["windows"]] == [2, 1]


def test_a_clock_that_is_set_by_a_day(built: Built, cold: Machine) -> None:
    """In the old kernel, and by the hardware's clock that the new one begins with."""
    machine, target = cold, built.kernels["new"].release
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    machine.qemu = ("-rtc", f"base={tomorrow:%Y-%m-%dT%H:%M:%S}")
    machine.boot(wait=SLOW)
    must(machine, "head -c 9000000 /dev/urandom >/dev/shm/f; luo-tui hold /dev/shm/f --name cache")
    must(machine, f"luo-tui load {target} && luo-tui prepare --yes")
    must(machine, "date -s @$(($(date +%s) - 86400))")
    before = machine.boot_id()
    began = time.monotonic()
    kexec(machine)
    machine.wait_ready(before, SLOW)
    most = (time.monotonic() - began) * 1e3
    said = told(machine, "arrive")
    assert said["written"]
    assert said["verdict"] in ("not yet", "good"), said
    dark = told(machine, "status")["blackout_ms"]
    assert 0 < dark["total"] < most, dark
    assert sum(p["milliseconds"] for p in dark["phases"]) == pytest.approx(dark["total"], rel=0.01)
    with driver.over_ssh(machine) as t:
        t.wait_for("This kernel took over from")
        t.wait_for("1 resource not restored yet")
        must(machine, "luo-tui restore cache -o /root/back && cmp /root/back /root/back")
        screen = t.wait_for("the last memory was restored at")
        assert "how long after the jump is not known: the clock was set meanwhile" in screen
        assert "s after the jump began" not in screen
        driver.leave(t)
        t.send("q")
        t.wait_for_left()
    must(machine, "luo-tui finish --yes")
    report = must(machine, "luo-tui report")
    assert "result: finished; verdict: good" in report, report
    changes = [line for line in report.splitlines() if "THE CLOCK WAS SET" in line]
    assert ["back by about 86,4" in changes[0], "forward by about 86," in changes[1]] == [True] * 2
    found = json.loads(must(machine, "luo-tui report --format json"))["clock_changes"]
    assert [round(change["seconds"] / 86_400) for change in found] == [-1, 1]
