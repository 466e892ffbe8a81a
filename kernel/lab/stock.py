# SPDX-License-Identifier: GPL-2.0
"""Debian's own kernels: image and headers, unpacked into the cache and not installed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import cache
import source
from kernels import Kernel

# The smaller one of the configurations for a virtual machine.
_META = "linux-headers-cloud-amd64"
_HEADERS = re.compile(r"linux-(headers|kbuild)-[0-9]")


def stock(suite: str) -> Kernel:
    """Return the kernel that a suite of Debian comes with; modules can be built for it."""
    wanted = source.version(_META, suite)
    folder = cache.make(
        "stock",
        cache.key(suite, wanted, cache.recipe(_unpack)),
        lambda work: _unpack(work, suite, wanted),
    )
    (image,) = (folder / "boot").glob("vmlinuz-*")
    release = image.name.removeprefix("vmlinuz-")
    build = folder / "usr/src" / f"linux-headers-{release}"
    return Kernel(release, image, build / ".config", build)


def _unpack(work: Path, suite: str, wanted: str) -> None:
    (headers,) = source.needs(_META, wanted, suite)
    exact = source.version(headers, suite)
    parts = [headers, *filter(_HEADERS.match, source.needs(headers, exact, suite))]
    for part in parts:
        package = source.download(part, source.version(part, suite), work, suite)
        cache.run(["dpkg-deb", "-x", package, work], f"unpacking {part}")
        package.unlink()
    # They are made for one place, and say so.
    build = work / "usr/src" / headers
    makefile = build / "Makefile"
    makefile.write_text(makefile.read_text().replace("/usr/src/", f"{work}/usr/src/"))

    image = headers.replace("headers", "image", 1)
    package = source.download(image, source.version(image, suite), work, suite)
    cache.run(
        ["sh", "-c", 'dpkg-deb --fsys-tarfile "$0" | tar -x -C "$1" --wildcards "./boot/vmlinuz-*"',
         package, work],
        f"unpacking {image}",
    )  # fmt: skip
    package.unlink()
    shutil.rmtree(work / "usr/share", ignore_errors=True)
