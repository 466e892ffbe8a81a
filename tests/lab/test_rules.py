# SPDX-License-Identifier: MIT
"""The udev rules that ship with the module: root acts, a group may watch."""

from __future__ import annotations

import cache
from machine import Machine

ASK = """
import errno, fcntl, os
from luo_tui.uapi import luo_v2
try:
    os.close(os.open(luo_v2.DEVICE, os.O_RDWR))
    print("writable")
except OSError as error:
    print(errno.errorcode[error.errno])
try:
    device = os.open(luo_v2.DEVICE, os.O_RDONLY)
except OSError as error:
    print(errno.errorcode[error.errno])
else:
    print(luo_v2.get_state(device))
    try:
        fcntl.ioctl(device, luo_v2.EVENT_PREPARE)
    except OSError as error:
        print(errno.errorcode[error.errno])
"""


def seen(machine: Machine) -> list[str]:
    """What somebody without privilege meets who opens the device, asks, and acts."""
    return machine.must("python3 -", user="watcher", stdin=ASK.encode()).split()


def test_a_group_may_ask_and_nobody_but_root_may_act(machine: Machine) -> None:
    assert seen(machine) == ["EACCES", "EACCES"]
    rules = (cache.KERNEL / "60-liveupdate.rules").read_bytes()
    machine.must("mkdir -p /etc/udev/rules.d")
    machine.put(rules, "/etc/udev/rules.d/60-liveupdate.rules")
    machine.must("echo liveupdate:x:990:watcher >>/etc/group")
    machine.must(
        # A worker that still has the old rules may take the first event.
        "udevadm control --reload; for i in $(seq 20); do"
        " udevadm trigger --settle --action=change /dev/liveupdate;"
        " stat -c %a /dev/liveupdate | grep -q 640 && break; sleep 0.5; done"
    )
    assert machine.must("stat -c '%a %G' /dev/liveupdate").split() == ["640", "liveupdate"]
    assert machine.must("readlink -f /dev/luo").strip() == "/dev/liveupdate"
    assert "liveupdate" in machine.must("udevadm info -q property /dev/liveupdate")
    assert seen(machine) == ["EACCES", "normal", "EPERM"]
    assert machine.must("cat /sys/kernel/liveupdate/state").strip() == "normal"
