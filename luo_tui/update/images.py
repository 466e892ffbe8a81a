# SPDX-License-Identifier: MIT
"""Reads kernel image files: what a target is, before anything is loaded.

Beside the image stand its initrd and often its config, named by its release
(Debian ``initrd.img-RELEASE``, Fedora ``initramfs-RELEASE.img``, openSUSE
``initrd-RELEASE``) or, as the image itself is, by its flavour (Arch
``initramfs-linux.img`` beside ``vmlinuz-linux``, Alpine ``initramfs-lts`` beside
``vmlinuz-lts``).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from luo_tui.model import KernelImage
from luo_tui.uapi.kho import built_with
from luo_tui.update.boot_entries import FoundEntry, read_entries
from luo_tui.update.boot_header import SIZE, BootHeader, NotLoadable, parse
from luo_tui.update.kernel_abi import NOT_SEARCHED, read_abi
from luo_tui.update.kernel_config import KernelConfig, read_beside, read_inside
from luo_tui.update.luo_module import find_module
from luo_tui.update.regular_file import open_regular, why_unreadable

_PREFIXES = ("vmlinuz-", "bzImage-", "kernel-")
_INITRDS = ("initrd.img-{}", "initramfs-{}.img", "initrd-{}", "initrd-{}.img", "initramfs-{}")
_BARE = {"linux": ("initrd",), "vmlinuz": ("initrd.img", "initrd")}
"""Where a folder or a link stands for one kernel: kernel-install's, and the links of old."""


def scan(boot: Path, modules: Path, running: str) -> Sequence[KernelImage]:
    """List the kernel images in ``boot``, those that are not ``running`` and newest first.

    With them stand the kernels of its boot entries, which may lie in folders of their own.

    Never raises: a file that cannot be read, or is no kernel, is listed with
    its fault, and so is the folder itself. No image is unpacked, which takes
    time: a config that stands inside only is not found.
    """
    found = []
    try:
        names = sorted(boot.iterdir())
    except OSError as error:
        return [KernelImage(str(boot), fault=why_unreadable(error))]
    for path in names:
        if path.name.startswith(_PREFIXES) and not path.is_dir():
            found.append((_mtime(path), read_image(path, modules, look_inside=False)))
    _add_entries(found, boot, modules)
    found.sort(key=lambda f: (bool(f[1].fault), f[1].release == running, -f[0]))
    return [image for _, image in found]


def _add_entries(found: list[tuple[float, KernelImage]], boot: Path, modules: Path) -> None:
    """Add the kernels of the boot entries; those that are listed get the entry's words.

    A kernel that two entries start is listed once, with the first. What lies
    beside an image is its initrd also where its entry names another one.
    """
    at = {os.path.realpath(image.path): n for n, (_, image) in enumerate(found)}
    for one in read_entries(boot):
        if one.fault:
            found.append((0.0, KernelImage(one.path, fault=one.fault)._replace(entry=one.path)))
            continue
        real = os.path.realpath(one.linux)
        known = at.setdefault(real, len(found))
        if known == len(found):
            path, initrd = Path(one.linux), Path(one.initrd) if one.initrd else None
            image = read_image(path, modules, initrd, look_inside=False)
            found.append((_mtime(path), _with_entry(image, one)))
        elif not found[known][1].entry:
            mtime, image = found[known]
            if not image.initrd and one.initrd and not image.fault:
                initrd = Path(one.initrd)
                image = read_image(Path(image.path), modules, initrd, look_inside=False)
            found[known] = mtime, _with_entry(image, one)


def _with_entry(image: KernelImage, found: FoundEntry) -> KernelImage:
    if found.entry is None:
        return image
    return image._replace(
        entry=found.path, title=found.entry.title, entry_options=found.entry.options
    )


def read_image(
    path: Path,
    modules: Path,
    initrd: Path | None = None,
    *,
    content: int | None = None,
    look_inside: bool = True,
) -> KernelImage:
    """Read one image file. Never raises; what speaks against it is in the faults.

    ``initrd`` overrides the one that lies beside the image. ``content`` is a
    descriptor, open for reading, of a copy that is read in place of the file;
    its position is left alone. With ``look_inside`` the kernel is unpacked, for
    what it speaks across a kexec and where nothing else tells its config: up to
    seconds, at most 256 MiB.
    """
    if content is not None:
        try:
            return _read(content, path, modules, initrd, look_inside).image
        except OSError as error:
            return KernelImage(str(path), fault=why_unreadable(error))
    return read_with_config(path, modules, initrd, look_inside=look_inside).image


