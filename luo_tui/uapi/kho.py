# SPDX-License-Identifier: MIT
"""Kexec HandOver as far as user space can see it, and why an orchestrator is missing.

KHO has no interface for user space but debugfs
(``kernel/liveupdate/kexec_handover_debugfs.c``, Linux 7.3), which only root
reads and which can be left out of the kernel. The rest is evidence from the
command line and the config of the running kernel. What nothing tells is None,
never a guess.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

_DEBUGFS = Path("/sys/kernel/debug/kho")
_MODULE = Path("/sys/module/luo")
_COMMAND_LINE = Path("/proc/cmdline")
_CONFIG = Path("/proc/config.gz")
_BOOT = Path("/boot")

_METADATA = struct.Struct("=I65sI")
"""include/linux/kho/abi/kexec_metadata.h: version, previous_release, kexec_count."""
_METADATA_VERSION = 1


def command_line() -> str:
    """Return the running kernel's command line, or nothing where it can't be read."""
    try:
        return _COMMAND_LINE.read_text(errors="surrogateescape").strip()
    except OSError:
        return ""


def config(option: str) -> bool | None:
    """Return whether the running kernel was built with ``option``; None where nothing tells."""
    import gzip  # Many kernels have no such file, and the command line is to start fast.

    try:
        text = gzip.decompress(_CONFIG.read_bytes()).decode(errors="replace")
    except (OSError, EOFError):
        try:
            text = (_BOOT / f"config-{os.uname().release}").read_text(errors="replace")
        except OSError:
            return None
    return f"\n{option}=y\n" in f"\n{text}\n"


def said(word: str) -> str:
    """Return the value of the last ``word=`` on the command line; empty where there is none."""
    found = [w.partition("=")[2] for w in command_line().split() if w.startswith(f"{word}=")]
    return found[-1] if found else ""


def truth(value: str) -> bool | None:
    """Read a switch as the kernel does (kstrtobool, lib/kstrtox.c); None: it takes no notice."""
    start = value[:2].lower()
    if start[:1] in ("y", "t", "1") or start == "on":
        return True
    if start[:1] in ("n", "f", "0") or start == "of":
        return False
    return None


def asked_for() -> bool | None:
    """Whether this boot asked for KHO: by ``kho=``, else by the config's default."""
    told = truth(said("kho"))
    return config("CONFIG_KEXEC_HANDOVER_ENABLE_DEFAULT") if told is None else told


def active() -> bool | None:
    """Whether KHO is on in this kernel; None where nothing tells (debugfs is root's alone)."""
    try:
        mounted = any(_DEBUGFS.parent.iterdir())
    except OSError:
        return None
    if _DEBUGFS.is_dir():
        return True
    # Without its debugfs nothing can be said; with it, the folder is missing for a reason.
    return False if mounted and config("CONFIG_KEXEC_HANDOVER_DEBUGFS") else None


def exec_from() -> tuple[str, int] | None:
    """Return the kernel that this boot came from by kexec, and the kexecs since the cold boot.

    None after a cold boot, and where it can't be read.
    """
    try:
        raw = (_DEBUGFS / "in/sub_fdts/kexec-metadata").read_bytes()
        version, release, count = _METADATA.unpack_from(raw)
    except (OSError, struct.error):
        return None
    if version != _METADATA_VERSION:
        return None
    return release.partition(b"\0")[0].decode(errors="replace"), count


def why_unavailable() -> str:
    """Say, from evidence, why there is no orchestrator of LUO v2 on this host."""
    if config("CONFIG_KEXEC_HANDOVER") is False:
        return "this kernel was built without Kexec HandOver (CONFIG_KEXEC_HANDOVER)"
    on = active()
    if not on:
        if (told := said("kho")) and truth(told) is False:
            return f"Kexec HandOver is off (kho={told} on the command line)"
        if asked_for() is False:
            return "Kexec HandOver is off: boot with kho=on"
    if on is False:
        return (
            "Kexec HandOver was asked for and is not active: its scratch memory was probably not "
            "reserved (see dmesg for KHO)"
        )
    if not _MODULE.is_dir():
        unknown = "" if on else "; whether Kexec HandOver is active is unknown here: only root sees"
        return f"the module luo.ko is not loaded (modprobe luo; dmesg says why it refused){unknown}"
    return "luo.ko is loaded and /dev/liveupdate is missing: is devtmpfs mounted on /dev?"
