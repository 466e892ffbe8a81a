# SPDX-License-Identifier: MIT
"""Mainline's own sessions: sizes and tails of each call, and what they meet after a kexec."""

from __future__ import annotations

import contextlib

import pytest
from cache import LabError
from machine import Built, Machine

SESSIONS = "liveupdate=on luo.noload"

CALLS = """
import errno, fcntl, os, socket
from luo_tui.uapi import luo_sessions as luo

def meets(call, *given):
    try:
        call(*given)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "nothing"

def raw(fd, number, text):
    fcntl.ioctl(fd, number, bytearray(text))

device = luo.open_device()
assert meets(luo.open_device) == "EBUSY"
odd = b"a\\nb\\xff (deleted)"
session = luo.create_session(device, odd)
assert not os.get_inheritable(session) and luo.get_name(session) == odd
assert os.readlink(f"/proc/self/fd/{session}".encode()) == luo.LINK.encode() + odd
assert meets(luo.create_session, device, odd) == "EEXIST"
assert meets(luo.retrieve_session, device, odd) == "ENOENT"
for wrong in (b"", b"x" * 64):
    assert meets(luo.create_session, device, wrong) == "EINVAL"
os.close(luo.create_session(device, b"x" * 63))
kept, other = os.memfd_create("kept"), os.memfd_create("other")
os.write(kept, b"k" * 4096)
luo.preserve_fd(session, kept, 7)
assert meets(luo.preserve_fd, session, other, 7) == "EEXIST"
assert meets(luo.preserve_fd, session, kept, 8) == "EBUSY"
assert meets(luo.preserve_fd, session, 999, 8) == "EBADF"
for fd in (*os.pipe(), os.open("/etc/passwd", 0), os.eventfd(0), session, socket.socket().fileno()):
    assert meets(luo.preserve_fd, session, fd, 9) in ("ENOENT", "EBADF"), fd
# Shorter than the kernel's, it is refused; longer, it may have a tail of zeros alone.
name = b"tail".ljust(64, b"\\0")
size = lambda n: n.to_bytes(4, "little")
nothing = b"\\xff" * 4
assert meets(raw, device, luo.CREATE_SESSION, size(8) + nothing + name) == "EINVAL"
assert meets(raw, device, luo.CREATE_SESSION, size(80) + nothing + name + b"1" * 8) == "E2BIG"
assert meets(raw, device, luo.CREATE_SESSION, size(80) + nothing + name + bytes(8)) == "nothing"
os.close(device)
# A session's descriptor does not keep the device busy; closing it ends the session.
device = luo.open_device()
os.close(session)
os.close(luo.create_session(device, odd))
print("all met")
"""


@pytest.mark.extra
def test_sizes_tails_and_names_are_as_the_kernel_wants_them(cold: Machine) -> None:
    cold.boot(extra=SESSIONS)
    assert cold.must("python3 -", stdin=CALLS.encode()).strip() == "all met"


JUMP = """
import os, sys
from luo_tui.uapi import kexec, kho, luo_sessions as luo
device = luo.open_device()
held = []
for name in (b"vm-1", b"left"):
    session = luo.create_session(device, name)
    for token in (3, 4):
        held.append(os.memfd_create("kept"))
        os.write(held[-1], name * 4096)
        luo.preserve_fd(session, held[-1], token)
files = (f"/boot/{name}-{sys.argv[1]}" for name in ("vmlinuz", "initrd.img"))
image, initrd = (os.open(file, os.O_RDONLY) for file in files)
kexec.load(image, initrd, kho.command_line())
os.sync()
kexec.reboot()
"""

RETRIEVE = """
import errno, os
from luo_tui.uapi import luo_sessions as luo

def meets(call, *given):
    try:
        call(*given)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "nothing"

device = luo.open_device()
session = luo.retrieve_session(device, b"vm-1")
assert not os.get_inheritable(session) and luo.get_name(session) == b"vm-1"
print(meets(luo.retrieve_session, device, b"vm-1"), meets(luo.retrieve_session, device, b"none"))
os.close(device)
kept = luo.retrieve_fd(session, 3)
assert not os.get_inheritable(kept)
assert os.pread(kept, 1 << 20, 0) == b"vm-1" * 4096
print(meets(luo.retrieve_fd, session, 9), meets(luo.preserve_fd, session, kept, 5))
device = luo.open_device()
again = luo.create_session(device, b"next")
print(meets(luo.preserve_fd, again, kept, 0))
luo.finish(session)
print(meets(luo.preserve_fd, again, kept, 0))
# The one that was not retrieved before the finish is destroyed.
print(meets(luo.retrieve_fd, session, 4))
os.close(device)
"""


@pytest.mark.extra
def test_sessions_cross_a_kexec(built: Built, cold: Machine) -> None:
    cold.boot(extra=SESSIONS)
    before = cold.boot_id()
    cold.put(JUMP.encode(), "/tmp/jump.py")
    with contextlib.suppress(LabError):
        cold.ssh(f"python3 /tmp/jump.py {built.kernels['new'].release}", timeout=20)
    cold.wait_ready(before, 90)
    said = cold.must("python3 -", stdin=RETRIEVE.encode()).splitlines()
    assert said == ["EINVAL ENOENT", "ENOENT EINVAL", "EBUSY", "nothing", "ENOENT"]