class ImageRead(NamedTuple):
    """An image file, and the whole config of its kernel."""

    image: KernelImage
    config: str | None = None
    """None: not known; the image says why."""


def read_with_config(
    path: Path, modules: Path, initrd: Path | None = None, *, look_inside: bool = True
) -> ImageRead:
    """Read one image file as :func:`read_image` does, and return its kernel's config as well."""
    try:
        with open_regular(path) as fd:
            return _read(fd, path, modules, initrd, look_inside)
    except OSError as error:
        return ImageRead(KernelImage(str(path), fault=why_unreadable(error)))


def _read(fd: int, path: Path, modules: Path, initrd: Path | None, look_inside: bool) -> ImageRead:
    size = os.fstat(fd).st_size
    try:
        header = parse(os.pread(fd, SIZE, 0), size)
    except NotLoadable as fault:
        return ImageRead(KernelImage(str(path), bytes=size, fault=str(fault)))
    release = header.release
    beside = str(initrd) if initrd is not None else _initrd_beside(path, release)
    config = _config(fd, header, path, modules / release, look_inside)
    module = find_module(modules / release)
    abi = read_abi(fd, header, path.name) if look_inside else NOT_SEARCHED
    image = KernelImage(
        str(path),
        release,
        size,
        initrd=beside,
        initrd_fault=_initrd_fault(Path(beside)) if beside else "",
        kexec_handover=_built_with(config, "CONFIG_KEXEC_HANDOVER"),
        handover_default=_default(config),
        config_source=config.source,
        config_fault=config.fault,
        orchestrator=module.compatible,
        orchestrator_abi=module.abi,
        orchestrator_fault=module.fault,
        orchestrator_unread=module.unread,
        command_line_max=header.command_line_max,
        memory=header.memory,
        initrd_bytes=_initrd_bytes(Path(beside)) if beside else 0,
        signed=header.signed,
        abi=abi.versions,
        abi_fault=abi.fault,
    )
    return ImageRead(image, config.text)


def _mtime(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _places(image: Path) -> Iterator[Path]:
    """Yield the image's path, and what it is a link to, which may lie in another folder."""
    yield image
    real = Path(os.path.realpath(image))
    if real != image:
        yield real


def _initrd_beside(image: Path, release: str) -> str:
    """Find the initrd that belongs to the image: by release, then by the image's own name."""
    flavours = [p.name.partition("-")[2] for p in _places(image) if p.name.startswith(_PREFIXES)]
    names = [pattern.format(name) for name in (release, *flavours) for pattern in _INITRDS]
    for name in (*names, *_BARE.get(image.name, ())):
        for place in _places(image):
            # A link to nothing is found as well: it is a fault, not a lack.
            if os.path.lexists(path := place.with_name(name)):
                return str(path)
    return ""


def _initrd_fault(path: Path) -> str:
    """Say why the kernel could not load it, as far as can be seen without reading it."""
    try:
        with open_regular(path) as fd:
            return "" if os.fstat(fd).st_size else "is empty"
    except OSError as error:
        return why_unreadable(error)


def _initrd_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _config(
    fd: int, header: BootHeader, image: Path, modules: Path, look_inside: bool
) -> KernelConfig:
    name = f"config-{header.release}"
    beside = read_beside((*(p.with_name(name) for p in _places(image)), modules / "config"))
    if beside.text is not None:
        return beside
    if not look_inside:
        return KernelConfig(fault=f"{beside.fault}; the image itself was not searched for one")
    inside = read_inside(fd, header)
    if inside.text is not None:
        return inside
    return KernelConfig(fault=f"{beside.fault}; {inside.fault}")


def _built_with(config: KernelConfig, option: str) -> bool | None:
    return None if config.text is None else built_with(config.text, option)


def _default(config: KernelConfig) -> bool | None:
    """Whether KHO is on by itself; unknown where a built-in command line may say otherwise."""
    if _built_with(config, "CONFIG_CMDLINE_BOOL"):
        return None
    return _built_with(config, "CONFIG_KEXEC_HANDOVER_ENABLE_DEFAULT")
