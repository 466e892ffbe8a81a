# SPDX-License-Identifier: MIT
"""What a rehearsal does in its machine: in the first kernel up to the jump, in the second after it.

By the calls that an update is made with (``luo_tui/uapi``). What is preserved is memfds
whose every page tells which it is, so that no page can take another's place unseen.
"""

from __future__ import annotations

import json
import os
import resource
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from luo_tui.machine import cpio
from luo_tui.sources import sysfs
from luo_tui.sources.condition import read_condition
from luo_tui.state import State
from luo_tui.uapi import kexec, kho, luo_sessions, luo_v2
from luo_tui.update.rehearsal.protocol import (
    HANDED,
    NEXT_INITRD,
    PAGE,
    SESSIONS,
    STATE_BYTES,
    STATE_WRITTEN,
    TARGET,
    TASK,
    Failed,
    Say,
)

CHUNK = 1 << 20
_SESSION = b"rehearsal"
_PAUSE = 1.0
"""Seconds between two lines that tell how far it is."""
_NOWHERE = Path("/nowhere")
_HEAD = struct.Struct("<QQ")
_T = TypeVar("_T")


def run(say: Say) -> None:
    """Do what this kernel is for. Failed, OSError."""
    handed = Path(HANDED)
    if handed.exists():
        second(say, json.loads(handed.read_text()))
    else:
        first(say, json.loads(Path(TASK).read_text()))


def first(say: Say, task: dict[str, Any]) -> None:
    """Preserve, load, prepare, and jump. ``task`` is what stands in :data:`TASK`."""
    say("booted", **_about())
    interface, sizes = task["interface"], task["sizes"]
    device = _call("open", luo_v2.open_device)
    session = -1
    if interface == SESSIONS:
        session = _call("open", lambda: luo_sessions.create_session(device, _SESSION))
    elif _call("open", lambda: luo_v2.check(device)) is not State.NORMAL:
        raise Failed("open", "the state of a machine that has just been started is not normal")
    # Sessions give no tokens out, they are told them.
    began = time.monotonic()
    tokens = []
    for number, size in _counted(say, "preserve", sizes):
        fd = os.memfd_create(f"rehearsal-{number}", os.MFD_CLOEXEC)
        _call("fill", lambda fd=fd, n=number, s=size: _fill(fd, n, s))
        if session >= 0:
            _call("preserve", lambda fd=fd, n=number: luo_sessions.preserve_fd(session, fd, n))
            tokens.append(number)
        else:
            tokens.append(_call("preserve", lambda fd=fd: luo_v2.preserve(device, fd)))
        os.close(fd)
    files = [(token, size, size) for token, size in zip(tokens, sizes, strict=True)]
    states = []
    for number in range(task.get("guests", 0)):
        states.append(os.memfd_create(f"state-{number}", os.MFD_CLOEXEC))
        os.ftruncate(states[-1], STATE_BYTES)
        token = _call("preserve", lambda fd=states[-1]: luo_v2.preserve(device, fd))
        files.append((token, STATE_BYTES, STATE_WRITTEN))
    say("preserved", files=len(files), bytes=sum(sizes), seconds=_since(began))
    began = time.monotonic()
    _load(task, files)
    say("loaded", seconds=_since(began))
    if session < 0:
        began = time.monotonic()
        _call("prepare", lambda: luo_v2.prepare(device))
        say("prepared", seconds=_since(began))
    if states:
        began = time.monotonic()
        for number, fd in enumerate(states, len(sizes)):
            _call("save", lambda fd=fd, n=number: _write(fd, n, STATE_WRITTEN))
        say("saved", guests=len(states), seconds=_since(began))
    say("jumping")
    if session < 0:
        _call("freeze", lambda: luo_v2.freeze(device))
    _call("kexec", kexec.reboot)


