# SPDX-License-Identifier: MIT
"""What becomes of each device, and that the dangerous ones stand first."""

from __future__ import annotations

import pytest

from luo_tui.model import Device, Host, LuoState, Participant, Snapshot, State
from luo_tui.update.device_outcome import (
    DeviceOutcome,
    Outcome,
    alarms,
    counts,
    device_outcomes,
    losses,
    summary,
)

HOST = Host("hv", "7.3", "b")


def snapshot(*devices: Device, participants: tuple[Participant, ...] = ()) -> Snapshot:
    return Snapshot(
        HOST,
        LuoState(State.NORMAL),
        devices={d.id: d for d in devices},
        participants={p.id: p for p in participants},
    )


def pci(address: str, state: str, **more: object) -> Participant:
    return Participant(f"pci-{address}", "pci", address, state, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("device", "participant", "fate", "words", "dangerous"),
    [
        (Device("a", "pci", driver="vfio-pci"), None, Outcome.VFIO, "A guest", True),
        (
            Device("a", "pci", driver="vfio-pci", users=("qemu [7]",)),
            None,
            Outcome.VFIO,
            "qemu [7] loses it",
            True,
        ),
        (Device("a", "pci", driver="nvme"), None, Outcome.RESET, "nvme takes no part", False),
        (
            Device("a", "pci", driver="nvme", users=("disk x on /", "swap")),
            None,
            Outcome.RESET,
            "interrupts disk x on / and swap",
            True,
        ),
        (Device("a", "pci", "bridge", "pcieport"), None, Outcome.RESET, "loses nothing", False),
        (Device("a", "pci"), None, Outcome.UNKNOWN, "No driver is bound", False),
        (
            Device("a", "pci", driver="edu"),
            pci("a", "refused", reason="it is behind a bridge"),
            Outcome.REFUSED,
            "behind a bridge",
            True,
        ),
        (Device("a", "pci"), pci("a", "lost", reason="x"), Outcome.REFUSED, "is lost: x", True),
        (Device("a", "pci"), pci("a", "registered"), Outcome.CARRIED, "Kept running", False),
        (Device("a", "pci"), pci("a", "incoming"), Outcome.CARRIED, "not claimed it yet", False),
        (Device("a", "pci"), pci("a", "claimed", driver="edu"), Outcome.CARRIED, "edu has", False),
        (Device("a", "pci"), pci("a", "registered", result=5), Outcome.CARRIED, "(EIO)", False),
        # What takes part lives on even where a guest has it.
        (Device("a", "pci", driver="vfio-pci"), pci("a", "frozen"), Outcome.CARRIED, "", False),
    ],
)
def test_fate(
    device: Device, participant: Participant | None, fate: Outcome, words: str, dangerous: bool
) -> None:
    (found,) = device_outcomes(snapshot(device, participants=(participant,) if participant else ()))
    assert found.outcome is fate
    assert words in found.reason
    assert found.reason.endswith(".")
    assert found.dangerous is dangerous


def test_the_dangerous_ones_come_first() -> None:
    devices = (
        Device("1", "pci", driver="carried"),
        Device("2", "pci"),
        Device("3", "pci", driver="nvme"),
        Device("4", "pci", driver="nvme", users=("/",)),
        Device("5", "pci", driver="ice"),
        Device("6", "pci", driver="vfio-pci"),
        Device("0", "pci", "bridge", "pcieport"),
    )
    there = (pci("1", "registered"), pci("5", "refused", reason="x"), pci("9", "prepared"))
    found = device_outcomes(snapshot(*devices, participants=there))
    assert [f.device.id for f in found] == ["6", "5", "4", "0", "3", "2", "1", "9"]
    assert list(counts(found).values()) == [1, 1, 3, 1, 2]
    assert "3 will be reset (1 IN USE)" in list(summary(found))
    assert list(alarms(found)) == ["guests LOSE 1", "1 cannot take part", "1 in use is reset"]


def test_other_participants_are_no_devices() -> None:
    subsystem = Participant("subsystem-x", "subsystem", "x", "registered")
    assert device_outcomes(snapshot(participants=(subsystem,))) == ()
    assert list(summary(())) == []


def test_a_guest_loses_its_devices_in_one_line() -> None:
    found = (
        *(
            DeviceOutcome(
                Device(f"0000:3b:00.{n}", "pci", driver="vfio-pci", users=("qemu [7]",)),
                Outcome.VFIO,
                "qemu [7] loses it: vfio-pci takes no part.",
            )
            for n in range(3)
        ),
        DeviceOutcome(
            Device("0000:3c:00.0", "pci", driver="vfio-pci", users=("qemu [8]",)),
            Outcome.VFIO,
            "qemu [8] loses it: vfio-pci takes no part.",
        ),
        DeviceOutcome(Device("b", "pci", driver="e"), Outcome.REFUSED, "It is reset."),
        DeviceOutcome(Device("c", "pci", driver="e"), Outcome.REFUSED, "It is reset."),
        DeviceOutcome(Device("d", "pci", driver="e"), Outcome.RESET, "Nobody uses it."),
    )
    assert list(losses(found)) == [
        "qemu [7] loses 3 devices, vfio-pci takes no part: "
        "pci 0000:3b:00.0, pci 0000:3b:00.1, pci 0000:3b:00.2.",
        "pci 0000:3c:00.0: qemu [8] loses it: vfio-pci takes no part.",
        "pci b: It is reset.",
        "pci c: It is reset.",
    ]
