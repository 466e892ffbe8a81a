# SPDX-License-Identifier: GPL-2.0
"""A guest that counts in the machine, in sight beside the console.

With tmux both are in one window, the guest to the right of the console or below
it. Both parts come back by themselves after the kexec.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import cache
from machine import Machine

_ASK = "lab-vmm ask status"
_START = f"""
setsid lab-vmm run --follow </dev/null >/run/lab/guest.log 2>&1 &
until {_ASK}; do ! grep lab-vmm: /run/lab/guest.log || exit 1; sleep 0.2; done 2>/dev/null
"""
_SIDE, _BELOW = 62, 9
_WIDE = 100 + _SIDE


def show(machine: Machine) -> int:
    """Boot and start the guest, where need be; open the console and the guest's figures."""
    if not machine.running():
        machine.boot()
    if machine.ssh(_ASK).returncode:
        started = machine.ssh(_START)
        if started.returncode:
            raise cache.LabError(f"the guest did not start: {started.stdout.strip()}")
    again = [sys.executable, str(Path(__file__).parent), "--name", machine.name, "guest"]
    tmux = shutil.which("tmux")
    if not tmux or not os.isatty(1):
        print(f"the guest counts; in another terminal: {shlex.join([*again, '--watch'])}")
        return console(machine)
    # Whatever was printed last can be read before the window closes.
    upper = f"{shlex.join([*again, '--console'])} || {{ echo 'Enter ends this'; read -r _; }}"
    wide = shutil.get_terminal_size().columns >= _WIDE
    return subprocess.run(
        [tmux, "-u", "-S", str(machine.folder / "tmux"), "-f", os.devnull,
         "new-session", "sh", "-c", f"{upper}; tmux kill-session", ";",
         "set", "-s", "escape-time", "20", ";", "set", "-g", "status", "off", ";",
         "split-window", "-d", "-h" if wide else "-v", "-l", str(_SIDE if wide else _BELOW),
         shlex.join([*again, "--watch"])],
        env={k: v for k, v in os.environ.items() if k != "TMUX"},
        check=False,
    ).returncode  # fmt: skip


def console(machine: Machine) -> int:
    """Run the console in the machine, and open it again in the new kernel."""
    term = shlex.quote(os.environ.get("TERM", "vt100"))
    while True:
        boot = machine.boot_id()
        command = [*machine.ssh_command(terminal=True), f"TERM={term} luo-tui"]
        done = subprocess.run(command, check=False).returncode
        if done != 255 or not machine.running():
            return done
        print("the connection has ended; waiting for the next kernel ...", flush=True)
        machine.wait_ready(boot, 120)


def watch(machine: Machine) -> int:
    """Show the guest's figures every second, and keep what happened in sight."""
    blackout, answered = "", True
    while machine.running():
        asking = subprocess.Popen(
            [*machine.ssh_command(), f"{_ASK} --every 1"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert asking.stdout is not None
        for line in asking.stdout:
            words = line.split()[1:]
            figures = dict(zip(words[1::2], words[2::2], strict=False))
            if blackout and figures["blackout-ms"] != blackout:
                _say(_went_on(machine))
            blackout, answered = figures["blackout-ms"], True
            count, gap = int(figures["count"]), float(figures["gap-ms"])
            _say(f"{words[0]}  count {count:,}  longest gap {gap:,.1f} ms", stays=False)
        asking.wait()
        if answered:
            _say("no answer from the guest")
            answered = False
        time.sleep(0.3)
    return 0


def _went_on(machine: Machine) -> str:
    """Return what lab-vmm told of the blackout, a phase a line."""
    told = machine.ssh("grep blackout /run/lab/guest.log").stdout.strip()
    return told.replace(": ", ":\n         ").replace(", ", "\n         ")


def _say(text: str, *, stays: bool = True) -> None:
    """Print one thing with the time; what does not stay is overwritten by the next one."""
    live = os.isatty(1)
    end = "" if live and not stays else "\n"
    clear = "\r\x1b[K" if live else ""
    print(f"{clear}{time.strftime('%H:%M:%S')} {text}", end=end, flush=True)
