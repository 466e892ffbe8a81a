# SPDX-License-Identifier: MIT
"""What is built into the simulated machine: its devices, those that take part, and its vitals."""

from __future__ import annotations

import time

from luo_tui.model import Device, Participant, Vitals

_GIB = 1 << 30
MEMORY = 256 * _GIB

PARTICIPANTS = (
    Participant("subsystem-pci-v1", "subsystem", "pci-v1", "registered"),
    Participant("pci-0000:3b:00.0", "pci", "0000:3b:00.0", "registered", driver="mlx5_core"),
    Participant("subsystem-vfio-v1", "subsystem", "vfio-v1", "registered"),
    Participant(
        "pci-0000:5e:00.0",
        "pci",
        "0000:5e:00.0",
        "refused",
        driver="ice",
        reason="it is behind a bridge",
    ),
)

_WEB = "cloud-hyperviso [2101] guest-web1"
_DB = "cloud-hyperviso [2177] guest-db1"
_CI = "cloud-hyperviso [2231] guest-ci"


def _pci(
    id_: str, kind: str, driver: str, label: str, *users: str, group: int | None = None
) -> Device:
    where = "" if group is None else str(group)
    return Device(f"0000:{id_}", "pci", kind, driver, label, users, where)


DEVICES = (
    _pci("00:00.0", "bridge", "", "Intel Ice Lake memory map and VT-d"),
    _pci("00:14.0", "usb", "xhci_hcd", "Intel C620 USB 3.0 controller"),
    _pci("00:1f.0", "bridge", "", "Intel C621A LPC controller"),
    _pci("00:1f.4", "smbus", "i801_smbus", "Intel C620 SMBus"),
    _pci("3b:00.0", "network", "mlx5_core", "Mellanox ConnectX-6 Dx", "ens3f0np0", "br-guests"),
    _pci("3b:00.1", "network", "mlx5_core", "Mellanox ConnectX-6 Dx", "ens3f1np1"),
    _pci("3b:00.2", "network", "vfio-pci", "Mellanox ConnectX-6 Dx VF", _WEB, group=87),
    _pci("3b:00.3", "network", "vfio-pci", "Mellanox ConnectX-6 Dx VF", _DB, group=88),
    _pci("3b:00.4", "network", "mlx5_core", "Mellanox ConnectX-6 Dx VF"),
    _pci("5d:00.0", "bridge", "pcieport", "Intel Ice Lake PCIe root port A"),
    _pci("5e:00.0", "network", "ice", "Intel E810-C 100GbE", "ens5f0", "storage network"),
    _pci("5e:00.1", "network", "ice", "Intel E810-C 100GbE"),
    _pci("80:01.0", "bridge", "pcieport", "Intel Ice Lake PCIe root port B"),
    _pci("81:00.0", "storage", "nvme", "Samsung PM9A3 960GB", "nvme0n1p1 /boot", "nvme0n1p2 /"),
    _pci("82:00.0", "storage", "nvme", "Samsung PM9A3 3.84TB", "nvme1n1 /var/lib/guests"),
    _pci("97:00.0", "storage", "nvme", "Micron 7450 3.84TB"),
    _pci("ae:00.0", "bridge", "pcieport", "Intel Ice Lake PCIe root port C"),
    _pci("af:00.0", "display", "vfio-pci", "NVIDIA A16", _DB, group=121),
    _pci("b0:00.0", "display", "vfio-pci", "NVIDIA A16", group=122),
    _pci("d8:00.0", "encryption", "qat_4xxx", "Intel QuickAssist 4xxx"),
    _pci("03:00.0", "display", "ast", "ASPEED AST2500"),
    Device("virtio0", "virtio", "network", "virtio_net", "management port", ("enp1s0",)),
    Device("virtio1", "virtio", "console", "virtio_console", "management console"),
    Device("virtio2", "virtio", "entropy", "virtio_rng", "random numbers"),
    Device(
        "4b20d080-1b54-4048-85b3-a6a62d165c01",
        "mdev",
        "display",
        "vfio_mdev",
        "NVIDIA A16-4Q of 0000:b0:00.0",
        (_CI,),
        "130",
    ),
)

PLUGGED = _pci("c5:00.0", "storage", "nvme", "KIOXIA CM7-R 7.68TB", "nvme3n1")
"""What somebody puts in, and takes out again."""
PLUGGED_NIC = _pci("6a:00.0", "network", "mlx5_core", "Mellanox ConnectX-7", "ens7np0")
PLUGGED_PART = Participant(
    "pci-0000:6a:00.0", "pci", "0000:6a:00.0", "registered", driver="mlx5_core"
)
"""The same, whose driver takes part."""


def vitals(users: tuple[str, ...] = ("root on ttyS0", "oncall on pts/1 from 192.0.2.14")) -> Vitals:
    """Return how the machine is when it has just been started."""
    return Vitals(
        memory_total=MEMORY,
        memory_available=hundredth(MEMORY - 61 * _GIB),
        load=6.5,
        cpus=64,
        users=users,
        booted_at=float(int(time.time())),
        holders=("vmmd [1840]",),
        watchdogs=("watchdog0: iTCO_wdt, 60 s",),
    )


def hundredth(count: int) -> int:
    """Round to a hundredth of the memory, as the real source does."""
    step = MEMORY // 100
    return round(count / step) * step
