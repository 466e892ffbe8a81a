# SPDX-License-Identifier: GPL-2.0
"""Builds the guest's two read-only images and its initial RAM disk.

The base holds Python, udev, ssh and the console's libraries, and changes with
the package lists alone. The top holds what changes often: the kernels, their
modules, the package itself, the keys; it takes a second.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cache
import source
from kernels import Kernel

from luo_tui.machine import cpio

_SUITE = "bookworm"
_PYTHON = "3.11"
_PACKAGES = (
    "busybox-static",
    "dropbear-bin",
    "kmod",
    "libc-bin",
    "libpython3.11-stdlib",
    "ncurses-base",
    "procps",
    "python3-minimal",
    "udev",
)
_DROP = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "var/cache/apt")
_FILES = ("guest-init", "guest-initrd", "guest-tsc.c")
_VMM = sorted(p for p in (cache.LAB / "vmm").iterdir() if p.suffix in {".c", ".h", ".S"})
_AGENT = cache.CHECKOUT / "tests/contract/agent.py"


@dataclass(frozen=True)
class Images:
    """What a machine is started with."""

    base: Path
    top: Path
    initrd: Path


def images(built: Mapping[str, Kernel], modules: Mapping[str, Path]) -> Images:
    """Return all images, built if they are not there."""
    dependencies = _dependencies()
    base = cache.make(
        "base",
        cache.key(
            _SUITE,
            *_PACKAGES,
            *_DROP,
            *dependencies,
            cache.recipe(_build_base, extract, _compile, _links, _accounts, squash),
        ),
        lambda work: _build_base(work, dependencies),
    )
    keys = key().parent
    package = sorted((cache.CHECKOUT / "luo_tui").rglob("*"))
    package = [p for p in package if p.is_file() and "__pycache__" not in p.parts]
    parts = [x for p in package for x in (str(p.relative_to(cache.CHECKOUT)), p)]
    agent = [_AGENT] if _AGENT.exists() else []
    top = cache.make(
        "top",
        cache.key(
            *parts,
            *agent,
            *(str(m) for m in modules.values()),
            *(str(k.image) for k in built.values()),
            *(cache.LAB / f for f in _FILES),
            *_VMM,
            cache.LAB.parent / "liveupdate.h",
            base.name,
            cache.recipe(_build_top, _install, _compile, _build_initrd, pack, _entries, squash),
        ),
        lambda work: _build_top(work, base, keys, built, modules, package),
    )
    return Images(base / "base.img", top / "top.img", top / "initrd.img")


def key() -> Path:
    """Return the private ssh key that opens root and watcher; it never leaves the cache."""
    return cache.make("ssh", "1", _build_key) / "id"


def _dependencies() -> list[str]:
    with (cache.CHECKOUT / "pyproject.toml").open("rb") as file:
        return list(tomllib.load(file)["project"]["dependencies"])


def _build_base(work: Path, dependencies: list[str]) -> None:
    cache.say("building the guest's root file system")
    tree = work / "tree"
    extract(tree, _PACKAGES)
    site = tree / "usr/lib/python3/dist-packages"
    cache.run(
        [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", "install",
         "--no-compile", "--target", site, "--only-binary=:all:", "--python-version", _PYTHON,
         "--implementation", "cp", "--abi", "cp311", "--abi", "abi3", "--abi", "none",
         "--platform", "manylinux2014_x86_64", "--platform", "manylinux_2_17_x86_64",
         "--platform", "any", *dependencies],
        "fetching the console's libraries (check the network, then repeat)",
    )  # fmt: skip
    for part in _DROP:
        shutil.rmtree(tree / part, ignore_errors=True)
    for part in ("proc", "sys", "dev", "run", "tmp", "root", "var/lib/luo-tui", "home", "mnt"):
        (tree / part).mkdir(parents=True, exist_ok=True)
    _links(tree)
    _accounts(tree)
    cache.run(["ldconfig", "-r", tree], "indexing the guest's libraries", env=_with_sbin())
    _compile(tree, tree, f"usr/lib/python{_PYTHON}", "usr/lib/python3/dist-packages")
    # The tree stays: its Python compiles what the top layer holds.
    squash(tree, work / "base.img", level=12)


def extract(tree: Path, packages: Sequence[str], suite: str = _SUITE) -> None:
    """Unpack packages of a suite, the guest's by default, and all that they need into ``tree``."""
    # Nothing runs in an extracted tree, so that anybody may make one.
    mode = "root" if os.geteuid() == 0 else "chrootless"
    cache.run(
        ["mmdebstrap", f"--mode={mode}", "--variant=extract", f"--include={','.join(packages)}",
         # A mirror may stand still for longer than what it says of sid is good for.
         "--aptopt=Acquire::Check-Valid-Until \"false\"",
         suite, tree, f"deb [signed-by={source.KEYRING}] {source.mirror()} {suite} main"],
        "fetching the guest's packages (check the network, then repeat)",
    )  # fmt: skip


