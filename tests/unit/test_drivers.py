# SPDX-License-Identifier: MIT
"""Drivers that the target does not have: read from the lists of depmod, and checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from luo_tui.model import BoundDriver, Device, KernelImage
from luo_tui.sources.drivers import read_drivers
from luo_tui.update.checks.machine import TargetHasTheDrivers
from luo_tui.update.facts import Level
from luo_tui.update.kernel_modules import DriverChange, TargetDrivers, find_drivers
from tests.unit.test_host_checks import GOOD

NIC = "pci:v00008086d00001592sv00008086sd00000002bc02sc00i00"
FACTS = GOOD._replace(image=KernelImage("/boot/vmlinuz-new", "new"))


def lists(
    modules: Path,
    release: str,
    dep: str = "",
    builtin: str = "",
    alias: str = "",
    modinfo: str | None = None,
) -> None:
    folder = modules / release
    folder.mkdir(parents=True)
    (folder / "modules.dep").write_text(dep)
    (folder / "modules.builtin").write_text(builtin)
    (folder / "modules.alias").write_text(alias)
    if modinfo is not None:
        (folder / "modules.builtin.modinfo").write_bytes(modinfo.encode())


def ice(module: str = "ice", alias: str = NIC, *, in_use: bool = True) -> BoundDriver:
    return BoundDriver("0000:5e:00.0", "ice", module, alias, in_use)


def found(modules: Path, *drivers: BoundDriver) -> TargetDrivers:
    return find_drivers(modules, "old", "new", drivers)


@pytest.mark.parametrize(
    ("dep", "builtin"),
    [
        ("kernel/drivers/net/ice/ice.ko: kernel/lib/a.ko\n", ""),
        ("kernel/drivers/net/ice/ice.ko.zst:\n", ""),
        ("extra/ice.ko.xz:\n", ""),
        ("", "kernel/drivers/net/ice/ice.ko\n"),
    ],
)
def test_a_driver_that_is_there_as_well(tmp_path: Path, dep: str, builtin: str) -> None:
    lists(tmp_path, "new", dep, builtin)
    assert found(tmp_path, ice()) == TargetDrivers(same=1)


def test_names_are_the_same_with_either_dash(tmp_path: Path) -> None:
    lists(tmp_path, "new", "kernel/drivers/vfio/vfio-pci.ko:\n")
    assert found(tmp_path, BoundDriver("a", "vfio-pci", "vfio_pci", NIC)).same == 1


def test_a_name_that_only_begins_alike_is_another_one(tmp_path: Path) -> None:
    lists(tmp_path, "new", "kernel/drivers/net/ice/ice2.ko:\nkernel/x/device.ko:\n")
    assert found(tmp_path, ice()).changes == (DriverChange("0000:5e:00.0", "ice", True, ()),)


@pytest.mark.parametrize(
    ("alias", "modinfo", "others"),
    [
        ("alias pci:v00008086d00001592sv*sd*bc*sc*i* other\n", None, ("other",)),
        ("# Aliases\nalias pci:v00008086d*sv*sd*bc02sc00i* some\n", "", ("some",)),
        ("", f"other.file=x\0other.alias={NIC[:22]}*\0", ("other",)),
        ("alias pci:v00008086d00001593sv*sd*bc*sc*i* other\nalias virtio:* v\n", "a.b\0", ()),
        ("alias virtio:d00000001v* virtio_net\n", None, ()),
    ],
)
def test_who_else_takes_the_device(
    tmp_path: Path, alias: str, modinfo: str | None, others: tuple[str, ...]
) -> None:
    lists(tmp_path, "new", alias=alias, modinfo=modinfo)
    assert found(tmp_path, ice()).changes == (DriverChange("0000:5e:00.0", "ice", True, others),)


def test_what_no_list_tells_of_is_no_change(tmp_path: Path) -> None:
    port = BoundDriver("0000:00:01.0", "pcieport", "", "pci:v00008086d00001901sv0sd0bc06sc04i00")
    lists(tmp_path, "new")
    assert found(tmp_path, port) == TargetDrivers(unlisted=1)
    # What else both kernels have for such a device says nothing of it.
    hotplug = "alias pci:v*d*sv*sd*bc06sc04i* shpchp\n"
    lists(tmp_path, "old", alias=hotplug)
    (tmp_path / "new/modules.alias").write_text(hotplug)
    assert found(tmp_path, port) == TargetDrivers(unlisted=1)
    # Where the running kernel's lists name it, theirs should, too.
    (tmp_path / "old/modules.builtin").write_text("kernel/drivers/pci/pcieport.ko\n")
    (change,) = found(tmp_path, port).changes
    assert change == DriverChange(port.device, "pcieport", False, ("shpchp",))


@pytest.mark.parametrize("missing", ["modules.dep", "modules.builtin", "modules.alias"])
def test_without_the_lists_it_is_not_known(tmp_path: Path, missing: str) -> None:
    lists(tmp_path, "new")
    (tmp_path / "new" / missing).unlink()
    fault = f"{tmp_path}/new/{missing} is not there"
    assert found(tmp_path, ice()) == TargetDrivers(fault=fault)


def test_what_the_check_says() -> None:
    used, idle = DriverChange("a", "ice", True, ()), DriverChange("b", "ast", False, ())
    other = DriverChange("c", "nvidia", True, ("nouveau",))
    for result, level, text in (
        (TargetDrivers(3, unlisted=1), Level.OK, "new has those of 3 devices. Of 1 device"),
        (TargetDrivers(3, (idle, used)), Level.BLOCKER, "no driver for a (ice, in use); b (ast)."),
        (TargetDrivers(3, (idle,)), Level.WARNING, "no driver for b (ast)."),
        (TargetDrivers(3, (other,)), Level.WARNING, "c (nvidia, in use, there nouveau)."),
        (TargetDrivers(fault="x is not there"), Level.UNKNOWN, "not known: x is not there."),
        (None, Level.UNKNOWN, "no target"),
    ):
        finding = TargetHasTheDrivers(result).run(FACTS)
        assert finding.level is level
        assert text in finding.text
        assert (finding.remedy == "") == (level is Level.OK)


def test_what_could_not_be_read_never_passes_as_good() -> None:
    finding = TargetHasTheDrivers(TargetDrivers(3), ("the modalias of a is unknown",)).run(FACTS)
    assert finding.level is Level.UNKNOWN
    assert "the modalias of a is unknown" in finding.text


def test_the_drivers_of_this_host_are_read_from_sysfs(tmp_path: Path) -> None:
    folder = tmp_path / "bus/pci/devices/0000:5e:00.0"
    driver = tmp_path / "bus/pci/drivers/ice"
    (tmp_path / "module/ice").mkdir(parents=True)
    (tmp_path / "module/ice/initstate").write_text("live\n")
    driver.mkdir(parents=True)
    (driver / "module").symlink_to(tmp_path / "module/ice")
    folder.mkdir(parents=True)
    (folder / "driver").symlink_to(driver)
    (folder / "modalias").write_text(f"{NIC}\n")
    devices = (
        Device("0000:5e:00.0", "pci", driver="ice", users=("ens5f0 (up)",)),
        Device("0000:00:00.0", "pci"),
        Device("0000:01:00.0", "pci", driver="gone"),
    )
    told = read_drivers(devices, tmp_path)
    assert told.drivers == (ice(), BoundDriver("0000:01:00.0", "gone", "", ""))
    assert told.missing == ()
    # A built-in driver may have the name of a module, which has no state.
    (tmp_path / "module/ice/initstate").unlink()
    assert read_drivers(devices, tmp_path).drivers[0] == ice("")
    (folder / "modalias").unlink()
    (folder / "modalias").mkdir()
    assert "the modalias of 0000:5e:00.0 is unknown" in read_drivers(devices, tmp_path).missing[0]
