# SPDX-License-Identifier: GPL-2.0
"""Builds two kernels of one source that differ in their release, and luo.ko for both."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import cache
import source

NAMES = ("old", "new")
_CONFIG = cache.LAB / "kernel.config"
_UNUSED = ("Documentation", "drivers", "sound", "samples", "fs", "net", "tools/testing")


@dataclass(frozen=True)
class Kernel:
    """One built kernel."""

    release: str
    image: Path
    config: Path
    build: Path
    """Output folder, with all that external modules need."""


def kernels() -> dict[str, Kernel]:
    """Return both kernels, built if they are not there."""
    wanted = source.version()
    compiler = cache.run(["gcc", "-dumpfullversion"], "asking for the compiler's version")
    name = cache.key(wanted, compiler, _CONFIG, cache.recipe(_build, _make))
    folder = cache.make("kernels", name, lambda work: _build(work, wanted))
    return {n: _kernel(folder / n) for n in NAMES}


def modules(built: dict[str, Kernel]) -> dict[str, Path]:
    """Return a folder for each kernel with luo.ko and what else kernel/ has, built if need be.

    A warning is a failure.
    """
    kernel = cache.KERNEL
    folders = [k.parent for k in sorted(kernel.rglob("Kbuild"))]
    if kernel not in folders:
        raise cache.LabError("kernel/Kbuild is missing: there is no module to build")
    files = sorted(f for folder in folders for f in [*folder.glob("*.[ch]"), folder / "Kbuild"])
    files = [f for f in files if not f.name.endswith(".mod.c")]
    parts = [p for f in files for p in (str(f.relative_to(kernel)), f)]
    name = cache.key(*parts, *(str(k.build) for k in built.values()))

    def build(work: Path) -> None:
        for n, k in built.items():
            copy = work / n
            for f in files:
                target = copy / f.relative_to(kernel)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(f, target)
            text = cache.run(
                ["make", "-C", k.build, f"M={copy}", "W=1", "modules", f"-j{_jobs()}"],
                f"building the modules for {k.release}",
            )
            warnings = [line for line in text.splitlines() if "warning:" in line.lower()]
            if warnings:
                raise cache.LabError("kernel/ builds with warnings:\n" + "\n".join(warnings))

    folder = cache.make("module", name, build)
    return {n: folder / n for n in built}


def _jobs() -> int:
    return os.cpu_count() or 1


def _build(work: Path, wanted: str) -> None:
    tree = source.unpack(wanted, work)
    # Both are made in one folder, one after the other: in a copy the build's own
    # tools would be made anew, and then everything that they touch.
    folder = work / "build"
    cache.say(f"building two kernels of {wanted}; about ten minutes of CPU time")
    _make(
        tree,
        folder,
        "old",
        "allnoconfig",
        what="configuring",
        more=[f"KCONFIG_ALLCONFIG={_CONFIG}"],
    )
    _assert_config(folder / ".config")
    for name in NAMES:
        _make(tree, folder, name, "bzImage", "modules", what=f"building the {name} kernel")
        copy = work / name
        cache.run(["cp", "-a", folder, copy], "copying the build")
        makefile = copy / "Makefile"
        makefile.write_text(makefile.read_text().replace(str(folder), str(copy)))
        if not (copy / "Module.symvers").exists():
            shutil.copy2(copy / "vmlinux.symvers", copy / "Module.symvers")
        for path in copy.rglob("*.o"):
            if not path.is_relative_to(copy / "scripts"):
                path.unlink()
        for path in copy.glob("vmlinux*"):
            if path.name != "vmlinux.symvers":
                path.unlink()
    shutil.rmtree(folder)
    for part in _UNUSED:
        shutil.rmtree(tree / part, ignore_errors=True)
    shutil.rmtree(work / "package", ignore_errors=True)


def _make(
    tree: Path, folder: Path, name: str, *targets: str, what: str, more: list[str] | None = None
) -> None:
    env = {
        **os.environ,
        "KBUILD_BUILD_USER": "luo",
        "KBUILD_BUILD_HOST": "lab",
        "KBUILD_BUILD_TIMESTAMP": "Thu Jan  1 00:00:00 UTC 1970",
    }
    folder.mkdir(exist_ok=True)
    cache.run(
        ["make", "-C", tree, f"O={folder}", f"LOCALVERSION=-luo-{name}", f"-j{_jobs()}",
         *(more or []), *targets],
        what,
        env=env,
    )  # fmt: skip


def _assert_config(config: Path) -> None:
    """Kconfig drops silently what it can't grant; say which."""
    got = set(config.read_text().splitlines())
    wanted = [w for w in _CONFIG.read_text().splitlines() if w.startswith("CONFIG_")]
    missing = [w for w in wanted if w not in got and not w.endswith("=n")]
    if missing:
        raise cache.LabError("this source does not grant: " + ", ".join(missing))


def _kernel(folder: Path) -> Kernel:
    release = (folder / "include/config/kernel.release").read_text().strip()
    return Kernel(release, folder / "arch/x86/boot/bzImage", folder / ".config", folder)
