# SPDX-License-Identifier: MIT
"""The simulated host's sources. Each blocks on the eventfd of an ear."""

from __future__ import annotations

import select
from collections.abc import Sequence

from luo_tui.orchestrator.simulated.host import DEVICES, VITALS, SimulatedHost
from luo_tui.orchestrator.simulated.kernel import LINES, LUO
from luo_tui.orchestrator.simulated.news import Ear
from luo_tui.sources.changes import (
    Change,
    DevicesRead,
    ParticipantsRead,
    ResourcesRead,
    VitalsRead,
)
from luo_tui.sources.kmsg import restore_failed


class _Heard:
    """What all of them have in common."""

    events = select.POLLIN
    name = ""

    def __init__(self, host: SimulatedHost) -> None:
        """Nothing is opened yet."""
        self._host = host
        self._ear: Ear | None = None

    def fileno(self) -> int:
        """Return the eventfd."""
        return self._ear.fd if self._ear is not None else -1

    def reopen(self) -> None:
        """Begin to listen. OSError while there is nothing to listen to."""
        self.close()
        self._ear = self._host.news.listen(self.name)

    def enumerate(self) -> Sequence[Change]:
        """Read everything."""
        raise NotImplementedError

    def drain(self) -> Sequence[Change] | None:
        """Take the news; None if some of them were lost."""
        return self._ear.take() if self._ear is not None else ()

    def close(self) -> None:
        """Listen no more."""
        if self._ear is not None:
            self._host.news.unlisten(self._ear)
            self._ear = None


class SimulatedSource(_Heard):
    """Tells of the state, of what is preserved, and of who takes part."""

    name = LUO

    def enumerate(self) -> Sequence[Change]:
        """Read what the kernel shows."""
        return (
            self._host.luo(),
            ResourcesRead(self._host.resources()),
            ParticipantsRead(tuple(self._host.participants.values())),
        )


class SimulatedDevices(_Heard):
    """Tells of the devices."""

    name = DEVICES

    def enumerate(self) -> Sequence[Change]:
        """Read which there are."""
        return (DevicesRead(tuple(self._host.devices.values())),)


class SimulatedVitals(_Heard):
    """Tells how the machine is."""

    name = VITALS

    def enumerate(self) -> Sequence[Change]:
        """Read it."""
        return (VitalsRead(self._host.vitals),)


class SimulatedLines(_Heard):
    """Tells what the kernel prints. None of it reaches the terminal."""

    name = LINES

    def __init__(self, host: SimulatedHost) -> None:
        """Nothing was told yet."""
        super().__init__(host)
        self._told = 0.0

    def enumerate(self) -> Sequence[Change]:
        """Read what was said already: of one that listens, nothing twice."""
        if self._ear is None:
            self._told = 0.0
        lines = [said for said in self._host.lines if said.at > self._told]
        self._told = max((said.at for said in lines), default=self._told)
        return [*lines, *(failed for said in lines for failed in restore_failed(said))]

    def drain(self) -> Sequence[Change] | None:
        """Read what is new."""
        super().drain()
        return self.enumerate()
