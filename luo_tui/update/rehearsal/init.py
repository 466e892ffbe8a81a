# SPDX-License-Identifier: MIT
"""Process 1 of a rehearsal's machine, in both kernels: mounts, luo.ko, and then the steps.

What it does it tells in lines of JSON on the kernel's log, which the kernel prints on the
serial console: whole, and in order with its own lines. It ends by switching the machine
off, whatever happens; nothing that it does touches anything outside.
"""

from __future__ import annotations

import ctypes
import json
import os

from luo_tui.update.rehearsal.protocol import HANDED, LONGEST, MARK, MODULE, TASK, Failed

_MOUNTS = (("devtmpfs", "/dev"), ("proc", "/proc"), ("sysfs", "/sys"))
_DEBUGFS = ("debugfs", "/sys/kernel/debug")
_SYS_FINIT_MODULE = 313
_RB_POWER_OFF = 0x4321FEDC
_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Run all that is to happen in this kernel, and switch the machine off.

    Does nothing where it is not the first program of a machine.
    """
    if os.getpid() != 1 or not (_there(TASK) or _there(HANDED)):
        raise SystemExit("this runs in a rehearsal's machine alone")
    kmsg = -1
    try:
        _mount(*_MOUNTS[0])
        kmsg = os.open("/dev/kmsg", os.O_WRONLY | os.O_CLOEXEC)
        for kind, place in _MOUNTS[1:]:
            _mount(kind, place)
        _try_mount(*_DEBUGFS)
        # First of all: preserved memory waits for it.
        if _there(MODULE):
            _insert(MODULE)
        from luo_tui.update.rehearsal import steps

        def say(event: str, **values: object) -> None:
            _say(kmsg, event, values)

        steps.run(say)
    except Failed as failed:
        _say(kmsg, "failed", _told(failed.step, failed.text, failed.number))
    # Else the kernel would panic, and say nothing of it.
    except BaseException as error:
        text = f"{type(error).__name__}: {error}"
        _say(kmsg, "failed", _told("program", text, getattr(error, "errno", None) or 0))
    finally:
        _libc.reboot(ctypes.c_int(_RB_POWER_OFF))


def _there(path: str) -> bool:
    return os.path.exists(path)  # noqa: PTH110 - pathlib takes its time to load


def _told(step: str, text: str, number: int) -> dict[str, object]:
    plain = text[:LONGEST].encode("ascii", "replace").decode()
    return {"step": step, "text": plain, "errno": number}


def _say(kmsg: int, event: str, values: dict[str, object]) -> None:
    line = MARK + json.dumps({"event": event, **values}, separators=(",", ":"))
    # A notice: below what is a fault, and above what consoles leave out.
    os.write(kmsg if kmsg >= 0 else 2, b"<5>" + line.encode() + b"\n")


def _mount(kind: str, place: str) -> None:
    if failed := _try_mount(kind, place):
        raise Failed("mount", f"{kind} cannot be mounted: {os.strerror(failed)}", failed)


def _try_mount(kind: str, place: str) -> int:
    """Mount; return the errno, and 0 also where it is mounted already."""
    os.makedirs(place, exist_ok=True)  # noqa: PTH103 - as above
    done = _libc.mount(kind.encode(), place.encode(), kind.encode(), ctypes.c_ulong(0), None)
    code = ctypes.get_errno() if done else 0
    return 0 if code == 16 else code


def _insert(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    number = ctypes.c_long(_SYS_FINIT_MODULE)
    done = _libc.syscall(number, ctypes.c_int(fd), ctypes.c_char_p(b""), ctypes.c_int(0))
    code = ctypes.get_errno()
    os.close(fd)
    if done:
        raise Failed("luo.ko", f"luo.ko is not loaded: {os.strerror(code)}", code)
