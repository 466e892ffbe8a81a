# SPDX-License-Identifier: MIT
"""When to draw anew after the kernel has written over our terminal."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from textual.app import App
from textual.timer import Timer

from luo_tui.monitor.lookup import prints_on_our_terminal

_QUIET = 0.2
"""Seconds without a kernel line after which a burst is over."""
_LONGEST = 2.0
"""Seconds after which a burst that does not end is drawn over all the same."""


class Overprint:
    """Asks for one repaint after each burst of kernel lines; there is no timer between them."""

    def __init__(self, app: App[Any], repaint: Callable[[], None]) -> None:
        """``repaint`` draws every cell anew."""
        self._app = app
        self._repaint = repaint
        self._ours = prints_on_our_terminal()
        self._timer: Timer | None = None
        self._since = 0.0
        self._seen = 0

    def printed(self, bursts: int) -> None:
        """Take note of how often the kernel has printed, by the picture's count."""
        if bursts == self._seen:
            return
        self._seen = bursts
        if not self._ours:
            return
        now = time.monotonic()
        if self._timer is None:
            self._since = now
        elif now - self._since < _LONGEST:
            self._timer.stop()
        else:
            return
        self._timer = self._app.set_timer(_QUIET, self._late)

    def _late(self) -> None:
        self._timer = None
        self._repaint()
