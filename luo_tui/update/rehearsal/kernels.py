# SPDX-License-Identifier: MIT
"""The two kernels of a rehearsal, as their files are, and whether a machine could run them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from luo_tui.errors import Exit, NotDone
from luo_tui.model import KernelImage
from luo_tui.uapi.kho import built_with
from luo_tui.update.images import read_with_config, scan
from luo_tui.update.luo_module import module_content
from luo_tui.update.regular_file import why_unreadable
from luo_tui.update.target import faults_of, is_called, named, whole_path
from luo_tui.update.unpack import CannotUnpack, Torn

_MACHINE = {
    "CONFIG_BLK_DEV_INITRD": "it takes no initial RAM disk",
    "CONFIG_BINFMT_SCRIPT": "it starts no script",
    "CONFIG_DEVTMPFS": "it has no devtmpfs",
    "CONFIG_SERIAL_8250_CONSOLE": "it has no serial console",
    "CONFIG_PRINTK": "it prints nothing",
}
"""What a machine needs, and what is the matter without. All are built in, or not there."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """One kernel, all of it in memory."""

    image: KernelImage
    content: bytes
    initrd: bytes = b""
    module: bytes = b""
    """Its luo.ko; empty where it has none."""
    config: str | None = None
    """None: not known."""

    def lacks(self, option: str) -> bool:
        """Whether its config is known, and has not built this in."""
        return self.config is not None and not built_with(self.config, option)


@dataclass(frozen=True, slots=True)
class Folders:
    """Where kernels and their modules are looked for."""

    boot: Path
    modules: Path


def read_kernel(
    folders: Folders, wanted: str, running: str, initrd: Path | None = None, *, itself: bool = False
) -> Kernel:
    """Read a kernel that is named as for ``load``; with ``itself``, the running one.

    NotDone, with what is the matter: no such kernel, or one that cannot be read.
    """
    if os.sep in wanted:
        path = whole_path(Path(wanted))
    elif itself and not wanted:
        path = _running(folders, running)
    else:
        listed = named(scan(folders.boot, folders.modules, running), wanted, running)
        path = Path(listed.path)
        initrd = initrd or (Path(listed.initrd) if listed.entry and listed.initrd else None)
    image, config = read_with_config(path, folders.modules, initrd)
    if image.fault:
        denied = not os.access(path, os.R_OK, effective_ids=True)
        code = Exit.NOT_PERMITTED if denied else Exit.BAD_IMAGE
        raise NotDone(f"{image.path} {image.fault}.", code)
    packed = b"" if itself else _initrd(image, chosen=initrd is not None)
    content = _file(path, "the kernel")
    return Kernel(image, content, packed, _module(folders, image), config)


def cannot_run(kernel: Kernel) -> str:
    """Say why no machine could run it, as far as its config tells; empty: it may well. Pure."""
    for option, what in _MACHINE.items():
        if kernel.lacks(option):
            return f"{kernel.image.release} cannot be rehearsed: {what} ({option})."
    return ""


def not_read(target: Kernel) -> str:
    """Say what of a target is not rehearsed, since it could not be read; empty: all is. Pure."""
    image = target.image
    if not image.initrd or target.initrd:
        return ""
    return f"the target's own initrd: {image.initrd} {image.initrd_fault}"


def _running(folders: Folders, running: str) -> Path:
    images = scan(folders.boot, folders.modules, running)
    found = [i for i in images if is_called(i, running)]
    if not found:
        raise NotDone(
            f"The image of the running kernel ({running}) is not in {folders.boot}: name it by "
            f"--kernel FILE.{faults_of(images)}",
            Exit.NOT_FOUND,
        )
    return Path(found[0].path)


def _initrd(image: KernelImage, *, chosen: bool) -> bytes:
    """Return the target's own initrd; nothing where it has none that could be loaded."""
    if not image.initrd or (image.initrd_fault and not chosen):
        return b""
    return _file(Path(image.initrd), "the initrd")


def _module(folders: Folders, image: KernelImage) -> bytes:
    if image.orchestrator_fault:
        raise NotDone(image.orchestrator_fault, Exit.BAD_IMAGE)
    try:
        return module_content(folders.modules / image.release)
    except FileNotFoundError:
        return b""
    except OSError as error:
        path = error.filename or folders.modules / image.release
        raise _unreadable(f"{path} (luo.ko of {image.release})", error) from None
    except (Torn, CannotUnpack) as error:
        text = f"luo.ko of {image.release} cannot be read: {error}."
        raise NotDone(text, Exit.BAD_IMAGE) from None


def _file(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(f"{path} ({what})", error) from None


def _unreadable(what: str, error: OSError) -> NotDone:
    denied = isinstance(error, PermissionError)
    code = Exit.NOT_PERMITTED if denied else Exit.NOT_FOUND
    return NotDone(f"{what} {why_unreadable(error)}.", code)
