# SPDX-License-Identifier: GPL-2.0
"""Images that a machine has besides its own two, for what few need: Debian's QEMU.

Made when they are asked for. The initial RAM disk lays one, on /dev/vdd, between top
and base; what the base holds already is not in it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import cache
import images

_PROGRAM = "usr/bin/qemu-system-x86_64"
_PACKAGES = ("qemu-system-x86", "ipxe-qemu")
_READ = (
    "usr/lib/x86_64-linux-gnu/qemu/accel-tcg-x86_64.so",
    "usr/share/seabios/bios-256k.bin",
    "usr/share/seabios/vgabios-stdvga.bin",
    "usr/share/qemu/kvmvapic.bin",
    "usr/lib/ipxe/qemu/efi-virtio.rom",
)
"""What it reads besides its libraries, of a guest with a disk and a network."""


def qemu(base: Path) -> Sequence[str]:
    """Return QEMU's arguments for a machine in which there is a QEMU.

    ``base`` is the image that it is laid upon, as in ``images.Images``.
    """
    name = cache.key(base.parent.name, *_PACKAGES, *_READ, cache.recipe(_build, _libraries))
    folder = cache.make("qemu", name, lambda work: _build(work, base.parent / "tree"))
    drive = f"file={folder / 'qemu.img'},format=raw,if=virtio,readonly=on,file.locking=off"
    return ("-drive", drive)


def _build(work: Path, base: Path) -> None:
    cache.say("building an image of Debian's QEMU")
    whole, tree = work / "whole", work / "tree"
    images.extract(whole, _PACKAGES)
    for name in (_PROGRAM, *_READ, *_libraries(whole, base)):
        target = tree / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(whole / name, target)
    images.squash(tree, work / "qemu.img", level=3)
    shutil.rmtree(whole)
    shutil.rmtree(tree)


def _libraries(whole: Path, base: Path) -> Iterator[str]:
    """Yield the libraries of the program that the base has not."""
    folders = [whole / "lib/x86_64-linux-gnu", whole / "usr/lib/x86_64-linux-gnu"]
    said = cache.run(
        [folders[0] / "ld-linux-x86-64.so.2", "--library-path", ":".join(map(str, folders)),
         "--list", whole / _PROGRAM],
        "asking for QEMU's libraries",
    )  # fmt: skip
    for word in said.split():
        path = Path(word)
        if path.is_relative_to(whole) and not (base / path.relative_to(whole)).exists():
            yield str(path.relative_to(whole))
