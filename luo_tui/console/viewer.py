# SPDX-License-Identifier: MIT
"""Builds views outside the thread that draws: journal, lock and files are read here."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from luo_tui.console.session import View
from luo_tui.update.signals import signals_held_back

_LONGEST_BREATH = 1.0
"""Seconds between two views at most: there is as long a pause as the last one took to build."""


class Viewer:
    """A thread that builds the latest :class:`View` when asked, and says when it is another one.

    However often it is asked meanwhile, one view is built: the latest wins.
    """

    def __init__(self, build: Callable[[], View], notify: Callable[[], None]) -> None:
        """``build`` reads files; ``notify`` is called from the thread."""
        self._build = build
        self._notify = notify
        self._changed = threading.Condition()
        self._asked = 0
        self._built = 0
        self._stopping = False
        self._latest: View | None = None
        self._thread: threading.Thread | None = None
        self.fault: BaseException | None = None
        """Why the latest view could not be built; None when it could."""

    @property
    def latest(self) -> View | None:
        """The latest view; None before the first one."""
        return self._latest

    @property
    def _running(self) -> bool:
        return self._thread is not None and not self._stopping

    @property
    def idle(self) -> bool:
        """Whether everything that was asked for is built."""
        with self._changed:
            return self._thread is None or self._asked == self._built

    def start(self, first: View) -> None:
        """Begin, with a view that is built already."""
        self._latest = first
        self._thread = threading.Thread(target=self._run, name="viewer", daemon=True)
        # A thread inherits the mask: signals are for the main thread.
        with signals_held_back():
            self._thread.start()

    def ask(self) -> None:
        """Ask for a view of now. From any thread; returns at once."""
        with self._changed:
            self._asked += 1
            self._changed.notify_all()

    def wait_built(self) -> None:
        """Have a view of now built, and wait until that is the latest, or failed.

        From any thread but the viewer's. Returns at once where the viewer is stopped.
        """
        with self._changed:
            self._asked += 1
            wanted = self._asked
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._built >= wanted or not self._running)

    def stop(self) -> None:
        """End the thread, after the view that is being built; harmless twice."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while True:
            with self._changed:
                while self._asked == self._built and not self._stopping:
                    self._changed.wait()
                if self._stopping:
                    return
                asked = self._asked
            began = time.monotonic()
            self._turn()
            took = time.monotonic() - began
            with self._changed:
                self._built = asked
                self._changed.notify_all()
                # In a burst whoever draws and answers keys has a turn, on a slow machine too.
                self._changed.wait_for(lambda: self._stopping, min(took, _LONGEST_BREATH))

    def _turn(self) -> None:
        try:
            view = self._build()
        except Exception as fault:
            # What cannot be read now is asked for again with the next news; it is shown meanwhile.
            news = repr(fault) != repr(self.fault)
            self.fault = fault
        else:
            news = view != self._latest or self.fault is not None
            self.fault, self._latest = None, view
        if news:
            self._notify()
