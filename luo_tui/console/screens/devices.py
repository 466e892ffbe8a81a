# SPDX-License-Identifier: MIT
"""What became of each device in this update, and what the next one does; the worst first."""

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
from luo_tui.update.came_over import Came, DeviceCame, devices_after, devices_summary
from luo_tui.update.device_outcome import Outcome, summary
from luo_tui.update.empty_lists import no_devices

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


_CAME_SIGN = {
    Came.LOST: "!!",
    Came.UNKNOWN: "?",
    Came.WAITS: "?",
    Came.CARRIED: "ok",
    Came.ANEW: "-",
}
_CAME_MEANS = {
    Came.LOST: "it was to be kept running through this update",
    Came.UNKNOWN: "it was to be kept running through this update",
    Came.WAITS: "they came with this update and run on",
    Came.CARRIED: "they ran on through this update",
    Came.ANEW: "they took no part in this update",
}


def _sign(one: DeviceCame) -> str:
    if one.came is not None:
        return _CAME_SIGN[one.came]
    used = one.next.dangerous and one.next.outcome is Outcome.RESET
    return "!" if used else _SIGN[one.next.outcome]


def _head(one: DeviceCame) -> str:
    if one.came is not None:
        return f"{one.came}: {_CAME_MEANS[one.came]}"
    if one.next.outcome is Outcome.RESET:
        if one.next.dangerous:
            return "will be reset, IN USE: their users are interrupted"
        return "will be reset: nobody is known to use them"
    return f"{one.next.outcome}: {_MEANS[one.next.outcome]}"


COLUMNS: tuple[Column[DeviceCame], ...] = (
    Column("", _sign, 2, key=lambda f: (not f.grave, f.came or f.next.outcome)),
    Column("device", lambda f: f.device.id, 13, most=36),
    Column("kind", lambda f: f.device.kind or f.device.bus, 11, above=64, most=15),
    Column("driver", lambda f: f.device.driver or "-", 13, most=18),
    Column("next update", lambda f: str(f.next.outcome), 17, above=150),
    Column("model", lambda f: f.device.label, 24, above=130, most=72),
    Column("users", lambda f: ", ".join(f.device.users) or "-"),
)


class Devices(ListingPlace[DeviceCame]):
    """The table of devices, in groups."""

    WORD = "devices"
    FIELDS: ClassVar[Mapping[str, Field[DeviceCame]]] = {
        "device": lambda f: f.device.id,
        "bus": lambda f: f.device.bus,
        "kind": lambda f: f.device.kind,
        "driver": lambda f: f.device.driver,
        "fate": lambda f: str(f.next.outcome),
        "came": lambda f: str(f.came or ""),
        "users": lambda f: ", ".join(f.device.users),
        "model": lambda f: f.device.label,
        "group": lambda f: f.device.iommu_group,
    }

    def __init__(self) -> None:
        """Start out without devices."""
        super().__init__()
        self._of: object = None
        """What the outcomes were found for."""
        self._found: Mapping[str, DeviceCame] = {}

    def table(self) -> PickTable[DeviceCame]:
        """Return the table, with a heading for each group."""
        return PickTable(COLUMNS, grave=lambda f: f.grave, head=_head)

    def items(self, view: View) -> Mapping[str, DeviceCame]:
        """Return the devices by id, the dangerous ones first."""
        facts, snapshot = view.facts, view.snapshot
        of = (snapshot.devices, snapshot.participants, snapshot.luo.state, facts.promised)
        if of != self._of:
            self._of = of
            self._found = {f.device.id: f for f in devices_after(facts)}
        return self._found

    def nothing(self, view: View) -> str:
        """Say what it means that no device is there."""
        return no_devices(view.snapshot)

    def sums(self, view: View) -> Iterable[Row]:
        """Yield how many there are of what: in this update first, then in the next one."""
        found = self.items(view).values()
        came = ", ".join(devices_summary(found))
        if came:
            yield Row(came, "this update")
        yield Row(
            ", ".join(summary(f.next for f in found)) or "none",
            "next update" if came else "devices",
        )

    def detail(self, item: DeviceCame) -> Iterable[Row]:
        """Yield what is known without asking further."""
        device = item.device
        yield Row(device.id, device.bus, style="bold")
        if item.came is not None:
            style = "bold" if item.grave else ""
            yield Row(f"{item.came}. {item.reason}", "this update", style=style)
        yield Row(
            f"{item.next.outcome}. {item.next.reason}",
            "next update",
            style="bold" if item.grave and item.came is None else "",
        )
        yield Row(device.label or "unknown", "model")
        yield Row(device.kind or "unknown", "kind")
        yield Row(device.driver or "none bound", "driver")
        yield Row(", ".join(device.users) or "none known", "users")
        if device.iommu_group:
            yield Row(device.iommu_group, "IOMMU group")

    def more_detail(self, item: DeviceCame) -> MoreDetail | None:
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
        yield Row(
            "After a jump, until finish, the groups and signs tell what became of each device in "
            "this update; what the next one would do stands beside it."
        )
        yield Row("was to be kept running, and is lost", "!!")
        yield Row("nobody has claimed it yet, or nothing is known", "?")
        yield Row("ran on, and is in its driver's hands again", "ok")
        yield Row("took no part: this kernel set it up anew", "-")
        yield from super().about()


def _more(id_: str) -> Sequence[Row]:
    """Ask udev and sysfs of a device."""
    return [Row(value, key) for key, value in device_details(id_)]