def second(say: Say, handed: dict[str, Any]) -> None:
    """Take over, restore, compare, finish. ``handed`` is what stands in :data:`HANDED`."""
    say("booted", **_about())
    # Nothing of this machine's but its kernel's log is wanted.
    condition = read_condition(net=_NOWHERE, systemd=_NOWHERE)
    boot = {"init_up": condition.init_up, "arrived_up": condition.arrived_up}
    session = -1
    if handed["interface"] == SESSIONS:
        device = _call("open", luo_sessions.open_device)
        session = _call("arrive", lambda: luo_sessions.retrieve_session(device, _SESSION))
        say("arrived", state="", **boot)
    else:
        luo = sysfs.read_luo()
        say("arrived", state=str(luo.luo.state), stamps=luo.stamps._asdict(), **boot)
        if luo.luo.state is not State.UPDATED:
            raise Failed("arrive", f"the new kernel's state is {luo.luo.state}, and not updated")
        device = _call("open", luo_v2.open_device)
    took = 0.0
    files = handed["files"]
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(files) + 64, len(files) + 64))
    for number, (token, size, written) in _counted(say, "restore", files):
        began = time.monotonic()
        if session >= 0:
            fd = _call("restore", lambda t=token: luo_sessions.retrieve_fd(session, t))
        else:
            fd = _call("restore", lambda t=token: luo_v2.restore(device, t))
        took += time.monotonic() - began
        # It stays open: finish throws away what nobody has.
        _compare(fd, number, size, written, len(files))
    say("restored", files=len(files), seconds=round(took, 6))
    began = time.monotonic()
    if session >= 0:
        _call("finish", lambda: luo_sessions.finish(session))
    else:
        _call("finish", lambda: luo_v2.finish(device))
        if (state := luo_v2.check(device)) is not State.NORMAL:
            raise Failed("finish", f"after it the state is {state}, and not normal")
    say("finished", seconds=_since(began))
    say("done")


def _load(task: dict[str, Any], files: list[tuple[int, int, int]]) -> None:
    """Load the target; its initrd tells what is handed over: tokens, sizes, what is written."""
    handed = {"interface": task["interface"], "files": files}
    entry = cpio.file(HANDED[1:], json.dumps(handed).encode())
    with Path(NEXT_INITRD).open("ab") as packed:
        packed.writelines(cpio.archive([entry]))
    # A kernel takes no file that anybody may still write to.
    with Path(NEXT_INITRD).open("rb") as initrd, Path(TARGET).open("rb") as image:
        line = task["command_line"]
        _call("load", lambda: kexec.load(image.fileno(), initrd.fileno(), line))


def _about() -> dict[str, object]:
    """Tell which kernel this is, and since when it runs."""
    return {
        "release": os.uname().release,
        "up": round(time.clock_gettime(time.CLOCK_BOOTTIME), 6),
        "scratch": kho.scratch(),
    }


def _call(step: str, call: Callable[..., _T]) -> _T:
    try:
        return call()
    except OSError as error:
        raise Failed(step, error.strerror or str(error), error.errno or 0) from None


def _counted(say: Say, step: str, each: list[_T]) -> Iterator[tuple[int, _T]]:
    """Go through a list, and tell how far it is."""
    told = time.monotonic()
    for number, one in enumerate(each):
        if (now := time.monotonic()) - told >= _PAUSE:
            told = now
            say("progress", step=step, done=number, of=len(each))
        yield number, one


def _since(began: float) -> float:
    return round(time.monotonic() - began, 6)


def content(number: int, size: int) -> Iterator[tuple[int, bytes]]:
    """Yield what a memfd holds, in pieces with their places. Pure."""
    page = bytes((n * 7 + 13) & 0xFF for n in range(PAGE))
    piece = bytearray(page * (CHUNK // PAGE))
    for at in range(0, size, CHUNK):
        for inside in range(0, min(CHUNK, size - at), PAGE):
            _HEAD.pack_into(piece, inside, number + 1, (at + inside) // PAGE + 1)
        yield at, bytes(piece[: size - at])


def _fill(fd: int, number: int, size: int) -> None:
    os.ftruncate(fd, size)
    _write(fd, number, size)


def _write(fd: int, number: int, size: int) -> None:
    for at, piece in content(number, size):
        view = memoryview(piece)
        while view:
            wrote = os.pwrite(fd, view, at + len(piece) - len(view))
            view = view[wrote:]


def _compare(fd: int, number: int, size: int, written: int, files: int) -> None:
    which = f"file {number + 1} of {files}"
    if (came := os.fstat(fd).st_size) != size:
        raise Failed("verify", f"{which} came back with {came:,} bytes, and had {size:,}")
    for at, piece in content(number, written):
        if (read := os.pread(fd, len(piece), at)) != piece:
            differ = (n for n, (a, b) in enumerate(zip(read, piece, strict=False)) if a != b)
            first = at + next(differ, len(read))
            raise Failed("verify", f"{which} is not what it was: byte {first:,} differs")
