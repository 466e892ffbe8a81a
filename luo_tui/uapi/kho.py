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
import re
import struct
from pathlib import Path

from luo_tui.uapi.command_line import deciding, switch

_DEBUGFS = Path("/sys/kernel/debug/kho")
MODULE = Path("/sys/module/luo")
_COMMAND_LINE = Path("/proc/cmdline")
_CONFIG = Path("/proc/config.gz")
_BOOT = Path("/boot")
_MODULES = Path("/lib/modules")
_LOCKDOWN = Path("/sys/kernel/security/lockdown")

_METADATA = struct.Struct("=I65sI")
"""include/linux/kho/abi/kexec_metadata.h: version, previous_release, kexec_count."""
_METADATA_VERSION = 1
_FORMAT = re.compile(rb"kho-v[0-9]{1,4}")


def command_line() -> str:
    """Return the running kernel's command line, or nothing where it can't be read.

    Byte for byte, as ``os.fsdecode`` writes it, without the newline that
    /proc/cmdline adds (fs/proc/cmdline.c).
    """
    try:
        return os.fsdecode(_COMMAND_LINE.read_bytes().removesuffix(b"\n"))
    except OSError:
        return ""


def built_with(config: str, option: str) -> bool:
    """Whether a kernel with this config has ``option`` built in (``=y``)."""
    return f"\n{option}=y\n" in f"\n{config}\n"


def config(option: str) -> bool | None:
    """Return whether the running kernel was built with ``option``; None where nothing tells.

    Asked in this order: the kernel itself (IKCONFIG_PROC), and the files that
    Debian lays into /boot, and Fedora beside the modules.
    """
    import gzip  # Many kernels have no such file, and the command line is to start fast.

    release = os.uname().release
    try:
        return built_with(gzip.decompress(_CONFIG.read_bytes()).decode(errors="replace"), option)
    except (OSError, EOFError):
        pass
    for path in (_BOOT / f"config-{release}", _MODULES / release / "config"):
        try:
            return built_with(path.read_text(errors="replace"), option)
        except OSError:
            continue
    return None


def asked_for() -> bool | None:
    """Whether this boot asked for KHO: by ``kho=``, else by the config's default."""
    told = switch(command_line(), "kho")
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


def formats() -> tuple[str, ...]:
    """Return the formats that this kernel writes, as ``kho-v4``; none where nothing tells.

    They are the compatible strings of its tree for the next kernel
    (``debugfs kho/out/fdt``, a flattened device tree), which only root reads.
    """
    try:
        tree = (_DEBUGFS / "out/fdt").read_bytes()
    except OSError:
        return ()
    found = {text for text in tree.split(b"\0") if _FORMAT.fullmatch(text)}
    return tuple(sorted(text.decode("ascii") for text in found))


def scratch() -> tuple[int, ...] | None:
    """Return the bytes of each area of scratch memory; None where nothing tells (root's alone)."""
    try:
        return tuple(int(n, 16) for n in (_DEBUGFS / "out/scratch_len").read_text().split())
    except (OSError, ValueError):
        return None


def lockdown() -> str | None:
    """Return the lockdown level; None where it cannot be read.

    ``none`` too where this kernel has no lockdown (security/lockdown/lockdown.c), by
    its config.
    """
    try:
        text = _LOCKDOWN.read_text()
    except FileNotFoundError:
        # Or securityfs is not mounted: only the config tells the one from the other.
        return "none" if config("CONFIG_SECURITY_LOCKDOWN_LSM") is False else None
    except OSError:
        return None
    return next((w.strip("[]") for w in text.split() if w.startswith("[")), None)


def handed_over() -> frozenset[str] | None:
    """Return the names of the subtrees that the previous kernel handed over.

    Empty after an ordinary boot. None where nothing tells: debugfs is root's
    alone, and may not be mounted or be left out of the kernel.
    """
    try:
        there = {path.name for path in _DEBUGFS.iterdir()}
        if "in" not in there:
            return frozenset() if "out" in there else None
        return frozenset(path.name for path in (_DEBUGFS / "in/sub_fdts").iterdir())
    except OSError:
        return None


def why_unavailable() -> str:
    """Say, from evidence, why there is no orchestrator of LUO v2 on this host."""
    if config("CONFIG_KEXEC_HANDOVER") is False:
        return "this kernel was built without Kexec HandOver (CONFIG_KEXEC_HANDOVER)"
    on = active()
    if not on:
        if switch(command_line(), "kho") is False:
            told = deciding(command_line(), "kho")
            return f"Kexec HandOver is off (kho={told} on the command line)"
        if asked_for() is False:
            return "Kexec HandOver is off: boot with kho=on"
    if on is False:
        return (
            "Kexec HandOver was asked for and is not active: its scratch memory was probably not "
            "reserved (see dmesg for KHO)"
        )
    if not _is_loaded():
        if config("CONFIG_LIVEUPDATE") and switch(command_line(), "liveupdate") is None:
            return (
                "the module luo.ko is not loaded (modprobe luo; dmesg says why it refused), and "
                "the kernel's own sessions are off: they take liveupdate=on"
            )
        unknown = "" if on else "; whether Kexec HandOver is active is unknown here: only root sees"
        return f"the module luo.ko is not loaded (modprobe luo; dmesg says why it refused){unknown}"
    return "luo.ko is loaded and /dev/liveupdate is missing: is devtmpfs mounted on /dev?"


def _is_loaded() -> bool:
    """Whether luo.ko is there to stay: ``initstate`` is written by kernel/module/main.c.

    One that goes takes its time after its device has gone.
    """
    try:
        return (MODULE / "initstate").read_text().strip() != "going"
    except OSError:
        return MODULE.is_dir()