def _compile(base: Path, tree: Path, *folders: str) -> None:
    """Compile Python files with the guest's own Python; no root and no chroot is needed."""
    libraries = [base / "lib/x86_64-linux-gnu", base / "usr/lib/x86_64-linux-gnu"]
    cache.run(
        [libraries[0] / "ld-linux-x86-64.so.2", "--library-path", ":".join(map(str, libraries)),
         base / f"usr/bin/python{_PYTHON}", "-m", "compileall", "-q",
         "--invalidation-mode", "unchecked-hash", "-s", tree, "-p", "/",
         *(tree / f for f in folders)],
        "compiling the guest's Python files",
        env={"PYTHONHOME": str(base / "usr"), "LANG": "C.UTF-8"},
    )  # fmt: skip


def _with_sbin() -> dict[str, str]:
    return {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}


def _links(tree: Path) -> None:
    """Give busybox its names, where nothing else has them."""
    names = cache.run([tree / "bin/busybox", "--list-full"], "asking busybox for its applets")
    for name in names.split():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() and not path.is_symlink():
            path.symlink_to("/bin/busybox")
    python = tree / "usr/bin/python3"
    if not python.exists():
        python.symlink_to(f"python{_PYTHON}")


def _accounts(tree: Path) -> None:
    """No maintainer script runs in an extracted tree: the accounts are ours to write."""
    etc = tree / "etc"
    (etc / "passwd").write_text(
        "root:x:0:0:root:/root:/bin/sh\nwatcher:x:1000:1000:watcher:/home/watcher:/bin/sh\n"
    )
    (etc / "group").write_text(
        "root:x:0:\ntty:x:5:\ndisk:x:6:\nkmem:x:15:\nvideo:x:44:\nwatcher:x:1000:\n"
    )
    (etc / "shadow").write_text("root:*:19000:0:99999:7:::\nwatcher:*:19000:0:99999:7:::\n")
    (etc / "shells").write_text("/bin/sh\n")
    (etc / "hostname").write_text("lab-hv\n")
    # What mmdebstrap copied is the builder's, and there is nobody to ask anyway.
    (etc / "resolv.conf").write_text("")
    (etc / "profile").write_text(
        "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
        "export LANG=C.UTF-8\n"
        "PS1='\\u@lab-hv:\\w\\$ '\n"
    )


def _build_key(work: Path) -> None:
    cache.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", work / "id"],
        "making a key for the lab",
    )


