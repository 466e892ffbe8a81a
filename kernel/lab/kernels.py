# SPDX-License-Identifier: GPL-2.0
"""Builds the lab's kernels, and the modules of kernel/ for each of them."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cache
import source

_UNUSED = ("Documentation", "drivers", "sound", "samples", "fs", "net")


@dataclass(frozen=True)
class Kernel:
    """One built kernel."""

    release: str
    image: Path
    config: Path
    build: Path
    """Output folder, with all that external modules need."""


@dataclass(frozen=True)
class _Flavour:
    """Kernels of one source and one configuration, which differ in their release."""

    package: str
    names: tuple[str, ...]
    fragments: tuple[Path, ...]
    """What the configuration has above allnoconfig; a later one outranks those before."""


_BASE = cache.LAB / "kernel.config"
_UPDATE = _Flavour("linux-source-7.3", ("old", "new"), (_BASE,))
_PRIOR = _Flavour("linux-source-7.2", ("prior",), (_BASE, cache.LAB / "prior.config"))
_DEBUG = _Flavour("linux-source-7.3", ("debug",), (_BASE, cache.LAB / "debug.config"))


def kernels() -> dict[str, Kernel]:
    """Return ``old`` and ``new``, between which the lab updates; built if they are not there."""
    return _built("kernels", _UPDATE)


def prior() -> dict[str, Kernel]:
    """Return ``prior``, of the kernel version before theirs; built if it is not there."""
    return _built("prior", _PRIOR)


def debug() -> dict[str, Kernel]:
    """Return ``debug``, their source with the kernel's own checks; built if it is not there."""
    return _built("debug", _DEBUG)


def modules(built: Mapping[str, Kernel]) -> dict[str, Path]:
    """Return for each kernel the folder with all modules of kernel/, built if it is not there.

    A warning is a failure.
    """
    kernel = cache.KERNEL
    if not (kernel / "Kbuild").exists():
        raise cache.LabError("kernel/Kbuild is missing: there is no module to build")
    files = [f for f in sorted(kernel.rglob("*")) if _is_source(f)]
    parts = [p for f in files for p in (str(f.relative_to(kernel)), f)]
    made = {}
    for n, k in built.items():
        name = cache.key(*parts, str(k.build), cache.recipe(_modules, _is_fault))
        made[n] = cache.make("module", name, functools.partial(_modules, kernel=k, files=files))
    return made


def _is_source(path: Path) -> bool:
    inside = path.relative_to(cache.KERNEL)
    return (
        inside.parts[0] != "lab"
        and (path.suffix in (".c", ".h") or path.name in ("Kbuild", "Makefile"))
        and not path.name.endswith(".mod.c")
    )


def _modules(work: Path, kernel: Kernel, files: list[Path]) -> None:
    for f in files:
        target = work / f.relative_to(cache.KERNEL)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(f, target)
    text = cache.run(
        ["make", "-C", kernel.build, f"M={work}", "W=1", "modules", f"-j{_jobs()}"],
        f"building the modules for {kernel.release}",
    )
    warnings = [line for line in text.splitlines() if _is_fault(line)]
    if warnings:
        raise cache.LabError("the modules build with warnings:\n" + "\n".join(warnings))


def _is_fault(line: str) -> bool:
    """Say whether this line of a module's build warns of anything that matters."""
    # These kernels have no debug information, for which pahole would be used: whether it
    # was installed before they were built or after it makes no difference.
    return "warning:" in line.lower() and "pahole version differs" not in line


def _built(kind: str, flavour: _Flavour) -> dict[str, Kernel]:
    wanted = source.version(flavour.package)
    compiler = cache.run(["gcc", "-dumpfullversion"], "asking for the compiler's version")
    name = cache.key(
        flavour.package,
        wanted,
        compiler,
        *flavour.names,
        *flavour.fragments,
        *_UNUSED,
        cache.recipe(_build, _make),
    )
    folder = cache.make(kind, name, lambda work: _build(work, flavour, wanted))
    return {n: _kernel(folder / n) for n in flavour.names}


def _jobs() -> int:
    return os.cpu_count() or 1


def _build(work: Path, flavour: _Flavour, wanted: str) -> None:
    tree = source.unpack(flavour.package, wanted, work)
    # All are made in one folder, one after the other: in a copy the build's own
    # tools would be made anew, and then everything that they touch.
    folder = work / "build"
    names = " and ".join(flavour.names)
    cache.say(f"building {names} of {flavour.package} {wanted}; about ten minutes of CPU time")
    fragment = work / "fragment"
    fragment.write_text("".join(f.read_text() for f in flavour.fragments))
    _make(
        tree,
        folder,
        flavour.names[0],
        "allnoconfig",
        what="configuring",
        more=[f"KCONFIG_ALLCONFIG={fragment}"],
    )
    _assert_config(folder / ".config", fragment)
    for name in flavour.names:
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


def _assert_config(config: Path, fragment: Path) -> None:
    """Kconfig drops silently what it can't grant; say which."""
    got = _options(config)
    wanted = _options(fragment)
    missing = [f"{name}={value}" for name, value in wanted.items() if got.get(name, "n") != value]
    if missing:
        raise cache.LabError("this source does not grant: " + ", ".join(missing))


def _options(config: Path) -> dict[str, str]:
    lines = config.read_text().splitlines()
    pairs = (line.partition("=") for line in lines if line.startswith("CONFIG_"))
    return {name: value for name, _, value in pairs}


def _kernel(folder: Path) -> Kernel:
    release = (folder / "include/config/kernel.release").read_text().strip()
    return Kernel(release, folder / "arch/x86/boot/bzImage", folder / ".config", folder)
