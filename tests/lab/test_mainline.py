# SPDX-License-Identifier: MIT
"""Mainline's sessions on a real kernel: the calls, every refusal, and what the program tells."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import machine as lab
import pytest
from machine import Machine

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
    m = Machine("test-mainline", built)
    m.boot(extra=MAINLINE)
    yield m
    m.remove()


def python(machine: Machine, code: str) -> Any:
    return json.loads(machine.must("python3 -", stdin=code.encode()))


def test_the_calls_and_their_refusals(mainline: Machine) -> None:
    assert python(mainline, CALLS) == {}