def _build_top(
    work: Path,
    base: Path,
    keys: Path,
    built: Mapping[str, Kernel],
    modules: Mapping[str, Path],
    package: list[Path],
) -> None:
    tree = work / "tree"
    site = tree / "usr/lib/python3/dist-packages"
    for path in package:
        target = site / path.relative_to(cache.CHECKOUT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    _compile(base / "tree", tree, "usr/lib/python3/dist-packages")
    for folder in ("usr/bin", "sbin", "boot", "usr/lib/luo-tui"):
        (tree / folder).mkdir(parents=True, exist_ok=True)
    _write(tree / "usr/bin/luo-tui", '#!/bin/sh\nexec python3 -m luo_tui "$@"\n', 0o755)
    _write(tree / "sbin/init", (cache.LAB / "guest-init").read_text(), 0o755)
    if _AGENT.exists():
        shutil.copy2(_AGENT, tree / "usr/lib/luo-tui/agent.py")
    tsc = tree / "usr/bin/lab-tsc"
    cache.run(["gcc", "-static", "-O2", "-o", tsc, cache.LAB / "guest-tsc.c"], "compiling lab-tsc")
    cache.run(
        ["gcc", "-static", "-O2", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE",
         "-o", tree / "usr/bin/lab-vmm", *(p for p in _VMM if p.suffix != ".h")],
        "compiling lab-vmm",
    )  # fmt: skip
    _build_initrd(work)
    for n, kernel in built.items():
        release = kernel.release
        shutil.copy2(kernel.image, tree / f"boot/vmlinuz-{release}")
        shutil.copy2(kernel.config, tree / f"boot/config-{release}")
        shutil.copy2(work / "initrd.img", tree / f"boot/initrd.img-{release}")
        _install(modules[n], tree, release)
    public = (keys / "id.pub").read_text()
    for home in ("root", "home/watcher"):
        dot_ssh = tree / home / ".ssh"
        dot_ssh.mkdir(parents=True)
        _write(dot_ssh / "authorized_keys", public, 0o600)
        dot_ssh.chmod(0o700)
        dot_ssh.parent.chmod(0o700)
    squash(tree, work / "top.img", level=1)
    shutil.rmtree(tree)


def _install(modules: Path, tree: Path, release: str) -> None:
    """Do what modules_install does; their dependencies are needed by modprobe."""
    folder = tree / "lib/modules" / release
    (folder / "extra").mkdir(parents=True)
    for path in modules.rglob("*.ko"):
        shutil.copy2(path, folder / "extra")
    for name in ("modules.order", "modules.builtin"):
        (folder / name).touch()
    cache.run(["depmod", "-b", tree, release], "indexing the modules", env=_with_sbin())


def _build_initrd(work: Path) -> None:
    tree = work / "initrd"
    (tree / "bin").mkdir(parents=True)
    shutil.copy2(shutil.which("busybox") or "/bin/busybox", tree / "bin/busybox")
    _write(tree / "init", (cache.LAB / "guest-initrd").read_text(), 0o755)
    pack(tree, work / "initrd.img")
    shutil.rmtree(tree)


def pack(tree: Path, image: Path) -> None:
    """Make an initial RAM disk of what lies in ``tree``; all in it is root's."""
    plain = image.with_name(f".{image.name}.cpio")
    with plain.open("wb") as file:
        file.writelines(cpio.archive(_entries(tree)))
    cache.run(
        ["zstd", "-q", "-f", "-10", "--rm", "-o", image, plain], "packing an initial RAM disk"
    )


def _entries(tree: Path) -> Iterator[cpio.Entry]:
    """Yield what lies in ``tree``, each folder before what is in it."""
    for path in sorted(tree.rglob("*")):
        mode = path.lstat().st_mode
        content = b""
        if stat.S_ISLNK(mode):
            content = os.fsencode(path.readlink())
        elif stat.S_ISREG(mode):
            content = path.read_bytes()
        yield cpio.Entry(str(path.relative_to(tree)), content, mode)


def squash(tree: Path, image: Path, *, level: int) -> None:
    """Make a read-only image of ``tree``; all in it is root's."""
    cache.run(
        ["mksquashfs", tree, image, "-all-root", "-noappend", "-no-progress", "-comp", "zstd",
         "-Xcompression-level", str(level)],
        "packing an image",
        env=_with_sbin(),
    )  # fmt: skip


def _write(path: Path, text: str, mode: int) -> None:
    path.write_text(text)
    path.chmod(mode)
