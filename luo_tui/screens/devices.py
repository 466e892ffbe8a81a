# SPDX-License-Identifier: MIT
"""What an update does to each device; the dangerous ones stand first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

from luo_tui.desk import View
from luo_tui.filter import Field
from luo_tui.screens.listing import ListingPlace
from luo_tui.sources.devices import details
from luo_tui.widgets.table import Column, Table
from luo_tui.widgets.text import Row
from luo_tui.window.fates import Fate, Fated, fates, summary

_EMPTY = "No device is known: the sources of devices are not live, or this host has none."
_SIGN = {
    Fate.VFIO: "!!",
    Fate.REFUSED: "!!",
    Fate.RESET: "x",
    Fate.UNKNOWN: "?",
    Fate.CARRIED: "ok",
}
_MEANS = {
    Fate.VFIO: "a guest uses them and loses them",
    Fate.REFUSED: "their drivers would keep them running, the kernel does not let them",
    Fate.UNKNOWN: "no driver is bound",
    Fate.CARRIED: "their drivers keep them running through the update",
}


def _sign(one: Fated) -> str:
    return "!" if one.dangerous and one.fate is Fate.RESET else _SIGN[one.fate]


def _head(one: Fated) -> str:
    if one.fate is Fate.RESET:
        if one.dangerous:
            return "will be reset, IN USE: their users are interrupted"
        return "will be reset: nobody is known to use them"
    return f"{one.fate}: {_MEANS[one.fate]}"


COLUMNS: tuple[Column[Fated], ...] = (
    Column("", _sign, 2, key=lambda f: (not f.dangerous, f.fate)),
    Column("device", lambda f: f.device.id, 13),
    Column("kind", lambda f: f.device.kind or f.device.bus, 11),
    Column("driver", lambda f: f.device.driver or "-", 13),
    Column("fate", lambda f: str(f.fate), 17, above=110),
    Column("model", lambda f: f.device.label, 24, above=130),
    Column("users", lambda f: ", ".join(f.device.users) or "-"),
)


class Devices(ListingPlace[Fated]):
    """The table of devices, in groups."""

    WORD = "devices"
    FIELDS: ClassVar[Mapping[str, Field[Fated]]] = {
        "device": lambda f: f.device.id,
        "bus": lambda f: f.device.bus,
        "kind": lambda f: f.device.kind,
        "driver": lambda f: f.device.driver,
        "fate": lambda f: str(f.fate),
        "users": lambda f: ", ".join(f.device.users),
        "model": lambda f: f.device.label,
        "group": lambda f: f.device.iommu_group,
    }

    def table(self) -> Table[Fated]:
        """Return the table, with a heading for each group."""
        return Table(COLUMNS, grave=lambda f: f.dangerous, head=_head, empty=_EMPTY)

    def items(self, view: View) -> Mapping[str, Fated]:
        """Return the devices by id, the dangerous ones first."""
        return {f.device.id: f for f in fates(view.snapshot)}

    def sums(self, view: View) -> Iterable[Row]:
        """Yield how many there are of what."""
        found = fates(view.snapshot)
        yield Row(", ".join(summary(found)) or "none", "devices")

    def detail(self, item: Fated) -> Iterable[Row]:
        """Yield what is known without asking further."""
        device = item.device
        yield Row(device.id, device.bus, style="bold")
        yield Row(f"{item.fate}. {item.reason}", "update", style="bold" if item.dangerous else "")
        yield Row(device.label or "unknown", "model")
        yield Row(device.kind or "unknown", "kind")
        yield Row(device.driver or "none bound", "driver")
        yield Row(", ".join(device.users) or "none known", "users")
        if device.iommu_group:
            yield Row(device.iommu_group, "IOMMU group")

    def more_detail(self, item: Fated) -> Iterable[Row]:
        """Yield what udev says of it; a simulated device has no such thing."""
        if self.view is not None and not self.view.demo:
            for key, value in details(item.device.id):
                yield Row(value, key)

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
