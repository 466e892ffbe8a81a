# SPDX-License-Identifier: MIT
"""The DKMS package: the whole module, or one that says that the kernel has no handover."""

from __future__ import annotations

import errno
import os
import platform
import shutil
import subprocess
import tomllib
from pathlib import Path

import images
import pytest
import stock
from kernels import Kernel
from machine import Built, Machine

# In ``make test`` they run in a root that has the packages and nothing else: tests/fresh.
pytestmark = pytest.mark.extra

KERNEL = Path(__file__).parents[2] / "kernel"
# Those of the release that runs here: its compiler is the one they were built with.
DEBIAN = platform.freedesktop_os_release()["VERSION_CODENAME"]
ENVIRONMENT = {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}

_INIT = """#!/bin/busybox sh
/bin/busybox mkdir /proc
/bin/busybox mount -t proc proc /proc
/bin/busybox insmod /luo.ko
code=$?
# A line of the kernel's in the middle of one of these would tear it.
/bin/busybox dmesg -n 1
/bin/busybox echo "insmod: exit $code"
/bin/busybox grep -c '^luo ' /proc/modules
/bin/busybox poweroff -f
"""


@pytest.mark.parametrize("suite", [DEBIAN, f"{DEBIAN}-backports"])
def test_a_stock_kernel_gets_a_module_that_refuses(suite: str, tmp_path: Path) -> None:
    kernel = stock.stock(suite)
    assert "CONFIG_KEXEC_HANDOVER=y" not in kernel.config.read_text().splitlines()
    module = dkms_build(kernel, tmp_path)
    assert modinfo(module, "vermagic").split()[0] == kernel.release
    assert modinfo(module, "luo_compatible") == ""

    log = load(kernel, module, tmp_path)
    assert f"Linux version {kernel.release}" in log
    assert "luo: no live updates with this kernel: CONFIG_KEXEC_HANDOVER is off" in log
    assert "insmod: can't insert '/luo.ko': Operation not supported" in log
    assert f"insmod: exit {errno.EOPNOTSUPP}\n0\n" in log.replace("\r", "")
    assert "Call Trace" not in log


def test_the_package_has_the_version_of_the_console() -> None:
    project = tomllib.loads((KERNEL.parent / "pyproject.toml").read_text())["project"]
    lines = (KERNEL / "dkms.conf").read_text().splitlines()
    assert f'PACKAGE_VERSION="{project["version"]}"' in lines


def test_a_kernel_with_handover_gets_the_whole_module(built: Built, tmp_path: Path) -> None:
    kernel = built.kernels["new"]
    module = dkms_build(kernel, tmp_path)
    assert modinfo(module, "vermagic").split()[0] == kernel.release
    assert modinfo(module, "luo_compatible").startswith("luo-")


def modinfo(module: Path, field: str) -> str:
    """Return one line of what the module's file says about itself."""
    done = subprocess.run(
        ["modinfo", "-F", field, module],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def dkms_build(kernel: Kernel, folder: Path) -> Path:
    """Let dkms build the module in folders of its own; nothing of the host is touched."""
    package = folder / "package"
    shutil.copytree(KERNEL, package, ignore=shutil.ignore_patterns("lab", "*.o", "*.ko"))
    command = ["dkms", "build", package, "-k", kernel.release, "--kernelsourcedir", kernel.build]
    for name in ("dkmstree", "sourcetree", "installtree"):
        (folder / name).mkdir()
        command += [f"--{name}", folder / name]
    done = subprocess.run(
        [str(c) for c in command],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    said = [p.read_text() for p in folder.rglob("make.log")]
    assert done.returncode == 0, "\n".join([done.stdout, *said])
    (module,) = (folder / "dkmstree").rglob("luo.ko*")
    return module


def load(kernel: Kernel, module: Path, folder: Path) -> str:
    """Boot that kernel, load the module into it, and return what the console said."""
    tree = folder / "initrd"
    (tree / "bin").mkdir(parents=True)
    shutil.copy2("/bin/busybox", tree / "bin/busybox")
    shutil.copy2(module, tree / "luo.ko")
    (tree / "init").write_text(_INIT)
    (tree / "init").chmod(0o755)
    images.pack(tree, folder / "initrd.img")
    # QEMU 7.2 loses flags at a cmpxchg16b as Linux 6.12's allocator does it, and the kernel dies.
    machine = Machine(f"test-{os.getpid()}-stock", qemu=["-cpu", "max,-cx16"])
    try:
        return machine.run_static(kernel, folder / "initrd.img", wait=120)
    finally:
        machine.remove()
