# SPDX-License-Identifier: MIT
"""Whole updates by a plan, with hooks that do well, fail, hang, flood and fork, on real kernels."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import pytest
from cache import LabError
from machine import HOST_NAME, Built, Machine

from luo_tui.errors import Exit
from luo_tui.update.hooks import KEPT
from tests.lab import driver
from tests.terminal import Terminal

pytestmark = pytest.mark.extra

POINTS = ("before-prepare", "before-freeze", "after-restore", "after-finish", "on-failure")
RAN = "/var/lib/luo-tui/ran"
HOOK = f"""\
#!/bin/sh
echo "$LUO_TUI_HOOK $(uname -r)" >>{RAN}
sync
[ ! -e /run/hang-$LUO_TUI_HOOK ] || sleep 60
"""
SLOW = 240
"""Seconds for what unpacks kernels, on a machine that has other work as well."""
RUN = f"luo-tui run /var/lib/luo-tui/plan.toml --yes-to {HOST_NAME}"


def ran(machine: Machine) -> list[list[str]]:
    return [line.split() for line in machine.must(f"cat {RAN}").splitlines()]


def has_begun(machine: Machine, point: str) -> None:
    """Wait until a hook runs."""
    end = time.monotonic() + SLOW
    while machine.ssh(f"grep {point} {RAN}").returncode:
        assert time.monotonic() < end, machine.ssh("cat /root/run.log").stdout
        time.sleep(0.5)


def test_an_update_by_a_plan(built: Built, machine: Machine) -> None:
    source, target = (built.kernels[name].release for name in ("old", "new"))
    machine.must("echo precious >/dev/shm/f; luo-tui hold /dev/shm/f --name cache", timeout=120)
    machine.must(f"cat >/var/lib/luo-tui/hook <<'END'\n{HOOK}END\nchmod 755 /var/lib/luo-tui/hook")
    hooks = "".join(f"\n[hooks.{p}]\nrun = ['/var/lib/luo-tui/hook']\n" for p in POINTS)
    machine.must(f"luo-tui plan new {target} >/var/lib/luo-tui/plan.toml", timeout=120)
    # Whoever edits it agrees to what it lists.
    machine.must("sed -i 's/^#  \"/  \"/' /var/lib/luo-tui/plan.toml")
    machine.must(f"cat >>/var/lib/luo-tui/plan.toml <<'END'\n{hooks}END")
    checked = machine.must("luo-tui plan check /var/lib/luo-tui/plan.toml", timeout=120)
    assert checked.endswith("it would be done as things stand now\n")

    # Killed while guests may be paused: the next one undoes that first.
    machine.must("touch /run/hang-before-freeze")
    machine.must(f"(setsid {RUN} >/root/run.log 2>&1 &)")
    has_begun(machine, "before-freeze")
    machine.must("pkill -9 -f 'luo[-_]tui ru[n]'; rm /run/hang-before-freeze")
    assert machine.must("cat /sys/kernel/liveupdate/state") == "prepared\n"
    machine.must("luo-tui cancel --yes", timeout=120)
    assert [point for point, _ in ran(machine)] == ["before-prepare", "before-freeze", "on-failure"]
    machine.must(f"rm {RAN}")

    before = machine.boot_id()
    with contextlib.suppress(LabError):
        done = machine.ssh(RUN, timeout=120)
        assert "Jumping" in done.stdout, done.stderr
    machine.wait_ready(before, 90)
    assert machine.must("uname -r").strip() == target
    machine.must("luo-tui restore cache -o /root/back", timeout=120)
    assert "done        Finish" in machine.must(RUN, timeout=120)
    assert machine.must("cat /sys/kernel/liveupdate/state") == "normal\n"
    assert ran(machine) == [
        ["before-prepare", source],
        ["before-freeze", source],
        ["after-restore", target],
        ["after-finish", target],
    ]
    assert machine.ssh("dmesg | grep -E 'WARNING|BUG:|Oops'").stdout == ""


BAD_HOOK = f"""\
#!/bin/sh
echo "$LUO_TUI_HOOK $(uname -r)" >>{RAN}
case $(cat /run/do-$LUO_TUI_HOOK 2>/dev/null) in
fail) echo "no guest answers"; exit 3 ;;
hang) trap "" TERM; sleep 4001 & while :; do sleep 4002; done ;;
flood) yes "$(head -c 4000 /dev/zero | tr "\\0" x)" | head -c 8000000; echo; echo "the end" ;;
fork)
	sleep 4003 &
	setsid sh -c "echo >/run/left; exec sleep 4004" &
	while [ ! -e /run/left ]; do sleep 0.1; done
	;;
