# SPDX-License-Identifier: GPL-2.0
"""Debian's own kernels: image and headers, unpacked into the cache and not installed."""

from __future__ import annotations

import re
from pathlib import Path

import cache
import source
from kernels import Kernel

# The smaller one of the configurations for a virtual machine.
_FLAVOUR = "cloud-amd64"
_META = f"linux-headers-{_FLAVOUR}"
# Of one release of the kernel, as the digit says. Which of them has the image, the
# configuration or a script is another matter in each release of Debian.
_PARTS = re.compile(r"linux-(headers|kbuild|image|binary|base)-[0-9]")
_IMAGES = ("boot/vmlinuz-*", "usr/lib/modules/*/vmlinuz")


def stock(suite: str) -> Kernel:
    """Return the kernel that a suite of Debian comes with; modules can be built for it."""
    wanted = source.version(_META, suite)
    folder = cache.make(
        "stock",
        cache.key(suite, wanted, cache.recipe(_unpack, _parts)),
        lambda work: _unpack(work, suite, wanted),
    )
    return _kernel(folder)


def _kernel(folder: Path) -> Kernel:
    """Return the one kernel that lies unpacked in ``folder``."""
    (build,) = folder.glob(f"usr/src/linux-headers-*-{_FLAVOUR}")
    (image,) = (image for pattern in _IMAGES for image in folder.glob(pattern))
    return Kernel(build.name.removeprefix("linux-headers-"), image, build / ".config", build)


def _unpack(work: Path, suite: str, wanted: str) -> None:
    for part, version in _parts(suite, wanted).items():
        package = source.download(part, version, work, suite)
        cache.run(
            ["sh", "-c", 'dpkg-deb --fsys-tarfile "$0" | tar -x -C "$1"'
             " --exclude=./usr/share --exclude=./lib/modules --exclude='*.ko*'",
             package, work],
            f"unpacking {part}",
        )  # fmt: skip
        package.unlink()
    # They are made for one place, and say so.
    makefile = _kernel(work).build / "Makefile"
    makefile.write_text(makefile.read_text().replace("/usr/src/", f"{work}/usr/src/"))


def _parts(suite: str, wanted: str) -> dict[str, str]:
    """Return all packages that headers and image of one kernel consist of, with their versions."""
    found: dict[str, str] = {}
    ask = list(filter(_PARTS.match, source.needs(_META, wanted, suite)))
    ask += [name.replace("headers", "image", 1) for name in ask if "-headers-" in name]
    while ask:
        name = ask.pop()
        if name not in found:
            found[name] = source.version(name, suite)
            ask += filter(_PARTS.match, source.needs(name, found[name], suite))
    return found
