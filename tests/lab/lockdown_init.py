# SPDX-License-Identifier: MIT
"""Process 1 of a machine whose kernel is locked down while it runs; says what the check said."""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import os
import sys
from pathlib import Path

from luo_tui.__main__ import main as command
from luo_tui.uapi import kexec

MARK = "lockdown: "
IMAGES = {"signed": "/boot/vmlinuz-signed", "unsigned": "/boot/vmlinuz-unsigned"}
INITRD = "/boot/initrd.img"
LEVEL = Path("/sys/kernel/security/lockdown")
_MOUNTS = (
    ("devtmpfs", "/dev"),
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("securityfs", "/sys/kernel/security"),
)
_POWER_OFF = 0x4321FEDC
_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Ask before the kernel is locked down, and after; then switch the machine off."""
    if os.getpid() != 1:
        raise SystemExit("this runs in a machine of its own alone")
    try:
        for kind, place in _MOUNTS:
            Path(place).mkdir(parents=True, exist_ok=True)
            _libc.mount(kind.encode(), place.encode(), kind.encode(), ctypes.c_ulong(0), None)
        for level in ("none", "integrity"):
            if level != "none":
                LEVEL.write_text(level)
            for image in IMAGES:
                _tell(level=LEVEL.read_text().strip(), image=image, **_asked(image))
    except BaseException as error:
        _tell(failed=f"{type(error).__name__}: {error}")
    finally:
        _libc.reboot(ctypes.c_int(_POWER_OFF))


def _asked(image: str) -> dict[str, object]:
    """Return what ``luo-tui check`` says of the signature, and the errno of a real load."""
    said = io.StringIO()
    sys.argv = ["luo-tui", "check", IMAGES[image], "--initrd", INITRD, "--json"]
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        command()
    findings = json.loads(said.getvalue())["results"]
    (finding,) = (f for f in findings if f["code"] == "LUO-C-023")
    return {"finding": finding, "errno": _loaded(IMAGES[image])}


def _loaded(image: str) -> int:
    with Path(image).open("rb") as kernel, Path(INITRD).open("rb") as initrd:
        try:
            kexec.load(kernel.fileno(), initrd.fileno(), "console=ttyS0")
        except OSError as error:
            return error.errno or -1
    kexec.unload()
    return 0


def _tell(**values: object) -> None:
    Path("/dev/kmsg").write_text(f"<5>{MARK}{json.dumps(values)}\n")
