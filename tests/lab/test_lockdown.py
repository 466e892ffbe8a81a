# SPDX-License-Identifier: MIT
"""LUO-C-023 on a real kernel: Debian's own, which has the LSM, locked down while it runs."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import stock
from machine import Built, Machine

from luo_tui.machine import cpio, python
from tests.lab import lockdown_init
from tests.lab.lockdown_init import IMAGES, INITRD, MARK

pytestmark = pytest.mark.extra

_LOADED = """
import sys
from luo_tui.__main__ import main
try:
    main()
finally:
    print("\\n" + " ".join(sys.modules))
"""
"""The modules that a check has loaded by its end, in one line."""


def test_a_kernel_that_is_locked_down_takes_no_unsigned_image(built: Built, tmp_path: Path) -> None:
    debian = stock.stock("bookworm")
    initrd = tmp_path / "initrd.img"
    initrd.write_bytes(packed(debian, built.kernels["new"].image))
    machine = Machine(f"test-{os.getpid()}-lockdown")
    try:
        log = machine.run_static(debian, initrd, append=append(), wait=300)
    finally:
        machine.remove()
    told = [json.loads(line.partition(MARK)[2]) for line in log.splitlines() if MARK in line]
    assert [(t.get("level"), t.get("image")) for t in told] == [
        (level, image)
        for level in ("[none] integrity confidentiality", "none [integrity] confidentiality")
        for image in ("signed", "unsigned")
    ], log[-4000:]
    for t in told[:2]:
        assert (t["finding"]["result"], t["errno"]) == ("ok", 0)
        assert t["finding"]["text"] == "This kernel asks for none."
    signed, unsigned = told[2:]
    # Debian's key comes from the firmware, which this machine has not: why it is not known before.
    assert (signed["finding"]["result"], signed["errno"]) == ("unknown", errno.EPERM)
    assert "The image is signed, as it must be (lockdown is integrity)" in signed["finding"]["text"]
    assert (unsigned["finding"]["result"], unsigned["errno"]) == ("blocker", errno.EPERM)
    assert "(lockdown is integrity), and this one has no signature" in unsigned["finding"]["text"]


def append() -> str:
    """Return what the program finds its Python by."""
    return " ".join([f"rdinit={python.INIT}", *(f"{k}={v}" for k, v in python.ENVIRONMENT.items())])


def packed(debian: Any, unsigned: Path) -> bytes:
    """Return an initial RAM disk with the program, the two images and the kernel's config."""
    check = [sys.executable, "-SPc", _LOADED, "check", "--json", str(debian.image)]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    more = [name for name in done.stdout.splitlines()[-1].split() if name != "__main__"]
    entries = [
        *python.program(lockdown_init.__name__, *more),
        cpio.file(IMAGES["signed"][1:], debian.image.read_bytes()),
        cpio.file(IMAGES["unsigned"][1:], unsigned.read_bytes()),
        cpio.file(f"boot/config-{debian.release}", debian.config.read_bytes()),
    ]
    small = b"".join(cpio.archive([cpio.file("init", b"")]))
    entries.append(cpio.file(INITRD[1:], small))
    return b"".join(cpio.archive(cpio.with_folders(entries)))
