# SPDX-License-Identifier: MIT
"""In the guest: what FREEZE takes, and restores side by side; prints milliseconds as JSON.

freeze.py freeze MIB      a file of that size in which 100 pages are new
freeze.py save MIB        preserve four files of that size, and prepare
freeze.py jump RELEASE    into the kernel of that release
freeze.py restore         restore two after each other, and two side by side
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from luo_tui.uapi import kexec, luo_v2

TIMES = Path("/sys/kernel/liveupdate/times")
NEW, TURNS = 100, 20
PAGE = 4096


def stamp(name: str) -> int:
    """Read one stamp, in ticks of the counter."""
    return int((TIMES / name).read_text())


def memfd(name: str, mib: int) -> int:
    """Make a file that is whole."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC)
    block = os.urandom(1 << 20)
    for i in range(mib):
        os.pwrite(fd, block, i << 20)
    return fd


def freeze(device: int, mib: int) -> None:
    """Print the least and the median of some freezes."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    fd = memfd("scattered", mib)
    luo_v2.preserve(device, fd)
    places = [(i * (mib << 20) // NEW) // PAGE * PAGE for i in range(NEW)]
    took = []
    for _ in range(TURNS):
        for at in places:
            size = ctypes.c_long(PAGE)
            assert libc.fallocate(fd, 3, ctypes.c_long(at), size) == 0  # punch, keep the size
        luo_v2.prepare(device)
        for at in places:
            os.pwrite(fd, b"new", at)
        luo_v2.freeze(device)
        took.append((stamp("freeze_end") - stamp("freeze_begin")) / stamp("tsc_khz"))
        luo_v2.cancel(device)
    took.sort()
    print(json.dumps({"least": took[0], "median": took[len(took) // 2]}))


def save(device: int, mib: int) -> None:
    """Preserve four files; the kexec is the caller's."""
    tokens = [luo_v2.preserve(device, memfd(f"guest-{i}", mib)) for i in range(4)]
    Path("/var/lib/luo-tui/bench-tokens").write_text(json.dumps(tokens))
    luo_v2.prepare(device)


def jump(release: str) -> None:
    """Load the other kernel and start it."""
    line = Path("/proc/cmdline").read_text().strip()
    files = [os.open(f"/boot/{n}-{release}", os.O_RDONLY) for n in ("vmlinuz", "initrd.img")]
    kexec.load(files[0], files[1], line)
    os.sync()
    kexec.reboot()


def restore(device: int) -> None:
    """Restore two after each other, then two at once, each by a process of its own."""
    tokens = json.loads(Path("/var/lib/luo-tui/bench-tokens").read_text())

    def begin(token: int) -> int:
        child = os.fork()
        if child == 0:
            luo_v2.restore(device, token)
            os._exit(0)
        return child

    began = time.monotonic()
    for token in tokens[:2]:
        assert os.waitpid(begin(token), 0)[1] == 0
    one_by_one = time.monotonic() - began
    began = time.monotonic()
    children = [begin(token) for token in tokens[2:]]
    assert all(os.waitpid(c, 0)[1] == 0 for c in children)
    at_once = time.monotonic() - began
    print(json.dumps({"one_by_one": one_by_one * 1e3, "at_once": at_once * 1e3}))
    luo_v2.finish(device)


def main() -> None:
    """Do what the command line says."""
    device = luo_v2.open_device()
    match sys.argv[1]:
        case "freeze":
            freeze(device, int(sys.argv[2]))
        case "save":
            save(device, int(sys.argv[2]))
        case "jump":
            jump(sys.argv[2])
        case "restore":
            restore(device)


if __name__ == "__main__":
    main()
