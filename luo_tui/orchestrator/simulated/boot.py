# SPDX-License-Identifier: MIT
"""The simulated host's /boot and /lib/modules: real files, with nothing in them that runs."""

from __future__ import annotations

import os
from pathlib import Path

RUNNING = "7.3.3-hv"
TARGET = "7.3.4-hv"
LATER = "7.3.5-hv"
"""What the life of the host installs after a while."""
COMPATIBLE = "luo-ko-v3"
OTHER = "luo-ko-v0"
"""What the target reads in the scenario where it reads something else."""

_DRIVERS = (
    "ast",
    "i801_smbus",
    "ice",
    "mlx5_core",
    "nvidia",
    "nvidia-vgpu-vfio",
    "nvme",
    "qat_4xxx",
    "vfio-pci",
    "virtio_console",
    "virtio_net",
    "virtio_rng",
    "xhci_hcd",
)
"""Modules of the devices that the host has; the drivers of its bridges are built in."""

FORMATS = ("kho-v4", "luo-v5", "memfd-v2")
"""What Linux 7.3 speaks across a kexec."""


def install(
    boot: Path,
    modules: Path,
    release: str,
    compatible: str = COMPATIBLE,
    formats: tuple[str, ...] = FORMATS,
) -> None:
    """Lay down image, initial RAM disk, config and module of a kernel, as a package would.

    The image comes last and whole, by a rename.
    """
    boot.mkdir(parents=True, exist_ok=True)
    (boot / f"initrd.img-{release}").write_bytes(b"\0" * 512)
    (boot / f"config-{release}").write_text("CONFIG_KEXEC_HANDOVER=y\n")
    extra = modules / release / "extra"
    extra.mkdir(parents=True, exist_ok=True)
    (extra / "luo.ko").write_bytes(f"\0luo_compatible={compatible}\0".encode())
    (modules / release / "modules.dep").write_text(
        "".join(f"kernel/drivers/{name}.ko:\n" for name in _DRIVERS)
    )
    (modules / release / "modules.builtin").write_text("kernel/drivers/pcieport.ko\n")
    (modules / release / "modules.alias").write_text("")
    new = boot / f".vmlinuz-{release}.new"
    new.write_bytes(image(release, formats))
    new.replace(boot / f"vmlinuz-{release}")


def lay_menu(boot: Path, *releases: str) -> None:
    """Write what GRUB goes by: the first of the releases is started by itself."""
    (boot / "grub").mkdir(exist_ok=True)
    rows = ['set default="0"']
    for release in releases:
        rows += [f"menuentry 'Linux {release}' {{", f"\tlinux\t/vmlinuz-{release} ro", "}"]
    (boot / "grub/grub.cfg").write_text("\n".join(rows) + "\n")


def image(release: str, formats: tuple[str, ...] = FORMATS) -> bytes:
    """Build the smallest file that kexec_file_load takes for an x86 kernel image.

    Its kernel is not packed, and all that there is of it is what it speaks.
    """
    head = bytearray(1024)
    head[0x1F1] = 1
    head[0x1F4:0x1F8] = (4).to_bytes(4, "little")
    head[0x1FE:0x200] = b"\x55\xaa"
    head[0x202:0x206] = b"HdrS"
    head[0x206:0x208] = (0x20F).to_bytes(2, "little")
    head[0x211], head[0x236] = 0x01, 0x03
    head[0x238:0x23C] = (2047).to_bytes(4, "little")
    head[0x20E:0x210] = (0x300 - 0x200).to_bytes(2, "little")
    text = f"{release} (demo) #1 SMP\0".encode()
    head[0x300 : 0x300 + len(text)] = text
    kernel = b"\0" + b"".join(text.encode() + b"\0" for text in formats)
    head[0x24C:0x250] = len(kernel).to_bytes(4, "little")
    return bytes(head) + kernel.ljust(64, b"\0")


def release_of(image: int) -> str:
    """Read the release out of an open image; empty if it is none."""
    head = os.pread(image, 1024, 0)
    if head[0x202:0x206] != b"HdrS":
        return ""
    at = int.from_bytes(head[0x20E:0x210], "little") + 0x200
    words = head[at : at + 256].split(b"\0")[0].decode(errors="replace").split()
    return words[0] if words else ""
