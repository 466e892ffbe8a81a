# SPDX-License-Identifier: MIT
"""Two operators on a real kernel: one acts, others watch it live; a gone owner's window goes on."""

from __future__ import annotations

import json

import pytest
from machine import Built, Machine

from tests.lab import driver


def events(machine: Machine) -> list[dict[str, object]]:
    lines = machine.must("cat /var/lib/luo-tui/windows/*.jsonl").splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.extra
def test_one_acts_the_others_watch_and_the_window_is_taken_over(
    built: Built, machine: Machine
) -> None:
    target = built.kernels["new"].release
    machine.must("echo precious >/dev/shm/f; luo-tui hold /dev/shm/f --name cache")
    # Opened one after the other, so that each has a terminal of its own.
    with driver.over_ssh(machine) as owner:
        owner.wait_for("Nothing is prepared.", 150)
        with driver.over_ssh(machine, user="watcher") as watcher, driver.over_ssh(machine) as next_:
            # Three consoles that start take their time in one virtual machine.
            next_.wait_for("Nothing is prepared.", 150)
            watcher.wait_for("Nothing is prepared.", 150)
            watcher.resize(70, 120)
            watcher.send("w")
            watcher.wait_for("[>] check")

            # Whose memory it is, is root's alone to see.
            there = "/sys/class/liveupdate/token0"
            assert machine.must(f"cat {there}/name") == "cache\n"
            for name in ("name", "pid", "comm"):
                done = machine.ssh(f"cat {there}/{name}", user="watcher")
                assert (done.stdout, done.returncode) == ("", 1)
            assert "LUO_PID" not in machine.must(f"cat {there}/uevent")
            told = machine.ssh("luo-tui status --json", user="watcher").stdout
            found = json.loads(told)
            assert [(r["name"], r["pid"], r["bytes"]) for r in found["resources"]] == [("", 0, 9)]
            assert "only root sees who preserved what" in str(found["missing"])

            # From here on the watchers press nothing.
            driver.load(owner, target)
            screen = watcher.wait_for("kexec image loaded by the window of root on pts/", 180)
            assert "open in another console: root on pts/" in screen
            assert "You are watching." in screen
            assert f"target {target}" in screen
            watcher.wait_for("load; done")

            owner.press("p", "> [ Stay normal ]")
            watcher.wait_for("asked to confirm: prepare")
            next_.wait_for("asked to confirm: prepare")
            owner.send("escape")
            watcher.wait_for("now: nothing is under way or asked")

            driver.prepare(owner)
            watcher.wait_for("[x] prepare")
            screen = watcher.wait_for("prepare; done, prepared")
            assert "confirmed: Prepare: normal -> prepared" in screen
            driver.ask_kexec(owner, target)
            watcher.wait_for("asked to confirm: freeze and kexec")

            before = events(machine)
            machine.must(
                f"kill -KILL {json.loads(machine.must('luo-tui status --json'))['owner']['pid']}"
            )
            screen = next_.wait_for("whose console is gone. To act, take it over: key o.")
            assert "root on pts/" in screen
            assert events(machine) == before, "watching writes nothing"
            next_.send("w")
            next_.wait_for("[>] freeze and kexec")
            assert "[ Stay prepared ]" not in next_.press("c", "take it over first.")
            watcher.wait_until_gone("open in another console")

            driver.take_over(next_)
            watcher.wait_for("open in another console: root on pts/")
            watcher.wait_for("taken; from root on pts/")
            driver.cancel(next_)
            watcher.wait_for("Nothing is prepared.")
    assert machine.must("cat /sys/kernel/liveupdate/state") == "normal\n"
    assert machine.must("cat /sys/kernel/kexec_loaded") == "0\n"
    told = events(machine)
    assert [e["event"] for e in told if e["event"] in ("opened", "taken", "closed")] == [
        "opened",
        "taken",
        "closed",
    ]
