# SPDX-License-Identifier: MIT
"""What an update does to each device; the dangerous ones stand first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import ClassVar

from luo_tui.console.filter import Field
from luo_tui.console.screens.listing import ListingPlace, MoreDetail
from luo_tui.console.session import View
from luo_tui.console.widgets.pick_table import PickTable
from luo_tui.console.widgets.table import Column
from luo_tui.console.widgets.text import Row
from luo_tui.monitor.lookup import device_details
from luo_tui.update.device_outcome import DeviceOutcome, Outcome, device_outcomes, summary

_EMPTY = "No device is known: the sources of devices are not live, or this host has none."
_SIGN = {
    Outcome.VFIO: "!!",
    Outcome.REFUSED: "!!",
    Outcome.RESET: "x",
    Outcome.UNKNOWN: "?",
    Outcome.CARRIED: "ok",
}
_MEANS = {
    Outcome.VFIO: "a guest uses them and loses them",
    Outcome.REFUSED: "their drivers would keep them running, the kernel does not let them",
    Outcome.UNKNOWN: "no driver is bound",
    Outcome.CARRIED: "their drivers keep them running through the update",
}


def _sign(one: DeviceOutcome) -> str:
    return "!" if one.dangerous and one.outcome is Outcome.RESET else _SIGN[one.outcome]


def _head(one: DeviceOutcome) -> str:
    if one.outcome is Outcome.RESET:
        if one.dangerous:
            return "will be reset, IN USE: their users are interrupted"
        return "will be reset: nobody is known to use them"
    return f"{one.outcome}: {_MEANS[one.outcome]}"


COLUMNS: tuple[Column[DeviceOutcome], ...] = (
    Column("", _sign, 2, key=lambda f: (not f.dangerous, f.outcome)),
    Column("device", lambda f: f.device.id, 13),
    Column("kind", lambda f: f.device.kind or f.device.bus, 11),
    Column("driver", lambda f: f.device.driver or "-", 13),
    Column("fate", lambda f: str(f.outcome), 17, above=110),
    Column("model", lambda f: f.device.label, 24, above=130),
    Column("users", lambda f: ", ".join(f.device.users) or "-"),
)


class Devices(ListingPlace[DeviceOutcome]):
    """The table of devices, in groups."""

    WORD = "devices"
    FIELDS: ClassVar[Mapping[str, Field[DeviceOutcome]]] = {
        "device": lambda f: f.device.id,
        "bus": lambda f: f.device.bus,
        "kind": lambda f: f.device.kind,
        "driver": lambda f: f.device.driver,
        "fate": lambda f: str(f.outcome),
        "users": lambda f: ", ".join(f.device.users),
        "model": lambda f: f.device.label,
        "group": lambda f: f.device.iommu_group,
    }

    def __init__(self) -> None:
        """Start out without devices."""
        super().__init__()
        self._of: object = None
        """The devices and participants that the outcomes were found for."""
        self._found: Mapping[str, DeviceOutcome] = {}

    def table(self) -> PickTable[DeviceOutcome]:
        """Return the table, with a heading for each group."""
        return PickTable(COLUMNS, grave=lambda f: f.dangerous, head=_head, empty=_EMPTY)

    def items(self, view: View) -> Mapping[str, DeviceOutcome]:
        """Return the devices by id, the dangerous ones first."""
        snapshot = view.snapshot
        of = (snapshot.devices, snapshot.participants)
        if of != self._of:
            self._of = of
            self._found = {f.device.id: f for f in device_outcomes(snapshot)}
        return self._found

    def sums(self, view: View) -> Iterable[Row]:
        """Yield how many there are of what."""
        yield Row(", ".join(summary(self.items(view).values())) or "none", "devices")

    def detail(self, item: DeviceOutcome) -> Iterable[Row]:
        """Yield what is known without asking further."""
        device = item.device
        yield Row(device.id, device.bus, style="bold")
        yield Row(
            f"{item.outcome}. {item.reason}", "update", style="bold" if item.dangerous else ""
        )
        yield Row(device.label or "unknown", "model")
        yield Row(device.kind or "unknown", "kind")
        yield Row(device.driver or "none bound", "driver")
        yield Row(", ".join(device.users) or "none known", "users")
        if device.iommu_group:
            yield Row(device.iommu_group, "IOMMU group")

    def more_detail(self, item: DeviceOutcome) -> MoreDetail | None:
        """Return how to ask udev; a simulated device has no such thing."""
        if self.view is None or self.view.demo:
            return None
        return partial(_more, item.device.id)

    def about(self) -> Iterable[Row]:
        """Say what the signs mean."""
        yield Row(
            "What the next update does to each device. A device lives on only if its driver "
            "takes part; all others are shut down and set up anew."
        )
        yield Row("a guest loses it, or it cannot live on", "!!")
        yield Row("will be reset, and somebody uses it", "!")
        yield Row("will be reset; nobody is known to use it", "x")
        yield Row("nothing is known", "?")
        yield Row("takes part: kept running", "ok")
        yield from super().about()


def _more(id_: str) -> Sequence[Row]:
    """Ask udev and sysfs of a device."""
    return [Row(value, key) for key, value in device_details(id_)]