wait) while [ -e /run/do-$LUO_TUI_HOOK ]; do sleep 0.2; done ;;
esac
"""


def planned(machine: Machine, target: str, *points: str, seconds: int = 20) -> None:
    """Have one thing held, and a plan whose hooks do as they are told."""
    machine.must("echo precious >/dev/shm/f; luo-tui hold /dev/shm/f --name cache", timeout=SLOW)
    machine.put(BAD_HOOK.encode(), "/var/lib/luo-tui/hook", mode="755")
    machine.must(
        f"luo-tui plan new {target} | sed 's/^#  \"/  \"/' >/var/lib/luo-tui/plan.toml",
        timeout=SLOW,
    )
    hooks = "".join(
        f"\n[hooks.{p}]\nrun = ['/var/lib/luo-tui/hook']\nseconds = {seconds}\n" for p in points
    )
    machine.must(f"cat >>/var/lib/luo-tui/plan.toml <<'END'\n{hooks}END")


def records(machine: Machine) -> list[dict[str, Any]]:
    lines = machine.must("cat $(ls /var/lib/luo-tui/windows/*.jsonl | tail -n 1)").splitlines()
    return [json.loads(line) for line in lines]


def left(machine: Machine) -> list[str]:
    """Return what hooks have left behind."""
    return machine.ssh("pgrep -fa 'sleep 400[0-9]|/luo-tui/hoo[k]'").stdout.splitlines()


@pytest.mark.parametrize(
    ("point", "deed", "why"),
    [
        ("before-prepare", "fail", "it ended with 3. Its last line: no guest answers"),
        ("before-freeze", "hang", "it took longer than 20 s and was killed"),
    ],
    ids=["fails", "hangs"],
)
def test_a_hook_that_goes_wrong_takes_the_host_back(
    built: Built, machine: Machine, point: str, deed: str, why: str
) -> None:
    """By a run that nobody watches: the others flood, fork and fail."""
    planned(machine, built.kernels["new"].release, *POINTS, "on-cancel")
    machine.must(f"echo flood >/run/do-before-prepare; echo {deed} >/run/do-{point}")
    machine.must("echo fail >/run/do-on-failure; echo fork >/run/do-on-cancel")
    boot = machine.boot_id()
    done = machine.ssh(RUN, timeout=SLOW)
    assert done.returncode == Exit.REFUSED, done
    assert f"The hook {point} failed: {why}" in done.stderr
    assert "The hook on-failure failed: it ended with 3." in done.stderr
    assert f"What {point} did may stand as it is." in done.stderr
    assert "Traceback" not in done.stderr
    assert machine.boot_id() == boot
    assert machine.must("cat /sys/kernel/liveupdate/state") == "normal\n"
    assert machine.must("cat /sys/kernel/kexec_loaded") == "0\n"
    # The one that made itself a session is not seen; all others are ended.
    cancelled = deed == "hang"
    assert len(left(machine)) == cancelled, left(machine)
    told = records(machine)
    assert told[-1]["event"] == "closed"
    hooks = [r["data"] for r in told if r["event"] == "hook"]
    assert [(h["point"], h["phase"]) for h in hooks if h["phase"] != "begin"] == [
        *([("before-prepare", "done")] if cancelled else []),
        (point, "failed"),
        ("on-failure", "failed"),
        # What it did not undo is tried again by the next act, here by the cancel.
        *([("on-failure", "failed"), ("on-cancel", "done")] if cancelled else []),
    ]
    if cancelled:
        assert hooks[1]["said"][-1] == "the end"
        assert len("".join(hooks[1]["said"])) <= KEPT
    report = machine.must("luo-tui report", timeout=SLOW)
    assert f"hook {point}" in report
    assert why.partition(".")[0] in report
    names = [r["name"] for r in json.loads(machine.must("luo-tui status --json"))["resources"]]
    assert names == ["cache"]


def test_a_run_that_others_watch(built: Built, machine: Machine) -> None:
    """It shows each of its steps to a console, which offers nothing that would interfere."""
    target = built.kernels["new"].release
    planned(machine, target, "before-prepare", "before-freeze", "after-restore", seconds=SLOW)
    machine.must("for p in before-prepare before-freeze; do echo wait >/run/do-$p; done")
    before = machine.boot_id()
    with driver.over_ssh(machine) as watcher:
        watcher.record = bytearray()
        watcher.wait_for("Nothing is prepared.", SLOW)
        watcher.resize(70, 120)
        watcher.send("w")
        watcher.wait_for("[>] check")
        with Terminal.run([*machine.ssh_command(terminal=True), RUN]) as runner:
            watcher.wait_for("load; done", SLOW)
            screen = watcher.wait_for("now: under way: prepare", SLOW)
            assert "open in another console: root on pts/" in screen
            watcher.meanwhile(lambda: has_begun(machine, "before-prepare"))
            nothing_is_offered(watcher)
            machine.must("rm /run/do-before-prepare")
            watcher.wait_for("prepare; done, prepared", SLOW)
            screen = watcher.wait_for("now: under way: kexec", SLOW)
            assert "by the plan" in screen
            watcher.meanwhile(lambda: has_begun(machine, "before-freeze"))
            nothing_is_offered(watcher)
            machine.must("rm /run/do-before-freeze")
            watcher.meanwhile(lambda: runner.wait_for(f"into {target} ...", SLOW))
            machine.wait_ready(before, SLOW)
        said = bytes(watcher.record).decode(errors="replace")
        for wrong in ("key o", "Traceback", "left open", "Error"):
            assert wrong not in said, wrong
    # As its unit does; else the console does, and goes on in the window itself.
    machine.must("luo-tui arrive || [ $? = 15 ]", timeout=SLOW)
    machine.must("luo-tui restore cache -o /root/back", timeout=SLOW)
    with driver.over_ssh(machine) as watcher:
        watcher.wait_for("All is restored.", SLOW)
        watcher.send("w")
        with Terminal.run([*machine.ssh_command(terminal=True), RUN]) as runner:
            watcher.meanwhile(lambda: runner.wait_for("done Finish", SLOW))
        watcher.wait_for("Nothing is prepared.", SLOW)
    assert machine.must("cat /sys/kernel/liveupdate/state") == "normal\n"
    assert [p for p, _ in ran(machine)] == ["before-prepare", "before-freeze", "after-restore"]
    assert machine.ssh("dmesg | grep -E 'WARNING|BUG:|Oops'").stdout == ""


def nothing_is_offered(watcher: Terminal) -> None:
    """Press whatever could act: no question comes."""
    for key in "lpkcfuo":
        watcher.send(key)
    assert "[ Stay" not in watcher.wait_for("You are watching.")
    assert "Take nothing over" not in watcher.flat()
