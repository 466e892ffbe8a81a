# SPDX-License-Identifier: MIT
"""Reads kernel image files: what a target is, before anything is loaded.

Facts: the x86 boot protocol (Documentation/arch/x86/boot.rst) puts ``HdrS`` at
0x202, the number of setup sectors at 0x1f1, the size of the protected-mode
code in 16-byte units at 0x1f4, and at 0x20e a pointer, less 0x200, to the
release string. Debian lays ``config-RELEASE`` and ``initrd.img-RELEASE``
beside the image.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

from luo_tui.model import KernelImage

_PREFIXES = ("vmlinuz-", "bzImage-", "kernel-")
_INITRDS = ("initrd.img-{}", "initramfs-{}.img", "initrd-{}")
_MODULES = ("extra", "updates/dkms", "updates", "kernel/extra", "misc")
_COMPATIBLE = re.compile(rb"luo_compatible=([\x21-\x7e]+)\0")
_HEADER = 0x10000
"""The release string stands in the setup sectors, of which there are at most 64 (32 KiB)."""


def scan(boot: Path, modules: Path, running: str) -> Sequence[KernelImage]:
    """List the kernel images in ``boot``, those that are not ``running`` and newest first.

    Never raises: a file that cannot be read, or is no kernel, is listed with
    its fault.
    """
    found = []
    with contextlib.suppress(OSError):
        for path in sorted(boot.iterdir()):
            if path.name.startswith(_PREFIXES) and not path.is_dir():
                found.append((_mtime(path), read_image(path, modules)))
    found.sort(key=lambda f: (bool(f[1].fault), f[1].release == running, -f[0]))
    return [image for _, image in found]


def read_image(
    path: Path, modules: Path, initrd: Path | None = None, *, content: int | None = None
) -> KernelImage:
    """Read one image file. Never raises; what speaks against it is in ``fault``.

    ``initrd`` overrides the one that lies beside the image; ``content`` is a
    descriptor of a copy that is read in place of the file.
    """
    try:
        if content is not None:
            size, head = os.fstat(content).st_size, os.pread(content, _HEADER, 0)
        else:
            size = path.stat().st_size
            with path.open("rb") as file:
                head = file.read(_HEADER)
    except OSError as error:
        return KernelImage(str(path), fault=f"cannot be read: {error.strerror}")
    if head[0x202:0x206] != b"HdrS":
        return KernelImage(str(path), bytes=size, fault="is not a kernel image (no boot header)")
    setup = (head[0x1F1] or 4) * 512 + 512
    wanted = setup + int.from_bytes(head[0x1F4:0x1F8], "little") * 16
    if size < wanted:
        return KernelImage(
            str(path), bytes=size, fault=f"is cut short: {size} of {wanted} bytes are there"
        )
    at = int.from_bytes(head[0x20E:0x210], "little") + 0x200
    words = head[at : at + 256].split(b"\0")[0].split()
    release = words[0].decode("ascii", "replace") if words and at > 0x200 else ""
    if not release:
        return KernelImage(str(path), bytes=size, fault="does not name its release")
    if initrd is not None and not initrd.is_file():
        return KernelImage(str(path), release, size, fault=f"its initrd {initrd} is not there")
    return KernelImage(
        str(path),
        release,
        size,
        initrd=str(initrd) if initrd else _beside(path, release),
        kexec_handover=_config(path.parent / f"config-{release}", "CONFIG_KEXEC_HANDOVER"),
        orchestrator=_orchestrator(modules / release),
    )


def _mtime(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _beside(image: Path, release: str) -> str:
    for pattern in _INITRDS:
        path = image.parent / pattern.format(release)
        if path.is_file():
            return str(path)
    return ""


def _config(path: Path, option: str) -> bool | None:
    try:
        return f"\n{option}=y\n" in "\n" + path.read_text(errors="replace")
    except OSError:
        return None


def _orchestrator(folder: Path) -> str:
    """Find the target's luo.ko and read what it writes and reads across a kexec."""
    for place in _MODULES:
        for suffix in ("", ".xz", ".gz"):
            with contextlib.suppress(OSError):
                content = (folder / place / f"luo.ko{suffix}").read_bytes()
                if match := _COMPATIBLE.search(_unpacked(content, suffix)):
                    return match[1].decode("ascii")
    return ""


def _unpacked(content: bytes, suffix: str) -> bytes:
    """Unpack a module; empty where it is torn. What unpacks is loaded when it is needed."""
    if suffix == ".xz":
        import lzma

        with contextlib.suppress(lzma.LZMAError, EOFError):
            return lzma.decompress(content)
        return b""
    if suffix == ".gz":
        import gzip
        import zlib

        with contextlib.suppress(OSError, EOFError, zlib.error):
            return gzip.decompress(content)
        return b""
    return content
