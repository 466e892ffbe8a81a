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
    "usr/share/qemu/kvmvapic.bin",
    "usr/lib/ipxe/qemu/efi-virtio.rom",
)
"""What it reads besides its libraries, of a guest with a disk and a network."""
OWN = "opt/qemu"
"""Where a newer QEMU has its libraries: the base's are too old for it, the C library first."""
_LOADER, _OWN_LOADER = b"/lib64/ld-linux-x86-64.so.2\0", f"/{OWN}/ld.so".encode()


def qemu(base: Path) -> Sequence[str]:
    """Return QEMU's arguments for a machine in which there is a QEMU.

    ``base`` is the image that it is laid upon, as in ``images.Images``.
    """
    name = cache.key(base.parent.name, *_PACKAGES, *_READ, cache.recipe(_build, _libraries))
    folder = cache.make("qemu", name, lambda work: _build(work, base.parent / "tree"))
    drive = f"file={folder / 'qemu.img'},format=raw,if=virtio,readonly=on,file.locking=off"
    return ("-drive", drive)


def newer_qemu(suite: str) -> Sequence[str]:
    """Return the same with the QEMU of a later suite of Debian.

    It is to be started with ``LD_LIBRARY_PATH`` at :data:`OWN`.
    """
    # A suite changes; what was fetched is kept until somebody asks for another.
    name = cache.key(suite, *_PACKAGES, cache.recipe(_build_newer, _needed))
    folder = cache.make(f"qemu-{suite}", name, lambda work: _build_newer(work, suite))
    drive = f"file={folder / 'qemu.img'},format=raw,if=virtio,readonly=on,file.locking=off"
    return ("-drive", drive)


def _build_newer(work: Path, suite: str) -> None:
    cache.say(f"building an image of the QEMU of Debian {suite}")
    whole, tree = work / "whole", work / "tree"
    images.extract(whole, (*_PACKAGES, "seabios"), suite)
    own = tree / OWN
    own.mkdir(parents=True)
    loader = whole / "usr/lib64/ld-linux-x86-64.so.2"
    shutil.copy2(loader, own / "ld.so")
    for path in _needed(whole, loader):
        shutil.copy2(path, own / path.name)
    # Its process is to be QEMU's, not the loader's, which would be started in front of it.
    program = (whole / _PROGRAM).read_bytes()
    if program.count(_LOADER) != 1:
        raise cache.LabError(f"{_PROGRAM} of {suite} does not name its loader once")
    target = tree / _PROGRAM
    target.parent.mkdir(parents=True)
    target.write_bytes(program.replace(_LOADER, _OWN_LOADER.ljust(len(_LOADER), b"\0")))
    target.chmod(0o755)
    for name in ("bios-256k.bin", "kvmvapic.bin", "efi-virtio.rom"):
        found = next(p for p in sorted(whole.rglob(name)) if p.is_file())
        target = tree / "usr/share/qemu" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(found, target)
    images.squash(tree, work / "qemu.img", level=3)
    shutil.rmtree(whole)
    shutil.rmtree(tree)


def _needed(whole: Path, loader: Path) -> Iterator[Path]:
    """Yield all libraries of the program."""
    folder = whole / "usr/lib/x86_64-linux-gnu"
    said = cache.run(
        [loader, "--library-path", folder, "--list", whole / _PROGRAM],
        "asking for QEMU's libraries",
    )
    yield from (Path(w) for w in said.split() if Path(w).is_relative_to(folder))


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
