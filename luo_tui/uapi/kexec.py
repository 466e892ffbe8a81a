# SPDX-License-Identifier: MIT
"""Loading and starting another kernel: kexec_file_load(2), reboot(2) and their sysfs.

Only ``kexec_file_load`` is used: ``kexec_load`` would boot too, and lose the
handover without a word.
"""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path
from typing import NoReturn

_SYS_KEXEC_FILE_LOAD = {"x86_64": 320, "aarch64": 294}
KEXEC_FILE_UNLOAD = 0x1
KEXEC_FILE_NO_INITRAMFS = 0x4
_MAGIC1, _MAGIC2 = 0xFEE1DEAD, 672274793
_CMD_KEXEC = 0x45584543
"""linux/reboot.h: LINUX_REBOOT_CMD_KEXEC."""

_LOADED = Path("/sys/kernel/kexec_loaded")
_CRASH_LOADED = Path("/sys/kernel/kexec_crash_loaded")
_LOAD_DISABLED = Path("/proc/sys/kernel/kexec_load_disabled")

_libc = ctypes.CDLL(None, use_errno=True)


def _machine() -> str:
    return os.uname().machine


def _file_load(kernel: int, initrd: int, command_line: bytes, flags: int) -> None:
    number = _SYS_KEXEC_FILE_LOAD.get(_machine())
    if number is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    result = _libc.syscall(
        ctypes.c_long(number),
        ctypes.c_int(kernel),
        ctypes.c_int(initrd),
        ctypes.c_ulong(len(command_line)),
        ctypes.c_char_p(command_line or None),
        ctypes.c_ulong(flags),
    )
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def load(image: int, initrd: int, command_line: str) -> None:
    """Load a kernel image for kexec, in place of the one that is loaded.

    ``image`` and ``initrd`` are descriptors open for reading; sealed memfds will
    do. ``initrd`` is -1 where there is none. OSError: ENOEXEC no kernel, EADDRNOTAVAIL does not
    fit into KHO's scratch memory, EPERM privilege, lockdown or
    kernel.kexec_load_disabled, EKEYREJECTED and ENODATA signature, EBUSY kexec
    lock, EINVAL command line too long, EBADF no descriptor.
    """
    flags = 0 if initrd >= 0 else KEXEC_FILE_NO_INITRAMFS
    _file_load(image, initrd, os.fsencode(command_line) + b"\0", flags)


def unload() -> None:
    """Drop the image that is loaded for kexec; none is no error. EPERM, EBUSY."""
    _file_load(-1, -1, b"", KEXEC_FILE_UNLOAD)


def reboot() -> NoReturn:
    """Start the loaded kernel. Syncs nothing.

    Returns by OSError alone: EINVAL nothing loaded or not the initial PID
    namespace, EPERM, EBUSY kexec lock, or the errno of a freeze that was
    refused (kernel/reboot.c, kernel/kexec_core.c).
    """
    _libc.syscall(
        ctypes.c_long(169 if _machine() == "x86_64" else 142),
        ctypes.c_ulong(_MAGIC1),
        ctypes.c_ulong(_MAGIC2),
        ctypes.c_ulong(_CMD_KEXEC),
        None,
    )
    code = ctypes.get_errno() or errno.EIO
    raise OSError(code, os.strerror(code))


def _flag(path: Path) -> bool:
    """Return a flag; a kernel without it has not set it. OSError where it cannot be read."""
    try:
        return path.read_text().strip() == "1"
    except FileNotFoundError:
        return False


def loaded() -> bool:
    """Whether an image is loaded for kexec; readable by anyone."""
    return _flag(_LOADED)


def crash_loaded() -> bool:
    """Whether kdump is armed; readable by anyone."""
    return _flag(_CRASH_LOADED)


def load_disabled() -> bool:
    """Whether kernel.kexec_load_disabled is set; it stays so until a reboot."""
    return _flag(_LOAD_DISABLED)
