# SPDX-License-Identifier: MIT
"""Kexec HandOver as far as user space can see it, and why an orchestrator is missing.

KHO tells of itself in debugfs alone (``kernel/liveupdate/kexec_handover_debugfs.c``),
which only root reads; the rest is evidence from the command line and the
config of the running kernel.
"""

from __future__ import annotations

import gzip
import os
from pathlib import Path

_DEBUGFS = Path("/sys/kernel/debug/kho")
_MODULE = Path("/sys/module/luo")


def command_line() -> str:
    """Return the running kernel's command line, or nothing where it can't be read."""
    try:
        return Path("/proc/cmdline").read_text().strip()
    except OSError:
        return ""


def config(option: str) -> bool | None:
    """Return whether the running kernel was built with ``option``; None where nothing tells."""
    text = ""
    try:
        text = gzip.decompress(Path("/proc/config.gz").read_bytes()).decode(errors="replace")
    except (OSError, EOFError):
        try:
            text = Path(f"/boot/config-{os.uname().release}").read_text(errors="replace")
        except OSError:
            return None
    return f"\n{option}=y\n" in f"\n{text}"


def said(word: str) -> str:
    """Return the value of the last ``word=`` on the command line; empty where there is none."""
    found = [w.partition("=")[2] for w in command_line().split() if w.startswith(f"{word}=")]
    return found[-1] if found else ""


def active() -> bool | None:
    """Whether KHO is on in this kernel; None where debugfs is not there, or not for us to read."""
    try:
        mounted = any(_DEBUGFS.parent.iterdir())
    except OSError:
        return None
    return _DEBUGFS.is_dir() if mounted else None


def why_unavailable() -> str:
    """Say, from evidence, why there is no orchestrator of LUO v2 on this host."""
    if config("CONFIG_KEXEC_HANDOVER") is False:
        return "this kernel was built without Kexec HandOver (CONFIG_KEXEC_HANDOVER)"
    told = said("kho")
    if told in ("off", "0", "n", "no"):
        return f"Kexec HandOver is off (kho={told} on the command line)"
    default = config("CONFIG_KEXEC_HANDOVER_ENABLE_DEFAULT")
    if not told and default is False:
        return "Kexec HandOver is off: boot with kho=on"
    if active() is False:
        return (
            "Kexec HandOver was asked for and is not active: its scratch memory was probably not "
            "reserved (see dmesg for KHO)"
        )
    if not _MODULE.is_dir():
        return "the module luo.ko is not loaded (modprobe luo; dmesg says why it refused)"
    return "luo.ko is loaded and /dev/liveupdate is missing: is devtmpfs mounted on /dev?"
