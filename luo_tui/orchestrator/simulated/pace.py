# SPDX-License-Identifier: MIT
"""How fast the simulated host lives: 1 is plausible, 0 stands still."""

from __future__ import annotations

import threading

SLOWEST, FASTEST = 0.1, 20.0


class Pace:
    """A speed that can be changed from any thread, and waited on."""

    def __init__(self, speed: float = 0.0) -> None:
        """Set the speed to begin with."""
        self.changed = threading.Condition()
        """Notified whenever the speed is another one."""
        self._speed = _within(speed)
        self._before = self._speed or 1.0

    @property
    def speed(self) -> float:
        """The speed of now."""
        return self._speed

    @speed.setter
    def speed(self, value: float) -> None:
        with self.changed:
            self._speed = _within(value)
            self._before = self._speed or self._before
            self.changed.notify_all()

    @property
    def moving(self) -> float:
        """The speed of what somebody asked for: acts go on while the host stands still."""
        return self._before

    def faster(self) -> None:
        """Double the speed; go on if nothing moves."""
        self.speed = self._speed * 2 if self._speed else self._before

    def slower(self) -> None:
        """Halve the speed; go on if nothing moves."""
        self.speed = self._speed / 2 if self._speed else self._before

    def still(self) -> None:
        """Stand still; go on if nothing moves."""
        self.speed = 0.0 if self._speed else self._before


def _within(speed: float) -> float:
    return min(FASTEST, max(SLOWEST, speed)) if speed > 0 else 0.0
