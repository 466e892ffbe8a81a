# SPDX-License-Identifier: MIT
"""What is built into the simulated machine: its devices, those that take part, and its vitals."""

from __future__ import annotations

import time

from luo_tui.model import Device, Participant, Vitals

_GIB = 1 << 30
MEMORY = 256 * _GIB

PARTICIPANTS = (
    Participant("subsystem-pci-v2", "subsystem", "pci-v2", "registered"),
    Participant("pci-0000:3b:00.0", "pci", "0000:3b:00.0", "registered", driver="mlx5_core"),
    Participant("subsystem-vfio-v1", "subsystem", "vfio-v1", "registered"),
)
REFUSED = Participant(
    "pci-0000:5e:00.0",
    "pci",
    "0000:5e:00.0",
    "refused",
    driver="ice",
    reason="it is behind a bridge",
)
"""One that cannot take part: it is there in the demo only."""

_WEB = "cloud-hyperviso [2101]"
_DB = "cloud-hyperviso [2177]"
_CI = "cloud-hyperviso [2231]"

_CX6 = "Mellanox Technologies MT2892 Family [ConnectX-6 Dx]"
_CX6_VF = "Mellanox Technologies ConnectX Family mlx5Gen Virtual Function"
_E810 = "Intel Corporation Ethernet Controller E810-C for QSFP"
_PORT = "Intel Corporation Ice Lake PCIe Root Port"
_PM9A3 = "Samsung Electronics Co Ltd NVMe SSD Controller PM9A1/PM9A3/980PRO"
_A16 = "NVIDIA Corporation GA107GL [A2 / A16]"


def _pci(
    id_: str, kind: str, driver: str, label: str, *users: str, group: int | None = None
) -> Device:
    where = "" if group is None else str(group)
    return Device(f"0000:{id_}", "pci", kind, driver, label, users, where)


DEVICES = (
    _pci("00:00.0", "bridge", "", "Intel Corporation Ice Lake Memory Map/VT-d"),
    _pci("00:14.0", "usb", "xhci_hcd", "Intel Corporation C620 Series USB 3.0 xHCI Controller"),
    _pci("00:1f.0", "bridge", "", "Intel Corporation C621A Series LPC/eSPI Controller"),
    _pci("00:1f.4", "serial bus", "i801_smbus", "Intel Corporation C620 Series SMBus"),
    _pci("03:00.0", "display", "ast", "ASPEED Technology, Inc. ASPEED Graphics Family"),
    _pci("3b:00.0", "network", "mlx5_core", _CX6, "ens3f0np0 (up)"),
    _pci("3b:00.1", "network", "mlx5_core", _CX6, "ens3f1np1 (up)"),
    _pci("3b:00.2", "network", "vfio-pci", _CX6_VF, _WEB, group=87),
    _pci("3b:00.3", "network", "vfio-pci", _CX6_VF, _DB, group=88),
    _pci("3b:00.4", "network", "mlx5_core", _CX6_VF),
    _pci("5d:00.0", "bridge", "pcieport", _PORT),
    _pci("5e:00.0", "network", "ice", _E810, "ens5f0 (up)"),
    _pci("5e:00.1", "network", "ice", _E810),
    _pci("80:01.0", "bridge", "pcieport", _PORT),
    _pci("81:00.0", "storage", "nvme", _PM9A3, "nvme0n1p1 on /boot", "nvme0n1p2 on /"),
    _pci("82:00.0", "storage", "nvme", _PM9A3, "nvme1n1 on /var/lib/guests"),
    _pci("97:00.0", "storage", "nvme", "Micron Technology Inc 7450 PRO NVMe SSD"),
    _pci("ae:00.0", "bridge", "pcieport", _PORT),
    _pci("af:00.0", "display", "vfio-pci", _A16, _DB, group=121),
    _pci("b0:00.0", "display", "nvidia", _A16),
    _pci("d8:00.0", "processor", "qat_4xxx", "Intel Corporation 4xxx Series QAT"),
    Device("virtio0", "virtio", "network", "virtio_net", "1af4:0001", ("enp1s0 (up)",)),
    Device("virtio1", "virtio", "console", "virtio_console", "1af4:0003"),
    Device("virtio2", "virtio", "entropy", "virtio_rng", "1af4:0004"),
    Device(
        "4b20d080-1b54-4048-85b3-a6a62d165c01",
        "mdev",
        "mediated device",
        "nvidia-vgpu-vfio",
        "",
        (_CI,),
        "130",
    ),
)

PLUGGED = _pci("c5:00.0", "storage", "nvme", "KIOXIA Corporation NVMe SSD CM7")
"""What somebody puts in, and takes out again."""
PLUGGED_NIC = _pci(
    "6a:00.0", "network", "mlx5_core", "Mellanox Technologies MT2910 Family [ConnectX-7]"
)
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
        watchdogs=("iTCO_wdt, 60 s",),
    )


def hundredth(count: int) -> int:
    """Round to a hundredth of the memory, as the real source does."""
    step = MEMORY // 100
    return round(count / step) * step
